"""A run's scores: one file a test set, a row an image, a column a metric and protocol, e.g. `psnr@sparnet`.

<run>/scores/<dataset>-<first 12 digits of its faces' fingerprint>.csv, or .csv.xz where runs are kept. An empty field
is an image without that score, `nan` a score that is undefined, `inf` the PSNR of identical pictures.
"""

from __future__ import annotations

import csv
import io
import lzma
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from bench.core.errors import UserError
from bench.core.files import text_of, write_bytes
from bench.metrics.protocol import FIRST_RELEASED, PROTOCOLS
from bench.runs.digests import check, files_of

FOLDER = "scores"
_IMAGE = "image"
_DIGITS = 12  # of a fingerprint, in a file's name
_PACKED = ".csv.xz"
_HAIR = 1e-6  # what rounding may add
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

    @property
    def file_name(self) -> str:
        """The name of its file, where that is not packed."""
        return f"{self.dataset}-{self.fingerprint}.csv"

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


def rules_of(sheet: ScoreSheet) -> dict[str, str]:
    """Return the digest of each preset of a sheet that says something else than when it was first released."""
    presets = {name for _, name in sheet.scored if name in PROTOCOLS}
    digests = {name: PROTOCOLS[name].digest for name in sorted(presets)}
    return {name: digest for name, digest in digests.items() if digest != FIRST_RELEASED.get(name)}


def outdated(scores: Scores, rules: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Return the presets that say something else today than when these scores were made.

    `rules` holds, by the fingerprint of a test set, what `rules_of` gave when its sheet was written.
    """
    found = {name for sheet in scores.values() for name in _outdated(sheet, rules)}
    return tuple(name for name in PROTOCOLS if name in found)


def of_today(scores: Scores, rules: Mapping[str, Mapping[str, str]]) -> Scores:
    """Return scores without the columns of presets that say something else today; see `outdated`."""
    kept = Scores()
    for sheet in scores.values():
        stale = _outdated(sheet, rules)
        columns = {name: values for name, values in sheet.columns.items() if name.rpartition("@")[2] not in stale}
        kept.put(ScoreSheet(sheet.dataset, sheet.fingerprint, sheet.images, columns) if stale else sheet)
    return kept


def _outdated(sheet: ScoreSheet, rules: Mapping[str, Mapping[str, str]]) -> set[str]:
    made_by = {**FIRST_RELEASED, **rules.get(sheet.fingerprint, {})}
    presets = {name for _, name in sheet.scored if name in PROTOCOLS and name in made_by}
    return {name for name in presets if PROTOCOLS[name].digest != made_by[name]}


def read_scores(folder: Path, digests: Mapping[str, str] = MappingProxyType({})) -> Scores:
    """Read all scores of a run's folder; raise UserError that names a damaged file, or one that `digests` belie."""
    check(folder, digests, "scores", whole=True)
    scores = Scores()
    for path in reversed(files_of(folder, "scores")):  # .csv comes last: it is the newer where both are there
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
    path = folder / FOLDER / sheet.file_name
    if packed:
        path, content = path.with_suffix(_PACKED), lzma.compress(content, preset=6)
    write_bytes(path, content)
    return path


def sheet_path(folder: Path, dataset: str, fingerprint: str) -> Path:
    """Return where the scores of a test set lie in a run's folder, packed or not; else where they are expected."""
    path = folder / FOLDER / f"{dataset}-{fingerprint[:_DIGITS]}.csv"
    packed = path.with_suffix(_PACKED)
    return packed if packed.exists() and not path.exists() else path


def read_sheet(path: Path) -> ScoreSheet:
    """Read one file of scores.

    Raises UserError that names it, and the line, where it is damaged: an image stands in it twice, or a value is no
    number or one that its metric cannot have.
    """
    dataset, _, fingerprint = path.name.partition(".csv")[0].rpartition("-")
    try:
        content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        reader = csv.reader(io.StringIO(text_of(content), newline=""), strict=True)
        (_, head), *rows = [(reader.line_num, row) for row in reader if row]
    except (ValueError, csv.Error, EOFError, lzma.LZMAError) as error:
        raise UserError(f"{path}: not valid CSV ({error}); {_WAY_OUT}") from None
    if head[:1] != [_IMAGE] or not all("@" in name for name in head[1:]) or len(set(head)) < len(head):
        raise UserError(f"{path}: columns are {head}, expected {_IMAGE} and metric@protocol; {_WAY_OUT}")
    for line, row in rows:
        if len(row) != len(head):
            raise UserError(f"{path}: {len(row)} fields in line {line}, expected {len(head)}; {_WAY_OUT}")
    lines, images = [line for line, _ in rows], tuple(row[0] for _, row in rows)
    if len(set(images)) < len(images):
        first: dict[str, int] = {}
        for line, image in zip(lines, images, strict=True):
            if first.setdefault(image, line) != line:
                raise UserError(f"{path}: line {line}: image '{image}' is in line {first[image]} too; {_WAY_OUT}")
    columns = {name: _numbers(texts, name, path, lines) for name, texts in _columns(head, rows)}
    return ScoreSheet(dataset, fingerprint, images, columns)


def _columns(head: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]]) -> Iterable[tuple[str, Sequence[str]]]:
    """Return the texts of each column of scores, by its name."""
    _, *columns = zip(*(row for _, row in rows), strict=True) if rows else ((),) * len(head)
    return zip(head[1:], columns, strict=True)


def _numbers(texts: Sequence[str], name: str, path: Path, lines: Sequence[int]) -> Column:
    low, high = _range(name)
    try:
        values: Column = tuple(map(float, texts))
        if all(low - _HAIR <= value <= high + _HAIR for value in values):  # type: ignore[operator]
            return values
    except ValueError:
        pass
    return tuple(
        _number(text, name, low, high, f"{path}: line {line}") for text, line in zip(texts, lines, strict=True)
    )


def _number(text: str, name: str, low: float, high: float, where: str) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        raise UserError(f"{where}: {text!r} in column '{name}', expected a number; {_WAY_OUT}") from None
    if value is not None and not math.isnan(value) and not low - _HAIR <= value <= high + _HAIR:
        raise UserError(f"{where}: {text} in column '{name}', expected {low:g} to {high:g}; {_WAY_OUT}")
    return value


def _range(name: str) -> tuple[float, float]:
    """Return the least and the largest value that a metric can have under a protocol."""
    metric, _, protocol = name.rpartition("@")
    if metric == "psnr" and not getattr(PROTOCOLS.get(protocol), "clamp", False):
        return -math.inf, math.inf  # what is not clamped may be off by any number of levels
    return {"psnr": (0.0, math.inf), "ssim": (-1.0, 1.0)}.get(metric, (-math.inf, math.inf))


def _text(value: float | None) -> str:
    """Return the shortest text that reads as exactly this number."""
    if value is None:
        return ""
    short = f"{value:.6g}"
    return short if float(short) == value else repr(value)
