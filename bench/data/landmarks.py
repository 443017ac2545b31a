"""68 landmarks of a face, and how they move with it.

The order is iBUG's, which dlib's predictor uses: 0-16 the jaw, 17-26 the brows, 27-35 the nose, 36-47 the eyes, 48-67
the lips, each from the picture's left to its right. A landmark is x, then y, in pixels of the face, a whole number
being the centre of a pixel: (0, 0) is the centre of the picture's first pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor

POINTS = 68
# A mirrored face's landmark i is landmark `sum - i` of the face: (first, last, sum) of each run of them.
_RUNS = (
    (0, 16, 16),  # jaw
    (17, 26, 43),  # brows
    (27, 30, None),  # bridge of the nose
    (31, 35, 66),  # nostrils
    (36, 39, 81),  # upper lid, from corner to corner
    (40, 41, 87),  # lower lid
    (42, 45, 81),
    (46, 47, 87),
    (48, 54, 102),  # upper lip, from corner to corner
    (55, 59, 114),  # lower lip
    (60, 64, 124),  # the same inside
    (65, 67, 132),
)
MIRRORED = tuple(i if total is None else total - i for first, last, total in _RUNS for i in range(first, last + 1))


def move_landmarks(points: Tensor, cuts: Tensor, size: int) -> Tensor:
    """Move landmarks, float [B, 68, 2], as `cut_faces` moves the pixels of faces of `size`: float32 [B, 68, 2].

    `cuts` is what `draw_cuts` draws, int64 [B, 5]. What leaves the picture keeps its place beyond the border; NaN stays
    NaN. A mirrored face's landmarks change places, so that number 36 is the outer corner of the eye on the left again.
    """
    side, top, left, mirror, turns = cuts.unbind(1)
    start, zoom = torch.stack([left, top], dim=1).unsqueeze(1), (size / side.double()).view(-1, 1, 1)
    points = (points.double() - start + 0.5) * zoom - 0.5
    mirror, turns = mirror.view(-1, 1, 1), turns.view(-1, 1, 1)
    points = torch.where(mirror == 1, _flip(points[:, list(MIRRORED)], size), points)
    for turn in range(1, 4):
        points = torch.where(turns >= turn, _turn(points, size), points)
    return points.float()


def _flip(points: Tensor, size: int) -> Tensor:
    x, y = points.unbind(-1)
    return torch.stack([size - 1 - x, y], dim=-1)


def _turn(points: Tensor, size: int) -> Tensor:
    """Turn by a quarter against the clock, as torch.rot90 does."""
    x, y = points.unbind(-1)
    return torch.stack([y, size - 1 - x], dim=-1)
