"""Landmarks of a face store's faces: computed once from HR and kept beside the store.

68 points by dlib's predictor in the box that dlib's own detector finds in HR, both as the landmark metric has them.
Where none is found the metric takes a fixed part of the picture for the box; here a box that misses the face costs more
than a face without landmarks.

Beside the store `<split>` lie `<split>-landmarks.npy` (float32 [N, 68, 2]: x, then y, in HR pixels, a whole number
being the centre of a pixel; NaN for a face in which none is found) and `<split>-landmarks.json`. They are not inside of
it because a store that grows is written anew. They hold the first N faces: what is asked for beyond is added.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.errors import UserError, reason
from bench.core.files import read_json, write_bytes, write_json
from bench.core.locks import lock
from bench.core.machine import cores
from bench.core.parallel import ordered_map
from bench.core.progress import Bar
from bench.core.schema import canonical_json, from_dict
from bench.data.landmarks import POINTS
from bench.data.store import FaceStore
from bench.metrics.faces import DOUBLINGS, find_box, landmark_predictor, predictor_sha256

log = logging.getLogger("fsr")
LAYOUT = 1
_GROUP = 32  # faces that a process gets at a time
_FEW = 400  # faces for which starting processes, each of which loads the predictor, takes longer than it saves


@dataclass(frozen=True)
class LandmarkRecord:
    """What the landmarks beside a store are: those of its first `faces` faces, whose fingerprint is `fingerprint`.

    `without` counts the faces in which none were found, `digest` is the SHA-256 of the file of the landmarks.
    """

    layout: int
    faces: int
    without: int
    fingerprint: str
    recipe: Mapping[str, Any]
    digest: str
    versions: Mapping[str, Any] = field(default_factory=dict)


def landmark_recipe() -> str:
    """Return 12 hexadecimal digits that name how landmarks are made here, predictor included; computes none.

    Raises UserError that names the extra where dlib or its predictor is not installed.
    """
    return _name_of(_recipe())


def landmarks_of(store: FaceStore, count: int, *, recipe: str | None = None, quiet: bool = False) -> np.ndarray:
    """Return the landmarks of the first `count` faces: float32 [count, 68, 2], NaN rows where there are none.

    They are read from beside the store, and computed where they are missing, damaged, or of other faces or another
    recipe; where they cannot be written there they are returned all the same. `recipe` is the one that is expected,
    `landmark_recipe()` by default: what is kept under it is read without dlib. Raises UserError for a `count` that the
    store does not have, faces without ground truth, a recipe that is neither kept nor to be had here, and without dlib.
    """
    if not 0 < count <= len(store):
        raise UserError(f"{store.path}: landmarks of {count} faces asked for, expected 1 to {len(store)}")
    if not store.has_truth:
        raise UserError(f"{store.path}: real-world faces have no ground truth to find landmarks in")
    wanted = recipe or landmark_recipe()
    kept = _read(store, wanted)
    if len(kept) >= count:
        return kept[:count]
    if wanted != landmark_recipe():
        raise UserError(
            f"{_path(store)}: not there under recipe {wanted}, and made here it would be {landmark_recipe()}; "
            "copy the file from where it was made, or install that predictor"
        )
    with _alone(store) as writable:
        kept = _read(store, wanted, tell=True)  # another process may have made them while this one waited
        if len(kept) >= count:
            return kept[:count]
        points = np.concatenate([kept, _compute(store, len(kept), count, quiet)])
        if writable:
            _write(store, points)
    if missing := faces_without(points):
        log.info("%s/%s: no landmarks in %d of %d faces", store.dataset, store.split, missing, count)
    return points


def faces_without(landmarks: np.ndarray) -> int:
    """Return how many faces have no landmarks, of [N, 68, 2]."""
    return int(np.isnan(landmarks).any(axis=(1, 2)).sum())


def find_landmarks(faces: np.ndarray) -> np.ndarray:
    """Return the landmarks of HR faces, uint8 [B, H, W, 3]: float32 [B, 68, 2], NaN rows where no face is detected.

    Of several faces the largest counts. Points may lie outside of the picture.
    """
    _, predictor = landmark_predictor()
    points = np.full((len(faces), POINTS, 2), np.nan, np.float32)
    for row, face in zip(points, faces, strict=True):
        if (box := find_box(face)) is not None:
            row[:] = [(point.x, point.y) for point in predictor(np.ascontiguousarray(face), box).parts()]
    return points


def _recipe() -> dict[str, Any]:
    """Return what decides the landmarks of a face."""
    return {
        "layout": LAYOUT,
        "box": f"dlib's frontal face detector, picture doubled {DOUBLINGS} time, the largest box",
        "points": POINTS,
        "predictor": predictor_sha256(),
    }


def _name_of(recipe: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(dict(recipe)).encode()).hexdigest()[:12]


def _path(store: FaceStore) -> Path:
    return store.path.with_name(f"{store.path.name}-landmarks.npy")


@contextlib.contextmanager
def _alone(store: FaceStore) -> Iterator[bool]:
    """Hold the store's landmarks against other processes; give whether they can be written."""
    path, busy = _path(store), f"landmarks of {store.dataset}/{store.split} are being found by another process; waiting"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock(path.with_name(f".{path.stem}.lock"), notice=busy))
            writable = True
        except UserError as error:
            log.info("landmarks are not kept: %s", error)
            writable = False
        yield writable


def _read(store: FaceStore, recipe: str, *, tell: bool = False) -> np.ndarray:
    """Return the landmarks that are kept of the store's first faces: float32 [n, 68, 2].

    n is 0 where there are none, or none of use, which is logged with `tell`.
    """
    none, path = np.empty((0, POINTS, 2), np.float32), _path(store)
    if not path.with_suffix(".json").exists():
        return none
    try:
        record = from_dict(LandmarkRecord, read_json(path.with_suffix(".json")), str(path.with_suffix(".json")))
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != record.digest:
            raise UserError(f"{path}: damaged: its SHA-256 is not the one in {path.with_suffix('.json').name}")
        if _name_of(record.recipe) != recipe:
            raise UserError(f"{path}: made by another recipe")
        if record.faces > len(store) or store.fingerprint_of(record.faces) != record.fingerprint:
            raise UserError(f"{path}: of other faces")
        points = np.load(io.BytesIO(content), allow_pickle=False)
        if points.shape != (record.faces, POINTS, 2) or points.dtype != np.float32:
            raise UserError(f"{path}: holds {points.dtype} {list(points.shape)}")
    except (UserError, OSError) as error:
        if tell:
            log.info("%s; found anew", error if isinstance(error, UserError) else f"{path}: {reason(error)}")
        return none
    return np.asarray(points)


def _compute(store: FaceStore, start: int, stop: int, quiet: bool) -> np.ndarray:
    """Return the landmarks of faces `start` to `stop`, found by as many processes as there are cores."""
    places = range(start, stop, _GROUP)
    groups = (np.array(store.faces[place : min(place + _GROUP, stop)]) for place in places)
    jobs = min(cores(), len(places)) if stop - start > _FEW else 1
    parts = []
    with Bar(f"landmarks {store.dataset}/{store.split}", stop, start=start, quiet=quiet) as bar:
        for part in ordered_map(find_landmarks, groups, jobs=jobs, preload=("dlib",)):
            parts.append(part)
            bar.update(min(start + _GROUP * len(parts), stop))
    return np.concatenate(parts)


def _write(store: FaceStore, points: np.ndarray) -> None:
    """Keep landmarks of the store's first faces; where they cannot be written, log one line."""
    path, out = _path(store), io.BytesIO()
    np.save(out, points)
    dlib, _ = landmark_predictor()
    record = LandmarkRecord(
        layout=LAYOUT,
        faces=len(points),
        without=faces_without(points),
        fingerprint=store.fingerprint_of(len(points)),
        recipe=_recipe(),
        digest=hashlib.sha256(out.getvalue()).hexdigest(),
        versions={"dlib": dlib.__version__},
    )
    try:
        write_bytes(path, out.getvalue())
        write_json(path.with_suffix(".json"), dataclasses.asdict(record))
    except OSError as error:
        log.info("landmarks are not kept: %s: %s", path, error.strerror)
