"""Is it the same person, with eyes, nose and mouth in place? Faces described by dlib: 68 landmarks and an embedding.

`dlib-bin` is the library and `face_recognition_models` carries the models, which are read by their path, without
network. The 68-landmark model was trained on iBUG 300-W, whose licence is for research.

Where the face is, dlib's detector says of the ground truth, and both pictures are looked at in that box: the detector
finds 97% of CelebA's test faces but only 73% after bicubic x8, and a metric must not be silent exactly where a method
fails. Where it finds none in the ground truth, the face is taken to be in the part of the picture in which CelebA's
crops have it; such faces are counted. The metrics' names end in "-detected", because before they took that part of all
pictures, which misses the faces of other sets.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.files import sha256_kept
from bench.metrics.spec import Described, Description, UnavailableError, cosine, distance, point_error

BOX = (0.235, 0.235, 0.815, 0.815)  # left, top, right, bottom over the side: dlib's own in CelebA, the median
DOUBLINGS = 1  # of the picture before detection: dlib finds faces of 80 pixels, and so of 40 here
POINTS = 68
EMBEDDING = 128
_BOX = 5  # its sides, and whether it was detected
SAME = 0.6  # below this distance dlib's authors call two faces one person
_EYES = (36, 45)  # the outer corners, counted from 0
_CHIP, _PADDING = 150, 0.25  # what the embedding was trained on
_SOURCE = "dlib's face_recognition_resnet_model_v1 (99.38% of face pairs told right, by its authors)"
_SHAPE, _FACE = "shape_predictor_68_face_landmarks.dat", "dlib_face_recognition_resnet_model_v1.dat"


def landmarks_of(described: np.ndarray) -> np.ndarray:
    """Return x and y of the landmarks in pixels: [N, 68, 2]."""
    return described[:, : 2 * POINTS].reshape(-1, POINTS, 2)


def find_box(picture: np.ndarray) -> Any | None:
    """Return the box of the largest face that dlib's detector finds in uint8 [H, W, 3], a dlib rectangle, or None."""
    dlib, _ = landmark_predictor()
    boxes = _detector()(np.ascontiguousarray(picture), DOUBLINGS)
    return max(boxes, key=dlib.rectangle.area) if len(boxes) else None


def _find_boxes(pictures: np.ndarray) -> np.ndarray:
    """Return left, top, right and bottom of the face in each picture, uint8 [B, H, W, 3], and 1 where it was detected.

    Float64 [B, 5] in pixels; where none is detected `BOX` of the picture, and 0.
    """
    rows = np.empty((len(pictures), _BOX))
    height, width = pictures.shape[1:3]
    fixed = [round(part * side) for part, side in zip(BOX, (width, height) * 2, strict=True)]
    for row, picture in zip(rows, pictures, strict=True):
        box = find_box(picture)
        row[:] = [*fixed, 0] if box is None else [box.left(), box.top(), box.right(), box.bottom(), 1]
    return rows


def _describe(pictures: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return landmarks and embedding of the faces of uint8 [B, H, W, 3] in `_find_boxes`'s boxes: float64 [B, 265].

    NaN for a flat picture. The last value is 1 where the box was detected.
    """
    dlib, shapes, faces = _models()
    rows = np.full((len(pictures), 2 * POINTS + EMBEDDING + 1), np.nan)
    rows[:, -1] = boxes[:, -1]
    for row, picture, box in zip(rows, pictures, boxes, strict=True):
        if picture.max() == picture.min():
            continue
        picture = np.ascontiguousarray(picture)
        shape = shapes(picture, dlib.rectangle(*map(int, box[:-1])))
        chip = dlib.get_face_chip(picture, shape, _CHIP, _PADDING)
        row[: 2 * POINTS] = [value for point in shape.parts() for value in (point.x, point.y)]
        row[2 * POINTS : -1] = faces.compute_face_descriptor(chip)
    return rows


@functools.cache
def landmark_predictor() -> tuple[Any, Any]:
    """Return dlib and its predictor of 68 landmarks; raise UnavailableError where either is not installed."""
    dlib = _dlib()
    return dlib, dlib.shape_predictor(str(_folder() / _SHAPE))


@functools.cache
def _detector() -> Any:
    dlib, _ = landmark_predictor()
    return dlib.get_frontal_face_detector()


def predictor_sha256() -> str:
    """Return the SHA-256 of the landmark predictor's file; raise UnavailableError where it or dlib is missing."""
    _dlib()
    return sha256_kept(_folder() / _SHAPE)


@functools.cache
def _models() -> tuple[Any, Any, Any]:
    """Return dlib, its landmark predictor and its face network."""
    network = _dlib().face_recognition_model_v1(str(_folder() / _FACE))
    return *landmark_predictor(), network


def _dlib() -> Any:
    try:
        import dlib
    except ImportError:
        raise UnavailableError("dlib is not installed: pip install 'fsr-bench[identity]'") from None
    return dlib


def _folder() -> Path:  # the package itself is not imported: it needs an old setuptools
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise UnavailableError("dlib's models are not installed: pip install 'fsr-bench[identity]'")
    return Path(spec.origin).parent / "models"


@functools.cache
def _parameters() -> Mapping[str, Any]:
    """Return what decides landmarks and embeddings: the box and hashes of the models."""
    folder = _folder()
    return {**_box_parameters(), **{name: sha256_kept(folder / name)[:12] for name in (_SHAPE, _FACE)}}


def _box_parameters() -> Mapping[str, Any]:
    return {"box": "dlib's frontal face detector on HR, the largest", "doublings": DOUBLINGS, "else": list(BOX)}


def _remark(hr: np.ndarray) -> str:
    """Say in how many of the ground truth's faces none was detected."""
    missed = int((hr[:, -1] == 0).sum())
    return f"no face detected in {missed} of {len(hr)} originals" if missed else ""


def _distance(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    return distance(sr[:, 2 * POINTS : -1], hr[:, 2 * POINTS : -1])


def _cosine(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    return cosine(sr[:, 2 * POINTS : -1], hr[:, 2 * POINTS : -1])


def _verified(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """Return 100 where a pair counts as one person, else 0: the mean is a percentage."""
    apart = _distance(sr, hr)
    return np.where(np.isnan(apart), np.nan, 100.0 * (apart < SAME))


def _landmark_error(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    return point_error(landmarks_of(sr), landmarks_of(hr), *_EYES)


_metric = functools.partial(
    Described,
    needs=("hr",),
    parameters=_parameters,
    extra="identity",
    description=Description("dlib", _describe, _parameters, Description("dlib-box", _find_boxes, _box_parameters)),
    remark=_remark,
    caution="where no face is detected in the original, a fixed part of the picture is taken for it",
)
METRICS = (
    _metric("identity-distance-detected", "Identity distance", "", False, 3, source=_SOURCE, compare=_distance),
    _metric("identity-cosine-detected", "Identity cosine", "", True, 4, source=_SOURCE, compare=_cosine),
    _metric(
        *("verification-detected", "Verification", "%", True, 1),
        source=f"{_SOURCE}; one person below a distance of {SAME}",
        compare=_verified,
    ),
    _metric(
        *("landmarks-detected", "Landmark error", "%", False, 2),
        source="Normalised mean error of dlib's 68 landmarks (300-W convention), in per cent of the inter-ocular "
        "distance",
        compare=_landmark_error,
    ),
)
