"""`fsr plan`, `fsr run` and `fsr report`."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.common import Command, add_device, add_source, photo_options, show, written
from bench.core import paths
from bench.core.errors import UserError, suggest

if TYPE_CHECKING:
    from bench.runs.experiment import Faces, Job, RowRun
    from bench.schedule.executor import ExecutionOptions

log = logging.getLogger("fsr")


def _plan(options: argparse.Namespace) -> int:
    from bench.core.provenance import choose_device
    from bench.runs.experiment import row_runs
    from bench.schedule.plan import make_plan

    device, how = choose_device(options.device), _how(options)
    job, faces = _open_job(options)
    planned = _chosen(row_runs(job, faces), options.only)
    plan = make_plan(job, planned, faces, device, how, most=5.0, gpus=options.gpus)
    show(options, plan.to_json(), plan.to_text)
    return 0


def _run(options: argparse.Namespace) -> int:
    from bench.core.provenance import choose_device
    from bench.report.build import build_report
    from bench.runs.description import write_experiment
    from bench.runs.experiment import SAMPLES, row_runs
    from bench.schedule.executor import execute
    from bench.schedule.plan import make_plan

    device, how = choose_device(options.device), _how(options)
    job, faces = _open_job(options)
    planned = row_runs(job, faces)
    chosen = _chosen(planned, options.only)
    plan = make_plan(job, chosen, faces, device, how)
    log.info("%s\n", plan.to_text())
    write_experiment(job, faces, planned)
    outcomes = execute(chosen, faces, device, how, samples=SAMPLES, quiet=options.json)
    files = build_report(job.folder, paths.reports() / job.name)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    result = {
        "name": job.name,
        "plan": plan.to_json(),
        "runs": [{"run": o.run, "status": o.status, "error": o.error or None} for o in outcomes],
        "report": [str(file) for file in files],
    }
    show(options, result, lambda: _report_text(files))
    for outcome in failed:
        log.error("fsr: run %s failed: %s", outcome.run, outcome.error)
    return 2 if any(outcome.bad_input for outcome in failed) else min(len(failed), 1)


def _status(options: argparse.Namespace) -> int:
    from bench.runs.status import status_json, status_of, status_text

    names = _names(options.experiment)
    found = {name: status_of(paths.results() / name) for name in names}
    if options.tensorboard:
        from bench.runs.tensorboard import write_logs

        logs = [path for name in names for path in write_logs(paths.results() / name, options.tensorboard / name)]
        log.info("%d runs as TensorBoard logs in %s", len(logs), options.tensorboard)
    show(options, status_json(found), lambda: status_text(found))
    return 0


def _report(options: argparse.Namespace) -> int:
    from bench.report.build import build_report

    if options.reference:
        from bench.report.findings import report_reference

        if options.experiment:
            raise UserError(f"{options.experiment[0]}: not together with --reference, which redraws all of them")
        files = report_reference()
        show(options, {"report": [str(file) for file in files]}, lambda: f"written: {files[0]} and what it leads to")
        return 0
    files = [
        file
        for name in _names(options.experiment)
        for file in build_report(paths.results() / name, paths.reports() / name)
    ]
    show(options, {"report": [str(file) for file in files]}, lambda: _report_text(files))
    return 0


def _archive(options: argparse.Namespace) -> int:
    from bench.runs.archive import archive, reference

    kept = archive(options.experiment, options.weights)
    result = {"folder": str(reference() / options.experiment), "runs": [folder.name for folder in kept]}
    show(
        options,
        result,
        lambda: f"{len(kept)} finished runs in {result['folder']}; draw them by `fsr report --reference`",
    )
    return 0


def _how(options: argparse.Namespace) -> ExecutionOptions:
    from bench.schedule.executor import ExecutionOptions

    return ExecutionOptions(
        options.executor, options.jobs, options.gpus_per_run, options.address, options.storage, options.retry_failed
    )


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


def _names(wanted: Sequence[str]) -> list[str]:
    """Return the experiments whose results are meant: those `wanted`, or all but the reference ones."""
    own = sorted(path.parent.name for path in paths.results().glob("*/experiment.json"))
    if not (wanted or own):
        raise UserError(f"{paths.results()}: no results yet; run `make ablation` or `fsr run ablation` first")
    known = own + sorted(
        f"reference/{path.parent.name}" for path in paths.results().glob("reference/*/experiment.json")
    )
    for name in wanted:
        if name not in known:
            raise UserError(f"no results of '{name}' in {paths.results()}: {suggest(name, known)}")
    return list(wanted) or own


def _open_job(options: argparse.Namespace) -> tuple[Job, Faces]:
    """Read the job that the options ask for and open its faces, preparing the default faces where needed."""
    from bench.runs.experiment import DEFAULT_DATA, load_job, open_faces
    from bench.runs.prepare import prepare

    job = load_job(
        options.experiment, options.profile, options.data, options.add, options.set, options.metric, options.test
    )
    if options.source:
        prepare(job.data, photo_options(options), quiet=options.json)
    elif job.data == DEFAULT_DATA:
        size = job.profile.generate
        prepare(job.data, sizes=dataclasses.asdict(size), quiet=options.json)
    return job, open_faces(job)


def _report_text(files: Sequence[Path]) -> str:
    """Return the first Markdown table of a report, and where everything lies."""
    table = next((file.read_text(encoding="utf-8") for file in files if file.name == "table1.md"), "")
    return table + "\n" + written(files)


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", help="an experiment's name, e.g. ablation, or a TOML file")
    parser.add_argument("--profile", default="quick", help="quick, full, paper or a TOML file (default: quick)")
    parser.add_argument("--data", default="synthfaces", help="a prepared data set (default: synthfaces)")
    parser.add_argument(
        "--test", action="append", default=[], metavar="NAME", help="test on this prepared data set too"
    )
    add_source(parser, "prepare --data from these photos first")
    parser.add_argument("--add", action="append", default=[], metavar="METHOD", help="one more row")
    parser.add_argument(
        "--only", action="append", default=[], metavar="ROW", help="work on this row alone, a method or a label"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the profile, e.g. training.iterations=50",
    )
    parser.add_argument(
        "--metric", action="append", default=[], metavar="NAME", help="one more metric, see `fsr metrics`; or all"
    )
    parser.add_argument(
        "--jobs", type=int, default=0, metavar="N", help="runs side by side (default: one a core, on a GPU one)"
    )
    parser.add_argument(
        "--executor",
        default="serial",
        choices=("serial", "ray"),
        help="serial (default): this machine alone; ray: Ray Tune, over GPUs and machines",
    )
    parser.add_argument("--address", default="", metavar="HOST:PORT", help="of a Ray cluster, or auto (default: none)")
    parser.add_argument(
        "--storage",
        default="",
        metavar="URL",
        help="with Ray: keep the runs in this object storage, e.g. s3://bucket/fsr, where nodes share no folder",
    )
    parser.add_argument(
        "--gpus-per-run",
        type=lambda text: text if text == "auto" else float(text),
        metavar="N|auto",
        help="with Ray: a run's share of a GPU, e.g. 0.25, or auto, which measures it (default: 1)",
    )
    parser.add_argument("--retry-failed", action="store_true", help="try runs again that failed before")
    parser.add_argument(
        "--scheduler",
        type=_no_early_stopping,
        default="none",
        metavar="none",
        help="none alone: nothing stops early (`fsr search` can)",
    )
    add_device(parser)


def _no_early_stopping(scheduler: str) -> str:
    """Refuse early stopping: rows that got different budgets could not be compared."""
    if scheduler != "none":
        raise argparse.ArgumentTypeError(
            f"early stopping ({scheduler}) is refused: ablation rows must have equal budgets; use fsr search"
        )
    return scheduler


def _add_status(parser: argparse.ArgumentParser) -> None:
    _add_names(parser)
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="write the curves as TensorBoard logs, too")


def _add_plan(parser: argparse.ArgumentParser) -> None:
    _add_job(parser)
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="tell the time on N devices like this, too")


def _add_archive(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", help="a folder under results/")
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="METHOD",
        help="keep this method's weights too (its first seed)",
    )


def _add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", nargs="*", help="folders under results/ (default: all but reference/)")


def _add_report(parser: argparse.ArgumentParser) -> None:
    _add_names(parser)
    parser.add_argument(
        "--reference", action="store_true", help="redraw all of results/reference/ and the findings page instead"
    )


COMMANDS = (
    Command("plan", "show what an experiment would run and how long it takes", _plan, _add_plan),
    Command("run", "train, score and report an experiment; done runs are not repeated", _run, _add_job),
    Command("status", "show how the runs of an experiment are doing", _status, _add_status),
    Command("archive", "keep finished runs in results/reference, small enough to be committed", _archive, _add_archive),
    Command("report", "redraw tables and figures from results alone", _report, _add_report),
)
