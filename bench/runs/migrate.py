"""Bring results folders of layout 1 to the present one: `fsr migrate FOLDER`.

Layout 1 had one scores.csv a run (scores.csv.gz where runs were kept) with a row an image, metric and protocol. Every
value is kept as it is. A run's run.json is replaced last, so a migration that was interrupted goes on when it is called
again.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from bench.core.errors import UserError
from bench.core.files import read_json, write_json
from bench.core.names import listed
from bench.runs.records import EXPERIMENT_FILE, LAYOUT, RETIRED, RUN_FILE, SEARCH_FILE
from bench.runs.scores import ScoreSheet, write_sheet

_OLD = 1
_COLUMNS = ["run", "method", "seed", "dataset", "fingerprint", "image", "metric", "protocol", "value"]
_FILES = (RUN_FILE, EXPERIMENT_FILE, SEARCH_FILE)


def migrate(folder: Path) -> list[Path]:
    """Migrate the results in `folder`, at any depth below it; return the records that were brought to this layout.

    What has this layout already is left alone. Raises UserError where there are no results, a file is damaged or its
    layout is neither of the two.
    """
    paths = sorted(path for name in _FILES for path in listed(folder, f"**/{name}"))
    if not paths:
        raise UserError(f"{folder}: no results there; expected a folder with {', '.join(_FILES[:2])} in or below it")
    return [path for path in paths if _migrate(path)]


def _migrate(path: Path) -> bool:
    record = read_json(path)
    layout = record.get("layout") if isinstance(record, dict) else None
    if layout == LAYOUT:
        return False
    if layout != _OLD:
        raise UserError(f"{path}: results layout {layout}, expected {_OLD} or {LAYOUT}")
    if path.name == RUN_FILE:
        _migrate_scores(path.parent)
    plain = {key: value for key, value in record.items() if key not in RETIRED[path.name]}
    write_json(path, {**plain, "layout": LAYOUT})
    return True


def _migrate_scores(folder: Path) -> None:
    for name in ("scores.csv", "scores.csv.gz"):
        path = folder / name
        if path.exists():
            for sheet in _sheets(_rows(path), path):
                write_sheet(folder, sheet, packed=path.suffix == ".gz")
            path.unlink()


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))
    except (ValueError, csv.Error, EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path}: not valid CSV ({error}); delete it or restore it from a copy") from None
    if any(list(row) != _COLUMNS or None in row.values() for row in rows):
        raise UserError(f"{path}: damaged, expected the columns {', '.join(_COLUMNS)}; delete it or restore a copy")
    return rows


def _sheets(rows: list[dict[str, str]], path: Path) -> Iterator[ScoreSheet]:
    sets: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for row in rows:
        columns = sets.setdefault((row["dataset"], row["fingerprint"]), {})
        try:
            columns.setdefault(f"{row['metric']}@{row['protocol']}", {})[row["image"]] = float(row["value"])
        except ValueError:
            raise UserError(f"{path}: {row['value']!r} in column 'value', expected a number") from None
    for (dataset, fingerprint), columns in sets.items():
        images = tuple(dict.fromkeys(image for values in columns.values() for image in values))
        table = {name: tuple(map(values.get, images)) for name, values in columns.items()}
        yield ScoreSheet(dataset, fingerprint[:12], images, table)
