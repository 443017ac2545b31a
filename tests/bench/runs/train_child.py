"""Train a small run in a process of its own, which may kill itself at a chosen moment.

    python train_child.py METHOD FOLDER [step:N | write:N] ...

A process for each argument, one after the other, and a last one that is left alone: `step:N` is killed after N
iterations of its own, `write:N` in the middle of its N-th file write. Ends with 0 when all ended as they should.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import numpy as np
import torch

from bench.core.progress import Bar
from bench.data.augment import Augment
from bench.models import registry
from bench.runs import train
from bench.runs.config import DataRef, RunConfig, Training
from bench.runs.given import Given
from bench.runs.store import Run
from tests.bench.conftest import RIVAL, TINY, smooth_faces

TRAINING = Training(
    iterations=12,
    batch=2,
    learning_rate=1e-3,
    ema=0.9,
    clip=1.0,
    validate_every=4,
    augment=Augment(flip=True, scale=(1.0, 1.3), rot90=True),
)


def make_run(folder: Path, method: str = "tiny", training: Training = TRAINING, **options: object) -> Run:
    """Return the run that the kill tests train."""
    data = DataRef("none", "train", 6, "0")
    config = RunConfig(method, {"scale": 8, **options}, 8, 0, "sparnet", training, data, data)
    return Run(folder, config)


def train_run(run: Run) -> None:
    """Train a run on smooth random pictures, with random points for landmarks (one face has none).

    A method that has a teacher gets an untrained one.
    """
    assert run.config.training is not None
    points = np.random.default_rng(0).uniform(0, 128, (6, 68, 2)).astype(np.float32)
    points[3] = np.nan
    given = Given(points, make_teacher(registry.get(run.config.method).teacher))
    with Bar("tiny", run.config.training.iterations, quiet=True) as bar:
        train.train(run, smooth_faces(6, 0), smooth_faces(2, 1), torch.device("cpu"), bar, given)


def make_teacher(method: str) -> torch.nn.Module | None:
    """Return an untrained teacher, the same each time."""
    torch.manual_seed(0)
    return registry.build(method).eval().requires_grad_(False) if method else None


def main() -> None:
    method, folder, *kills = sys.argv[1:]
    for how in (*kills, ""):
        process = os.fork()  # before torch has started a thread
        if not process:
            train_until(method, Path(folder), how)
            return
        _, status = os.waitpid(process, 0)
        if os.waitstatus_to_exitcode(status) != (-signal.SIGKILL if how else 0):
            sys.exit(f"{how}: ended with {os.waitstatus_to_exitcode(status)}")


def train_until(method: str, folder: Path, how: str) -> None:
    """Train, and die when `how` says."""
    torch.set_num_threads(2)
    for plugin in (TINY, RIVAL):
        registry.add_plugin(plugin)
    train.CHECKPOINT_SECONDS = 0.0  # a checkpoint after every iteration
    kind, _, count = how.partition(":")
    left = int(count or 0)

    def die_when_due() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if kind == "step":
        step = train.Trainee.step

        def step_then_die(self: train.Trainee, *batch: torch.Tensor) -> torch.Tensor:
            loss = step(self, *batch)
            die_when_due()
            return loss

        train.Trainee.step = step_then_die
    elif kind == "write":
        fsync = os.fsync

        def die_half_written(handle: int) -> None:
            if left == 1:
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
            die_when_due()
            fsync(handle)

        os.fsync = die_half_written
    run = make_run(folder, method)
    with run.claim():
        train_run(run)


if __name__ == "__main__":
    main()
