"""search.json: what a search was and how each trial ended; all that its report needs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.core.files import read_csv, read_json, write_json
from bench.core.schema import from_dict
from bench.runs.config import DataRef
from bench.runs.experiment import RowRun
from bench.runs.records import LAYOUT, RunState, check_layout
from bench.runs.store import CURVE, Run
from bench.schedule.search.plan import Search
from bench.schedule.search.scheduler import Scheduler
from bench.schedule.search.space import Dimension

Status = Literal["finished", "stopped", "diverged", "failed", "interrupted", "to do"]
_DIVERGED = "Diverged: "  # how a run's error begins whose loss became NaN or infinite


@dataclass(frozen=True)
class Progress:
    """How far a run is: the last point of its curve (0 and None before the first), and what went wrong."""

    status: Status
    iterations: int = 0
    psnr: float | None = None
    error: str = ""


@dataclass(frozen=True)
class TrialRecord:
    """How a trial ended: `psnr` is in dB on the validation faces, at its last point of `iterations`."""

    number: int
    run: str
    values: Mapping[str, Any]
    status: Status
    iterations: int
    psnr: float | None
    parameters: int
    error: str = ""


@dataclass(frozen=True)
class SearchRecord:
    """A search as it is written to search.json; trials are in the order of their numbers."""

    layout: int
    name: str
    title: str
    method: str
    scale: int
    protocol: str
    profile: str
    profile_note: str
    iterations: int
    seed: int
    scheduler: Scheduler
    space_seed: int
    space: tuple[Dimension, ...]
    train: DataRef
    val: DataRef
    trials: tuple[TrialRecord, ...]

    def ranked(self) -> list[TrialRecord]:
        """Return the trials, the best first: finished before stopped ones, and those without a PSNR last."""
        order = ("finished", "stopped", "interrupted", "to do", "diverged", "failed")

        def key(trial: TrialRecord) -> tuple[int, float, int]:
            return order.index(trial.status), -(trial.psnr if trial.psnr is not None else -1e9), trial.number

        return sorted(self.trials, key=key)

    def finished(self) -> list[TrialRecord]:
        """Return the trials that were trained to their end and have a PSNR, in the order of their numbers."""
        return [trial for trial in self.trials if trial.status == "finished" and trial.psnr is not None]


def read_curve(run: Run) -> list[tuple[int, float]]:
    """Return iteration and validation PSNR (dB) of every point of a run's training curve."""
    path = run.folder / "curve.csv"
    rows = read_csv(path, CURVE) if path.exists() else []
    return [(int(row["iteration"]), float(row["psnr"])) for row in rows]


def progress(run: Run) -> Progress:
    """Read how far a run is from its folder; raise UserError when a file of it is damaged."""
    record, points = run.record(), read_curve(run)
    iterations, psnr = points[-1] if points else (0, math.nan)
    error = str(record.error or "")
    status: Status = "interrupted" if record.status != RunState.NOT_RUN else "to do"
    if run.trained:
        status = "finished"
    elif record.status == "stopped":
        status = "stopped"
    elif record.status == "failed":
        status = "diverged" if error.startswith(_DIVERGED) else "failed"
    return Progress(status, iterations, psnr if math.isfinite(psnr) else None, error)


def mark_stopped(run: Run) -> None:
    """Record that a run was stopped early, at the last point of its curve; its state is kept, should it go on."""
    run.write(status=RunState.STOPPED, stopped_at=progress(run).iterations)


def resume_stopped(run: Run) -> None:
    """Let a run that was stopped early go on."""
    if progress(run).status == "stopped":
        run.write(status=RunState.RUNNING, stopped_at=None)


def write_record(search: Search, row_runs: Sequence[RowRun], scheduler: Scheduler) -> SearchRecord:
    """Read how far every run is, write search.json into the search's folder and return what it says."""
    job, config = search.job, row_runs[0].run.config
    assert config.train is not None and config.val is not None
    trials = []
    for trial, row_run in zip(search.trials, row_runs, strict=True):
        far = progress(row_run.run)
        about = (far.status, far.iterations, far.psnr, trial.parameters, far.error)
        trials.append(TrialRecord(trial.number, row_run.run.config.name, trial.values, *about))
    record = SearchRecord(
        layout=LAYOUT,
        name=job.name,
        title=job.experiment.title,
        method=search.method,
        scale=config.scale,
        protocol=config.protocol,
        profile=job.profile_name,
        profile_note=job.profile.note,
        iterations=job.profile.training.iterations,
        seed=config.seed,
        scheduler=scheduler,
        space_seed=search.space.seed,
        space=search.space.dimensions,
        train=config.train,
        val=config.val,
        trials=tuple(trials),
    )
    write_json(search.folder / "search.json", dataclasses.asdict(record))
    return record


def read_record(folder: Path) -> SearchRecord:
    """Read search.json of a search's folder; raise UserError when it is missing, damaged or of another layout."""
    path = folder / "search.json"
    given: Any = read_json(path)
    check_layout(given, path)
    return from_dict(SearchRecord, given, str(path))
