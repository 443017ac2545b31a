"""`fsr status`, `fsr archive` and `fsr report`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import complete
from bench.cli.common import Json, Plugins, several, show, written
from bench.core import paths
from bench.core.errors import UserError, suggest

log = logging.getLogger("fsr")
Names = Annotated[
    list[str],
    typer.Argument(
        metavar="EXPERIMENT",
        help="folders under results/ (default: all but reference/)",
        default_factory=list,
        show_default=False,
        autocompletion=complete.results,
    ),
]


def status(
    experiment: Names,
    *,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write the curves as TensorBoard logs, too")
    ] = None,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.runs.status import status_json, status_of, status_text

    names = _names(experiment)
    found = {name: status_of(paths.results() / name) for name in names}
    if tensorboard:
        from bench.runs.tensorboard import write_logs

        logs = [path for name in names for path in write_logs(paths.results() / name, tensorboard / name)]
        log.info("%d runs as TensorBoard logs in %s", len(logs), tensorboard)
    show(json, status_json(found), lambda: status_text(found))
    return 0


def archive(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="a folder under results/", autocompletion=complete.results)
    ],
    *,
    weights: Annotated[
        list[str],
        several("METHOD", "keep this method's weights too (its first seed)", autocompletion=complete.methods),
    ],
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.runs.archive import archive as keep
    from bench.runs.networks import reference

    kept, folder = keep(experiment, weights), reference() / experiment
    text = f"{len(kept)} finished runs in {folder}; draw them by `fsr report --reference`"
    show(json, {"folder": str(folder), "runs": [path.name for path in kept]}, lambda: text)
    return 0


def migrate(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="results to migrate: a run, an experiment, or all of results/")
    ],
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
    reference: Annotated[
        bool, typer.Option("--reference", help="redraw all of results/reference/ and the findings page instead")
    ] = False,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.report.build import build_report

    if reference:
        from bench.report.findings import report_reference

        if experiment:
            raise UserError(f"{experiment[0]}: not together with --reference, which redraws all of them")
        files = report_reference()
        text = f"written: {files[0]} and what it leads to"
    else:
        names = _names(experiment)
        files = [file for name in names for file in build_report(paths.results() / name, paths.reports() / name)]
        text = report_text(files)
    show(json, {"report": [str(file) for file in files]}, lambda: text)
    return 0


def report_text(files: Sequence[Path]) -> str:
    """Return the first Markdown table of a report, and where everything lies."""
    table = next((file.read_text(encoding="utf-8") for file in files if file.name == "table1.md"), "")
    return table + "\n" + written(files)


def _names(wanted: Sequence[str]) -> list[str]:
    """Return the experiments whose results are meant: those `wanted`, or all but the reference ones."""
    known = complete.results()
    own = [name for name in known if not name.startswith("reference/")]
    if not (wanted or own):
        raise UserError(f"{paths.results()}: no results yet; run `make ablation` or `fsr run ablation` first")
    for name in wanted:
        if name not in known:
            raise UserError(f"no results of '{name}' in {paths.results()}: {suggest(name, known)}")
    return list(wanted) or own
