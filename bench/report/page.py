"""The pages of a report as Markdown: the first with its tables, pictures and provenance, and those beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.analysis.results import Results, RunResult
from bench.report import markdown
from bench.report.audit import audit_section
from bench.report.columns import beside_of
from bench.report.curves import MOST, drawn_rows, in_colour, smoothing
from bench.report.highlight import in_words
from bench.report.table import DASH, Table
from bench.report.tables import shown_in_table_1
from bench.report.words import row_status
from bench.runs.records import RunState

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_SHORT = 12  # digits of a fingerprint that are shown


@dataclass(frozen=True)
class Picture:
    """A figure, drawn when it is written, and what stands under it."""

    draw: Callable[[], Figure]
    alt: str
    about: str


@dataclass(frozen=True)
class Page:
    """A page `name`.md; `text` are paragraphs above the tables, `pictures` go by the name of their files."""

    name: str
    title: str
    text: tuple[str, ...]
    tables: tuple[Table, ...]
    pictures: Mapping[str, Picture] = field(default_factory=dict)


def render_page(
    results: Results,
    tables: Mapping[str, Table],
    files: Collection[str],
    pages: Sequence[Page],
    claims: Sequence[str] = (),
) -> str:
    """Return index.md: the tables, the pictures among `files`, claims, provenance and errata.

    `tables` go by the name of the published table that each stands beside, `claims` are paragraphs: the first, the
    answer in words, leads the page, the others follow the tables.
    """
    (_, first), *others = tables.items()
    answer, *proof = claims or ("",)
    parts = [f"# {markdown.escape(results.title)}", *([f"{answer} [More](#claims)."] if answer else [])]
    if "report.html" in files:
        parts.append("[All of this in one page for the browser](report.html).")
    parts += [markdown.render(first).rstrip(), _files_of(first)]
    if others and len(results.test) > 1:
        links = " and ".join(f"[{name}]({table.name}.md)" for name, table in others)
        shown = markdown.escape(shown_in_table_1(results).dataset)
        parts.append(f"This table shows {shown}; the other test sets are in {links}.")
    for name, table in others:
        parts += [f"## {name}", markdown.render(table).rstrip(), _files_of(table)]
    if pages:
        parts.append("More: " + ", ".join(f"[{page.title}]({page.name}.md)" for page in pages) + ".")
    if proof:
        parts += ["## Claims", *proof]
    if "fig6.png" in files:
        parts += ["## Training curves", f"![Validation PSNR against iterations](fig6.png)\n\n{_about_curves(results)}"]
    if "faces.webp" in files:
        parts += ["## Faces", f"![The same faces under every method](faces.webp)\n\n{_about_faces(results)}"]
    for audit in results.audits:
        parts += [f"## Data: {markdown.escape(audit['title'])}", audit_section(audit)]
    parts += ["## Where the numbers come from", _provenance(results)]
    parts += [
        f"## The published numbers ({', '.join(tables)})",
        _errata(results, [table.name for table in tables.values()]),
    ]
    return "\n\n".join(parts) + "\n"


def render_subpage(results: Results, page: Page) -> str:
    """Return a page beside the first: its text, tables and pictures."""
    parts = [f"# {page.title}: {markdown.escape(results.title)}", *map(markdown.escape, page.text)]
    for name, picture in page.pictures.items():
        parts.append(f"![{picture.alt}]({name}.png)\n\n{markdown.escape(picture.about)} [PDF]({name}.pdf)")
    for table in page.tables:
        parts += [markdown.render(table).rstrip(), _files_of(table)]
    return "\n\n".join([*parts, "[Back to the report](index.md)"]) + "\n"


def _files_of(table: Table) -> str:
    endings = {"LaTeX": "tex", "CSV": "csv", "Markdown": "md", "HTML": "html"}
    return f"As files: {', '.join(f'[{kind}]({table.name}.{ending})' for kind, ending in endings.items())}."


def _about_curves(results: Results) -> str:
    text = (
        f"PSNR on {results.val.faces:,} validation faces of {markdown.escape(results.val.dataset)} "
        f"({results.val.fingerprint[:8]}), protocol {markdown.escape(results.protocol)}. "
    )
    if len(results.rows) > MOST:
        text += f"Of more than {MOST} rows those that end highest are drawn. "
    text += markdown.escape(in_words(in_colour(results), len(drawn_rows(results)))) + " "
    if (window := smoothing(results)) > 1:
        text += f"Lines are running means over {window} validations, dots the validations themselves. "
    if len(results.seeds) > 1:
        text += "Bands are one standard deviation over seeds. "
    return text + (
        "The first points lie below the picture where they would squash it; where there is room, the last quarter is "
        "enlarged. [PDF](fig6.pdf)"
    )


def _about_faces(results: Results) -> str:
    return (
        f"The first test faces of {markdown.escape(results.pictured.dataset)}, each row's first seed that was scored; "
        f"PSNR in dB under protocol {markdown.escape(results.protocol)}, the best of a face in bold. Pixels are "
        "not resampled (values are rounded by at most one grey level to keep the file small); an LR pixel is shown "
        "as a square."
    )


def _provenance(results: Results) -> str:
    head = ["Row", "Status", "Run", "Seed", "Device", "Commit", "Versions"]
    body = [
        [
            markdown.escape(row.label),
            row_status(row, results) if len(row.runs) == 1 else run.status,
            f"`{run.name}`",
            str(run.seed) if run.status not in (RunState.NOT_RUN, RunState.DAMAGED) else DASH,
            markdown.escape(run.device) or DASH,
            markdown.escape(run.environment.get("commit", "")) or DASH,
            markdown.escape(_versions(run)) or DASH,
        ]
        for row in results.rows
        for run in row.runs
    ]
    return f"{markdown.text_grid(head, body)}\n\n{_faces_of(results)}"


def _faces_of(results: Results) -> str:
    """Say which faces an experiment is of, by their fingerprints."""
    sets = [
        ("trained on", results.train),
        ("validated on", results.val),
        *(("tested on", test) for test in results.test),
    ]
    body = [
        [what, markdown.escape(one.dataset), one.split, f"{one.faces:,}", f"`{one.fingerprint[:_SHORT]}`"]
        for what, one in sets
    ]
    return markdown.text_grid(["Faces", "Data set", "Split", "Count", "Fingerprint"], body)


def _versions(run: RunResult) -> str:
    return ", ".join(f"{name} {version}" for name, version in run.environment.items() if name != "commit")


def _errata(results: Results, tables: Sequence[str]) -> str:
    """Say where the published numbers beside `tables` stand and what is known about them."""
    paper = beside_of(results, "")[0]
    printed = [beside.tables[0] for table in tables if (beside := paper.beside.get(table)) and beside.tables]
    if not printed:
        return "None of these methods has published numbers beside it."
    methods = [row.method for row in results.rows]
    known = [f"- {markdown.escape(erratum.text)}" for erratum in paper.errata_of(printed, methods)]
    return "\n".join([f"From [{paper.citation}]({paper.url}). Known about them:", "", *known])
