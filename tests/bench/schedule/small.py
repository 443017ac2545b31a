"""A small experiment in a folder of its own, run by `fsr` in processes that may be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.data.store import FaceRow, write_store
from tests.bench.conftest import TINY, smooth_faces

EXPERIMENT = """
title = "Small"
kind = "ablation"
baseline = "tiny"
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
seeds = [0, 1]
[training]
iterations = 30
batch = 2
validate_every = 10
"""
NAME = "small-short-mine"
# The state is saved after every iteration, so that a kill falls into the middle of a write as often as not; one thread,
# for bytes depend on their number.
_SETTINGS = {"FSR_CHECKPOINT_SECONDS": "0", "FSR_TIMING_SECONDS": "0.05", "OMP_NUM_THREADS": "1"}


def make(root: Path, profile: str = PROFILE) -> Path:
    """Write faces, experiment and profile into a new root; return it."""
    for seed, (split, count) in enumerate((("train", 6), ("val", 2), ("test", 3))):
        rows = [FaceRow(f"{split}-{i}") for i in range(count)]
        write_store(root / "datasets" / "prepared" / "mine" / split, rows, enumerate(smooth_faces(count, seed)), {})
    (root / "small.toml").write_text(EXPERIMENT)
    (root / "short.toml").write_text(profile)
    return root


def start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `fsr run` on the small experiment, in a process group of its own."""
    command = [sys.executable, "-m", "bench.cli.main", "run", "small.toml", "--profile", "short.toml", "--data", "mine"]
    environment = {**os.environ, **_SETTINGS, "FSR_ROOT": str(root), "FSR_CACHE": str(root / "cache")}
    return subprocess.Popen(
        [*command, "--plugin", str(TINY), *arguments],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_state(process: subprocess.Popen[str], folder: Path) -> None:
    """Wait until a run in `folder` has saved a training state."""
    while not list(folder.glob("*/state.pt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def finish(root: Path, *arguments: str, code: int = 0) -> str:
    """Run the small experiment to its end; return what it said on standard error."""
    process = start(root, *arguments)
    _, said = process.communicate(timeout=300)
    assert process.returncode == code, said
    return said


def outcome(root: Path) -> dict[str, bytes]:
    """Return what must not depend on what happened on the way: weights, curves and scores of every run."""
    folder = root / "results" / NAME
    files = [path for name in ("weights.safetensors", "curve.csv", "scores/*.csv") for path in folder.glob(f"*/{name}")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def leftovers(root: Path) -> list[str]:
    """Return half-written files and training states under results/."""
    folder = root / "results" / NAME
    return [str(path) for pattern in ("**/*.tmp", "**/.*.tmp", "**/state*.pt") for path in folder.glob(pattern)]
