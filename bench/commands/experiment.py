"""`fsr plan`, `fsr run` and `fsr report`."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import paths
from bench.commands.common import Command, add_device, add_source, show, wish_of, written
from bench.errors import UserError, suggest

if TYPE_CHECKING:
    from bench.experiment import Faces, Job

log = logging.getLogger("fsr")


def _plan(options: argparse.Namespace) -> int:
    from bench.experiment import cells
    from bench.plan import make_plan
    from bench.provenance import choose_device
    from bench.schedule.local import choose_jobs

    device = choose_device(options.device)
    job, faces = _open_job(options)
    planned = cells(job, faces)
    plan = make_plan(job, planned, faces, device, choose_jobs(options.jobs, len(planned), device))
    show(options, plan.to_json(), plan.to_text)
    return 0


def _run(options: argparse.Namespace) -> int:
    from bench.experiment import SAMPLES, cells, write_experiment
    from bench.plan import make_plan
    from bench.provenance import choose_device
    from bench.report.build import build_report
    from bench.schedule.local import choose_jobs, execute

    device = choose_device(options.device)
    job, faces = _open_job(options)
    planned = cells(job, faces)
    jobs = choose_jobs(options.jobs, len(planned), device)
    plan = make_plan(job, planned, faces, device, jobs)
    log.info("%s\n", plan.to_text())
    write_experiment(job, faces, planned)
    outcomes = execute(planned, faces, device, samples=SAMPLES, jobs=jobs, quiet=options.json)
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


def _report(options: argparse.Namespace) -> int:
    from bench.report.build import build_report

    own = sorted(path.parent.name for path in paths.results().glob("*/experiment.json"))
    names = options.experiment or own
    if not names:
        raise UserError(f"{paths.results()}: no results yet; run `make ablation` or `fsr run ablation` first")
    known = own + sorted(
        f"reference/{path.parent.name}" for path in paths.results().glob("reference/*/experiment.json")
    )
    for name in names:
        if name not in known:
            raise UserError(f"no results of '{name}' in {paths.results()}: {suggest(name, known)}")
    files = [file for name in names for file in build_report(paths.results() / name, paths.reports() / name)]
    show(options, {"report": [str(file) for file in files]}, lambda: _report_text(files))
    return 0


def _open_job(options: argparse.Namespace) -> tuple[Job, Faces]:
    """Read the job that the options ask for and open its faces, preparing the default faces where needed."""
    from bench.experiment import DEFAULT_DATA, load_job, open_faces
    from bench.prepare import prepare

    job = load_job(
        options.experiment, options.profile, options.data, options.add, options.set, options.metric, options.test
    )
    if options.source:
        prepare(job.data, wish_of(options), quiet=options.json)
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
    add_device(parser)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", nargs="*", help="folders under results/ (default: all but reference/)")


COMMANDS = (
    Command("plan", "show what an experiment would run and how long it takes", _plan, _add_job),
    Command("run", "train, score and report an experiment; done runs are not repeated", _run, _add_job),
    Command("report", "redraw tables and figures from results alone", _report, _add_report),
)
