"""What travels to worker processes beside a run: plug-ins, path and text, and for other machines its faces."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.store import FaceStore
from bench.models import registry

if TYPE_CHECKING:
    from bench.data.store import FaceRow, StoreCard
    from bench.runs.experiment import Faces


@dataclass(frozen=True)
class Plugin:
    """A plug-in file as it was when the command read it."""

    path: Path
    text: str

    def add(self) -> None:
        """Take its methods: from its path where that still holds the same text, else from a copy of this process."""
        try:
            here = self.path.read_text(encoding="utf-8") == self.text
        except (OSError, UnicodeDecodeError):  # another machine, or another file
            here = False
        registry.add_plugin(self.path if here else _copy(self))


def named_plugins() -> tuple[Plugin, ...]:
    """Return the plug-ins of this process, to be added in others."""
    return tuple(Plugin(path, path.read_text(encoding="utf-8")) for path in registry.plugins())


@functools.cache
def _copy(plugin: Plugin) -> Path:
    """Write a plug-in into a folder of its own, once a process."""
    path = Path(tempfile.mkdtemp(prefix="fsr-plugin-")) / plugin.path.name
    path.write_text(plugin.text, encoding="utf-8")
    return path


@dataclass(frozen=True)
class _SentStore:
    """A face store as it travels; `pixels` is a reference into Ray's object store, None where paths are shared."""

    path: Path
    rows: list[FaceRow]
    card: StoreCard
    pixels: Any

    def open(self) -> FaceStore:
        """Map the store at its path; where there is none, or another one, take what was sent."""
        if self.pixels is None:
            return FaceStore.open(self.path)
        with contextlib.suppress(Exception):  # whatever is wrong with what lies there, it is not ours
            store = FaceStore.open(self.path)
            if store.fingerprint == self.card.fingerprint:
                return store
        import ray

        return FaceStore(self.path, ray.get(self.pixels), self.rows, self.card)


@dataclass(frozen=True)
class Parcel:
    """The face sets of an experiment, ready to travel; `faces` holds sent stores in place of open ones.

    A worker reads a store from its path where that is shared; else its pixels are sent once to each node.
    """

    faces: Faces

    def open(self) -> Faces:
        """Return the face sets."""
        return _with_stores(self.faces, lambda sent: sent.open())


def pack(faces: Faces, ray: Any) -> Parcel:
    """Pack face sets; pixels go into the object store where there is more than one node."""
    several = sum(node["Alive"] for node in ray.nodes()) > 1

    def send(store: FaceStore) -> _SentStore:
        pixels = ray.put(np.ascontiguousarray(store.faces)) if several else None
        return _SentStore(store.path.resolve(), store.rows, store.card, pixels)

    return Parcel(_with_stores(faces, send))


def _with_stores(faces: Faces, change: Callable[[Any], Any]) -> Faces:
    """Return face sets with every store changed, one that has several uses once."""
    stores = {id(store): store for store in (faces.train, faces.val, *(test.store for test in faces.tests))}
    changed = {number: change(store) for number, store in stores.items()}
    return dataclasses.replace(
        faces,
        **{split: changed[id(getattr(faces, split))] for split in ("train", "val", "test")},
        others=tuple(dataclasses.replace(test, store=changed[id(test.store)]) for test in faces.others),
    )
