"""A table as tidy CSV: a row a model and test set, numbers as numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from bench.report.table import Row, Table, Value


def render(table: Table) -> str:
    """Return the table as CSV: every digit of a float, true or false, nothing where there is no number.

    Columns that were measured on a test set are followed by their standard deviation over seeds (`psnr_std`), and each
    test set has a row of its own: `dataset`, `fingerprint`, `protocol`, `images`, `seeds` and `runs` say where its
    numbers come from.
    """
    rows = [line for row in table.rows for line in _lines(table, row)]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _lines(table: Table, row: Row) -> Iterator[dict[str, str]]:
    """Yield a record a test set."""
    for dataset in dict.fromkeys(column.dataset for column in table.columns if column.dataset):
        chosen = [
            (column, cell)
            for column, cell in zip(table.columns, row.cells, strict=True)
            if column.dataset in ("", dataset)
        ]
        record: dict[str, Value] = {}
        for column, cell in chosen:
            record[column.key] = cell.value
            if column.dataset:
                record[f"{column.key}_std"] = cell.spread
        source = next((cell.provenance for _, cell in chosen if cell.provenance), None)
        record |= {
            "method": row.method,
            "status": row.status,
            "dataset": dataset,
            "fingerprint": source.fingerprint if source else None,
            "protocol": source.protocol if source else None,
            "images": source.images if source else 0,
            "seeds": source.seeds if source else 0,
            "runs": " ".join(source.runs) if source else None,
            "problem": row.problem or None,
        }
        yield {key: _text(value) for key, value in record.items()}


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
