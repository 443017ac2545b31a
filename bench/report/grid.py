"""A table as pandas' grid of texts, which its Styler writes as LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.table import Cell, Column, Table

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler


def grid(table: Table, head: Callable[[Column, str], str], text: Callable[[Cell], str], mark: str) -> Styler:
    """Return a Styler over the rows' texts: `text` writes a cell, `mark` its footnotes' letters, `head` a heading.

    Columns have up to three levels, which are groups, titles and units; one that would be empty is left out.
    """
    levels = {
        "group": [column.group for column in table.columns],
        "title": [column.title for column in table.columns],
        "unit": [f"({column.unit})" if column.unit else "" for column in table.columns],
    }
    shown = {
        name: [head(column, one) for column, one in zip(table.columns, texts, strict=True)]
        for name, texts in levels.items()
        if any(texts)
    }
    columns = pd.MultiIndex.from_arrays(list(shown.values()))
    body = [
        [text(cell) + (mark.format(",".join(table.marks(cell))) if cell.remarks else "") for cell in row.cells]
        for row in table.rows
    ]
    return pd.DataFrame(body, columns=columns, dtype=object).style.hide(axis="index")
