"""Whether what a network gives can be a picture: finite, and near the values that pictures have.

Outputs are float [N, ...], a picture's values 0 to 1. A sound network overshoots at edges, by less than LIMIT on the
trial pictures here (a test holds the committed ones to it); one without a bound goes on to NaN there.
"""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

HUES = 24
LIMIT = 2.0  # of |2 sr - 1|, which is at most 1 in a picture: sr beyond [-0.5, 1.5] is far out of range


def is_finite(sr: Tensor | np.ndarray) -> Tensor:
    """Tell of each output, [N, ...], whether it holds neither NaN nor infinity: bool [N]."""
    return torch.isfinite(torch.as_tensor(sr)).flatten(1).all(1)


def deviation(sr: Tensor | np.ndarray) -> Tensor:
    """Return the largest |2 sr - 1| of each output, [N, ...]: float64 [N], infinity where it is not finite."""
    distance = (torch.as_tensor(sr).float() - 0.5).abs().flatten(1)
    return 2 * torch.nan_to_num(distance, nan=torch.inf, posinf=torch.inf).amax(1).double()


def far_out(sr: Tensor | np.ndarray) -> Tensor:
    """Tell of each output, [N, ...], whether a value is far out of a picture's range, or not finite: bool [N]."""
    return deviation(sr) > LIMIT


def share_out(sr: Tensor | np.ndarray) -> Tensor:
    """Return which share of each output's values, [N, ...], is far out of range or not finite: float64 [N]."""
    within = (torch.as_tensor(sr).float() - 0.5).abs() <= LIMIT / 2
    return 1 - within.flatten(1).double().mean(1)


def trial_pictures(faces: np.ndarray) -> np.ndarray:
    """Return HR pictures on whose LR unsound networks break down, uint8 [M, H, W, 3], from `faces`, uint8 [N, H, W, 3].

    Flat ones, black, white and saturated at every hue, and each face with a frame of each of these colours that is an
    eighth of its side wide.
    """
    hues = [colorsys.hsv_to_rgb(hue / HUES, 1, 1) for hue in range(HUES)]
    colours = np.array([(0, 0, 0), (1, 1, 1), *hues]) * 255
    flat = np.broadcast_to(colours.round().astype(np.uint8)[:, None, None], (len(colours), *faces.shape[1:]))
    edge = max(1, round(faces.shape[1] / 8))
    framed = [flat.copy() for _ in faces]
    for pictures, face in zip(framed, faces, strict=True):
        pictures[:, edge:-edge, edge:-edge] = face[edge:-edge, edge:-edge]
    return np.concatenate([flat, *framed])
