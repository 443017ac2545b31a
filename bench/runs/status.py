"""How the runs of an experiment are doing: state, iteration, PSNR, speed, time left, node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.core.text_table import text_table
from bench.runs.digests import missing, strange
from bench.runs.failures import Failures
from bench.runs.records import FaceSetRecord, RunRecord, RunState, read_experiment_record, read_run_record
from bench.runs.scores import sheet_path
from bench.runs.store import is_held


@dataclass(frozen=True)
class RunStatus:
    """One run as its folder tells it; what is not known is None or empty.

    "running" means that a process holds the run at this moment, "interrupted" that none does though it has begun,
    "trained" that scores are missing. A run that has finished is looked at as far as the names of its files tell;
    `fsr verify` looks into them.
    `psnr` is that of the last validation in dB, `seconds_left` what its training will take at its present speed.
    `failing` counts the faces of all test sets that it fails on, None before it is scored, and `fails` says so in a
    line a test set.
    """

    label: str
    run: str
    state: RunState
    iteration: int = 0
    iterations: int = 0
    psnr: float | None = None
    seconds_per_iteration: float | None = None
    seconds_left: float | None = None
    node: str = ""
    error: str = ""
    failing: int | None = None
    fails: tuple[str, ...] = ()


def status_of(folder: Path) -> list[RunStatus]:
    """Return the status of every run of the experiment in `folder`, in the order of its table.

    Raises UserError when experiment.json or a run.json is missing its layout or damaged.
    """
    experiment = read_experiment_record(folder)
    failures = Failures(folder, experiment)
    return [
        _read(experiment.run_folder(folder, name), row.label, experiment.test, failures)
        for row in experiment.rows
        for name in row.runs
    ]


def status_json(found: Mapping[str, list[RunStatus]]) -> dict[str, Any]:
    """Return experiments and their runs as plain values."""
    return {name: [asdict(run) for run in runs] for name, runs in found.items()}


def status_text(found: Mapping[str, list[RunStatus]]) -> str:
    """Return a table an experiment for a terminal."""
    head = ["row", "state", "iteration", "PSNR (dB)", "s/iteration", "minutes left", "failing faces", "node", "run"]
    parts = []
    for name, runs in found.items():
        counts = {
            state: sum(run.state == state for run in runs)
            for state in (RunState.FINISHED, RunState.RUNNING, RunState.FAILED, RunState.DAMAGED)
        }
        told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        body = [_line(run) for run in runs]
        parts.append(f"{name}: {len(runs)} runs{f', {told}' if told else ''}\n" + text_table(head, body))
        parts += [f"{run.run}: {line}" for run in runs for line in (run.error, *run.fails) if line]
    return "\n\n".join(parts)


def _line(run: RunStatus) -> list[str]:
    def number(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    return [
        run.label,
        run.state,
        f"{run.iteration}/{run.iterations}" if run.iterations else "-",
        number(run.psnr, 3),
        number(run.seconds_per_iteration, 3),
        number(None if run.seconds_left is None else run.seconds_left / 60, 1),
        "-" if run.failing is None else f"{run.failing:,}",
        run.node or "-",
        run.run,
    ]


def _read(folder: Path, label: str, tests: Sequence[FaceSetRecord], failures: Failures) -> RunStatus:
    record, name = read_run_record(folder), folder.name
    state, lack = _state(folder, record), ""
    if record is not None and state is RunState.FINISHED:
        state, lack = _look(folder, record, tests)
    if record is None:
        return RunStatus(label, name, state)
    training, progress = record.config.training, record.progress
    total = training.iterations if training else 0
    done = 0 if state is RunState.NOT_RUN else total if record.trained else progress.iteration
    speed = record.seconds_per_iteration or progress.seconds_per_iteration
    failing = failures.of(folder, record) if state is RunState.FINISHED else ()
    counts = [len(each.failures) for each in failing if each.failures is not None]
    left = (total - done) * speed if speed and state in (RunState.RUNNING, RunState.INTERRUPTED) else None
    return RunStatus(
        f"{label}, seed {record.config.seed}" if record.config.seed else label,
        name,
        state,
        done,
        total,
        progress.psnr,
        speed,
        left,
        progress.node,
        record.error or lack,
        sum(counts) if counts else None,
        tuple(filter(None, map(str, failing))),
    )


def _look(folder: Path, record: RunRecord, tests: Sequence[FaceSetRecord]) -> tuple[RunState, str]:
    """Return how a run that has finished is by the names of its files, and one line on what is not as it was."""
    if odd := [*strange(folder, record.digests).values(), *missing(folder, record.digests, ["curve"]).values()]:
        return RunState.DAMAGED, odd[0]
    if gone := missing(folder, record.digests, ["weights"]):
        return RunState.NOT_RUN, next(iter(gone.values()))
    gone = missing(folder, record.digests, ["scores"])
    scored = [test for test in tests if test.fingerprint not in record.not_scored]
    for path in (sheet_path(folder, test.dataset, test.fingerprint) for test in scored):
        if not path.exists():
            gone.setdefault(path.relative_to(folder).as_posix(), f"{path}: no such file; run the experiment again")
    return (RunState.TRAINED, next(iter(gone.values()))) if gone else (RunState.FINISHED, "")


def _state(folder: Path, record: RunRecord | None) -> RunState:
    if is_held(folder.parent, folder.name):
        return RunState.RUNNING
    if record is None:
        return RunState.NOT_RUN
    return unheld_state(record)


def unheld_state(record: RunRecord) -> RunState:
    """Return how a run is that no process holds: one that has begun is not running, whatever its record says."""
    if record.status is not RunState.RUNNING:
        return record.status
    return RunState.TRAINED if record.trained else RunState.INTERRUPTED
