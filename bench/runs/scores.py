"""A run's scores: one file a test set, a row an image, a column a metric and protocol, e.g. `psnr@sparnet`.

<run>/scores/<dataset>-<first 12 digits of its faces' fingerprint>.csv, or .csv.xz where runs are kept. An empty field
is an image without that score, `nan` a score that is undefined, `inf` the PSNR of identical pictures.
"""

from __future__ import annotations

import csv
import io
import lzma
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.core.errors import UserError
from bench.core.files import write_bytes
from bench.core.names import listed

FOLDER = "scores"
_IMAGE = "image"
_DIGITS = 12  # of a fingerprint, in a file's name
_WAY_OUT = "delete it and run the experiment again, or restore it from a copy"
Column = tuple[float | None, ...]


@dataclass(frozen=True)
class ScoreSheet:
    """Scores on the faces that `fingerprint` (its first 12 digits) names: "metric@protocol" -> a value an image.

    None stands where an image has no score.
    """

    dataset: str
    fingerprint: str
    images: tuple[str, ...]
    columns: Mapping[str, Column]
    _by_image: dict[str, Mapping[str, float]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def values(self, metric: str, protocol: str) -> Mapping[str, float]:
        """Return image -> score; empty when the metric was not scored under the protocol."""
        name = f"{metric}@{protocol}"
        if name not in self._by_image:  # a report asks thousands of times
            column = self.columns.get(name, ())
            scored = {image: value for image, value in zip(self.images, column, strict=False) if value is not None}
            self._by_image[name] = scored
        return self._by_image[name]

    def mean(self, metric: str, protocol: str) -> float | None:
        """Return the mean score; None without scores."""
        values = self.values(metric, protocol).values()
        return sum(values) / len(values) if values else None

    @property
    def scored(self) -> tuple[tuple[str, str], ...]:
        """The metrics and protocols of the columns."""
        pairs = (name.rpartition("@") for name in self.columns)
        return tuple((metric, protocol) for metric, _, protocol in pairs)

    def rounded(self) -> ScoreSheet:
        """Return the scores with six significant digits, as kept runs have them."""
        columns = {
            name: tuple(None if value is None else float(f"{value:.6g}") for value in column)
            for name, column in self.columns.items()
        }
        return ScoreSheet(self.dataset, self.fingerprint, self.images, columns)

    def merged(self, newer: ScoreSheet) -> ScoreSheet:
        """Return `newer` with the columns that only this sheet has, where both are of the same images."""
        old = self.columns if self.images == newer.images else {}
        return ScoreSheet(newer.dataset, newer.fingerprint, newer.images, {**old, **newer.columns})

    def completed(self, kept: ScoreSheet) -> ScoreSheet:
        """Return this sheet, but what `kept` has more of: images, columns, or values in a column."""
        if self.images != kept.images:
            return max(self, kept, key=lambda sheet: len(sheet.images))
        columns = {**kept.columns, **self.columns}
        for name in kept.columns.keys() & self.columns.keys():
            columns[name] = min(self.columns[name], kept.columns[name], key=lambda column: column.count(None))
        return ScoreSheet(self.dataset, self.fingerprint, self.images, columns)


def make_sheet(
    dataset: str, fingerprint: str, images: Sequence[str], scores: Mapping[tuple[str, str], Iterable[float]]
) -> ScoreSheet:
    """Return (protocol, metric) -> a value an image as a sheet."""
    columns = {f"{metric}@{protocol}": tuple(map(float, values)) for (protocol, metric), values in scores.items()}
    return ScoreSheet(dataset, fingerprint[:_DIGITS], tuple(images), columns)


class Scores(dict[tuple[str, str], ScoreSheet]):
    """The sheets of a run, by data set and the digits of the fingerprint that a sheet's name has."""

    def on(self, dataset: str, fingerprint: str) -> ScoreSheet:
        """Return the scores on the faces that `fingerprint` names; a sheet without any where there are none."""
        key = dataset, fingerprint[:_DIGITS]
        return self.get(key) or ScoreSheet(*key, (), {})

    def put(self, sheet: ScoreSheet) -> None:
        """Add a sheet, in place of the one on the same faces."""
        self[sheet.dataset, sheet.fingerprint] = sheet


def read_scores(folder: Path) -> Scores:
    """Read all scores of a run's folder; raise UserError that names a damaged file."""
    scores = Scores()
    for path in reversed(listed(folder / FOLDER, "*.csv*")):
        if path.suffix in (".csv", ".xz"):  # .csv comes last: it is the newer where both are there
            scores.put(read_sheet(path))
    return scores


def write_sheet(folder: Path, sheet: ScoreSheet, packed: bool = False) -> Path:
    """Replace the file of one test set in a run's folder, in one step; `packed` as .csv.xz."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_IMAGE, *sheet.columns])
    texts = [list(map(_text, column)) for column in sheet.columns.values()]
    writer.writerows(zip(sheet.images, *texts, strict=True))
    content = out.getvalue().encode()
    path = folder / FOLDER / f"{sheet.dataset}-{sheet.fingerprint}.csv"
    if packed:
        path, content = path.with_suffix(".csv.xz"), lzma.compress(content, preset=6)
    write_bytes(path, content)
    return path


def read_sheet(path: Path) -> ScoreSheet:
    """Read one file of scores; raise UserError that names it when it is damaged."""
    dataset, _, fingerprint = path.name.partition(".csv")[0].rpartition("-")
    try:
        content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        head, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    except (ValueError, csv.Error, EOFError, lzma.LZMAError) as error:
        raise UserError(f"{path}: not valid CSV ({error}); {_WAY_OUT}") from None
    if head[:1] != [_IMAGE] or not all("@" in name for name in head[1:]) or len(set(head)) < len(head):
        raise UserError(f"{path}: columns are {head}, expected {_IMAGE} and metric@protocol; {_WAY_OUT}")
    for number, row in enumerate(rows, 2):
        if len(row) != len(head):
            raise UserError(f"{path}: {len(row)} fields in line {number}, expected {len(head)}; {_WAY_OUT}")
    images, *columns = zip(*rows, strict=True) if rows else ((),) * len(head)
    named = zip(head[1:], columns, strict=True)
    return ScoreSheet(dataset, fingerprint, images, {name: _numbers(texts, name, path) for name, texts in named})


def _numbers(texts: Sequence[str], name: str, path: Path) -> Column:
    try:
        return tuple(map(float, texts))
    except ValueError:
        pass
    values: list[float | None] = []
    for text in texts:
        try:
            values.append(float(text) if text else None)
        except ValueError:
            raise UserError(f"{path}: {text!r} in column '{name}', expected a number; {_WAY_OUT}") from None
    return tuple(values)


def _text(value: float | None) -> str:
    """Return the shortest text that reads as exactly this number."""
    if value is None:
        return ""
    short = f"{value:.6g}"
    return short if float(short) == value else repr(value)
