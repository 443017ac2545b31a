"""NIQE, held to pyiqa on larger pictures and to plain NumPy where pyiqa has no such thing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.core.errors import UserError
from bench.metrics.catalogue import get_metric
from bench.metrics.niqe import distances, pooled, pristine
from bench.metrics.niqe_features import FEATURES, describe
from bench.metrics.spec import Described
from tests.bench.conftest import smooth_faces


def textured(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return pictures with detail at several sizes, uint8 [count, height, width, 3]."""
    draw = np.random.default_rng(seed)
    total = torch.zeros(count, 3, height, width, dtype=torch.float64)
    for size in (4, 16, 64, 192):
        noise = torch.from_numpy(draw.normal(0, 40, (count, 3, size, size)))
        total += torch.nn.functional.interpolate(noise, (height, width), mode="bilinear")
    return (total + 128).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def without_ties(pictures: np.ndarray) -> np.ndarray:
    """Change the blue of pixels whose luma lies half-way between levels: pyiqa's float32 rounds those by chance."""
    tie = pictures.astype(int) @ [299, 587, 114] % 1000 == 500
    changed = pictures.copy()
    changed[..., 2] = np.where(tie, pictures[..., 2] ^ 1, pictures[..., 2])
    return changed


def score(name: str, pictures: np.ndarray) -> np.ndarray:
    metric = get_metric(name)
    assert isinstance(metric, Described)
    return metric.compare(metric.description.describe(pictures))


@pytest.mark.parametrize(
    ("kind", "height", "width"), [("textured", 192, 192), ("smooth", 192, 288), ("grey", 200, 290)]
)
def test_niqe_equals_pyiqas_on_larger_pictures(kind: str, height: int, width: int, tmp_path: Path) -> None:
    import pyiqa
    from scipy.io import savemat

    known = pristine()
    savemat(tmp_path / "p.mat", {"mu_prisparam": known.mean[None], "cov_prisparam": known.covariance})
    pictures = textured(2, height, width)
    if kind == "smooth":
        # A little noise: on plateaus pyiqa counts signs of what its arithmetic leaves of 0.
        noise = np.random.default_rng(0).integers(-3, 4, (2, 320, 320, 3))
        pictures = (smooth_faces(2, 3, 320) // 2 + 64 + noise).astype(np.uint8)[:, :height, :width]
    if kind == "grey":
        pictures = np.repeat(pictures[..., :1], 3, axis=3)
    pictures = without_ties(pictures)
    network = pyiqa.create_metric("niqe", device="cpu", pretrained_model_path=str(tmp_path / "p.mat"))
    expected = network(torch.tensor(pictures).permute(0, 3, 1, 2) / 255).numpy()
    # pyiqa's window has float32 weights: where luma is high and varies little, that moves the deviation.
    assert score("niqe", pictures) == pytest.approx(expected, abs=1e-4, rel=2e-4)


def test_a_face_has_one_block_without_covariance() -> None:
    face = textured(1, 128, 128)
    known = pristine()
    off = known.mean - describe(face[:, :96, :96], 96, 96)[0]
    expected = np.sqrt(off @ np.linalg.inv(known.covariance / 2) @ off)
    assert score("niqe", face)[0] == pytest.approx(expected, rel=1e-6)
    changed = face.copy()
    changed[:, 96:] = 0
    assert score("niqe", changed)[0] == score("niqe", face)[0], "the lower quarter is not seen"
    assert (
        score("niqe-pooled", np.concatenate([changed, face]))[0]
        != score("niqe-pooled", np.concatenate([face, face]))[0]
    )


def test_pooled_is_one_gaussian_over_the_set() -> None:
    faces = textured(30, 128, 128)
    parts = score("niqe-pooled", faces)
    # The blocks lie at 0 and 32, each described on its own place of the whole picture's normalisation.
    blocks = describe(faces, 96, 32).reshape(-1, FEATURES)
    assert len(blocks) == 30 * 4
    known = pristine()
    centred = blocks - blocks.mean(0)
    covariance = centred.T @ centred / (len(blocks) - 1)
    off = known.mean - blocks.mean(0)
    assert parts.mean() == pytest.approx(np.sqrt(off @ np.linalg.inv((known.covariance + covariance) / 2) @ off))


def test_a_part_is_the_pictures_influence() -> None:
    """Counting one picture a little more moves the pooled value as its part says."""
    features, known = describe(textured(40, 128, 128), 96, 32), pristine()
    parts = pooled(features, known)
    blocks = features.reshape(40, 4, FEATURES)

    def value(weights: np.ndarray) -> float:
        share = np.repeat(weights / weights.sum() / 4, 4)
        every = blocks.reshape(-1, FEATURES)
        mean = share @ every
        covariance = (every - mean).T @ ((every - mean) * share[:, None]) * 160 / 159
        off = known.mean - mean
        return float(np.sqrt(off @ np.linalg.inv((known.covariance + covariance) / 2) @ off))

    assert value(np.ones(40)) == pytest.approx(parts.mean())
    for picture in (0, 7, 39):
        more = np.ones(40)
        more[picture] += 1e-4
        slope = (value(more) - value(np.ones(40))) / 1e-4 * 40
        assert slope == pytest.approx(parts[picture] - parts.mean(), rel=0.02, abs=1e-3)


def test_the_interval_of_the_parts_is_that_of_a_bootstrap() -> None:
    features, known = describe(textured(60, 128, 128), 96, 32), pristine()
    draw = np.random.default_rng(0)
    drawn = [pooled(features[draw.integers(0, 60, 60)], known).mean() for _ in range(150)]
    error = pooled(features, known).std(ddof=1) / np.sqrt(60)
    assert error == pytest.approx(np.std(drawn, ddof=1), rel=0.3)


def test_blur_is_worse_whatever_the_convention() -> None:
    from bench.data.degrade import degrade, upsample

    faces = textured(20, 128, 128)
    blurred = upsample(degrade(faces, 8), 8)
    for name in ("niqe", "niqe-tiled", "niqe-pooled"):
        assert score(name, blurred).mean() > score(name, faces).mean()
    assert get_metric("niqe-tiled").parameters()["blocks_at_128x128"] == 16


def test_flat_pictures_are_undefined() -> None:
    flat = np.full((1, 128, 128, 3), 90, np.uint8)
    assert np.isnan(score("niqe", flat)).all() and np.isnan(score("niqe-pooled", flat)).all()
    mixed = score("niqe-pooled", np.concatenate([flat, textured(3, 128, 128)]))
    assert np.isnan(mixed).tolist() == [True, False, False, False]
    assert mixed[1:].mean() == pytest.approx(score("niqe-pooled", textured(3, 128, 128)).mean())


def test_pictures_smaller_than_a_block() -> None:
    with pytest.raises(UserError, match="blocks of 96x96 needs larger pictures than 64x95"):
        score("niqe", np.zeros((1, 95, 64, 3), np.uint8))


def test_the_pristine_gaussian_is_at_no_distance_from_itself() -> None:
    known = pristine()
    assert np.allclose(known.covariance, known.covariance.T) and np.linalg.eigvalsh(known.covariance).min() > 0
    assert distances(known.mean[None], known)[0] == pytest.approx(0, abs=1e-9)
