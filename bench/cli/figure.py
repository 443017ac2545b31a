"""`fsr figure`: figures for print beside those of a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.cli import complete
from bench.cli.common import Json, Plugins, argument, check_out_file, option, results_folder, several, show
from bench.core.errors import UserError
from bench.core.limits import within

_KINDS = (".pdf", ".png", ".webp")


def figure(
    kind: Annotated[Literal["grid"], argument("KIND", "grid: faces by several methods")],
    experiment: Annotated[str, argument("EXPERIMENT", "a folder under results/", complete.results)],
    *,
    rows: Annotated[list[str], several("ROW...", "five labels or ids at most (default: those that matter)", "--rows")],
    faces: Annotated[
        list[str], several("NAME...", "faces by name, or first, worst or best by the last row", "--faces")
    ],
    count: Annotated[int, option("N", "faces that first, worst or best takes", rule=within(1, 50))] = 5,
    zoom: Annotated[str, option("PARTS", "one or two of eyes, nose, mouth; none for no zoom")] = "eyes,mouth",
    errors: Annotated[bool, typer.Option("--errors", help="add error maps")] = False,
    failure: Annotated[bool, typer.Option("--failure", help="add the face that the last row gains least on")] = False,
    data: Annotated[
        str | None,
        option("NAME", "of the test sets (default: the pictured one)", complete=complete.data_sets),
    ] = None,
    out: Annotated[Path, option("FILE", "a name that ends in .pdf, .png or .webp")] = Path("grid.pdf"),
    json: Json = False,
    plugin: Plugins,
) -> int:
    if out.suffix not in _KINDS:
        raise UserError(f"--out {out}: expected a name that ends in .pdf, .png or .webp")
    check_out_file(out)
    from bench.analysis.results import read_results
    from bench.core.files import write_bytes
    from bench.report.face_choice import FIRST, Wanted, face_grid
    from bench.report.face_grid import grid_file

    parts = [] if zoom == "none" else [part.strip() for part in zoom.split(",")]
    wanted = Wanted(rows, faces or (FIRST,), count, parts, failure, errors, data or "")
    grid = face_grid(read_results(results_folder(experiment)), wanted)
    write_bytes(out, grid_file(grid, out.suffix[1:]))
    about = {"figure": str(out), "caption": grid.caption, "faces": list(grid.names)}
    show(json, about, lambda: f"written: {out}\n{grid.caption}")
    return 0
