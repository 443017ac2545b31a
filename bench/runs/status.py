"""How the runs of an experiment are doing: state, iteration, PSNR, speed, time left, node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench.core.files import read_json
from bench.runs.store import check_layout, is_held

State = Literal["to do", "running", "stopped", "trained", "finished", "failed"]


@dataclass(frozen=True)
class RunStatus:
    """One run as its folder tells it; what is not known is None or empty.

    "running" means that a process holds the run at this moment, "stopped" that none does though it has begun. `psnr` is
    that of the last validation in dB, `seconds_left` what its training will take at its present speed.
    """

    label: str
    run: str
    state: State
    iteration: int
    iterations: int
    psnr: float | None
    seconds_per_iteration: float | None
    seconds_left: float | None
    node: str
    error: str


def status_of(folder: Path) -> list[RunStatus]:
    """Return the status of every run of the experiment in `folder`, in the order of its table.

    Raises UserError when experiment.json or a run.json is missing its layout or damaged.
    """
    path = folder / "experiment.json"
    experiment = read_json(path)
    check_layout(experiment, path)
    return [_read(folder, row["label"], name) for row in experiment["rows"] for name in row["runs"]]


def status_json(found: Mapping[str, list[RunStatus]]) -> dict[str, Any]:
    """Return experiments and their runs as plain values."""
    return {name: [asdict(run) for run in runs] for name, runs in found.items()}


def status_text(found: Mapping[str, list[RunStatus]]) -> str:
    """Return a table an experiment for a terminal."""
    from tabulate import tabulate

    head = ["row", "state", "iteration", "PSNR (dB)", "s/iteration", "minutes left", "node", "run"]
    parts = []
    for name, runs in found.items():
        counts = {state: sum(run.state == state for run in runs) for state in ("finished", "running", "failed")}
        told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        body = [_line(run) for run in runs]
        parts.append(
            f"{name}: {len(runs)} runs{f', {told}' if told else ''}\n"
            + tabulate(body, head, tablefmt="simple", disable_numparse=True)
        )
        parts += [f"{run.run}: {run.error}" for run in runs if run.error]
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
        run.node or "-",
        run.run,
    ]


def _read(folder: Path, label: str, name: str) -> RunStatus:
    path = folder / name / "run.json"
    record = read_json(path) if path.exists() else {}
    if record:
        check_layout(record, path)
    training = record.get("config", {}).get("training") or {}
    total = int(training.get("iterations", 0))
    state = _state(folder, name, record)
    progress = record.get("progress", {})
    done = total if "trained" in record else int(progress.get("iteration", 0))
    speed = record.get("seconds_per_iteration") or progress.get("seconds_per_iteration")
    left = (total - done) * speed if speed and state in ("running", "stopped") else None
    seed = record.get("config", {}).get("seed", 0)
    return RunStatus(
        f"{label}, seed {seed}" if seed else label,
        name,
        state,
        done,
        total,
        progress.get("psnr"),
        speed,
        left,
        progress.get("node", ""),
        record.get("error") or "",
    )


def _state(folder: Path, name: str, record: Mapping[str, Any]) -> State:
    if is_held(folder, name):
        return "running"
    status = record.get("status")
    if status in ("finished", "failed"):
        return "finished" if status == "finished" else "failed"
    if "trained" in record:
        return "trained"
    return "stopped" if record else "to do"
