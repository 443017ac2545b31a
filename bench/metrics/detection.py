"""Does a face detector still see a face, and its eyes, nose and mouth where they were? (MTCNN)"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.core.errors import UserError
from bench.data.detect import make_detector
from bench.metrics.spec import Described, Description, UnavailableError, point_error

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


def _detected(sr: np.ndarray) -> np.ndarray:
    return np.where(sr[:, 0] > 0, 100.0, 0.0)


def _error(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """Return the mean distance of the five points in per cent of HR's distance of the eyes; NaN without a face."""
    return point_error(sr[:, 1:].reshape(-1, 5, 2), hr[:, 1:].reshape(-1, 5, 2), 0, 1)


def _parameters() -> Mapping[str, Any]:
    return {"least_probability": _LEAST, "min_face": _MIN_FACE, "face": "the most probable"}


MTCNN = Description("mtcnn", _describe, _parameters)
_metric = functools.partial(Described, parameters=_parameters, extra="photos", description=MTCNN)
METRICS = (
    _metric(
        *("detection", "Detected", "%", True, 1, ()),
        source=f"Share of pictures in which MTCNN (facenet-pytorch) finds a face of probability {_LEAST}",
        compare=_detected,
    ),
    _metric(
        *("five-points", "Five-point error", "%", False, 2, ("hr",)),
        source="Mean distance of MTCNN's five points in per cent of the distance of the eyes, where both have a face",
        compare=_error,
    ),
)
