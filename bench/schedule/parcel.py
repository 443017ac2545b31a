"""What travels to worker processes: runs and faces."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.store import FaceStore
from bench.runs.complete import MakeBar, Outcome, complete

if TYPE_CHECKING:
    from bench.data.store import FaceRow, StoreCard
    from bench.runs.experiment import Faces, RowRun

Complete = Callable[..., Outcome]  # with the arguments of bench.runs.complete.complete


@dataclass(frozen=True)
class Work:
    """Runs, and all that a process needs to bring one of them to its end by `complete`."""

    row_runs: tuple[RowRun, ...]
    faces: Faces
    samples: int
    complete: Complete = complete

    def do(self, index: int, device: str, wait: bool, make_bar: MakeBar) -> Outcome:
        """Bring a run to its end; "busy" where another process is at work on it and there is no `wait`."""
        import torch

        return self.complete(self.row_runs[index], self.faces, torch.device(device), self.samples, make_bar, wait)

    def name(self, index: int) -> str:
        """Return a run's name."""
        return self.row_runs[index].run.config.name


def numbered(make_bar: MakeBar, index: int, runs: int) -> MakeBar:
    """Return what makes bars whose titles say which of how many runs they are of; of one alone they do not."""
    return (lambda title, total: make_bar(f"{title} (run {index + 1} of {runs})", total)) if runs > 1 else make_bar


@dataclass(frozen=True)
class _SentStore(FaceStore):
    """A face store that takes its pixels along, by reference into Ray's object store; None where paths are shared."""

    pixels: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (self.path, self.rows, self.card, self.pixels)


def send_faces(faces: Faces, ray: Any) -> Faces:
    """Return face sets that a worker maps from their paths; with several nodes, pixels are sent once to each."""
    several = sum(node["Alive"] for node in ray.nodes()) > 1
    sent: dict[int, FaceStore] = {}
    for store in (faces.train, faces.val, *(test.store for test in faces.tests)):
        if id(store) not in sent:
            pixels = ray.put(np.ascontiguousarray(store.faces)) if several else None
            sent[id(store)] = _SentStore(store.path.absolute(), store.faces, store.rows, store.card, pixels)
    return dataclasses.replace(
        faces,
        train=sent[id(faces.train)],
        val=sent[id(faces.val)],
        test=sent[id(faces.test)],
        others=tuple(dataclasses.replace(test, store=sent[id(test.store)]) for test in faces.others),
    )


def _arrive(path: Path, rows: list[FaceRow], card: StoreCard, pixels: Any) -> FaceStore:
    """Map the store at its path; where there is none, or another one, take what was sent."""
    if pixels is None:
        return FaceStore.open(path)
    with contextlib.suppress(Exception):  # whatever is wrong with what lies there, it is not ours
        store = FaceStore.open(path)
        if store.fingerprint == card.fingerprint:
            return store
    import ray

    return FaceStore(path, ray.get(pixels), rows, card)
