"""`fsr export`: a table of an experiment for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.cli import complete
from bench.cli.common import Json, Plugins, argument, check_out_file, option, results_folder, several, show


def export(
    experiment: Annotated[str, argument("EXPERIMENT", "a folder under results/", complete.results)],
    *,
    style: Annotated[Literal["paper"], typer.Option(help="LaTeX with booktabs and siunitx")] = "paper",
    rows: Annotated[list[str], several("ROW...", "labels or method ids, in this order (default: all)", "--rows")],
    metrics: Annotated[
        list[str],
        several("NAME...", "metrics (default: PSNR, SSIM, NIQE)", "--metrics", complete=complete.metrics),
    ],
    tests: Annotated[list[str], several("NAME...", "test sets (default: all)", "--tests", complete=complete.data_sets)],
    published: Annotated[bool, typer.Option("--published", help="add the numbers that the paper prints")] = False,
    cost: Annotated[bool, typer.Option("--cost", help="add parameters and multiply-adds")] = False,
    macros: Annotated[bool, typer.Option("--macros", help="a \\newcommand for every number, too")] = False,
    label: Annotated[str | None, option("LABEL", "of the table (default: tab:EXPERIMENT)", show_default=False)] = None,
    out: Annotated[Path | None, option("FILE", "write to this file (default: standard output)")] = None,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.analysis.results import read_results
    from bench.core.files import write_text
    from bench.report.paper_latex import render_paper
    from bench.report.paper_table import Chosen, paper_table

    if out is not None:
        check_out_file(out)
    results = read_results(results_folder(experiment))
    table = paper_table(results, Chosen(rows, metrics, tests, published, cost))
    name = label or f"tab:{results.folder.name}"
    latex = render_paper(table, name, macros=macros)
    if out is not None:
        write_text(out, latex)
    about = {"label": name, "caption": table.caption, "latex": latex, "out": None if out is None else str(out)}
    show(json, about, lambda: latex.rstrip("\n") if out is None else f"written: {out}")
    return 0
