"""The executors, one interface: in this process and its children, or by Ray Tune."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.core.errors import UserError
from bench.runs.complete import Outcome
from bench.runs.records import RunState
from bench.schedule import local

if TYPE_CHECKING:
    import torch

    from bench.runs.experiment import Faces, RowRun

log = logging.getLogger("fsr")
Executor = Literal["serial", "ray"]
EXECUTORS: tuple[Executor, ...] = ("serial", "ray")


@dataclass(frozen=True)
class ExecutionOptions:
    """How runs are executed.

    `jobs` runs go on side by side (0: as many as the cores or GPUs suggest). `gpus_per_run`, `address` and `storage`
    are Ray's: a run's share of a GPU ("auto": measured), the cluster ("" starts Ray here), and the URL of a folder that
    runs are kept in where nodes share none. With `retry_failed` runs that failed before are tried again.
    """

    executor: Executor = "serial"
    jobs: int = 0
    gpus_per_run: float | Literal["auto"] | None = None
    address: str = ""
    storage: str = ""
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if self.executor == "serial" and (self.address or self.storage or self.gpus_per_run is not None):
            raise UserError("--address, --storage and --gpus-per-run are Ray's: add --executor ray")
        share = self.gpus_per_run
        if not isinstance(share, float):
            return
        if not (0 < share < 1 or share in range(1, 65)):
            raise UserError(f"--gpus-per-run {share:g}: expected a part of one, as 0.25, a whole number or auto")


def execute(
    row_runs: Sequence[RowRun],
    faces: Faces,
    device: torch.device,
    how: ExecutionOptions,
    *,
    samples: int,
    quiet: bool = False,
) -> list[Outcome]:
    """Bring every run to its end, each once; one that fails does not stop the others.

    A run that failed before would fail again, for runs repeat to the byte: it is left alone unless `how` says to retry.
    Raises Interrupted when asked to stop: the runs at work are saved, and calling again goes on from there.
    """
    outcomes = {
        index: told for index, row_run in enumerate(row_runs) if (told := failed_before(row_run, how)) is not None
    }
    left = [index for index in range(len(row_runs)) if index not in outcomes]
    chosen = [row_runs[index] for index in left]
    jobs = local.choose_jobs(how.jobs, max(1, len(chosen)), device)
    if how.executor == "serial":
        found = local.execute(chosen, faces, device, samples=samples, jobs=jobs, quiet=quiet)
    else:
        from bench.schedule import ray_tune

        gpus = _gpus_per_run(chosen, faces, device, how)
        share = ray_tune.Share(gpus, 1 if gpus else local.threads_each(jobs))
        found = ray_tune.execute(
            chosen,
            faces,
            samples=samples,
            share=share,
            address=how.address,
            storage=how.storage,
            jobs=how.jobs,
            quiet=quiet,
        )
    outcomes |= dict(zip(left, found, strict=True))
    return [outcomes[index] for index in range(len(row_runs))]


def _gpus_per_run(row_runs: Sequence[RowRun], faces: Faces, device: torch.device, how: ExecutionOptions) -> float:
    """Return a run's share of a GPU: given, measured on the last network that is trained, or a whole one."""
    if how.gpus_per_run != "auto":
        return float(device.type == "cuda") if how.gpus_per_run is None else how.gpus_per_run
    if device.type != "cuda":
        raise UserError("--gpus-per-run auto measures on a GPU of this machine, and there is none; give a number")
    from bench.schedule.packing import best_count, packing_text

    trained = [row_run.run.config for row_run in row_runs if row_run.run.config.training is not None]
    if not trained:
        return 1.0
    best, tried = best_count(trained[-1], faces.train.faces, device)
    log.info("%s\n", packing_text(tried, best))
    return 1 / best


def failed_before(row_run: RowRun, how: ExecutionOptions) -> Outcome | None:
    """Return how a run failed before, unless it is to be tried again."""
    if how.retry_failed:
        return None
    record = row_run.run.record()
    if record.status is not RunState.FAILED:
        return None
    return Outcome(row_run.run.config.name, RunState.FAILED, f"{record.error} (before; --retry-failed tries it again)")
