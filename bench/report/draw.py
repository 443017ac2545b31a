"""Draw a report: tables, figures and pages, from results alone."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.analysis.results import Results
from bench.core.errors import UserError, suggest
from bench.report import csv_file, html, latex, markdown
from bench.report.claim_words import is_smoke
from bench.report.columns import with_failures, with_timing
from bench.report.curves import draw_curves
from bench.report.faces import draw_faces, grid_bytes
from bench.report.first_screen import FOREST, Screen, claims_section, first_screen, forest_picture
from bench.report.folder import replace_files
from bench.report.images import images_page
from bench.report.interactive.writer import FILE, browser_page
from bench.report.modules import capacity_page, factorial_page
from bench.report.page import Page, render_page, render_subpage
from bench.report.pages import metrics_page, sensitivity_page
from bench.report.printed import printed_page
from bench.report.style import figure_bytes
from bench.report.table import Table
from bench.report.tables import ablation_table, comparison_table, methods_table, realworld_table


@dataclass(frozen=True)
class Kind:
    """A kind of experiment: its tables, by the published table that stands beside each, and its further pages."""

    tables: Mapping[str, Callable[[Results], Table | None]]
    pages: tuple[Callable[[Results], Page | None], ...]


KINDS = {
    "ablation": Kind(
        {"Table 1": ablation_table, "Table 2": comparison_table, "Table 3": realworld_table},
        (metrics_page, images_page, factorial_page, capacity_page, sensitivity_page),
    ),
    "comparison": Kind(
        {"Table 2": methods_table, "Table 3": realworld_table},
        (metrics_page, images_page, printed_page, sensitivity_page),
    ),
}
# What further tables and pages are made of, with the test set at the end of the name where there are several.
_OWN = re.compile(
    r"(table[123]|printed|metrics|means|gains|image-by-image|images|failures|factorial|effects|capacity|sensitivity)(-.+)?"
    r"\.(md|tex|csv|html|png|pdf)|faces\.png"  # the face grid was a PNG once
)
RENDERERS: dict[str, Callable[[Table], str]] = {
    "md": markdown.render,
    "tex": latex.render,
    "csv": csv_file.render,
    "html": html.render,
}


def draw_report(
    results: Results, out_dir: Path, failures: bool = False, timing: bool = False, interactive: bool = True
) -> list[Path]:
    """Write the tables (table1 and, with several test sets, table2 and table3), figures, faces.webp and pages.

    The pages (all metrics, image by image, factorial effects, capacity, protocol sensitivity) have tables and pictures
    of their own; with `failures` tables of measured means count the faces that each run fails on, with `timing` the
    first tables have seconds an image, and `interactive` adds report.html, the page for the browser. The same results
    give the same bytes. Rows without results are shown as such; a picture with nothing to show is not written. Returns
    the files written; raises UserError for results of an unknown kind and for pictures that cannot be read, and OSError
    when a file cannot be written; the report that was there is then whole.
    """
    if results.kind not in KINDS:
        raise UserError(
            f"{results.folder / 'experiment.json'}: unknown kind '{results.kind}': {suggest(results.kind, KINDS)}"
        )

    def finish(table: Table) -> Table:
        table = dataclasses.replace(table, experiment=results.folder.name)
        return with_failures(table) if failures else table

    kind = KINDS[results.kind]
    tables = {name: finish(table) for name, draw in kind.tables.items() if (table := draw(results)) is not None}
    tables = {name: with_timing(table, results) if timing else table for name, table in tables.items()}
    contents: dict[str, bytes | None] = {}
    for table in tables.values():
        contents |= _rendered(table)
    screen = None if is_smoke(results) else first_screen(results)
    contents |= _pictures(results) | _forest(screen)
    pages = [
        dataclasses.replace(page, tables=tuple(map(finish, page.tables)))
        for build in kind.pages
        if (page := build(results)) is not None
    ]
    drawn = [name for name, content in contents.items() if content is not None]
    drawn += [FILE] if interactive else []
    claims = claims_section(screen, drawn) if screen else ()
    contents["index.md"] = render_page(results, tables, drawn, pages, claims).encode()
    for page in pages:
        contents |= _page(results, page)
    contents[FILE] = browser_page(results) if interactive else None
    return replace_files(out_dir, contents, _OWN)


def _rendered(table: Table) -> dict[str, bytes | None]:
    return {f"{table.name}.{ending}": render(table).encode() for ending, render in RENDERERS.items()}


def _page(results: Results, page: Page) -> dict[str, bytes | None]:
    """Return file name -> content of a page, its tables and its pictures."""
    contents: dict[str, bytes | None] = {f"{page.name}.md": render_subpage(results, page).encode()}
    for table in page.tables:
        contents |= _rendered(table)
    for name, picture in page.pictures.items():
        figure = picture.draw()
        contents |= {f"{name}.{kind}": figure_bytes(figure, kind) for kind in ("png", "pdf")}
    return contents


def _forest(screen: Screen | None) -> dict[str, bytes | None]:
    """Return file name -> content of the picture of claims; None where there are too few."""
    drawn = forest_picture(screen) if screen else None
    return {f"{FOREST}.{kind}": figure_bytes(drawn.draw(), kind) if drawn else None for kind in ("png", "pdf")}


def _pictures(results: Results) -> dict[str, bytes | None]:
    """Return file name -> content of every picture; None for one with nothing to show."""
    curves, faces = draw_curves(results), draw_faces(results)
    return {
        "fig6.png": figure_bytes(curves, "png") if curves else None,
        "fig6.pdf": figure_bytes(curves, "pdf") if curves else None,
        "faces.webp": grid_bytes(faces) if faces else None,
    }
