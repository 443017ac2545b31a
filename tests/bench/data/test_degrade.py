from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import UserError
from bench.data.degrade import degrade, upsample

NAMES = ["pil-bicubic", "matlab-bicubic", "torch-antialias", "area", "no-antialias", "real-world"]
FIXED = [name for name in NAMES if name != "real-world"]
SCALES = [2, 4, 8, 16]


def noise(count: int = 3, size: int = 128) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def faces(count: int = 3) -> np.ndarray:
    """Smooth blobs with a little texture, away from black and white: uint8 [count, 128, 128, 3]."""
    blobs = np.random.default_rng(1).integers(60, 196, (count, 12, 12, 3), dtype=np.uint8)
    large = [Image.fromarray(blob).resize((128, 128), Image.Resampling.BILINEAR) for blob in blobs]
    return np.stack([np.asarray(one) for one in large]) + noise(count) // np.uint8(8)


def pil(pictures: np.ndarray, size: int) -> np.ndarray:
    resized = [Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC) for one in pictures]
    return np.stack([np.asarray(one) for one in resized])


def gap(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.parametrize("scale", [2, 8])
@pytest.mark.parametrize("kind", NAMES)
def test_a_face_comes_out_the_same_in_any_set(kind: str, scale: int) -> None:
    hr = faces(5)
    hr.flags.writeable = False  # as a memory-mapped store
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lr = degrade(hr, scale, kind, seed=3)
    assert lr.shape == (5, 128 // scale, 128 // scale, 3) and lr.dtype == np.uint8
    assert np.array_equal(degrade(hr, scale, kind, seed=3), lr)
    assert np.array_equal(degrade(hr[:2], scale, kind, seed=3), lr[:2])
    others = np.concatenate([255 - hr[:4], hr[4:]])
    assert np.array_equal(degrade(others, scale, kind, seed=3)[4], lr[4])
    assert len({one.tobytes() for one in lr}) == 5


@pytest.mark.parametrize("kind", NAMES)
def test_only_the_random_kind_looks_at_the_seed_and_the_place(kind: str) -> None:
    twice = np.repeat(faces(1), 2, axis=0)
    first, second = degrade(twice, 8, kind, seed=0), degrade(twice, 8, kind, seed=1)
    assert np.array_equal(first, second) == (kind in FIXED)
    assert np.array_equal(first[0], first[1]) == (kind in FIXED)


@pytest.mark.parametrize("scale", SCALES)
def test_the_default_is_pil_bicubic_bit_for_bit(scale: int) -> None:
    expected = pil(noise(), 128 // scale)
    assert np.array_equal(degrade(noise(), scale), expected)
    assert np.array_equal(degrade(noise(), scale, "pil-bicubic", seed=9), expected)


def test_upsample_is_pil_bicubic_bit_for_bit() -> None:
    assert np.array_equal(upsample(noise(2, 16), 8), pil(noise(2, 16), 128))
    assert upsample(noise(2, 16)[:, :8], 2).shape == (2, 16, 32, 3)


@pytest.mark.parametrize("scale", SCALES)
def test_torch_is_within_a_level_of_pil(scale: int) -> None:
    assert gap(degrade(faces(), scale, "torch-antialias"), pil(faces(), 128 // scale)) <= 1


@pytest.mark.parametrize("scale", SCALES)
def test_matlab_differs_from_pil_at_the_border_alone(scale: int) -> None:
    matlab, own = degrade(faces(), scale, "matlab-bicubic"), degrade(faces(), scale)
    assert gap(matlab[:, 2:-2, 2:-2], own[:, 2:-2, 2:-2]) <= 1
    assert gap(matlab, own) > 1


@pytest.mark.parametrize("scale", SCALES)
def test_area_is_the_mean_of_each_block(scale: int) -> None:
    blocks = noise().reshape(3, 128 // scale, scale, 128 // scale, scale, 3).mean(axis=(2, 4))
    assert np.abs(degrade(noise(), scale, "area") - blocks).max() <= 1  # PIL rounds twice, half a level each time


@pytest.mark.parametrize("scale", SCALES)
def test_no_antialias_sees_four_by_four_pixels_of_each_block(scale: int) -> None:
    # Half-way between two pixels Keys' cubic with a = -0.75 weighs its four neighbours so.
    tap = np.array([-0.09375, 0.59375, 0.59375, -0.09375])
    around = np.pad(noise().astype(float), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    first = scale // 2 - 1  # in the padded picture
    expected = np.zeros((3, 128 // scale, 128 // scale, 3))
    for dy in range(4):
        for dx in range(4):
            rows, columns = slice(first + dy, first + dy + 127, scale), slice(first + dx, first + dx + 127, scale)
            expected += tap[dy] * tap[dx] * around[:, rows, columns]
    lr = degrade(noise(), scale, "no-antialias")
    assert np.abs(lr - expected.clip(0, 255)).max() <= 0.5


def test_unknown_kind() -> None:
    with pytest.raises(UserError, match=r"unknown degradation 'matlab_bicubic': did you mean 'matlab-bicubic'\?"):
        degrade(faces(), 8, "matlab_bicubic")


@pytest.mark.parametrize("scale", [3, 0])
def test_size_that_does_not_divide(scale: int) -> None:
    with pytest.raises(UserError, match=f"128x128 pixels cannot be shrunk by {scale}"):
        degrade(faces(), scale)


def test_torch_is_loaded_only_where_it_is_used() -> None:
    code = """
import sys, numpy
from bench.data.degrade import DEGRADATIONS, degrade
for kind in ("pil-bicubic", "matlab-bicubic", "area", "real-world"):
    degrade(numpy.zeros((1, 16, 16, 3), numpy.uint8), 8, kind)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
