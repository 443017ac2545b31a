"""The exact pictures of a prepared set as PNG files, for programs that are no methods here.

LR is what every network is given in an evaluation, HR what its output is held against. What such a program makes of LR,
under the same names, becomes a row by bench.runs.outputs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import UserError
from bench.core.files import held, write_bytes, write_csv
from bench.core.modes import in_the_way
from bench.core.names import listed, readable, writable
from bench.data.degrade import DEFAULT
from bench.data.pairs import first_of
from bench.runs.evaluate import low_resolution
from bench.runs.pictures import png_bytes

if TYPE_CHECKING:
    from bench.data.store import FaceStore

MANIFEST = "manifest.csv"
COLUMNS = ("file", "sha256", "side", "dataset", "split", "faces", "fingerprint", "made")
SCALE = 8


@dataclass(frozen=True)
class Exported:
    """What was written: the first `faces` faces of a split, which `fingerprint` names, into these folders."""

    dataset: str
    split: str
    faces: int
    fingerprint: str
    folders: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**vars(self)}

    def to_text(self) -> str:
        """Return it in two lines for a terminal, the second says what comes next."""
        where = ", ".join(f"{side.upper()} in {folder}" for side, folder in self.folders.items())
        head = f"{self.dataset}, {self.split}: {self.faces} faces (fingerprint {self.fingerprint[:12]}): {where}"
        what = f"next: put what a program makes of LR, under the same names, into DIR/{self.dataset}"
        next_step = f'{what}; then fsr run ... --pictures "LABEL=DIR"'
        return f"{head}\n{next_step}" if "lr" in self.folders and self.split == "test" else head


@dataclass(frozen=True)
class _Side:
    """One folder: how its pictures are made, in words, and a function of a face's place that makes it."""

    name: str
    folder: Path
    made: str
    picture: Callable[[int], np.ndarray]


def export(
    store: FaceStore, lr: Path | None, hr: Path | None, faces: int | None = None, scale: int | None = None
) -> Exported:
    """Write the first `faces` faces of `store` (None: all) into the folders `lr` and `hr`, with a manifest in each.

    LR is HR shrunk by `scale` (None: 8) as in every evaluation; a real-world set has LR alone, as it was found. A
    folder may hold the same export already, whole or in part. Raises UserError where it holds anything else, for no
    folder or one for both, for HR or a scale of a set without ground truth, and for more faces than there are.
    """
    count = len(store) if faces is None else faces
    if count > len(store):
        raise UserError(f"--faces {count}: {store.dataset} has {len(store)} {store.split} faces")
    sides = _sides(store, lr, hr, scale)
    names = [writable(f"{name}.png") for name in store.names[:count]]
    fingerprint = store.fingerprint_of(count)
    for side in sides:
        _check_free(side, names)
    for side in sides:
        about = (side.name, store.dataset, store.split, count, fingerprint, side.made)
        with held(side.folder):
            rows = [dict(zip(COLUMNS, (name, digest, *about), strict=True)) for name, digest in _write(side, names)]
            write_csv(side.folder / MANIFEST, COLUMNS, rows)
    return Exported(store.dataset, store.split, count, fingerprint, {side.name: str(side.folder) for side in sides})


def _sides(store: FaceStore, lr: Path | None, hr: Path | None, scale: int | None) -> list[_Side]:
    if lr is None and hr is None:
        raise UserError("data export: no folder given, expected --lr DIR, --hr DIR or both")
    if lr is not None and hr is not None and lr.resolve() == hr.resolve():
        raise UserError(f"--lr {lr}: the same folder as --hr; their files have the same names")
    if not store.has_truth and (hr is not None or scale is not None):
        option = f"--hr {hr}" if hr is not None else f"--scale {scale}"
        raise UserError(f"{option}: {store.dataset} has no ground truth, its faces are LR as found; give --lr alone")

    def small(place: int) -> np.ndarray:
        (picture,) = low_resolution(store.faces[place : place + 1], scale or SCALE)
        return np.asarray(picture)

    def found(place: int) -> np.ndarray:
        return np.asarray(store.faces[place])

    shrunk = _Side("lr", lr, f"{DEFAULT} x{scale or SCALE}", small) if lr is not None and store.has_truth else None
    as_found = _Side("lr", lr, "as found", found) if lr is not None and not store.has_truth else None
    original = _Side("hr", hr, "ground truth", found) if hr is not None else None
    return [side for side in (shrunk, as_found, original) if side is not None]


def _check_free(side: _Side, names: Sequence[str]) -> None:
    """Raise UserError where a folder holds what this export would not write, or would write otherwise."""
    if problem := in_the_way(side.folder):
        raise UserError(f"--{side.name} {side.folder}: {problem}")
    there = {path.name for path in listed(side.folder, "*")}
    other = sorted(there - {*names, MANIFEST})
    if MANIFEST in there and not (side.folder / MANIFEST).read_bytes().startswith(",".join(COLUMNS).encode()):
        other.append(MANIFEST)
    for place, name in enumerate(names):
        if name in there and (side.folder / name).read_bytes() != png_bytes(side.picture(place)):
            other.append(name)
    if other:
        files = f"{len(other)} other files" if len(other) > 1 else "another file"
        shown = first_of([readable(name) for name in other])
        raise UserError(f"--{side.name} {side.folder}: {files} there ({shown}); give an empty or a new folder")


def _write(side: _Side, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Write the pictures of a folder that are not there yet; yield each one's name and SHA-256."""
    for place, name in enumerate(names):
        content = png_bytes(side.picture(place))
        if not (side.folder / name).exists():
            write_bytes(side.folder / name, content)
        yield name, hashlib.sha256(content).hexdigest()
