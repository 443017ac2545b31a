from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from bench.data import realworld
from bench.data.realworld import BLURS, FILTERS, Chain, blur_face, describe, kernel_of, real_world

PLAIN = Chain("isotropic", (2.0, 2.0), 0.0, 0.0, "box", 1.0, False, 90)


def face(seed: int = 0) -> np.ndarray:
    """Light and dark blobs in the colour of skin: uint8 [128, 128, 3]."""
    blobs = np.random.default_rng(seed).integers(40, 240, (6, 6, 1), dtype=np.uint8) * np.array([1.0, 0.85, 0.7])
    return np.asarray(Image.fromarray(blobs.astype(np.uint8)).resize((128, 128), Image.Resampling.BICUBIC))


def moments(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (x, y) and covariance [2, 2] of a kernel as a distribution about its middle."""
    radius = len(kernel) // 2
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    places = np.stack([x.ravel(), y.ravel()])
    mean = places @ kernel.ravel()
    return mean, (places * kernel.ravel()) @ places.T - np.outer(mean, mean)


def test_what_is_drawn_is_pinned() -> None:
    """The numbers of one face: another version of NumPy or of the code must not draw others unnoticed."""
    assert describe(7, 8, 1) == describe(7, 8, 1)
    chain = describe(0, 8, 0)
    assert (chain.blur, chain.filter, chain.grey, chain.quality) == ("motion", "bilinear", False, 69)
    drawn = [*chain.sigma, chain.length, chain.angle, chain.noise]
    assert drawn == pytest.approx([0, 0, 14.67501, 148.73487, 3.31123], abs=1e-4)
    noise = realworld._stream("noise", 0, 8, 0).standard_normal(3)
    assert noise == pytest.approx([0.72429, -1.20792, 0.93441], abs=1e-4)


def test_index_scale_and_seed_each_draw_anew() -> None:
    variants = [describe(i, scale, seed).noise for i in (0, 1) for scale in (4, 8) for seed in (0, 1)]
    assert len(set(variants)) == 8


def test_the_kinds_are_drawn_as_often_as_stated() -> None:
    chains = [describe(i, 8, 5) for i in range(2000)]
    blurs, filters = Counter(chain.blur for chain in chains), Counter(chain.filter for chain in chains)
    assert sum(BLURS.values()) == pytest.approx(1)
    assert all(abs(blurs[name] / 2000 - share) < 0.04 for name, share in BLURS.items())
    assert all(abs(filters[name] / 2000 - 1 / 4) < 0.04 for name in FILTERS)
    assert abs(sum(chain.grey for chain in chains) / 2000 - 0.4) < 0.04
    for chain in chains:
        assert (chain.length > 0) == (chain.blur == "motion") == (chain.sigma == (0.0, 0.0))
        assert chain.blur != "isotropic" or chain.sigma[0] == chain.sigma[1]


@pytest.mark.parametrize("angle", [0.0, 30.0, 135.0])
def test_a_gaussian_has_its_two_widths_and_its_direction(angle: float) -> None:
    kernel = kernel_of(dataclasses.replace(PLAIN, blur="anisotropic", sigma=(4.0, 2.0), angle=angle))
    mean, covariance = moments(kernel)
    along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    across = np.array([-along[1], along[0]])
    assert kernel.sum() == pytest.approx(1) and kernel.min() >= 0
    assert mean == pytest.approx([0, 0], abs=1e-9)
    assert np.sqrt(along @ covariance @ along) == pytest.approx(4, rel=0.03)  # cut off at 3 sigma
    assert np.sqrt(across @ covariance @ across) == pytest.approx(2, rel=0.03)


@pytest.mark.parametrize("angle", [0.0, 30.0, 135.0])
def test_a_line_has_its_length_and_its_direction(angle: float) -> None:
    kernel = kernel_of(dataclasses.replace(PLAIN, blur="motion", sigma=(0.0, 0.0), length=12.0, angle=angle))
    mean, covariance = moments(kernel)
    along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    across = np.array([-along[1], along[0]])
    assert kernel.sum() == pytest.approx(1)
    assert mean == pytest.approx([0, 0], abs=1e-9)
    assert along @ covariance @ along == pytest.approx(12**2 / 12, rel=0.04)  # an even distribution
    assert across @ covariance @ across < 0.3  # about a pixel wide


def test_blur_is_a_convolution_with_reflection() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    kernel = np.random.default_rng(2).random((5, 5))  # not symmetric: a correlation would show
    kernel /= kernel.sum()
    expected = np.zeros((9, 12, 3))
    for y in range(9):
        for x in range(12):
            for dy in range(-2, 3):
                for dx in range(-2, 3):
                    row, column = abs(y - dy), abs(x - dx)
                    row, column = min(row, 16 - row), min(column, 22 - column)
                    expected[y, x] += kernel[dy + 2, dx + 2] * picture[row, column]
    assert np.abs(blur_face(picture, kernel) - expected).max() <= 0.5 + 1e-9


def test_noise_has_the_drawn_strength_and_colour() -> None:
    flat = np.full((256, 256, 3), 128, np.uint8)
    chains = {i: describe(i, 4, 0) for i in range(300)}
    strong = {i: chain for i, chain in chains.items() if chain.noise > 8 and chain.quality > 88}
    assert {chain.grey for chain in strong.values()} == {True, False}
    for i, chain in strong.items():
        lr = real_world(flat, 4, i, 0).astype(float)
        luma = lr @ np.array([0.299, 0.587, 0.114])
        # Three independent channels add up to a quieter luma: the root of the sum of the squared weights.
        expected = chain.noise * (1 if chain.grey else 0.669)
        assert luma.std() == pytest.approx(expected, rel=0.1)
        assert np.abs(lr - lr[..., :1]).max() <= 1 if chain.grey else (lr[..., 0] - lr[..., 2]).std() > 2


def test_the_drawn_filter_is_the_one_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realworld, "BLURS", {"isotropic": 1.0})
    monkeypatch.setattr(realworld, "BLUR_SIGMA", (1e-3, 1e-3))
    monkeypatch.setattr(realworld, "NOISE_SIGMA", (0.0, 0.0))
    monkeypatch.setattr(realworld, "JPEG_QUALITY", (95, 95))
    grey = np.random.default_rng(3).integers(0, 256, (128, 128, 1), dtype=np.uint8).repeat(3, axis=2)
    plain = {
        name: np.asarray(Image.fromarray(grey).resize((16, 16), Image.Resampling[name.upper()]), float)
        for name in FILTERS
    }
    for i in range(20):
        lr = real_world(grey, 8, i, 0)
        apart = {name: np.abs(lr - picture).mean() for name, picture in plain.items()}
        assert min(apart, key=lambda name: apart[name]) == describe(i, 8, 0).filter
        assert min(apart.values()) < 2.5  # what JPEG does
