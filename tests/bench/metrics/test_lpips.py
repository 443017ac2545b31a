"""LPIPS beside the authors' package, whose own heads and layers are taken, and beside values others have published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.cli import main as cli
from bench.core import paths
from bench.data.degrade import degrade, upsample
from bench.metrics import lpips
from bench.metrics.catalogue import get_metric
from bench.metrics.protocol import get_protocol
from bench.metrics.spec import Batch, Pairwise, UnavailableError
from bench.models import weights
from bench.runs.evaluate import to_tensor
from tests.bench.conftest import smooth_faces

NETS = {
    "alex": ("lpips-alex", lpips.ALEX, lpips.ALEX_WEIGHTS),
    "vgg": ("lpips-vgg", lpips.VGG, lpips.VGG_WEIGHTS),
}
LEARNED = ("lpips-alex", "lpips-vgg")
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


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize("net", NETS)
@pytest.mark.filterwarnings("ignore:.*pretrained.*|.*weights.*:UserWarning")
def test_the_authors_package_agrees(net: str) -> None:
    """The package brings the heads; its layers get the convolutions of our file in their order."""
    from lpips import LPIPS

    name, _, file = NETS[net]
    oracle, ours = LPIPS(net=net, pnet_rand=True, verbose=False), file.tensors(CPU)
    for place, layer in enumerate(one for one in oracle.net.modules() if isinstance(one, torch.nn.Conv2d)):
        assert layer.weight.shape == ours[f"conv{place}.weight"].shape
        layer.weight.data, layer.bias.data = ours[f"conv{place}.weight"], ours[f"conv{place}.bias"]
    draw = torch.Generator().manual_seed(0)
    hr = to_tensor(face())
    pairs = [(to_tensor(upsample(degrade(face(), scale), scale)), hr) for scale in (2, 8)]
    pairs.append((torch.rand(1, 3, 67, 93, generator=draw), torch.rand(1, 3, 67, 93, generator=draw)))
    for sr, truth in pairs:
        with torch.no_grad():
            expected = float(oracle(sr, truth, normalize=True))
        assert float(score(name, sr, truth)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.usefixtures("fetched")
def test_published_values_of_vgg() -> None:
    """What the authors' package printed for these pictures with its own download of VGG16."""
    draw = np.random.RandomState(123)
    sr, hr = (torch.from_numpy(draw.rand(10, 3, 100, 100)).float() for _ in range(2))
    published = [0.3497, 0.3494, 0.3473, 0.3558, 0.3437, 0.3366, 0.3716, 0.3516, 0.3472, 0.3413]
    assert score("lpips-vgg", sr, hr).tolist() == pytest.approx(published, abs=5.1e-5)


@pytest.mark.usefixtures("fetched")
def test_the_convolutions_of_alexnet_are_torchvisions() -> None:
    """The first row of the first kernel as torchvision's weights print."""
    row = lpips.ALEX_WEIGHTS.tensors(CPU)["conv0.weight"][0, 0, 0]
    assert row[:3].tolist() == pytest.approx([1.1864e-01, 9.4069e-02, 9.5435e-02], abs=5.1e-6)
    assert row[-3:].tolist() == pytest.approx([5.5822e-02, 2.1575e-02, 4.9963e-02], abs=5.1e-7)


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize("name", LEARNED)
def test_more_is_worse_and_the_same_is_zero(name: str) -> None:
    hr = to_tensor(face())
    values = [float(score(name, to_tensor(upsample(degrade(face(), scale), scale)), hr)) for scale in (2, 4, 8)]
    assert score(name, hr, hr).tolist() == [0]
    assert 0.02 < values[0] < values[1] < values[2] < 1
    beyond = hr + torch.where(hr > 0.9, 0.5, 0.0)
    assert torch.equal(score(name, beyond, hr), score(name, beyond.clamp(0, 1), hr)), "black and white are the ends"


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize("name", LEARNED)
def test_batches_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hr = to_tensor(smooth_faces(3, 0, size=32))
    sr = (hr + torch.arange(3).reshape(3, 1, 1, 1) * 0.05).clamp(0, 1)
    whole = score(name, sr, hr)
    assert whole.shape == (3,) and whole.dtype == torch.float64 and whole[0] == 0 < whole[1]
    monkeypatch.setattr(lpips, "_AT_ONCE", 2 * 32 * 32)
    assert torch.allclose(score(name, sr, hr), whole, atol=1e-6)
    single = torch.cat([score(name, sr[[place]], hr[[place]]) for place in range(3)])
    assert torch.allclose(single, whole, atol=1e-6)


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize("name", LEARNED)
def test_everything_follows_the_pictures_device(name: str) -> None:
    """On PyTorch's meta device, as on CUDA, a tensor left on the CPU would raise."""
    picture = torch.zeros(2, 3, 64, 64, device="meta")
    found = score(name, picture, picture)
    assert found.device == picture.device and found.shape == (2,) and found.dtype == torch.float64


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize("net", NETS)
def test_small_pictures_are_told(net: str) -> None:
    name, stack, file = NETS[net]
    least = torch.rand(1, 3, stack.least, stack.least)
    assert torch.isfinite(score(name, least, 1 - least)).all()
    with pytest.raises(UnavailableError, match=f"at least {stack.least}x{stack.least} are needed"):
        score(name, least[..., 1:], least[..., 1:])
    with pytest.raises(RuntimeError, match="too small"):
        list(lpips.features(stack, file.tensors(CPU), least[..., 1:]))


@pytest.mark.usefixtures("fetched")
def test_parameters_name_the_weights() -> None:
    assert get_metric("lpips-vgg").parameters() == {"version": "0.1", "network": "VGG16", "weights": "12ecf9521052"}


@pytest.mark.parametrize("name", LEARNED)
def test_missing_weights_are_told(name: str) -> None:
    way_out = f"its weights are not here: run `fsr fetch {name.split('-')[0]}`$"
    with pytest.raises(UnavailableError, match=way_out):
        score(name, torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))
    with pytest.raises(UnavailableError, match=way_out):
        get_metric(name).parameters()


def test_other_weights_are_refused() -> None:
    path = paths.cache() / "weights" / "lpips-alex.safetensors"
    weights.save(path, {"conv0.weight": torch.zeros(64, 3, 11, 11)})
    with pytest.raises(UnavailableError, match=r"is damaged or another file: sha256 .* run `fsr fetch lpips`"):
        score("lpips-alex", torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))


def test_what_is_missing_is_a_dash_among_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("sr", "hr"):
        (tmp_path / side).mkdir()
        for place, picture in enumerate(smooth_faces(2, 0)):
            Image.fromarray(picture).save(tmp_path / side / f"{place}.png")
    arguments = ["score", "--sr", str(tmp_path / "sr"), "--hr", str(tmp_path / "hr"), "--metric", "ssim"]
    for name in (*LEARNED, "facenet-distance", "facenet-cosine"):
        arguments += ["--metric", name]
    assert cli.main(arguments) == 0
    told = capsys.readouterr()
    assert "SSIM" in told.out and "1.0000" in told.out
    for name in LEARNED:
        assert f"{name}: - (its weights are not here: run `fsr fetch" in told.out
        assert told.err.count(f"{name}: not scored") == 1
    assert "facenet-cosine: - (its weights are not here: download 20180402-114759-vggface2.pt" in told.out
