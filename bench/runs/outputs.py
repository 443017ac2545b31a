"""Anybody's pictures as a row: what somebody's program made of the test faces, paired with them by name.

For a test set they lie in DIR/<set>/ where that is there, else in DIR itself, and are called as the faces are (see
bench.runs.export). A set of which a picture is missing, damaged or of another size is not scored, and says why.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.core.errors import UserError
from bench.core.names import one_line, readable
from bench.core.schema import canonical_json, from_dict
from bench.data.decode import decode
from bench.data.pairs import first_of, pictures_by_name
from bench.data.sources import Entry, Reader
from bench.runs.config import PICTURES, RunConfig
from bench.runs.experiment import Experiment, Row

if TYPE_CHECKING:
    from bench.runs.experiment import TestSet

log = logging.getLogger("fsr")
_LOSSY = (".jpg", ".jpeg", ".jfif")


@dataclass(frozen=True)
class _Paired:
    """The pictures of one test set: face -> files of its name, and those that are no face's.

    `claimed` names a test set before this one whose pictures, by their names, these are.
    """

    where: str
    files: dict[str, list[Entry]]
    extra: tuple[Entry, ...]
    claimed: str = ""

    @property
    def used(self) -> set[Path]:
        """The files that are scored."""
        return set() if self.claimed else {entry.file for own in self.files.values() for entry in own}

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name, own in self.files.items() if not own)

    @property
    def problem(self) -> str:
        """Why the set cannot be scored, as far as names tell; "" where each face has one picture."""
        if self.claimed:
            return f"the pictures in {self.where} are those of {self.claimed}; expected a subfolder for each test set"
        count, parts = len(self.files), []
        if self.missing:
            parts.append(f"{len(self.missing)} of {count} pictures are missing in {self.where} ({_some(self.missing)})")
        if twice := [name for name, own in self.files.items() if len(own) > 1]:
            parts.append(f"{len(twice)} of {count} faces have several pictures in {self.where} ({_some(twice)})")
        return "; ".join(parts)


@dataclass(frozen=True)
class Outputs:
    """The pictures in `folder` of the faces of `tests`, listed when they are first asked for."""

    folder: Path
    tests: Sequence[TestSet]

    @cached_property
    def _paired(self) -> tuple[_Paired, ...]:
        pairs: list[_Paired] = []
        for test in self.tests:
            paired = _pair(self.folder, test)
            others = (one.store.dataset for one, own in zip(self.tests, pairs, strict=False) if own.used & paired.used)
            pairs.append(dataclasses.replace(paired, claimed=next(others, "")))
        return tuple(pairs)

    @property
    def _used(self) -> set[Path]:
        return {file for paired in self._paired for file in paired.used}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the test sets, the names of their faces and the bytes of the pictures that there are of them.

        Raises UserError, naming it, for a file that cannot be read.
        """
        content: dict[str, dict[str, list[str]]] = {}
        with Reader() as reader:
            for test, paired in zip(self.tests, self._paired, strict=True):
                hashes = {
                    name: [hashlib.sha256(reader.read(entry)).hexdigest() for entry in own]
                    for name, own in paired.files.items()
                    if own and not paired.claimed
                }
                content |= {test.store.dataset: hashes} if hashes else {}
                if paired.problem:  # which is kept with the run, and names the folder
                    content[f"{test.store.dataset}: not scored"] = {paired.problem: []}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    @property
    def claim(self) -> str:
        """What a report says of the row: where its pictures are from, without a path of this machine."""
        lossy = sum(file.suffix.lower() in _LOSSY for file in self._used)
        jpeg = f"; {lossy} of {len(self._used)} are JPEG, whose losses are scored with them" if lossy else ""
        return f"pictures from {_name(self.folder)}: no training claimed{jpeg}"

    @property
    def problems(self) -> set[str]:
        """Why test sets cannot be scored, as far as names tell."""
        return {paired.problem for paired in self._paired if paired.problem}

    def tell(self, label: str) -> None:
        """Log, in a line a test set, which pictures are missing, there twice or no face's."""
        for test, paired in zip(self.tests, self._paired, strict=True):
            lines = [f"not scored: {paired.problem}"] if paired.problem else []
            if extra := [entry.name for entry in paired.extra if entry.file not in self._used]:
                count = f"{len(extra)} pictures are" if len(extra) > 1 else "1 picture is"
                lines.append(f"{count} of no face and passed over in {paired.where} ({_some(extra)})")
            if lines:
                log.warning("%s: %s: %s", label, test.store.dataset, "; ".join(lines))

    def read(self, test: TestSet, scale: int) -> np.ndarray:
        """Return the pictures of a test set in the order of its faces, uint8 [N, H, W, 3] as HR has.

        Raises UserError, which says why the set cannot be scored: pictures are missing, there twice, damaged or of
        another size than HR (LR times `scale` where there is no HR).
        """
        paired = self._paired[[other.fingerprint for other in self.tests].index(test.fingerprint)]
        if paired.claimed:
            raise UserError(paired.problem)
        side = test.store.size if test.store.has_truth else scale * test.store.size
        pictures = np.empty((test.count, side, side, 3), np.uint8)
        wrong, odd, kinds = list[str](), list[str](), Counter[str]()
        with Reader() as reader:
            for place, (name, entries) in enumerate(paired.files.items()):
                if len(entries) != 1:
                    continue
                try:
                    picture = decode(reader.read(entries[0]))
                except UserError as error:
                    wrong.append(f"{name}: {error}")
                    continue
                pixels = picture.pixels
                kinds.update(picture.kinds)
                if pixels.shape == pictures.shape[1:]:
                    pictures[place] = pixels
                else:
                    odd.append(f"{name}: {pixels.shape[1]}x{pixels.shape[0]}")
        problems = [paired.problem] if paired.problem else []
        if wrong:
            problems.append(f"{len(wrong)} of {test.count} pictures cannot be read ({_some(wrong)})")
        if odd:
            expected = f"{side}x{side} pixels, expected as HR has"
            problems.append(f"{len(odd)} of {test.count} pictures are not of {expected} ({_some(odd)})")
        if problems:
            raise UserError("; ".join(problems))
        if kinds:
            taken = ", ".join(f"{kind} ({count})" for kind, count in sorted(kinds.items()))
            log.warning(
                "%s: %s: taken as 8-bit RGB: %s of %d pictures", paired.where, test.store.dataset, taken, test.count
            )
        return pictures


def pictures_row(text: str) -> Row:
    """Return the row that LABEL=DIR asks for; raise UserError for another text, or no such folder."""
    parts = text.split("=")
    readings = [("=".join(parts[:place]).strip(), "=".join(parts[place:]).strip()) for place in range(1, len(parts))]
    readings = [(label, folder) for label, folder in readings if label and folder]
    if not readings:
        raise UserError(f"--pictures {one_line(text)}: expected LABEL=DIR, e.g. Mine=outputs")
    there = (reading for reading in readings if Path(reading[1]).expanduser().is_dir())  # "=" may be part of a label
    label, folder = next(there, readings[0])
    return from_dict(Row, {"label": label, "pictures": folder}, f"--pictures {one_line(text)}").placed(Path())


def config_of_pictures(row: Row, experiment: Experiment, tests: Sequence[TestSet]) -> RunConfig:
    """Return what decides the run of a row of pictures, and log what is wrong with them."""
    outputs = Outputs(Path(row.pictures), tests)
    outputs.tell(row.label)
    return RunConfig(PICTURES, {}, experiment.scale, 0, experiment.protocol, given={PICTURES: outputs.digest})


def _pair(folder: Path, test: TestSet) -> _Paired:
    own = folder / test.store.dataset
    where = own if own.is_dir() else folder
    try:
        found = pictures_by_name(where)
    except UserError as error:
        log.warning("%s", error)
        found = {}
    faces = test.store.names[: test.count]
    files = {name: found.pop(unicodedata.normalize("NFC", name), []) for name in faces}
    extra = sorted((entry for entries in found.values() for entry in entries), key=lambda entry: entry.name)
    return _Paired(f"{_name(folder)}/{readable(own.name)}" if where == own else _name(folder), files, tuple(extra))


def _name(folder: Path) -> str:
    return readable(folder.name or folder.anchor)


def _some(names: Sequence[str]) -> str:
    return first_of(list(map(readable, names)))
