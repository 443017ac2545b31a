"""A table as Markdown: a pipe table that GitHub renders and a terminal shows readably."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tabulate import tabulate

from bench.report.table import FOREIGN, TIED, Cell, Column, Table

# An underscore inside a word, a "<" before a number and an "&" that begins no entity are plain text.
_SPECIAL = re.compile(r"([\\`*\[\]|~$]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_]))")


def escape(text: str) -> str:
    """Return `text` on one line, with what Markdown would read as markup escaped."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def render(table: Table) -> str:
    """Return caption, table, footnotes and notes; the best is bold, the second best underlined."""
    body = [[_cell(table, cell) for cell in row.cells] for row in table.rows]
    if 0 < table.own_rows < len(body):
        body.insert(table.own_rows, [f"*{FOREIGN}*", *[""] * (len(table.columns) - 1)])
    grid = tabulate(
        body,
        headers=[_heading(column) for column in table.columns],
        tablefmt="pipe",
        colalign=[column.align for column in table.columns],
        disable_numparse=True,
    )
    parts = [f"**{escape(table.title)}.** {escape(table.caption)}", grid]
    remarks = [f"{letter}: {escape(text)}" for text, letter in table.footnotes.items()]
    remarks += map(escape, table.notes)
    if remarks:
        parts.append("\n".join(f"- {text}" for text in remarks))
    return "\n\n".join(parts) + "\n"


def text_grid(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return cells of Markdown as a pipe table, aligned left."""
    return tabulate(body, headers=head, tablefmt="pipe", disable_numparse=True)


def _heading(column: Column) -> str:
    return escape(f"{column.group}: {column.heading}" if column.group else column.heading)


def _cell(table: Table, cell: Cell) -> str:
    text = escape(cell.text)
    if cell.emphasis:
        text = f"**{text}**" if cell.emphasis == "best" else f"<ins>{text}</ins>"
    return " ".join([text, *([TIED] if cell.tied else []), *(f"[{letter}]" for letter in table.marks(cell))])
