"""Face stores: prepared faces on disk, held to a fingerprint.

A store is a folder `datasets/prepared/<dataset>/<split>` of faces.npy (uint8, N x 128 x 128 x 3, read memory-mapped),
faces.csv (where each face comes from) and card.json (recipe, counts, fingerprint). The same photos and the same recipe
give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import paths
from bench.data.cards import card_names
from bench.errors import UserError, suggest
from bench.files import read_csv, read_json, write_csv, write_json

LAYOUT = 1
SIZE = 128
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class FaceRow:
    """Where one face comes from; a text is empty where nothing is known. `name` is unique and fit for a file name."""

    name: str
    source: str = ""
    sha256: str = ""
    box: str = ""
    landmarks: str = ""
    probability: str = ""
    identity: str = ""


COLUMNS = tuple(field.name for field in dataclasses.fields(FaceRow))


@dataclass(frozen=True)
class FaceStore:
    """The faces of one split of a data set: `faces` is uint8 [N, 128, 128, 3], memory-mapped."""

    path: Path
    faces: np.ndarray
    rows: list[FaceRow]
    card: Mapping[str, Any]

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return str(self.card["dataset"])

    @property
    def split(self) -> str:
        """train, val or test."""
        return str(self.card["split"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names and pixels, in hexadecimal, as the card says."""
        return str(self.card["fingerprint"])

    @property
    def names(self) -> list[str]:
        """The faces' names, in order."""
        return [row.name for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return FaceStore.open, (self.path,)  # another process maps the file anew instead of getting a copy

    @classmethod
    def open(cls, path: Path) -> FaceStore:
        """Open the store in `path` without reading its pixels.

        Raises UserError when it is missing, damaged or of another layout.
        """
        dataset, split = path.parts[-2:]
        if not (path / "card.json").exists():
            raise UserError(f"{path} is not there: no {split} faces of '{dataset}' are prepared; {_how(dataset)}")
        card = read_json(path / "card.json")
        if not isinstance(card, dict) or card.get("layout") != LAYOUT:
            raise UserError(f"{path}: not a face store of layout {LAYOUT}; delete the folder and {_how(dataset)}")
        try:
            faces = np.load(path / "faces.npy", mmap_mode="r", allow_pickle=False)
            rows = [FaceRow(**row) for row in read_csv(path / "faces.csv", COLUMNS)]
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: damaged ({error}); delete the folder and {_how(dataset)}") from None
        if faces.shape != (len(rows), SIZE, SIZE, 3) or faces.dtype != np.uint8:
            raise UserError(
                f"{path}: faces.npy holds {faces.dtype} {list(faces.shape)}, faces.csv {len(rows)} rows; "
                f"delete the folder and {_how(dataset)}"
            )
        return cls(path, faces, rows, card)

    def verify(self) -> None:
        """Hash every face again; raise UserError when the faces are no longer those of the card."""
        found = fingerprint_of(self.names, self.faces)
        if found != self.fingerprint:
            raise UserError(
                f"{self.path}: the faces have changed: fingerprint {found[:12]}, expected {self.fingerprint[:12]}; "
                f"delete the folder and {_how(self.dataset)}"
            )

    def fingerprint_of(self, count: int) -> str:
        """Return the fingerprint of the first `count` faces, the same in a store that has grown since."""
        if count >= len(self):
            return self.fingerprint
        return fingerprint_of(self.names[:count], self.faces[:count])


def open_split(dataset: str, split: str) -> FaceStore:
    """Open `datasets/prepared/<dataset>/<split>`; raise UserError, with what is prepared, when there is none."""
    known = prepared_datasets()
    folder = paths.prepared() / dataset
    if not folder.is_dir() and dataset not in card_names() and known:
        raise UserError(f"no data set '{dataset}' in {paths.prepared()}: {suggest(dataset, {*known, *card_names()})}")
    if split not in SPLITS:
        raise UserError(f"unknown split '{split}': {suggest(split, SPLITS)}")
    return FaceStore.open(folder / split)


def prepared_datasets() -> list[str]:
    """Return the names of the data sets of which at least one split is prepared."""
    return sorted({card.parent.parent.name for card in paths.prepared().glob("*/*/card.json")})


def write_store(path: Path, faces: Iterable[tuple[FaceRow, np.ndarray]], card: Mapping[str, Any]) -> FaceStore:
    """Write a store from rows and faces (uint8 [128, 128, 3]), one after the other, and put it in place in one step.

    `card` holds the recipe and whatever else is to be told of the set; layout, names of set and split, and fingerprint
    are added. An older store in `path` stays until the new one is whole. Raises UserError when there is no face.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        rows, digest = _write_faces(new / "faces.npy", faces)
        if not rows:
            raise UserError(f"no face left to write to {path}")
        write_csv(new / "faces.csv", COLUMNS, (dataclasses.asdict(row) for row in rows))
        head = {"layout": LAYOUT, "dataset": path.parent.name, "split": path.name, "faces": len(rows)}
        write_json(new / "card.json", {**head, "fingerprint": digest, **card})
        shutil.rmtree(path, ignore_errors=True)
        new.rename(path)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return FaceStore.open(path)


def fingerprint_of(names: Iterable[str], faces: Iterable[np.ndarray]) -> str:
    """Return SHA-256 over each face's name and pixels in turn."""
    digest = hashlib.sha256()
    for name, face in zip(names, faces, strict=True):
        _add(digest, name, face)
    return digest.hexdigest()


def check_disjoint(train: FaceStore, other: FaceStore) -> None:
    """Raise UserError when a photo of `other` is in `train` too, by the hash of its file."""
    known = {row.sha256: row.name for row in train.rows if row.sha256}
    shared = [row for row in other.rows if row.sha256 in known]
    if shared:
        first = ", ".join(f"{row.name} = {known[row.sha256]}" for row in shared[:3])
        raise UserError(
            f"{other.path}: {len(shared)} of its {len(other)} photos are in {train.path} too ({first}); "
            "prepare the two from different photos"
        )


def _write_faces(path: Path, faces: Iterable[tuple[FaceRow, np.ndarray]]) -> tuple[list[FaceRow], str]:
    """Write faces.npy as they come, its header last, since only then the number is known."""
    rows: list[FaceRow] = []
    digest = hashlib.sha256()
    with path.open("wb") as file:
        file.write(_header(0))
        for row, face in faces:
            if face.shape != (SIZE, SIZE, 3) or face.dtype != np.uint8:
                raise ValueError(f"{row.name}: {face.dtype} {face.shape}")
            file.write(face.tobytes())
            _add(digest, row.name, face)
            rows.append(row)
        file.seek(0)
        file.write(_header(len(rows)))
        file.flush()
        os.fsync(file.fileno())
    return rows, digest.hexdigest()


def _header(count: int) -> bytes:
    """Return a .npy header (format 1.0) of fixed length for `count` faces."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({count}, {SIZE}, {SIZE}, 3), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"


def _add(digest: Any, name: str, face: np.ndarray) -> None:
    digest.update(f"{name}\0{face.shape}\0".encode())
    digest.update(np.ascontiguousarray(face).data)


def _how(dataset: str) -> str:
    return f"run `fsr prepare {dataset}" + ("`" if dataset == "synthfaces" else " --source TAR|DIR`")
