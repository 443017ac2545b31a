"""Are eyes, nose and mouth where they were? Distances of 68 landmarks between SR and HR."""

from __future__ import annotations

import numpy as np

from bench.metrics.faces import FACE, landmarks_of, parameters
from bench.metrics.spec import Described

_EYES = (36, 45)  # the outer corners, counted from 0


def _error(sr: np.ndarray, hr: np.ndarray | None) -> np.ndarray:
    """Return the mean distance of the landmarks in per cent of HR's inter-ocular distance (outer eye corners)."""
    assert hr is not None
    x, y = landmarks_of(sr), landmarks_of(hr)
    between = np.linalg.norm(y[:, _EYES[0]] - y[:, _EYES[1]], axis=1)
    return np.asarray(100 * np.linalg.norm(x - y, axis=2).mean(axis=1) / between)


METRICS = (
    Described(
        "landmarks",
        "Landmark error",
        "%",
        False,
        2,
        ("hr",),
        "Normalised mean error of dlib's 68 landmarks (300-W convention), in per cent of the inter-ocular distance",
        parameters,
        extra="identity",
        description=FACE,
        compare=_error,
    ),
)
