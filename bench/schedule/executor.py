"""The executors, one interface: in this process and its children, or by Ray Tune."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from bench.core.errors import UserError
from bench.runs.complete import Outcome, complete
from bench.runs.records import RunState
from bench.schedule import local, ray_tune
from bench.schedule.cluster import Share
from bench.schedule.packing import best_count, measure
from bench.schedule.parcel import Complete, Work

if TYPE_CHECKING:
    import torch

    from bench.runs.experiment import Faces, RowRun

Executor = Literal["serial", "ray"]


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
        if isinstance(share, float) and not (0 < share < 1 or share in range(1, 65)):
            raise UserError(f"--gpus-per-run {share:g}: expected a part of one, as 0.25, a whole number or auto")


def execute(
    row_runs: Sequence[RowRun],
    faces: Faces,
    device: torch.device,
    options: ExecutionOptions,
    *,
    samples: int,
    quiet: bool = False,
    complete: Complete = complete,
) -> list[Outcome]:
    """Bring every run to its end by `complete`, each once; one that fails does not stop the others.

    A run that failed before by itself would fail again, for runs repeat to the byte: it is left alone unless `options`
    say to retry. One that failed for what was missing around it is tried again. Raises Interrupted when asked to stop:
    the runs at work are saved, and calling again goes on from there.
    """
    failed = [failed_before(row_run, options) for row_run in row_runs]
    chosen = [row_run for row_run, outcome in zip(row_runs, failed, strict=True) if outcome is None]
    work, jobs = Work(tuple(chosen), faces, samples, complete), local.choose_jobs(options.jobs, len(chosen), device)
    if options.executor == "serial":
        ended = local.execute(work, device, jobs=jobs, quiet=quiet)
    else:
        gpus = _gpus_per_run(chosen, faces, device, options)
        share = Share(gpus, 1 if gpus else local.threads_each(jobs))
        ended = ray_tune.execute(
            work, share, address=options.address, storage=options.storage, jobs=options.jobs, quiet=quiet
        )
    rest = iter(ended)
    return [outcome or next(rest) for outcome in failed]


def _gpus_per_run(row_runs: Sequence[RowRun], faces: Faces, device: torch.device, options: ExecutionOptions) -> float:
    """Return a run's share of a GPU: given, measured on the last network that is trained, or a whole one."""
    if options.gpus_per_run != "auto":
        return float(device.type == "cuda") if options.gpus_per_run is None else options.gpus_per_run
    if device.type != "cuda":
        raise UserError("--gpus-per-run auto measures on a GPU of this machine, and there is none; give a number")
    from bench.models.memory import memory_there_is

    trained = [row_run.run.config for row_run in row_runs if row_run.run.config.training is not None]
    if not trained:
        return 1.0
    return 1 / best_count(partial(measure, trained[-1], faces.train.faces, device), memory_there_is(device))


def failed_before(row_run: RowRun, options: ExecutionOptions) -> Outcome | None:
    """Return how a run failed before, unless it is to be tried again."""
    record = row_run.run.record()
    if options.retry_failed or record.retry or record.status is not RunState.FAILED:
        return None
    return Outcome(row_run.run.config.name, RunState.FAILED, f"{record.error} (before; --retry-failed tries it again)")
