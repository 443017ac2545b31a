"""Is it still the same person? Distances of dlib's face embeddings between SR and HR."""

from __future__ import annotations

import numpy as np

from bench.metrics.faces import FACE, embeddings_of, parameters
from bench.metrics.spec import Described

SAME = 0.6  # below this distance dlib's authors call two faces one person
_SOURCE = "dlib's face_recognition_resnet_model_v1 (99.38% of face pairs told right, by its authors)"


def _distance(sr: np.ndarray, hr: np.ndarray | None) -> np.ndarray:
    """Return the Euclidean distance of each pair of embeddings."""
    assert hr is not None
    return np.asarray(np.linalg.norm(embeddings_of(sr) - embeddings_of(hr), axis=1))


def _cosine(sr: np.ndarray, hr: np.ndarray | None) -> np.ndarray:
    """Return the cosine of the angle between each pair of embeddings."""
    assert hr is not None
    x, y = embeddings_of(sr), embeddings_of(hr)
    return np.asarray((x * y).sum(axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1))


def _verified(sr: np.ndarray, hr: np.ndarray | None) -> np.ndarray:
    """Return 100 where a pair counts as one person, else 0: the mean is a percentage."""
    distance = _distance(sr, hr)
    return np.where(np.isnan(distance), np.nan, 100.0 * (distance < SAME))


def _metric(
    name: str, title: str, unit: str, higher: bool, decimals: int, compare: object, source: str = _SOURCE
) -> Described:
    return Described(
        name,
        title,
        unit,
        higher,
        decimals,
        ("hr",),
        source,
        parameters,
        extra="identity",
        description=FACE,
        compare=compare,  # type: ignore[arg-type]
    )


METRICS = (
    _metric("identity-distance", "Identity distance", "", False, 3, _distance),
    _metric("identity-cosine", "Identity cosine", "", True, 4, _cosine),
    _metric(
        "verification", "Verification", "%", True, 1, _verified, f"{_SOURCE}; one person below a distance of {SAME}"
    ),
)
