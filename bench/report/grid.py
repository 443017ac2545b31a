"""A table as pandas' grid of texts, which its Styler writes as LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.table import Cell, Column, Row, Table

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler


def grid(
    table: Table, head: Callable[[Column, str], str], label: Callable[[Row], str], text: Callable[[Cell], str]
) -> Styler:
    """Return a Styler over the rows' texts: `label` writes the first cell, `text` every other, `head` a heading.

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
    body = [[label(row), *map(text, row.cells[1:])] for row in table.rows]
    return pd.DataFrame(body, columns=columns, dtype=object).style.hide(axis="index")
