"""Face stores: prepared faces on disk, held to a fingerprint.

A store is a folder `datasets/prepared/<dataset>/<split>` of faces.npy (uint8, N x 128 x 128 x 3, read memory-mapped),
faces.csv (where each face comes from) and card.json (recipe, counts, fingerprint). The same photos and the same recipe
give the same bytes. A real-world set holds low-resolution faces without ground truth instead, N x 16 x 16 x 3.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.core import paths
from bench.core.errors import UserError, check_known, reason, suggest
from bench.core.files import read_csv, read_json, write_csv, write_json
from bench.core.locks import lock
from bench.core.modes import make_folder, open_new
from bench.core.names import listed
from bench.core.schema import canonical_json, from_dict
from bench.data.cards import card_names, is_generated, renamed

LAYOUT = 2
SIZE = 128
SPLITS = ("train", "val", "test")
REFERENCE, REAL_WORLD = "reference", "real-world"


@dataclass(frozen=True)
class FaceRow:
    """Where one face comes from; a text is empty where nothing is known. `name` is unique and fit for a file name.

    `box` (left top right bottom) and `landmarks` are the detector's, `square` (left top side) is what was cut, all in
    pixels of the photo.
    """

    name: str
    source: str = ""
    sha256: str = ""
    box: str = ""
    square: str = ""
    landmarks: str = ""
    probability: str = ""
    identity: str = ""


COLUMNS = tuple(field.name for field in dataclasses.fields(FaceRow))


@dataclass(frozen=True)
class StoreCard:
    """card.json: what a store holds and how it was made.

    `card` names the data card ("" for generated faces: the data set's), `recipe` decides the faces' bytes, `counts`
    says what became of the photos. `sources` are the archives and folders that were read, `identities` tells the list
    that names whom the photos show: the hash of a file that was given, else the data card's name. `digest` is that of
    the rest of the card and of faces.csv ("" in older stores).
    """

    layout: int
    dataset: str
    split: str
    faces: int
    size: int
    fingerprint: str
    card: str = ""
    kind: str = REFERENCE
    recipe: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    versions: Mapping[str, Any] = field(default_factory=dict)
    identities: str = ""
    digest: str = ""


@dataclass(frozen=True)
class FaceStore:
    """The faces of one split of a data set: `faces` is uint8 [N, size, size, 3], memory-mapped."""

    path: Path
    faces: np.ndarray
    rows: list[FaceRow]
    card: StoreCard

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return self.card.dataset

    @property
    def split(self) -> str:
        """train, val or test."""
        return self.card.split

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names and pixels, in hexadecimal, as the card says."""
        return self.card.fingerprint

    @property
    def size(self) -> int:
        """The faces' side in pixels: 128, or less in a real-world set."""
        return int(self.faces.shape[1])

    @property
    def has_truth(self) -> bool:
        """Whether the faces are ground truth to be degraded, rather than low resolution as found."""
        return self.card.kind != REAL_WORLD

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
        """Open the store in `path` without reading its pixels; it is called as its folders are.

        Raises UserError when it is missing, damaged or of another layout.
        """
        dataset, split = path.parts[-2:]
        if not (path / "card.json").exists():
            raise UserError(f"{path} is not there: no {split} faces of '{dataset}' are prepared; {_how(dataset)}")
        given = read_json(path / "card.json")
        if not isinstance(given, dict) or given.get("layout") != LAYOUT:
            raise _damaged(path, f"not a face store of layout {LAYOUT}")
        card = from_dict(StoreCard, given, str(path / "card.json"))
        try:
            if card.digest and card.digest != _digest(given, (path / "faces.csv").read_bytes()):
                raise _damaged(path, "card.json or faces.csv has changed since it was written")
            faces = np.load(path / "faces.npy", mmap_mode="r", allow_pickle=False)
            rows = [FaceRow(**row) for row in read_csv(path / "faces.csv", COLUMNS)]
        except UserError:
            raise
        except Exception as error:  # NumPy raises anything on a damaged header: ValueError, SyntaxError, TokenError ...
            raise _damaged(path, f"damaged ({reason(error)})") from None
        if faces.shape != (len(rows), card.size, card.size, 3) or faces.dtype != np.uint8:
            held = f"{faces.dtype} {list(faces.shape)}"
            raise _damaged(path, f"faces.npy holds {held}, faces.csv {len(rows)} rows")
        return cls(path, faces, rows, dataclasses.replace(card, dataset=dataset, split=split))

    def verify(self) -> None:
        """Hash every face again; raise UserError when the faces are no longer those of the card."""
        digest = fingerprint_of(self.names, self.read())
        if digest != self.fingerprint:
            fingerprints = f"fingerprint {digest[:12]}, expected {self.fingerprint[:12]}"
            raise _damaged(self.path, f"the faces have changed: {fingerprints}")

    def read(self) -> Iterator[np.ndarray]:
        """Yield the faces one by one, uint8 [size, size, 3] each, read and not mapped."""
        return read_faces(self.path / "faces.npy")

    def fingerprint_of(self, count: int) -> str:
        """Return the fingerprint of the first `count` faces, the same in a store that has grown since."""
        if count >= len(self):
            return self.fingerprint
        return fingerprint_of(self.names[:count], self.faces[:count])


def open_split(dataset: str, split: str) -> FaceStore:
    """Open `datasets/prepared/<dataset>/<split>`.

    Raises UserError, with what is prepared, when there is none, and for faces of a data set that was renamed.
    """
    known = prepared_datasets()
    folder = paths.prepared() / paths.check_name("data set", dataset)
    if not folder.is_dir() and dataset not in card_names() and known:
        raise UserError(f"no data set '{dataset}' in {paths.prepared()}: {suggest(dataset, {*known, *card_names()})}")
    store = FaceStore.open(folder / check_known("split", split, SPLITS))
    if name := renamed().get((dataset, store.fingerprint)):
        way_out = f"prepare them as that (fsr prepare {name} ...), and bring up results: fsr migrate {paths.results()}"
        raise UserError(f"{store.path}: the data set of these faces is called '{name}' now; {way_out}")
    return store


def prepared_datasets() -> list[str]:
    """Return the names of the data sets of which at least one split is prepared."""
    return sorted({path.parent.name for path in prepared_splits()})


def prepared_splits(dataset: str | None = None) -> list[Path]:
    """Return the folders of the prepared splits of a data set, or of all: train, val, test of each."""
    folders = [card.parent for card in listed(paths.prepared(), "*/*/card.json")]
    own = [path for path in folders if path.name in SPLITS and dataset in (None, path.parent.name)]
    return sorted(own, key=lambda path: (path.parent.name, SPLITS.index(path.name)))


def write_store(
    path: Path,
    rows: Sequence[FaceRow],
    faces: Iterable[tuple[int, np.ndarray]],
    card: Mapping[str, Any],
    *,
    size: int = SIZE,
    extra: Mapping[str, Callable[[Path], None]] | None = None,
) -> FaceStore:
    """Write a store and put it in place in one step; an older one in `path` stays until the new one is whole.

    `faces` yields each row's index and face, uint8 [size, size, 3], once and in any order. `card` holds the recipe and
    whatever else is to be told of the set; layout, names of set and split, and fingerprint are added. `extra` writes
    further files of the folder: name -> function of its path. Raises UserError when there is no face or no room.
    """
    if not rows:
        raise UserError(f"no face left to write to {path}")
    check_room(path.parent, len(rows), size)
    new = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(new, ignore_errors=True)
    make_folder(new)
    try:
        _write_faces(new / "faces.npy", len(rows), faces, size)
        digest = fingerprint_of((row.name for row in rows), read_faces(new / "faces.npy"))
        write_csv(new / "faces.csv", COLUMNS, (dataclasses.asdict(row) for row in rows))
        made = StoreCard(LAYOUT, path.parent.name, path.name, len(rows), size, digest, **card)
        sealed = dataclasses.replace(made, digest=_digest(dataclasses.asdict(made), (new / "faces.csv").read_bytes()))
        write_json(new / "card.json", dataclasses.asdict(sealed))
        for name, write in (extra or {}).items():
            write(new / name)
        shutil.rmtree(path, ignore_errors=True)
        new.rename(path)
    except OSError as error:
        if error.errno and not error.filename:  # as with a full disk
            error.filename = str(path)
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return FaceStore.open(path)


def check_room(folder: Path, faces: int, size: int) -> None:
    """Raise UserError when the disk of `folder`, which is made, has no room for so many faces."""
    folder.mkdir(parents=True, exist_ok=True)
    needed, disk = faces * size * size * 3, shutil.disk_usage(folder)
    if disk.total and disk.free < needed:  # some file systems do not tell
        raise UserError(
            f"{folder}: {faces:,} faces need {needed / 1e6:,.1f} MB, {disk.free / 1e6:,.1f} MB are free; "
            "make room, or set FSR_ROOT to a folder on another disk"
        )


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the data set `folder` against other processes, and clear what a killed one left half-written in it."""
    make_folder(folder)
    busy = f"{folder.name} is being prepared by another process; waiting for it"
    with lock(folder.with_name(f".{folder.name}.lock"), notice=busy):
        for left in folder.glob(".*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        try:
            yield
        finally:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()


def fingerprint_of(names: Iterable[str], faces: Iterable[np.ndarray]) -> str:
    """Return SHA-256 over each face's name and pixels in turn."""
    digest = hashlib.sha256()
    for name, face in zip(names, faces, strict=True):
        digest.update(f"{name}\0{face.shape}\0".encode())
        digest.update(np.ascontiguousarray(face).data)
    return digest.hexdigest()


def read_faces(path: Path) -> Iterator[np.ndarray]:
    """Yield the faces of a faces.npy one by one, read and not mapped, so that no memory fills with them."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        (count, *shape), _, _ = np.lib.format.read_array_header_1_0(file)
        for _ in range(count):
            yield np.frombuffer(file.read(math.prod(shape)), np.uint8).reshape(shape)


def check_disjoint(train: FaceStore, other: FaceStore) -> None:
    """Raise UserError when a photo of `other` is in `train` too, by the hash of its file."""
    known = {row.sha256: row.name for row in train.rows if row.sha256}
    shared = [row for row in other.rows if row.sha256 in known]
    if shared:
        first = ", ".join(f"{row.name} = {known[row.sha256]}" for row in shared[:3])
        raise UserError(
            f"{other.path}: {len(shared)} of its {len(other)} photos are in {train.path} too ({first}); "
            "prepare the two from different photos, or with --drop-leaks"
        )


def _write_faces(path: Path, count: int, faces: Iterable[tuple[int, np.ndarray]], size: int) -> None:
    """Write faces.npy, each face at its place as it comes."""
    missing = set(range(count))
    with os.fdopen(open_new(path), "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
        )
        start = file.tell()
        for index, face in faces:
            if face.shape != (size, size, 3) or face.dtype != np.uint8:
                raise ValueError(f"face {index}: {face.dtype} {face.shape}")
            missing.remove(index)
            file.seek(start + index * face.nbytes)
            file.write(face.tobytes())
        if missing:
            raise ValueError(f"{len(missing)} of {count} faces were not given")
        file.flush()
        os.fsync(file.fileno())


def _digest(card: Mapping[str, Any], faces_csv: bytes) -> str:
    """Return SHA-256 of a card, but for its own digest, and of faces.csv."""
    return hashlib.sha256(canonical_json({**card, "digest": ""}).encode() + faces_csv).hexdigest()


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path}: {why}; delete the folder and {_how(path.parent.name)}")


def _how(dataset: str) -> str:
    if is_generated(dataset):
        return f"run `fsr prepare {dataset}`"
    return f"run `fsr prepare {dataset if dataset in card_names() else f'folder --name {dataset}'} --source TAR|DIR`"
