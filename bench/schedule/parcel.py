"""Faces for workers on other machines: read from their path where it is shared, else sent once to each node."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.store import FaceStore
from bench.runs.experiment import Faces, Sizes, TestSet

if TYPE_CHECKING:
    from bench.data.store import FaceRow, StoreCard


@dataclass(frozen=True)
class _Split:
    """A face store as it travels; `pixels` is a reference into Ray's object store, or None where paths are shared."""

    path: Path
    rows: list[FaceRow]
    card: StoreCard
    pixels: Any

    def open(self) -> FaceStore:
        """Map the store at its path; where there is none, or another one, take what was sent."""
        if self.pixels is None or self._is_here():
            return FaceStore.open(self.path)
        import ray

        return FaceStore(self.path, ray.get(self.pixels), self.rows, self.card)

    def _is_here(self) -> bool:
        with contextlib.suppress(Exception):  # whatever is wrong with what lies there, it is not ours
            return bool(FaceStore.open(self.path).fingerprint == self.card.fingerprint)
        return False


@dataclass(frozen=True)
class Parcel:
    """The face sets of an experiment, ready to travel: splits by path, and which is what."""

    splits: dict[str, _Split]
    train: str
    val: str
    tests: tuple[tuple[str, int], ...]
    sizes: Sizes

    def open(self) -> Faces:
        """Return the face sets."""
        stores = {path: split.open() for path, split in self.splits.items()}
        (first, _), *others = self.tests
        more = tuple(TestSet(stores[path], count) for path, count in others)
        return Faces(stores[self.train], stores[self.val], stores[first], self.sizes, more)


def pack(faces: Faces, ray: Any) -> Parcel:
    """Pack face sets; pixels go into the object store where there is more than one node."""
    several = sum(node["Alive"] for node in ray.nodes()) > 1
    stores = {str(store.path.resolve()): store for store in _stores(faces)}
    splits = {
        path: _Split(Path(path), store.rows, store.card, ray.put(_pixels(store)) if several else None)
        for path, store in stores.items()
    }
    tests = tuple((str(test.store.path.resolve()), test.count) for test in faces.tests)
    return Parcel(splits, str(faces.train.path.resolve()), str(faces.val.path.resolve()), tests, faces.sizes)


def _stores(faces: Faces) -> list[FaceStore]:
    return [faces.train, faces.val, *(test.store for test in faces.tests)]


def _pixels(store: FaceStore) -> Any:
    import numpy as np

    return np.ascontiguousarray(store.faces)
