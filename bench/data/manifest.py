"""Crop manifests: what a detector found in each photo, as facts that a second laboratory can crop from.

A row is a face, or a photo without one (then `problem` says why). A photo with several wanted faces has several rows.
The photos themselves are held by hash: the same photos and the same manifest give the same faces, with no detector.
"""

from __future__ import annotations

import dataclasses
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError
from bench.core.files import read_csv, write_csv

Box = tuple[float, float, float, float]
LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
COLUMNS = (
    *("file", "sha256", "identity", "width", "height", "kinds", "problem", "faces", "chosen", "probability"),
    *("left", "top", "right", "bottom"),
    *(f"{mark}_{axis}" for mark in LANDMARKS for axis in "xy"),
    *("detector", "version"),
)
_NUMBERS = COLUMNS[COLUMNS.index("probability") : COLUMNS.index("detector")]
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Row:
    """One face of a photo, in the photo's pixels (0, 0 is its top left corner), or a photo with a `problem`.

    `faces` counts all faces seen in the photo, `chosen` says why this one, `kinds` what was converted on reading
    ("grey", "CMYK", ...). `landmarks` holds x and y of the viewer's left eye, right eye, nose, left and right corner
    of the mouth, or nothing.
    """

    file: str
    sha256: str
    identity: str = ""
    width: int = 0
    height: int = 0
    kinds: tuple[str, ...] = ()
    problem: str = ""
    faces: int = 0
    chosen: str = ""
    probability: float | None = None
    box: Box | None = None
    landmarks: tuple[float, ...] = ()
    detector: str = ""
    version: str = ""


def write_manifest(path: Path, rows: Iterable[Row]) -> None:
    """Write rows, sorted by file and then by box, in one step."""
    write_csv(path, COLUMNS, (_to_text(row) for row in sorted(rows, key=sort_key)))


def read_manifest(path: Path, detector: str | None = None) -> list[Row]:
    """Read a manifest, or of it the rows that `detector` left.

    Raises UserError that names the line when a value is none that a detector could have written.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; expected a manifest with the columns {','.join(COLUMNS[:3])},...")
    return [
        _from_text(row, f"{path}: line {number}")
        for number, row in enumerate(read_csv(path, COLUMNS), 2)
        if detector in (None, row["detector"])
    ]


def by_photo(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Group rows by the hash of their photo."""
    photos: dict[str, list[Row]] = {}
    for row in rows:
        photos.setdefault(row.sha256, []).append(row)
    return photos


def sort_key(row: Row) -> tuple[str, Box]:
    """Return what rows are sorted by: file, then the box from top to bottom and left to right."""
    left, top, right, bottom = row.box or (0.0, 0.0, 0.0, 0.0)
    return row.file, (top, left, bottom, right)


def check_photos(rows: Sequence[Row], hashes: Mapping[str, str], where: str) -> None:
    """Raise UserError when photos of a manifest are missing or have other bytes; `hashes` is file -> SHA-256."""
    known = {row.file: row.sha256 for row in rows}
    missing = [file for file in known if file not in hashes]
    changed = [file for file, digest in known.items() if hashes.get(file, digest) != digest]
    reasons = {"are not in the sources": missing, "have other bytes than it was made from": changed}
    problems = [
        f"{len(files)} of its {len(known)} photos {why} ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''})"
        for why, files in reasons.items()
        if files
    ]
    if problems:
        raise UserError(
            f"{where}: {'; '.join(problems)}; get the photos it was made from, take their lines out, "
            "or prepare without --manifest to detect faces anew"
        )


def _to_text(row: Row) -> dict[str, object]:
    values = {name: getattr(row, name, None) for name in COLUMNS} | {"kinds": ";".join(row.kinds)}
    numbers = [row.probability, *(row.box or [None] * 4), *(row.landmarks or [None] * 2 * len(LANDMARKS))]
    return values | dict(zip(_NUMBERS, numbers, strict=True))


def _from_text(text: Mapping[str, str], where: str) -> Row:
    if not _SHA256.fullmatch(text["sha256"]):
        raise UserError(f"{where}: sha256 is '{text['sha256'][:70]}', expected 64 hexadecimal digits")
    if not text["file"]:
        raise UserError(f"{where}: file is empty")
    counts = {name: _whole(text, name, where) for name in ("width", "height", "faces")}
    texts = {name: text[name] for name in ("sha256", "identity", "problem", "chosen", "detector", "version")}
    kinds = tuple(text["kinds"].split(";")) if text["kinds"] else ()
    row = Row(file=unicodedata.normalize("NFC", text["file"]), kinds=kinds, **texts, **counts)  # type: ignore[arg-type]
    if row.problem:
        return row
    probability, left, top, right, bottom = (_real(text, name, where) for name in _NUMBERS[:5])
    has_landmarks = any(text[name] for name in _NUMBERS[5:])
    landmarks = tuple(_real(text, name, where) for name in _NUMBERS[5:]) if has_landmarks else ()
    row = dataclasses.replace(row, probability=probability, box=(left, top, right, bottom), landmarks=landmarks)
    _check_face(row, where)
    return row


def _check_face(row: Row, where: str) -> None:
    left, top, right, bottom = row.box or (0.0, 0.0, 0.0, 0.0)
    if not (left < right and top < bottom):
        raise UserError(f"{where}: box {row.box} is empty, expected left < right and top < bottom")
    if not (0 <= (left + right) / 2 <= row.width and 0 <= (top + bottom) / 2 <= row.height):
        raise UserError(f"{where}: the middle of box {row.box} is outside the photo of {row.width}x{row.height}")
    if not 0 <= (row.probability or 0) <= 1:
        raise UserError(f"{where}: probability is {row.probability}, expected 0 to 1")


def _whole(text: Mapping[str, str], name: str, where: str) -> int:
    if not text[name].isdecimal():
        raise UserError(f"{where}: {name} is '{text[name]}', expected a whole number of at least 0")
    return int(text[name])


def _real(text: Mapping[str, str], name: str, where: str) -> float:
    try:
        value = float(text[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: {name} is '{text[name]}', expected a number")
    return value
