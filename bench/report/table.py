"""The table model: what a table says, before it is Markdown, LaTeX or CSV.

A cell keeps its number beside its text and can say where the number came from, so that every renderer draws on the
same values. Texts are plain Unicode; escaping is a renderer's business.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.analysis.intervals import Estimate

Value = bool | int | float | str | None
Emphasis = Literal["", "best", "second"]
Align = Literal["left", "center", "right"]

FOREIGN = "Made elsewhere"  # the heading of rows that are not of the others' budget
DASH = "–"  # noqa: RUF001 - the dash of an empty cell
CHECK = "✓"
PLUS_MINUS = "±"
TIED = "≈"


@dataclass(frozen=True)
class Provenance:
    """Where a measured number came from: runs, faces, how many of each, the protocol.

    `failures` counts the faces that each run fails on.
    """

    runs: tuple[str, ...]
    dataset: str
    fingerprint: str
    images: int
    seeds: int
    protocol: str
    failures: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One cell: the number as it is (None: there is none) and its text.

    `tied` marks a mean that is not distinguishable from the best. `spread` is the standard deviation over seeds,
    `interval` the 95% interval, `p` that of a difference, corrected.
    `remarks` are the footnotes that the cell carries.
    """

    value: Value = None
    text: str = DASH
    emphasis: Emphasis = ""
    tied: bool = False
    spread: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    provenance: Provenance | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """One column. `key` names it in CSV, `group` is a heading that neighbours share.

    `dataset` is the test set that its numbers were measured on; "" for a column that belongs to the row as a whole.
    """

    key: str
    title: str
    unit: str = ""
    group: str = ""
    align: Align = "right"
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
    """One row: a cell a column, the method's id and how its runs ended.

    `foreign` says whose the row is where it was not made here under the others' budget; a rule sets it apart.
    """

    cells: tuple[Cell, ...]
    method: str
    status: str = "finished"
    problem: str = ""
    foreign: str = ""


@dataclass(frozen=True)
class Table:
    """A whole table. `name` is its file name; the first column labels the rows; notes stand under it.

    `title` is a few words without a full stop, `caption` the sentences that follow it, `experiment` whose table it is.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    experiment: str = ""

    @functools.cached_property
    def footnotes(self) -> Mapping[str, str]:
        """The remarks of all cells, each once, and the letter that marks each."""
        remarks = dict.fromkeys(text for row in self.rows for cell in row.cells for text in cell.remarks)
        return {text: letter(place) for place, text in enumerate(remarks)}

    @property
    def own_rows(self) -> int:
        """How many rows come before the first foreign one: those of equal budget."""
        return next((place for place, row in enumerate(self.rows) if row.foreign), len(self.rows))

    def marks(self, cell: Cell) -> list[str]:
        """Return the letters of the footnotes that a cell carries."""
        return [self.footnotes[text] for text in cell.remarks]


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


def remarked(cell: Cell, *remarks: str) -> Cell:
    """Return a cell with these footnotes; one without a number carries none."""
    return cell if cell.value is None else dataclasses.replace(cell, remarks=remarks)


def signed_cell(value: float, decimals: int) -> Cell:
    """Return a signed difference."""
    return Cell(value, f"{value:+.{decimals}f}")


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


def gain_cell(estimate: Estimate | None, decimals: int) -> Cell:
    """Return a signed difference with its 95% interval in brackets; None gives a dash."""
    if estimate is None or not math.isfinite(estimate.mean):
        return Cell()
    shown = f"{estimate.mean:+.{decimals}f}"
    if not math.isfinite(estimate.low):  # a single image
        return Cell(estimate.mean, shown)
    text = f"{shown} [{estimate.low:+.{decimals}f}, {estimate.high:+.{decimals}f}]"
    return Cell(estimate.mean, text, interval=(estimate.low, estimate.high))
