"""A table as tidy CSV: a row a model and test set, numbers as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pandas as pd

from bench.report.table import Cell, Row, Table, Value

_FORMULA = tuple("=+-@\t\n\uff1d\uff0b\uff0d\uff20")  # and as East Asian keyboards write them
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def render(table: Table) -> str:
    """Return the table as CSV: every digit of a float, true or false, nothing where there is no number.

    A text that a spreadsheet would take for a formula, as "=1+1", gets an apostrophe before it.

    Columns that were measured on a test set are followed by what their cells have besides a number: the standard
    deviation over seeds (`psnr_std`), the ends of the 95% interval (`psnr_low`, `psnr_high`) and p (`psnr_p`). Each
    test set has a row of its own; where cells can say where they come from, `dataset`, `fingerprint`, `protocol`,
    `images`, `seeds` and `runs` do.
    """
    records = [record for row in table.rows for record in _records(table, row)]
    texts = [{_plain(key): _plain(value) for key, value in record.items()} for record in records]
    return str(pd.DataFrame(texts, dtype=object).to_csv(index=False, lineterminator="\n"))


def _records(table: Table, row: Row) -> Iterator[dict[str, Value]]:
    """Yield a record a test set."""
    for dataset in dict.fromkeys(column.dataset for column in table.columns if column.dataset):
        record: dict[str, Value] = {}
        chosen: list[Cell] = []
        for place, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            if column.dataset in ("", dataset):
                chosen.append(cell)
                record[column.key] = cell.value
            if column.dataset == dataset:
                record |= _details(column.key, cell, [other.cells[place] for other in table.rows])
        remarks = dict.fromkeys(text for cell in chosen[1:] for text in cell.remarks)
        about = {"remark": " ".join(remarks) or None} if any(map(_remarks, table.rows)) else {}
        yield record | {"dataset": dataset, **_source(table, row, chosen), **about}


def _remarks(row: Row) -> list[str]:
    """Return the footnotes of a row's numbers; those of its label are its problem."""
    return [text for cell in row.cells[1:] for text in cell.remarks]


def _details(key: str, cell: Cell, column: Sequence[Cell]) -> dict[str, Value]:
    """Return what a cell has besides its number, of all that any cell of its column has."""
    record: dict[str, Value] = {}
    if any(other.provenance for other in column):
        record[f"{key}_std"] = cell.spread
    if any(other.interval for other in column):
        record[f"{key}_low"], record[f"{key}_high"] = cell.interval or (None, None)
    if any(other.p is not None for other in column):
        record[f"{key}_p"] = cell.p
    return record


def _source(table: Table, row: Row, chosen: Sequence[Cell]) -> dict[str, Value]:
    """Return where the numbers of a record come from, for tables whose cells know it."""
    if not any(cell.provenance for other in table.rows for cell in other.cells):
        return {}
    source = next((cell.provenance for cell in chosen if cell.provenance), None)
    return {
        "method": row.method,
        "status": row.status,
        "fingerprint": source.fingerprint if source else None,
        "protocol": source.protocol if source else None,
        "images": source.images if source else 0,
        "seeds": source.seeds if source else 0,
        "runs": " ".join(source.runs) if source else None,
        "failures": sum(source.failures) if source else None,
        "problem": row.problem or None,
    }


def _plain(value: Value) -> Value:
    if isinstance(value, str):
        text = value.replace("\r", "\n")  # which pandas writes without quotes
        return f"'{text}" if text[:1] in _FORMULA and not _NUMBER.fullmatch(text) else text
    return str(value).lower() if isinstance(value, bool) else value
