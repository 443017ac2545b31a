"""A small face store and a small job, for the tests that train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core import paths
from bench.data.store import FaceRow, write_store
from bench.models import registry

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_photos = pytest.mark.skipif(not REAL.is_dir(), reason="the real photographs are not on this machine")
TINY = Path(__file__).parents[1] / "tiny_method.py"
RIVAL, PUPIL = (Path(__file__).parents[1] / f"{name}_method.py" for name in ("rival", "pupil"))
EXPERIMENT = """
title = "Small"
kind = "ablation"
[[rows]]
method = "bicubic"
[[rows]]
method = "tiny"
label = "Narrow"
options = { width = 0.5 }
[[rows]]
method = "tiny"
"""
PROFILE = """
note = "a few iterations"
generate = { train = 1, val = 1, test = 1 }
[training]
iterations = 6
batch = 2
validate_every = 3
"""


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep scores and weights in a folder of the test, away from the user's, and spend little time on timing."""
    monkeypatch.setenv("FSR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FSR_TIMING_SECONDS", "0.05")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the tests' own method."""
    monkeypatch.setattr(registry, "_plugins", [])
    registry.add_plugin(TINY)


def smooth_faces(count: int, seed: int, size: int = 128) -> np.ndarray:
    """Return smooth random pictures, uint8 [count, size, size, 3], that a network can learn to sharpen a little."""
    from PIL import Image

    draw = np.random.default_rng(seed)
    small = draw.integers(0, 256, (count, 10, 10, 3), dtype=np.uint8)
    large = [Image.fromarray(one).resize((size, size), Image.Resampling.BILINEAR) for one in small]
    return np.stack([np.asarray(one) for one in large])


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make a data set, an experiment and a profile in a new root; return the arguments of `fsr run`."""
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    monkeypatch.setattr(registry, "_plugins", [])
    monkeypatch.setattr(registry, "_catalogue", None)
    for seed, (split, count) in enumerate((("train", 6), ("val", 2), ("test", 3))):
        rows = [FaceRow(f"{split}-{i}") for i in range(count)]
        write_store(paths.prepared() / "mine" / split, rows, enumerate(smooth_faces(count, seed)), {})
    (tmp_path / "small.toml").write_text(EXPERIMENT)
    (tmp_path / "short.toml").write_text(PROFILE)
    files = [str(tmp_path / "small.toml"), "--profile", str(tmp_path / "short.toml")]
    return [*files, "--data", "mine", "--plugin", str(TINY), "--jobs", "1"]
