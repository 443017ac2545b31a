"""`fsr status`, `fsr verify`, `fsr archive` and `fsr report`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import complete
from bench.cli.common import Json, Plugins, argument, check_out_folder, option, results_folder, several, show, written
from bench.core import paths
from bench.core.errors import UserError

log = logging.getLogger("fsr")
Names = Annotated[
    list[str],
    argument("EXPERIMENT", "folders under results/ (default: all but reference/)", complete.results, any_number=True),
]


def status(
    experiment: Names,
    *,
    tensorboard: Annotated[Path | None, option("DIR", "write the curves as TensorBoard logs, too")] = None,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.runs.status import status_json, status_of, status_text

    folders = _folders(experiment)
    states = {name: status_of(folder) for name, folder in folders.items()}
    if tensorboard:
        from bench.runs.tensorboard import write_logs

        logs = [path for name, folder in folders.items() for path in write_logs(folder, tensorboard / name)]
        log.info("%d runs as TensorBoard logs in %s", len(logs), tensorboard)
    show(json, status_json(states), lambda: status_text(states))
    return 0


def archive(
    experiment: Annotated[str, argument("EXPERIMENT", "the name of a folder under results/", complete.own_results)],
    *,
    weights: Annotated[
        list[str], several("METHOD", "keep this method's weights too (its first seed)", complete=complete.methods)
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="let go of runs, rows and test sets kept before that it has not")
    ] = False,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.runs.archive import archive as keep
    from bench.runs.networks import reference

    kept, folder = keep(experiment, weights, replace), reference() / experiment
    text = f"{len(kept)} finished runs in {folder}; draw them by `fsr report --reference`"
    show(json, {"folder": str(folder), "runs": [path.name for path in kept]}, lambda: text)
    return 0


def verify(
    experiment: Names,
    *,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.runs.verify import verify as look
    from bench.runs.verify import verify_json, verify_text

    verdicts = {name: look(folder) for name, folder in _folders(experiment).items()}
    text = "\n\n".join(verify_text(name, own) for name, own in verdicts.items())
    show(json, {name: verify_json(own) for name, own in verdicts.items()}, lambda: text)
    return int(any(verdict.wrong for own in verdicts.values() for verdict in own))


def migrate(
    folder: Annotated[Path, argument("FOLDER", "results to migrate: a run, an experiment, or all of results/")],
    *,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.runs.migrate import migrate as bring_up

    paths = bring_up(folder)
    show(json, {"migrated": [str(path) for path in paths]}, lambda: f"{len(paths)} records migrated in {folder}")
    return 0


def report(
    experiment: Names,
    *,
    out: Annotated[Path | None, option("DIR", "write below this folder (default: reports)")] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="redraw all of results/reference/ and the findings page instead")
    ] = False,
    failures: Annotated[bool, typer.Option("--failures", help="add a column of failing faces per seed")] = False,
    timing: Annotated[bool, typer.Option("--timing", help="add a column of seconds an image")] = False,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.report.build import build_report

    if reference:
        from bench.report.findings import report_reference

        flags = {"--failures": failures, "--timing": timing, "--out": out}
        for given in [*experiment, *(name for name, value in flags.items() if value)]:
            raise UserError(f"{given}: not together with --reference, which redraws all of them as they are kept")
        files = report_reference()
        text, damaged = f"written: {files[0]} and what it leads to", list[str]()
    else:
        if out is not None:
            check_out_folder(out)
        folders = _folders(experiment).items()
        reports = [build_report(folder, (out or paths.reports()) / name, failures, timing) for name, folder in folders]
        files = [file for report in reports for file in report.files]
        damaged = [line for report in reports for line in report.damaged]
        text = report_text(files)
    show(json, {"report": [str(file) for file in files], "damaged": damaged}, lambda: text)
    return 1 if damaged else 0


def report_text(files: Sequence[Path]) -> str:
    """Return the first Markdown table of a report, and where everything lies."""
    first = next((file for name in ("table1.md", "table2.md") for file in files if file.name == name), None)
    table = first.read_text(encoding="utf-8") if first else ""
    return table + "\n" + written(files)


def _folders(experiments: Sequence[str]) -> dict[str, Path]:
    """Return the results that are meant, by name: those that are named, or all but the reference ones."""
    own = complete.own_results()
    if not (experiments or own):
        raise UserError(f"{paths.results()}: no results yet; run `make ablation` or `fsr run ablation` first")
    return {name: results_folder(name) for name in experiments or own}
