"""A table as HTML: a fragment to put into any page, in which a measured cell says where it comes from when hovered."""

from __future__ import annotations

from html import escape

from bench.report.grid import grid
from bench.report.table import FOREIGN, TIED, Cell, Provenance, Table


def render(table: Table) -> str:
    """Return caption, table, footnotes and notes; the best is bold, the second best underlined."""
    body = grid(table, lambda _, text: escape(text), _cell, "<sup>{}</sup>").to_html(
        table_uuid=table.name, exclude_styles=True, sparse_columns=True
    )
    if 0 < table.own_rows < len(table.rows):
        body = _ruled(body, table)
    below = [f"<li>{letter}: {escape(text)}</li>" for text, letter in table.footnotes.items()]
    below += [f"<li>{escape(text)}</li>" for text in table.notes]
    notes = "<ul>\n" + "\n".join(below) + "\n</ul>\n" if below else ""
    return f"<p><b>{escape(table.title)}.</b> {escape(table.caption)}</p>\n{body}{notes}"


def _ruled(body: str, table: Table) -> str:
    """Return pandas' table with a heading before its first foreign row."""
    head, tag, rows = body.partition("<tbody>\n")
    begin = "    <tr>\n"
    own = rows.split(begin)
    own[table.own_rows] += f'    <tr><th colspan="{len(table.columns)}">{FOREIGN}</th></tr>\n'
    return head + tag + begin.join(own)


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.provenance:
        text = f'<span title="{escape(_about(cell, cell.provenance))}">{text}</span>'
    tag = {"best": "b", "second": "u"}.get(cell.emphasis)
    text = f"<{tag}>{text}</{tag}>" if tag else text
    return f"{text} {TIED}" if cell.tied else text


def _about(cell: Cell, source: Provenance) -> str:
    """Say which faces and runs a number is the mean of, and its interval."""
    interval = f"; 95% interval {cell.interval[0]:.4f} to {cell.interval[1]:.4f}" if cell.interval else ""
    return (
        f"{source.images} images of {source.dataset} ({source.fingerprint[:8]}), protocol {source.protocol}, "
        f"{source.seeds} {'seed' if source.seeds == 1 else 'seeds'}{interval}; runs {' '.join(source.runs)}"
    )
