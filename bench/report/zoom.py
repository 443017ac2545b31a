"""Parts of a face that a figure shows larger: around eyes and mouth, by landmarks or, without any, in a fixed place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.errors import UserError, suggest
from bench.metrics.faces import BOX
from bench.metrics.spec import UnavailableError

ASPECT = 0.42  # of a part's height to its width
_POINTS = {"eyes": (36, 48), "nose": (27, 36), "mouth": (48, 68)}  # of iBUG's 68, first and one past the last
_WIDER = {"eyes": 1.35, "nose": 2.6, "mouth": 1.5}  # than the landmarks are
_FIXED = {
    "eyes": (0.5, 0.25, 0.92),
    "nose": (0.5, 0.5, 0.6),
    "mouth": (0.5, 0.78, 0.62),
}  # x, y, width in dlib's box
PARTS = tuple(_POINTS)


@dataclass(frozen=True)
class Part:
    """A rectangle of whole pixels in HR: `left`, `top`, `width` and `height`."""

    left: int
    top: int
    width: int
    height: int

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """Return this part of [H, W, 3]."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


def check_parts(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of at most two parts, the upper one first; raise UserError for others or more."""
    for name in names:
        if name not in PARTS:
            raise UserError(f"--zoom: unknown part '{name}': {suggest(name, PARTS)}")
    if len(set(names)) > 2:
        raise UserError(f"--zoom: {len(set(names))} parts given, expected two at most")
    return tuple(name for name in PARTS if name in names)


def find_parts(hr: np.ndarray, names: Sequence[str]) -> tuple[list[dict[str, Part]], str]:
    """Return the parts of each face, uint8 [N, S, S, 3], and how they were found, in words.

    By dlib's landmarks where it is installed and finds the face, else by a fixed place of the crop.
    """
    if not names:
        return [{} for _ in hr], ""
    size = hr.shape[1]
    try:
        from bench.runs.priors import find_landmarks

        points = find_landmarks(hr)
    except UnavailableError:
        points = np.full((len(hr), 68, 2), np.nan, np.float32)
    known = np.isfinite(points).all(axis=(1, 2))
    parts = [{name: _part(name, face, size) for name in names} for face in points]
    if known.all():
        return parts, "by dlib's landmarks of the original"
    if not known.any():
        return parts, "in a fixed place of the crop"
    return (
        parts,
        f"by dlib's landmarks of the original ({int((~known).sum())} in a fixed place, where it finds no face)",
    )


def _part(name: str, points: np.ndarray, size: int) -> Part:
    """Return a part around its landmarks, or in its fixed place where they are NaN, inside of the picture."""
    if np.isfinite(points).all():
        own = points[slice(*_POINTS[name])]
        low, high = own.min(axis=0), own.max(axis=0)
        (x, y), width = (low + high) / 2, _WIDER[name] * float(high[0] - low[0])
    else:
        side = (BOX[2] - BOX[0]) * size
        x, y = (BOX[0] * size + _FIXED[name][0] * side, BOX[1] * size + _FIXED[name][1] * side)
        width = _FIXED[name][2] * side
    wide = int(np.clip(round(width), size // 6, size))
    tall = max(round(ASPECT * wide), 1)
    left = int(np.clip(round(x - wide / 2), 0, size - wide))
    top = int(np.clip(round(y - tall / 2), 0, size - tall))
    return Part(left, top, wide, tall)
