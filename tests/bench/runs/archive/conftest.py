"""What tests of `fsr archive` share: a small experiment, run once on "photographs", and a copy of it for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.core import paths
from bench.data.store import FaceRow, open_split, write_store
from bench.models import registry
from bench.runs import archive
from tests.bench.conftest import TINY, smooth_faces
from tests.bench.runs.archive.kept import FACES, PICTURED, write_quickly

EXPERIMENT = """
title = "Small"
kind = "ablation"
baseline = "tiny"
[[rows]]
method = "bicubic"
[[rows]]
method = "tiny"
seeds = [0, 1]
[[rows]]
method = "tiny"
label = "Wide"
options = { width = 2.0 }
"""
PROFILE = """
note = "a few iterations"
generate = { train = 1, val = 1, test = 1 }
[training]
iterations = 4
batch = 2
validate_every = 2
"""


@pytest.fixture(scope="package")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the small experiment on "photographs", once; the default faces are other smooth pictures."""
    root = tmp_path_factory.mktemp("trained")
    splits = [
        ("photos", "train", 6),
        ("photos", "val", 2),
        ("photos", "test", 3),
        ("synthfaces", "test", FACES),
    ]
    (root / "small.toml").write_text(EXPERIMENT)
    (root / "short.toml").write_text(PROFILE)
    job = [str(root / "small.toml"), "--profile", str(root / "short.toml"), "--data", "photos"]
    with pytest.MonkeyPatch.context() as patch:
        use(root, patch)
        for seed, (dataset, split, count) in enumerate(splits):
            rows = [FaceRow(f"{dataset}-{i}") for i in range(count)]
            write_store(paths.prepared() / dataset / split, rows, enumerate(smooth_faces(count, seed)), {})
        assert main(["run", *job, "--plugin", str(TINY), "--jobs", "1", "--device", "cpu"]) == 0
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that root, which is the present one."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    use(tmp_path, monkeypatch)
    registry.add_plugin(TINY)
    monkeypatch.setattr(archive, "FACES", FACES)
    monkeypatch.setattr(archive, "PICTURED", PICTURED)
    monkeypatch.setattr(archive, "write_webp", write_quickly)
    monkeypatch.setattr(archive, "prepare", lambda *_, **__: [open_split("synthfaces", "test")])
    return tmp_path


def use(root: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("FSR_ROOT", str(root))
    patch.setenv("FSR_CACHE", str(root / "cache"))
    patch.setenv("FSR_TIMING_SECONDS", "0.05")
    patch.setattr(registry, "_plugins", [])
    patch.setattr(registry, "_catalogue", None)
