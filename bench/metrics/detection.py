"""Does a face detector still see a face, and its eyes, nose and mouth where they were? (MTCNN)"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.core.errors import UserError
from bench.data.detect import make_detector
from bench.metrics.spec import Described, Description, UnavailableError

_LEAST = 0.9  # probability
_MIN_FACE = 20  # pixels
_LENGTH = 11  # probability, then x and y of eyes, nose and corners of the mouth


def _describe(pictures: np.ndarray) -> np.ndarray:
    """Return the most probable face of each, uint8 [B, H, W, 3]: float64 [B, 11]; probability 0 where there is none."""
    rows = np.full((len(pictures), _LENGTH), np.nan)
    rows[:, 0] = 0
    for row, faces in zip(rows, _detector().detect(list(pictures), [b""] * len(pictures)), strict=True):
        if faces:
            best = max(faces, key=lambda face: face.probability)
            row[0] = best.probability
            row[1:] = best.landmarks or np.nan
    return rows


@functools.cache
def _detector() -> Any:

    try:
        return make_detector("mtcnn", min_face=_MIN_FACE, least_probability=_LEAST)
    except (ImportError, UserError) as error:
        raise UnavailableError(f"MTCNN is not installed ({error}): pip install 'fsr-bench[photos]'") from None


def _detected(sr: np.ndarray, _: np.ndarray | None) -> np.ndarray:
    return np.where(sr[:, 0] > 0, 100.0, 0.0)


def _error(sr: np.ndarray, hr: np.ndarray | None) -> np.ndarray:
    """Return the mean distance of the five points in per cent of HR's distance of the eyes; NaN without a face."""
    assert hr is not None
    x, y = (side[:, 1:].reshape(len(side), 5, 2) for side in (sr, hr))
    return np.asarray(100 * np.linalg.norm(x - y, axis=2).mean(axis=1) / np.linalg.norm(y[:, 0] - y[:, 1], axis=1))


def _parameters() -> Mapping[str, Any]:
    return {"least_probability": _LEAST, "min_face": _MIN_FACE, "face": "the most probable"}


MTCNN = Description("mtcnn", lambda height, width: _LENGTH, _describe, _parameters)
METRICS = (
    Described(
        "detection",
        "Detected",
        "%",
        True,
        1,
        (),
        f"Share of pictures in which MTCNN (facenet-pytorch) finds a face of probability {_LEAST}",
        _parameters,
        extra="photos",
        description=MTCNN,
        compare=_detected,
    ),
    Described(
        "five-points",
        "Five-point error",
        "%",
        False,
        2,
        ("hr",),
        "Mean distance of MTCNN's five points in per cent of the distance of the eyes, where both have a face",
        _parameters,
        extra="photos",
        description=MTCNN,
        compare=_error,
    ),
)
