"""Networks to compare pictures by: their layers, their weights' name in a config, and a run without them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from bench.cli.main import main
from bench.core import paths
from bench.core.errors import UserError
from bench.core.files import sha256_of
from bench.metrics import lpips
from bench.metrics.learned import WeightFile
from bench.models import registry, weights
from bench.runs import features
from bench.runs.features import load_features, name_of_weights
from bench.runs.given import named

CPU = torch.device("cpu")
SEES = """
import torch.nn.functional as F
from torch import nn
from bench import register

@register("sees", title="Sees", year=2024, needs=["NEED"])
class Sees(nn.Module):
    def __init__(self, scale: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr):
        return self.body(lr)

    def objective(self):
        return Terms()

class Terms:
    left_out = ("the first",)

    def terms(self, network, batch):
        sr = network(batch.lr)
        terms = {"pixel": F.l1_loss(sr, batch.hr)}
        if "vgg16" in batch.features:
            made, true = (next(batch.features["vgg16"](pictures)) for pictures in (sr, batch.hr))
            terms["seen"] = F.mse_loss(made, true)
        return terms
"""


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Put weights that are drawn at random into the cache, in place of the trained ones."""
    torch.manual_seed(0)
    sizes = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    tensors = {
        f"conv{n}.weight": torch.randn(sizes[n + 1], sizes[n], 3, 3) * (2 / 9 / sizes[n]) ** 0.5 for n in range(13)
    }
    tensors |= {f"conv{n}.bias": 0.1 * torch.randn(sizes[n + 1]) for n in range(13)}
    file = WeightFile(lpips.VGG.file.name, lpips.VGG.file.way_out)
    monkeypatch.setattr(features, "NETWORKS", {"vgg16": dataclasses.replace(lpips.VGG, file=file)})
    file.path.parent.mkdir(parents=True, exist_ok=True)
    weights.save(file.path, tensors)
    return tensors


def plugin(folder: Path, need: str = "vgg16") -> Path:
    path = folder / "sees_method.py"
    path.write_text(SEES.replace("NEED", need))
    return path


def test_layers_are_those_of_vgg16_on_normalised_pictures(drawn: dict[str, torch.Tensor]) -> None:
    from torchvision.models import vgg16

    oracle = vgg16(weights=None).features.eval()
    convolutions = [layer for layer in oracle if isinstance(layer, torch.nn.Conv2d)]
    for number, layer in enumerate(convolutions):
        layer.weight.data, layer.bias.data = drawn[f"conv{number}.weight"], drawn[f"conv{number}.bias"]
    pictures = torch.rand(2, 3, 32, 32)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x, expected = (pictures - mean.view(3, 1, 1)) / deviation.view(3, 1, 1), []
    with torch.no_grad():
        for layer in oracle:
            x = F.relu(x) if isinstance(layer, torch.nn.ReLU) else layer(x)
            if isinstance(layer, torch.nn.ReLU):
                expected.append(x)
        got = list(load_features("vgg16", name_of_weights("vgg16") or "", CPU)(pictures))
    assert len(got) == len(expected) == 13
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(got, expected, strict=True))


def test_pictures_take_gradients_and_weights_none(drawn: dict[str, torch.Tensor]) -> None:
    see, pictures = load_features("vgg16", name_of_weights("vgg16") or "", CPU), torch.rand(1, 3, 32, 32)
    layers = see(pictures.requires_grad_())
    assert next(layers).shape == (1, 64, 32, 32)
    next(layers).sum().backward()
    assert pictures.grad is not None and pictures.grad.any()


def test_weights_that_a_run_was_planned_with_are_asked_for(drawn: dict[str, torch.Tensor]) -> None:
    path, own = lpips.VGG.file.path, name_of_weights("vgg16")
    assert own == sha256_of(path)[:12]
    with pytest.raises(UserError, match=r"the run was planned with 0123456789ab: run `fsr fetch lpips`"):
        load_features("vgg16", "0123456789ab", CPU)
    path.unlink()
    assert name_of_weights("vgg16") is None
    with pytest.raises(
        UserError, match=r"vgg16, weights [0-9a-f]{12}: its weights are not here: run `fsr fetch lpips`"
    ):
        load_features("vgg16", own, CPU)


def test_an_unknown_need_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", [])
    monkeypatch.setattr(registry, "_catalogue", None)
    registry.add_plugin(plugin(tmp_path, "vgg11"))
    with pytest.raises(UserError, match=r"needs 'vgg11', expected 'landmarks' .* or a network: vgg16"):
        named("sees", None)


def test_a_run_has_the_term_where_the_weights_are_and_says_so_where_not(
    job: list[str], tmp_path: Path, drawn: dict[str, torch.Tensor]
) -> None:
    (tmp_path / "see.toml").write_text('title = "See"\nkind = "ablation"\n[[rows]]\nmethod = "sees"\n')
    command = ["run", str(tmp_path / "see.toml"), *job[1:], "--plugin", str(plugin(tmp_path))]
    assert main(command) == 0
    own = name_of_weights("vgg16")
    lpips.VGG.file.path.unlink()
    assert main(command) == 0
    records = [json.loads(path.read_text()) for path in (paths.results() / "see-short-mine").glob("sees-*/run.json")]
    (with_it,) = [record for record in records if record["config"].get("given")]
    (without,) = [record for record in records if not record["config"].get("given")]
    assert with_it["config"]["given"] == {"vgg16": own}
    assert with_it["objective"]["terms"].keys() == {"loss_pixel", "loss_seen"}
    assert with_it["objective"]["left_out"] == ["the first"]
    assert without["objective"]["left_out"][0] == "the first"
    assert "vgg16 features: the weights were not here" in without["objective"]["left_out"][1]
