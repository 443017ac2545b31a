"""Bring results folders of layout 1 to the present one: `fsr migrate FOLDER`.

Layout 1 had one scores.csv a run (scores.csv.gz where runs were kept) with a row an image, metric and protocol. Every
value is kept as it is. A run's run.json is replaced last, so a migration that was interrupted goes on when it is called
again.

A finished run without digests of its files gets them, and one without a probe of its network (see bench.runs.behaviour)
gets that, where today's code still makes the pictures of faces that were kept beside its scores. Test sets that were
renamed get their names of today (see bench.runs.renamed).
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.core.errors import UserError
from bench.core.files import read_json, write_json
from bench.core.names import listed
from bench.metrics.protocol import get_protocol
from bench.models.weights import find
from bench.runs.behaviour import load_network, probe_of
from bench.runs.digests import digests_of
from bench.runs.evaluate import Enlarger
from bench.runs.pictures import shown_levels
from bench.runs.records import (
    EXPERIMENT_FILE,
    LAYOUT,
    RETIRED,
    RUN_FILE,
    SEARCH_FILE,
    RunRecord,
    RunState,
    read_run_record,
    write_run_record,
)
from bench.runs.renamed import rename
from bench.runs.scores import ScoreSheet, read_scores, write_sheet

log = logging.getLogger("fsr")
_OLD = 1
_SAME = 0.1  # grey levels on average: rounding, and the last bits of a GPU
_COLUMNS = ["run", "method", "seed", "dataset", "fingerprint", "image", "metric", "protocol", "value"]
_FILES = (RUN_FILE, EXPERIMENT_FILE, SEARCH_FILE)


def migrate(folder: Path) -> list[Path]:
    """Migrate the results in `folder`, at any depth below it; return the records that were brought to this layout.

    What has this layout and its names already is left alone. Raises UserError where there are no results, a file is
    damaged or its layout is neither of the two.
    """
    paths = sorted(path for name in _FILES for path in listed(folder, f"**/{name}"))
    if not paths:
        raise UserError(f"{folder}: no results there; expected a folder with {', '.join(_FILES[:2])} in or below it")
    experiments = [path.parent for path in paths if path.name == EXPERIMENT_FILE]
    # First what was interrupted among renamed files, which are not those that a run's digests say.
    changed = [path for place in experiments if _has_layout(place) for path in rename(place)]
    changed += [path for path in paths if _migrate(path)]
    changed += [path for place in experiments for path in rename(place)]
    return list(dict.fromkeys(changed))


def _has_layout(folder: Path) -> bool:
    """Tell whether an experiment and all its runs have the present layout."""
    records = [read_json(path) for path in (folder / EXPERIMENT_FILE, *listed(folder, f"*/{RUN_FILE}"))]
    return all(isinstance(record, dict) and record.get("layout") == LAYOUT for record in records)


def _migrate(path: Path) -> bool:
    record = read_json(path)
    layout = record.get("layout") if isinstance(record, dict) else None
    if layout == LAYOUT:
        return path.name == RUN_FILE and _complete(path.parent)
    if layout != _OLD:
        raise UserError(f"{path}: results layout {layout}, expected {_OLD} or {LAYOUT}")
    if path.name == RUN_FILE:
        _migrate_scores(path.parent)
    plain = {key: value for key, value in record.items() if key not in RETIRED[path.name]}
    write_json(path, {**plain, "layout": LAYOUT})
    if path.name == RUN_FILE:
        _complete(path.parent)
    return True


def _complete(folder: Path) -> bool:
    """Add to run.json what an older version did not keep of a finished run; tell whether there was anything to add."""
    record = read_run_record(folder)
    if record is None or record.status is not RunState.FINISHED:
        return False
    read_scores(folder, record.digests)  # what is damaged gets no digest
    completed = dataclasses.replace(
        record, digests=record.digests or digests_of(folder), probe=record.probe or _probe(folder, record)
    )
    if completed != record:
        write_run_record(folder, completed)
    return completed != record


def _probe(folder: Path, record: RunRecord) -> tuple[float, ...] | None:
    """Return what a run's network answers; None where that cannot be known, or is not what was scored any more."""
    if record.config.is_of_pictures or (record.config.has_weights and not find(folder)):
        return None
    model = load_network(record, folder, check=False)
    kept = {path.stem: _pixels(path) for path in listed(folder / "samples", "*.*")}
    inputs = {path.stem: path for path in listed(folder.parent / "samples", "*_lr.*")}
    names = [name for name in kept if f"{name}_lr" in inputs]
    probe = probe_of(model, record.config.scale)
    if not names or probe is None:
        return None
    enlarge = Enlarger(model, torch.device("cpu"), record.config.chance)
    sr = torch.cat(list(enlarge(np.stack([_pixels(inputs[f"{name}_lr"]) for name in names]))))
    made = get_protocol(record.config.protocol).to_uint8(sr).permute(0, 2, 3, 1).numpy()
    shown = [shown_levels(pictures).astype(int) for pictures in (made, np.stack([kept[name] for name in names]))]
    difference = np.abs(shown[0] - shown[1]).mean()
    if difference > _SAME:
        log.warning("%s: no probe: its pictures differ from those kept by %.2f grey levels", folder, difference)
        return None
    return probe


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


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
