"""Every preset, held to scikit-image, to pyiqa and to plain NumPy that shares no code with it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from bench.core.errors import UserError
from bench.core.schema import from_dict, read_toml
from bench.metrics.catalogue import get_metric
from bench.metrics.protocol import PRESETS, PROTOCOLS, Protocol, Window, get_protocol, get_protocols
from bench.metrics.psnr import psnr
from bench.metrics.spec import Batch, Pairwise
from bench.metrics.ssim import ssim

MATLAB = np.array([65.481, 128.553, 24.966])
KINDS = ["texture", "smooth", "nearly flat"]


def pictures(kind: str, count: int = 2, size: int = 72) -> tuple[torch.Tensor, torch.Tensor]:
    """Return SR float [count, 3, size, size], between grey levels and a little outside [0, 1], and HR levels / 255."""
    draw = np.random.default_rng(KINDS.index(kind))
    hr = draw.random((count, 3, size // 8, size // 8))
    if kind == "smooth":
        hr = torch.nn.functional.interpolate(torch.tensor(hr), (size, size), mode="bicubic").numpy()
    else:
        hr = np.kron(hr, np.ones((8, 8)))
    if kind == "nearly flat":
        hr = 0.95 + 0.02 * hr
    hr = (hr.clip(0, 1) * 255).round() / 255
    sr = hr + draw.normal(0, 0.002 if kind == "nearly flat" else 0.1, hr.shape)
    return torch.tensor(sr, dtype=torch.float32), torch.tensor(hr, dtype=torch.float32)


def score(metric: str, protocol: Protocol, sr: torch.Tensor, hr: torch.Tensor) -> np.ndarray:
    found = get_metric(metric)
    assert isinstance(found, Pairwise)
    return found.compute(Batch(protocol.quantise_sr(sr), hr, None, protocol)).numpy()


def without_ties(image: torch.Tensor) -> torch.Tensor:
    """Darken the blue of pixels whose YIQ luma lies half-way between levels: float32 rounds those by chance."""
    levels = (image.double().clamp(0, 1) * 255).round()
    tie = ((levels * torch.tensor([299, 587, 114]).view(3, 1, 1)).sum(1) % 1000) == 500
    levels[:, 2] += torch.where(levels[:, 2] > 0, -1, 1) * tie
    return (levels / 255).float()


def to_numpy(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).double().numpy() * 255


def plain(name: str, sr: torch.Tensor, hr: torch.Tensor) -> tuple[float, float]:
    """Return PSNR and SSIM of one pair under a preset, by scikit-image and NumPy alone."""
    x, y = to_numpy(sr), np.round(to_numpy(hr))
    x = x if name == "sfmnet" else np.floor(x.clip(0, 255) + 5e-4) if name == "sparnet" else np.round(x.clip(0, 255))
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    if name in ("sparnet", "dic", "sfmnet"):
        x, y = (16 + one / 255 @ MATLAB for one in (x, y))
        if name != "sfmnet":
            x, y = (np.floor(one + 1e-9) if name == "sparnet" else np.round(one) for one in (x, y))
        if name != "sparnet":
            x, y = x[8:-8, 8:-8], y[8:-8, 8:-8]
        how = {"data_range": 255} if name == "sfmnet" else gaussian
    else:
        if name == "mmagic":
            x, y = x[8:-8, 8:-8], y[8:-8, 8:-8]
        how = {"channel_axis": 2, **({"data_range": 255} if name == "skimage" else gaussian)}
    return peak_signal_noise_ratio(y, x, data_range=255), structural_similarity(x, y, **how)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in PROTOCOLS if name != "pyiqa"])
def test_presets_equal_scikit_image(name: str, kind: str) -> None:
    sr, hr = pictures(kind)
    expected_psnr, expected_ssim = zip(*(plain(name, *pair) for pair in zip(sr, hr, strict=True)), strict=True)
    assert score("psnr", PROTOCOLS[name], sr, hr) == pytest.approx(expected_psnr, abs=1e-4)
    assert score("ssim", PROTOCOLS[name], sr, hr) == pytest.approx(expected_ssim, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_preset_pyiqa_equals_pyiqa(kind: str) -> None:
    import pyiqa

    sr, hr = map(without_ties, pictures(kind))
    rounded = (sr.clamp(0, 1) * 255).round() / 255
    for name, tolerance in (("psnr", 1e-4), ("ssim", 1e-5)):
        expected = pyiqa.create_metric(name, device="cpu")(rounded, hr).reshape(-1).numpy()
        assert score(name, PROTOCOLS["pyiqa"], sr, hr) == pytest.approx(expected, abs=tolerance)


def test_presets_differ_from_each_other() -> None:
    sr, hr = pictures("texture")
    values = {
        tuple(round(float(score(metric, protocol, sr, hr)[0]), 6) for metric in ("psnr", "ssim"))
        for protocol in PROTOCOLS.values()
    }
    assert len(values) == len(PROTOCOLS)
    assert len({protocol.digest for protocol in PROTOCOLS.values()}) == len(PROTOCOLS)


def test_equal_pictures() -> None:
    _, hr = pictures("texture")
    assert np.isinf(score("psnr", PROTOCOLS["sparnet"], hr, hr)).all()
    assert score("psnr", PROTOCOLS["pyiqa"], hr, hr) == pytest.approx(80)
    for protocol in PROTOCOLS.values():
        assert score("ssim", protocol, hr, hr) == pytest.approx(1)


def test_flat_pictures() -> None:
    """SSIM of two different flat pictures is its brightness term; of two equal ones 1."""
    flat = torch.full((1, 16, 16), 100.0)
    assert math.isinf(float(psnr(flat, flat)))
    assert float(ssim(flat, flat)) == pytest.approx(1)
    c1 = 2.55**2
    assert float(ssim(flat, flat + 50)) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))


def test_only_sfmnet_sees_what_is_out_of_range() -> None:
    _, hr = pictures("texture")
    low, lower = hr * 0 - 0.1, hr * 0 - 0.9
    for name, protocol in PROTOCOLS.items():
        same = np.array_equal(score("psnr", protocol, low, hr), score("psnr", protocol, lower, hr))
        assert same == (name != "sfmnet")


def test_truncation_keeps_every_level_and_floors_between() -> None:
    rule = get_protocol("sparnet")
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(rule.to_uint8(levels.float() / 255), levels)
    assert rule.to_uint8(torch.tensor([-0.1, 0.5, 99.9 / 255, 1.2])).tolist() == [0, 127, 99, 255]
    assert get_protocol("rgb").to_uint8(torch.tensor([-0.1, 0.5, 99.9 / 255, 1.2])).tolist() == [0, 128, 100, 255]


@pytest.mark.parametrize("metric", ["psnr", "ssim"])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_levels_have_the_scores_of_floats_to_the_digit(name: str, metric: str) -> None:
    protocol = PROTOCOLS[name]
    sr, hr = (get_protocol("rgb").to_uint8(side) for side in pictures("texture"))
    floats = score(metric, protocol, sr.float() / 255, hr.float() / 255)
    assert np.array_equal(score(metric, protocol, sr, hr), floats)


def test_white_and_black_have_matlabs_luma() -> None:
    rule = get_protocol("sparnet")
    ends = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert rule.compared(ends, rule.psnr).flatten().tolist() == [16, 235]


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_sizes_must_be_equal(metric: object) -> None:
    with pytest.raises(UserError, match="different sizes"):
        metric(torch.zeros(1, 20, 20), torch.zeros(1, 20, 24))  # type: ignore[operator]


def test_too_small_pictures() -> None:
    with pytest.raises(UserError, match="at least 11x11"):
        ssim(torch.zeros(1, 10, 20), torch.zeros(1, 10, 20))
    with pytest.raises(UserError, match="dic cuts 8 pixels from each side of 16x16"):
        score("psnr", PROTOCOLS["dic"], torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16))


def test_the_presets_keep_to_the_schema() -> None:
    for values in read_toml(PRESETS)["protocols"]:
        assert from_dict(Protocol, values, "presets") == PROTOCOLS[values["name"]]


def test_unknown_protocol() -> None:
    with pytest.raises(UserError, match="did you mean 'sparnet'"):
        get_protocol("sparnt")
    assert [protocol.name for protocol in get_protocols("all")] == list(PROTOCOLS)
    assert get_protocols("dic") == [PROTOCOLS["dic"]]


def test_a_protocol_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nbase = "dic"\nborder = 4\nwindow = { kind = "uniform", size = 7 }\n')
    mine = get_protocol(str(path))
    assert mine.border == 4 and mine.psnr == PROTOCOLS["dic"].psnr
    assert mine.window == Window("uniform", 7)
    assert mine.digest != PROTOCOLS["dic"].digest
    sr, hr = pictures("texture")
    cut = [one[..., 4:-4, 4:-4] for one in (sr, hr)]
    rounded = PROTOCOLS["dic"]
    bare = Protocol("bare", "", "round", rounded.psnr, rounded.ssim)
    assert score("psnr", mine, sr, hr) == pytest.approx(score("psnr", bare, *cut))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "dic"', "expected a name that no preset has"),
        ("border = 4", "key 'name' is missing"),
        ('name = "m"\nbordr = 4', "unknown key 'bordr': did you mean 'border'"),
        ('name = "m"\nborder = -1', "border: -1 given"),
        ('name = "m"\nbase = "dik"', "base: unknown protocol 'dik'"),
        ('name = "m"\nwindow = { size = 8 }', "size: 8 given, expected an odd number"),
        ('name = "m"\nresampler = "pil"', "resampler: unknown degradation 'pil'"),
        ('name = "m"\nquantise = "floor"', "quantise"),
        ('name = "m"\nbase = ["dic"]', r"base: unknown protocol \['dic'\]"),
        ('name = "m"\nbase = {}', "base: unknown protocol {}"),
        (
            'name = "m"\n[psnr]\nweights = [0, 0, 0]',
            "psnr: weights: .* which span 0 levels, expected",
        ),
        ('name = "m"\n[ssim]\nweights = [0.299, 0.587, 0.114]', "ssim: weights: .* which span 1 levels"),
    ],
)
def test_mistakes_in_a_protocol_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        get_protocol(str(path))
    assert "mine.toml" in str(error.value)


def test_lr_consistency() -> None:
    """The input of a degraded original comes back exactly; a brighter one is off by its brightness."""
    from PIL import Image

    _, hr = pictures("texture", 1, 64)
    levels = np.round(to_numpy(hr[0])).astype(np.uint8)
    lr = np.asarray(Image.fromarray(levels).resize((8, 8), Image.Resampling.BICUBIC))
    found = get_metric("lr-psnr")
    assert isinstance(found, Pairwise)
    for shift in (0, 3):
        given = torch.tensor(lr.clip(0, 250) + shift).permute(2, 0, 1)[None].float() / 255
        value = float(found.compute(Batch(hr, None, given, PROTOCOLS["sparnet"])))
        error = np.square(lr.astype(float) - (lr.clip(0, 250) + shift)).mean()
        assert value == (math.inf if not error else pytest.approx(10 * math.log10(255**2 / error)))
