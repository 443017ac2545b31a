"""A table as tidy CSV: a row a model and test set, numbers as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
    details = [
        _details(column.key, [row.cells[place] for row in table.rows]) for place, column in enumerate(table.columns)
    ]
    measured = any(cell.provenance for row in table.rows for cell in row.cells)
    foreign = any(row.foreign for row in table.rows)
    remarked = any(cell.remarks for row in table.rows for cell in row.cells[1:])
    records = []
    for row, *detail in zip(table.rows, *details, strict=True):
        for dataset in dict.fromkeys(column.dataset for column in table.columns if column.dataset):
            record: dict[str, Value] = {}
            chosen: list[Cell] = []
            for column, cell, more in zip(table.columns, row.cells, detail, strict=True):
                if column.dataset in ("", dataset):
                    chosen.append(cell)
                    record |= {column.key: cell.value} | (more if column.dataset else {})
            record |= {"dataset": dataset} | (_source(row, chosen) if measured else {})
            if foreign:
                record["foreign"] = row.foreign or None
            if remarked:
                record["remark"] = " ".join(dict.fromkeys(text for cell in chosen[1:] for text in cell.remarks)) or None
            records.append(record)
    texts = [{_plain(key): _plain(value) for key, value in record.items()} for record in records]
    return str(pd.DataFrame(texts, dtype=object).to_csv(index=False, lineterminator="\n"))


def _details(key: str, cells: Sequence[Cell]) -> list[dict[str, Value]]:
    """Return what each cell of a column has besides its number, of all that any of them has."""
    has_source, has_interval, has_p = (
        any(map(has, cells))
        for has in (lambda cell: cell.provenance, lambda cell: cell.interval, lambda cell: cell.p is not None)
    )
    records: list[dict[str, Value]] = [{} for _ in cells]
    for record, cell in zip(records, cells, strict=True):
        if has_source:
            record[f"{key}_std"] = cell.spread
        if has_interval:
            record[f"{key}_low"], record[f"{key}_high"] = cell.interval or (None, None)
        if has_p:
            record[f"{key}_p"] = cell.p
    return records


def _source(row: Row, chosen: Sequence[Cell]) -> dict[str, Value]:
    """Return where the numbers of a record come from."""
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
