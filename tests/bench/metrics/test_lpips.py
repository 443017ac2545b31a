"""LPIPS beside the authors' package, whose own heads and layers are taken, and beside values others have published."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.cli import main as cli
from bench.core import paths
from bench.data.degrade import degrade, upsample
from bench.metrics import lpips
from bench.metrics.catalogue import get_metric
from bench.metrics.learned import WeightFile
from bench.metrics.protocol import get_protocol
from bench.metrics.spec import Batch, Pairwise, UnavailableError
from bench.models import weights
from bench.runs.evaluate import to_tensor
from tests.bench.conftest import smooth_faces

NAMES = ("lpips-alex", "lpips-vgg")
CPU = torch.device("cpu")


def face() -> np.ndarray:
    """Return the astronaut's face, uint8 [1, 128, 128, 3]."""
    from skimage.data import astronaut

    photo = Image.fromarray(astronaut())
    return np.asarray(photo.resize((128, 128), Image.Resampling.BICUBIC, box=(152, 45, 296, 189)))[None]


def score(name: str, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    metric = get_metric(name)
    assert isinstance(metric, Pairwise)
    return metric.compute(Batch(sr, hr, None, get_protocol("rgb")))


@pytest.fixture(scope="module")
def oracles() -> dict[str, Any]:
    """Return the authors' metric by our name: their heads, and convolutions drawn at random."""
    from lpips import LPIPS

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's, of an argument that the package still gives
        return {f"lpips-{net}": LPIPS(net=net, pnet_rand=True, verbose=False).eval() for net in ("alex", "vgg")}


@pytest.fixture
def random(oracles: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let our metrics have the weights of the oracles."""
    states = {}
    for name, oracle in oracles.items():
        layers = [layer for layer in oracle.net.modules() if isinstance(layer, torch.nn.Conv2d)]
        states[name] = {f"conv{place}.weight": layer.weight.data for place, layer in enumerate(layers)}
        states[name] |= {f"conv{place}.bias": layer.bias.data for place, layer in enumerate(layers)}
        heads = [layer for layer in oracle.lins.modules() if isinstance(layer, torch.nn.Conv2d)]
        states[name] |= {f"head{place}.weight": layer.weight.data for place, layer in enumerate(heads)}
    monkeypatch.setattr(
        WeightFile, "tensors", lambda file, device: {name: t.to(device) for name, t in states[file.name].items()}
    )


@pytest.mark.usefixtures("random")
@pytest.mark.parametrize("name", NAMES)
def test_the_authors_package_agrees(name: str, oracles: dict[str, Any]) -> None:
    draw = torch.Generator().manual_seed(0)
    hr = to_tensor(face())
    pairs = [(to_tensor(upsample(degrade(face(), 8), 8)), hr)]
    pairs.append((torch.rand(1, 3, 67, 93, generator=draw), torch.rand(1, 3, 67, 93, generator=draw)))
    for sr, truth in pairs:
        with torch.no_grad():
            expected = float(oracles[name](sr, truth, normalize=True))
        assert float(score(name, sr, truth)) == pytest.approx(expected, abs=1e-6, rel=1e-5)


@pytest.mark.network
@pytest.mark.usefixtures("fetched")
def test_published_values_of_vgg() -> None:
    """What the authors' package printed for these pictures with its own download of VGG16."""
    draw = np.random.RandomState(123)
    sr, hr = (torch.from_numpy(draw.rand(10, 3, 100, 100)).float() for _ in range(2))
    published = [0.3497, 0.3494, 0.3473, 0.3558, 0.3437, 0.3366, 0.3716, 0.3516, 0.3472, 0.3413]
    assert score("lpips-vgg", sr, hr).tolist() == pytest.approx(published, abs=5.1e-5)


@pytest.mark.network
@pytest.mark.usefixtures("fetched")
def test_the_published_heads_and_convolutions(oracles: dict[str, Any]) -> None:
    """The heads are the package's; the first row of AlexNet's first kernel is as torchvision's weights print."""
    for name, file in ((network.file.name, network.file) for network in (lpips.ALEX, lpips.VGG)):
        heads = [layer for layer in oracles[name].lins.modules() if isinstance(layer, torch.nn.Conv2d)]
        for place, head in enumerate(heads):
            assert torch.equal(head.weight, file.tensors(CPU)[f"head{place}.weight"])
    row = lpips.ALEX.file.tensors(CPU)["conv0.weight"][0, 0, 0]
    assert row[:3].tolist() == pytest.approx([1.1864e-01, 9.4069e-02, 9.5435e-02], abs=5.1e-6)
    assert row[-3:].tolist() == pytest.approx([5.5822e-02, 2.1575e-02, 4.9963e-02], abs=5.1e-7)
    assert get_metric("lpips-vgg").parameters() == {"version": "0.1", "network": "VGG16", "weights": "12ecf9521052"}


@pytest.mark.usefixtures("random")
@pytest.mark.parametrize("name", NAMES)
def test_batches_change_nothing_and_the_same_is_zero(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hr = to_tensor(smooth_faces(3, 0, size=32))
    sr = (hr + torch.arange(3).reshape(3, 1, 1, 1) * 0.05).clamp(0, 1)
    whole = score(name, sr, hr)
    assert whole.shape == (3,) and whole.dtype == torch.float64 and whole[0] == 0 < whole[1]
    monkeypatch.setattr(lpips, "_AT_ONCE", 2 * 32 * 32)
    assert torch.allclose(score(name, sr, hr), whole, atol=1e-6)
    beyond = hr + torch.where(hr > 0.9, 0.5, 0.0)
    assert torch.equal(score(name, beyond, hr), score(name, beyond.clamp(0, 1), hr)), "black and white are the ends"


@pytest.mark.usefixtures("random")
@pytest.mark.parametrize("name", NAMES)
def test_everything_follows_the_pictures_device(name: str) -> None:
    """On PyTorch's meta device, as on CUDA, a tensor left on the CPU would raise."""
    picture = torch.zeros(2, 3, 64, 64, device="meta")
    found = score(name, picture, picture)
    assert found.device == picture.device and found.shape == (2,) and found.dtype == torch.float64


@pytest.mark.usefixtures("random")
@pytest.mark.parametrize(("name", "least"), [("lpips-alex", lpips.ALEX.least), ("lpips-vgg", lpips.VGG.least)])
def test_small_pictures_are_refused(name: str, least: int) -> None:
    picture = torch.rand(1, 3, least, least)
    assert torch.isfinite(score(name, picture, 1 - picture)).all()
    with pytest.raises(UnavailableError, match=f"at least {least}x{least} are needed"):
        score(name, picture[..., 1:], picture[..., 1:])


@pytest.mark.parametrize("name", NAMES)
def test_missing_and_other_weights_are_refused(name: str) -> None:
    picture = torch.zeros(1, 3, 64, 64)
    with pytest.raises(UnavailableError, match=r"its weights are not here: run `fsr fetch lpips`$"):
        get_metric(name).parameters()
    path = paths.cache() / "weights" / f"{name}.safetensors"
    weights.save(path, {"conv0.weight": torch.zeros(64, 3, 11, 11)})
    with pytest.raises(UnavailableError, match=r"is damaged or another file: sha256 .* run `fsr fetch lpips`"):
        score(name, picture, picture)


def test_what_is_missing_is_a_dash_among_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("sr", "hr"):
        (tmp_path / side).mkdir()
        for place, picture in enumerate(smooth_faces(2, 0)):
            Image.fromarray(picture).save(tmp_path / side / f"{place}.png")
    arguments = ["score", "--sr", str(tmp_path / "sr"), "--hr", str(tmp_path / "hr"), "--metric", "ssim"]
    for name in (*NAMES, "facenet-distance", "facenet-cosine"):
        arguments += ["--metric", name]
    assert cli.main(arguments) == 0
    out, err = capsys.readouterr()
    assert "SSIM" in out and "1.0000" in out
    for name in NAMES:
        assert f"{name}: - (its weights are not here: run `fsr fetch" in out
        assert err.count(f"{name}: not scored") == 1
    assert "facenet-cosine: - (its weights are not here: download 20180402-114759-vggface2.pt" in out
