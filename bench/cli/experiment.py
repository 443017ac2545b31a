"""`fsr plan` and `fsr run`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import complete
from bench.cli.common import (
    SHARE,
    Address,
    Data,
    Device,
    Executor,
    Jobs,
    Json,
    Plugins,
    Profile,
    Settings,
    argument,
    check_out_folder,
    option,
    several,
    shares,
    show,
)
from bench.cli.results import report_text
from bench.core import paths
from bench.core.errors import UserError, suggest
from bench.core.limits import within

if TYPE_CHECKING:
    import torch

    from bench.runs.experiment import Faces, RowRun
    from bench.runs.job import Job
    from bench.schedule.executor import ExecutionOptions

log = logging.getLogger("fsr")


def _share(text: str) -> float | str:
    return text if text == "auto" else float(text)


def _no_early_stopping(scheduler: str) -> str:
    """Refuse early stopping: rows that got different budgets could not be compared."""
    if scheduler != "none":
        what = f"--scheduler {scheduler}: early stopping is refused"
        raise UserError(f"{what}: ablation rows must have equal budgets; use fsr search")
    return scheduler


def _options(
    *,
    experiment: Annotated[
        str, argument("EXPERIMENT", "an experiment's name, e.g. ablation, or a TOML file", complete.experiments)
    ],
    profile: Profile = "quick",
    data: Data = None,
    test: Annotated[
        list[str], several("NAME", "test on this prepared data set too (again for more)", complete=complete.data_sets)
    ],
    source: Annotated[list[Path], several("TAR|DIR...", "prepare --data from these photos first")],
    add: Annotated[list[str], several("METHOD", "one more row (again for more)", complete=complete.methods)],
    checkpoint: Annotated[
        list[str],
        several("LABEL=METHOD:FILE", "one more row: weights as the method's authors released them (again for more)"),
    ],
    pictures: Annotated[
        list[str],
        several("LABEL=DIR", "one more row: what another program made of `fsr data export`'s LR (again for more)"),
    ],
    only: Annotated[
        list[str],
        several("ROW", "work on this row alone, a method or a label (again for more)", complete=complete.methods),
    ],
    seeds: Annotated[
        int | None,
        option("N", "N seeds a row, 0 to N-1 (default: the profile's, or a row's own)", rule=within(1, 1000)),
    ] = None,
    set: Settings,
    metric: Annotated[
        list[str],
        several("NAME", "one more metric, see `fsr metrics` (again for more), or all", complete=complete.metrics),
    ],
    jobs: Jobs = None,
    executor: Annotated[
        Executor, typer.Option(help="serial: this machine alone; ray: Ray Tune, over GPUs and machines")
    ] = "serial",
    address: Address = "",
    storage: Annotated[
        str,
        option(
            "URL",
            "with Ray: keep the runs in this object storage, e.g. s3://bucket/fsr, where nodes share no folder",
            show_default=False,
        ),
    ] = "",
    gpus_per_run: Annotated[
        Any,
        option(
            "N|auto",
            "with Ray: a run's share of a GPU, e.g. 0.25, or auto, which measures it (default: 1)",
            parser=_share,
            rule=SHARE,
        ),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="try runs again that failed before")] = False,
    scheduler: Annotated[
        str, option("none", "none alone: nothing stops early (`fsr search` can)", callback=_no_early_stopping)
    ] = "none",
) -> None:
    """Take the options of both commands."""


@shares(_options)
def plan(
    *,
    gpus: Annotated[int, option("N", "tell the time on N devices like this, too", rule=within(1, 10_000))] = 1,
    device: Device = "auto",
    json: Json = False,
    plugin: Plugins,
    **given: Any,
) -> int:
    from bench.core.provenance import choose_device
    from bench.runs.authored import check_checkpoints
    from bench.runs.job import row_runs
    from bench.schedule.plan import make_plan

    options, chosen_device = _execution(given), choose_device(device)
    job, faces = _open_job(given, chosen_device, quiet=json)
    planned = _chosen(row_runs(job, faces), given["only"])
    check_checkpoints(planned)
    made = make_plan(job, planned, faces, chosen_device, options, most=5.0, gpus=gpus)
    show(json, made.to_json(), made.to_text)
    return 0


@shares(_options)
def run(
    *,
    out: Annotated[Path | None, option("DIR", "write the report below this folder (default: reports)")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="show first what `fsr plan` shows, for which networks are timed")
    ] = False,
    changed_code: Annotated[
        bool, typer.Option("--changed-code", help="let trainings go on that other code of their method has begun")
    ] = False,
    device: Device = "auto",
    json: Json = False,
    plugin: Plugins,
    **given: Any,
) -> int:
    from bench.core.provenance import choose_device
    from bench.report.build import build_report
    from bench.runs.authored import check_checkpoints, import_checkpoints
    from bench.runs.behaviour import accept_code
    from bench.runs.experiment import KEPT
    from bench.runs.job import row_runs, write_experiment
    from bench.schedule.executor import execute
    from bench.schedule.plan import make_plan

    if out is not None:
        check_out_folder(out)
    options, chosen_device = _execution(given), choose_device(device)
    job, faces = _open_job(given, chosen_device, quiet=json)
    planned = row_runs(job, faces)
    chosen = _chosen(planned, given["only"])
    made = make_plan(job, chosen, faces, chosen_device, options) if plan else None
    if made is not None:
        log.info("%s\n", made.to_text())
    check_checkpoints([row_run for row_run in planned if row_run not in chosen])
    import_checkpoints(chosen)
    write_experiment(job, faces, planned)
    for row_run in chosen if changed_code else ():
        accept_code(row_run.run)
    outcomes = execute(chosen, faces, chosen_device, options, samples=KEPT, quiet=json)
    report = build_report(job.folder, (out or paths.reports()) / job.name)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    result = {
        "name": job.name,
        "plan": made.to_json() if made is not None else None,
        "runs": [{"run": o.run, "status": o.status, "error": o.error or None} for o in outcomes],
        "report": [str(file) for file in report.files],
        "damaged": list(report.damaged),
    }
    show(json, result, lambda: report_text(report.files))
    for outcome in failed:
        log.error("fsr: run %s failed: %s", outcome.run, outcome.error)
    return 2 if any(outcome.bad_input for outcome in failed) else min(len(failed) + len(report.damaged), 1)


def _execution(given: dict[str, Any]) -> ExecutionOptions:
    from bench.schedule.executor import ExecutionOptions

    names = ("executor", "jobs", "gpus_per_run", "address", "storage", "retry_failed")
    return ExecutionOptions(**{name: given[name] for name in names} | {"jobs": given["jobs"] or 0})


def _open_job(given: dict[str, Any], device: torch.device, *, quiet: bool) -> tuple[Job, Faces]:
    """Read the job that the options ask for and open its faces, preparing them first where photos are given."""
    from bench.cli.faces import prepare
    from bench.core.machine import cores
    from bench.data.cards import default_dataset
    from bench.data.photoset import PhotoOptions
    from bench.data.scan import ScanOptions
    from bench.runs.authored import checkpoint_row
    from bench.runs.job import load_job, open_faces
    from bench.runs.outputs import pictures_row

    here = device if given["executor"] == "serial" else None  # other machines may have more memory
    settings = [*given["set"], *_seeds(given)]
    rows_and_scores = (given["add"], settings, given["metric"], given["test"])
    rows = [checkpoint_row(text) for text in given["checkpoint"]]
    rows += [pictures_row(text) for text in given["pictures"]]
    data = given["data"] or default_dataset()
    job = load_job(given["experiment"], given["profile"], data, *rows_and_scores, here, rows)
    if given["source"]:
        scan = ScanOptions(cores(), str(device), quiet)
        prepare(job.data, PhotoOptions(given["source"], how=scan), quiet=quiet)
    elif job.data == default_dataset():
        prepare(job.data, sizes=dataclasses.asdict(job.profile.generate), quiet=quiet)
    return job, open_faces(job)


def _seeds(given: dict[str, Any]) -> list[str]:
    """Return `--seeds N` as a setting of the profile; raise UserError where `--set` gives seeds too."""
    if given["seeds"] is None:
        return []
    if any(setting.partition("=")[0].strip() == "seeds" for setting in given["set"]):
        raise UserError(f"--seeds {given['seeds']}: not together with --set seeds=...; give one of them")
    return [f"seeds={list(range(given['seeds']))}"]


def _chosen(planned: list[RowRun], only: Sequence[str]) -> list[RowRun]:
    """Return the runs of the rows that `only` names, by method or by label; all without names."""
    known = [*dict.fromkeys(name for row_run in planned for name in (row_run.row.method, row_run.label))]
    for name in only:
        if name not in known:
            raise UserError(f"--only {name}: no such row: {suggest(name, known)}")
    # A method's name does not mean the rows that were matched to another one's size.
    own = [
        row_run
        for row_run in planned
        if row_run.label in only or (row_run.row.method in only and not row_run.row.match)
    ]
    return own if only else planned
