"""The table model: what a table says, before it is Markdown, LaTeX or CSV.

A cell keeps its number beside its text and can say where the number came from, so that every renderer draws on the
same values. Texts are plain Unicode; escaping is a renderer's business.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Value = bool | int | float | str | None
Emphasis = Literal["", "best", "second"]

DASH = "–"  # noqa: RUF001 - the dash of an empty cell
CHECK = "✓"
PLUS_MINUS = "±"


@dataclass(frozen=True)
class Provenance:
    """Where a measured number came from: runs, faces, how many of each, and the protocol."""

    runs: tuple[str, ...]
    dataset: str
    fingerprint: str
    images: int
    seeds: int
    protocol: str


@dataclass(frozen=True)
class Cell:
    """One cell: the number as it is (None: there is none), its text, and the standard deviation over seeds."""

    value: Value = None
    text: str = DASH
    emphasis: Emphasis = ""
    spread: float | None = None
    provenance: Provenance | None = None


@dataclass(frozen=True)
class Column:
    """One column. `key` names it in CSV, `group` is a heading that neighbours share.

    `dataset` is the test set that its numbers were measured on; "" for a column that belongs to the row as a whole.
    """

    key: str
    title: str
    unit: str = ""
    group: str = ""
    align: Literal["left", "center", "right"] = "right"
    dataset: str = ""

    @property
    def numeric(self) -> bool:
        """Whether the column holds numbers."""
        return self.align == "right" or bool(self.dataset)

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Row:
    """One row: a cell a column, the method's id, how its runs ended and which footnotes it carries (from 0)."""

    cells: tuple[Cell, ...]
    method: str
    status: str = "finished"
    problem: str = ""
    footnotes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Table:
    """A whole table. `name` is its file name; the first column labels the rows; notes stand under it.

    `title` is a few words without a full stop, `caption` the sentences that follow it.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    footnotes: tuple[str, ...] = ()


def check_cell(flag: bool | None) -> Cell:
    """Return a check mark for True and an empty cell for False, or for None where the question does not arise."""
    return Cell(flag, CHECK if flag else "")


def number_cell(
    value: float | None, decimals: int, spread: float | None = None, provenance: Provenance | None = None
) -> Cell:
    """Return `value` with so many decimals, and "± spread" after it; None gives a dash.

    A number above 0 that would print as 0 is written "<0.001" (for 3 decimals).
    """
    if value is None or math.isnan(value):
        return Cell()
    least = 10.0**-decimals
    if value == 0:
        text = "0"
    elif math.isinf(value):
        text = "∞" if value > 0 else "-∞"
    else:
        text = f"<{least:.{decimals}f}" if 0 < value < least / 2 else f"{value:.{decimals}f}"
    if spread is not None:
        text += f" {PLUS_MINUS} {spread:.{decimals}f}"
    return Cell(value, text, spread=spread, provenance=provenance)


def letter(index: int) -> str:
    """Return the mark of a footnote: a, b, ..., z, aa, ab, ...

    >>> letter(0), letter(26)
    ('a', 'aa')
    """
    mark = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        mark = chr(ord("a") + rest) + mark
    return mark


def emphasise(rows: Sequence[Row], column: int, decimals: int, higher_is_better: bool = True) -> tuple[Row, ...]:
    """Mark the best and second-best measured numbers of a column.

    Numbers that print alike count as equal: all of the best are marked best, and the next lower number second. A column
    of fewer than two different numbers is left as it is: there is nothing to tell apart.
    """
    sign = 1 if higher_is_better else -1
    shown = [_shown(row.cells[column], decimals) for row in rows]
    ranks = sorted({sign * value for value in shown if value is not None}, reverse=True)
    if len(ranks) < 2:
        return tuple(rows)
    marks: dict[float, Emphasis] = {sign * ranks[0]: "best", sign * ranks[1]: "second"}
    return tuple(
        _with_emphasis(row, column, marks.get(value, "") if value is not None else "")
        for row, value in zip(rows, shown, strict=True)
    )


def _shown(cell: Cell, decimals: int) -> float | None:
    """Return a measured cell's number as it is printed."""
    if cell.provenance is None or not isinstance(cell.value, int | float):
        return None
    return float(f"{cell.value:.{decimals}f}")


def _with_emphasis(row: Row, column: int, emphasis: Emphasis) -> Row:
    cells = list(row.cells)
    cells[column] = dataclasses.replace(cells[column], emphasis=emphasis)
    return dataclasses.replace(row, cells=tuple(cells))
