"""What networks learn beside pixels: heat maps and parsing maps, drawn from a face's 68 landmarks on their device.

Landmarks are float [B, 68, 2] in iBUG's order, x then y in pixels of a face of `side` pixels, whole numbers at the
centres of pixels; NaN for a face without, whose maps are zero. No gradient is meant to flow back to them.
"""

from __future__ import annotations

import torch
from torch import Tensor

_JAW, _BROWS, _EYES = range(17), (range(17, 22), range(22, 27)), (range(36, 42), range(42, 48))
_SKIN = [*_JAW, *reversed(_BROWS[1]), *reversed(_BROWS[0])]
_NOSE = [27, *range(31, 36)]  # from the top of its bridge along the nostrils
_LIPS = list(range(48, 60))
_UPPER_LIP, _LOWER_LIP = [*range(48, 55), *range(64, 59, -1)], [*range(54, 60), 48, 60, *range(67, 63, -1)]
_INNER_MOUTH = list(range(60, 68))
_BROW_DEPTH = 0.25  # of the way from brow to eye: dlib's points are a line along the brow


def heat_maps(points: Tensor, size: int, side: int = 128, sigma: float = 1.0) -> Tensor:
    """Draw a Gaussian around each landmark: float32 [B, 68, size, size], exp(-d^2 / (2 sigma^2)), 1 at its centre.

    d is the distance in pixels of the map from points * size / side, which is neither rounded nor clipped (DIC's
    training: landmark / 4 on maps of 32 pixels).
    """
    places = torch.arange(size, dtype=torch.float32, device=points.device)
    x, y = (points.float() * (size / side)).unsqueeze(-1).unbind(2)
    columns, rows = ((-((places - at) ** 2) / (2 * sigma**2)).exp() for at in (x, y))
    return (rows.unsqueeze(-1) * columns.unsqueeze(-2)).nan_to_num(0)


def parsing_maps(points: Tensor, size: int, side: int = 128) -> Tensor:
    """Fill polygons of the landmarks: float32 [B, 3, size, size], 1 inside and 0 outside.

    The channels are skin (the jaw, closed over the brows), eyes and brows, nose and lips. They stand in for parsing
    maps of people's making, of which they have neither hair nor ears nor forehead. A brow is a band from its landmarks
    a quarter of the way to its eye's centre. On a map of another size a pixel is where its centre is in the face.
    """
    points = points.float()
    brows = [_band(points[:, list(brow)], points[:, list(eye)]) for brow, eye in zip(_BROWS, _EYES, strict=True)]
    eyes = [points[:, list(eye)] for eye in _EYES]
    channels = [[points[:, _SKIN]], [*eyes, *brows], [points[:, _NOSE], points[:, _LIPS]]]
    filled = [torch.stack([fill_polygon(one, size, side) for one in polygons]).any(dim=0) for polygons in channels]
    return torch.stack(filled, dim=1).float()


def label_maps(points: Tensor, size: int, side: int = 128) -> Tensor:
    """Fill polygons of the landmarks by the labels of Helen's parsing: float32 [B, 11, size, size], 1 inside.

    The channels are background, skin, left and right brow (of the picture), left and right eye, nose, upper lip, inner
    mouth, lower lip and hair. A pixel has one label, the last that covers it; hair, of which landmarks say nothing, has
    none, and lies in the background with the forehead. Other than that they are as `parsing_maps` has them.
    """
    points = points.float()
    brows = [_band(points[:, list(brow)], points[:, list(eye)]) for brow, eye in zip(_BROWS, _EYES, strict=True)]
    parts = [list(eye) for eye in _EYES] + [_NOSE, _UPPER_LIP, _INNER_MOUTH, _LOWER_LIP]
    polygons = [points[:, _SKIN], *brows, *(points[:, part] for part in parts)]
    filled = torch.stack([fill_polygon(one, size, side) for one in polygons], dim=1)
    covered = filled.flip(1).cumsum(dim=1).flip(1) - filled.int()  # how many later labels cover a pixel
    known = ~points.isnan().flatten(1).any(dim=1).view(-1, 1, 1, 1)
    background, hair = ~filled.any(dim=1, keepdim=True) & known, torch.zeros_like(filled[:, :1])
    return torch.cat([background, filled & (covered == 0), hair], dim=1).float()


def fill_polygon(corners: Tensor, size: int, side: int) -> Tensor:
    """Tell which pixels of [size, size] have their centre inside polygons [B, corners, 2]: bool [B, size, size].

    Inside is where the outline winds around (the non-zero rule, so that one that crosses itself has no holes). It is
    closed from the last corner to the first. A polygon with NaN is empty.
    """
    x, y = ((corners + 0.5) * (size / side) - 0.5).unsqueeze(-1).unbind(2)  # [B, corners, 1]
    next_x, next_y = x.roll(-1, dims=1), y.roll(-1, dims=1)
    rows = torch.arange(size, dtype=corners.dtype, device=corners.device)
    downward, upward = (y <= rows) & (rows < next_y), (next_y <= rows) & (rows < y)  # [B, corners, size]
    crossing = x + (rows - y) / (next_y - y) * (next_x - x)  # where an edge crosses a row, if it does
    first = crossing.ceil().nan_to_num(0).clamp(0, size).long()  # the first pixel to the right of it
    steps = torch.zeros(len(corners), size, size + 1, dtype=torch.int32, device=corners.device)
    steps.scatter_add_(2, first.transpose(1, 2), (downward.int() - upward.int()).transpose(1, 2))
    inside = steps.cumsum(dim=2)[:, :, :size] != 0
    return inside & ~corners.isnan().any(dim=2).any(dim=1).view(-1, 1, 1)


def _band(brow: Tensor, eye: Tensor) -> Tensor:
    """Return the outline of a brow, [B, 10, 2], from the five landmarks along it and those of its eye."""
    below = brow + _BROW_DEPTH * (eye.mean(dim=1, keepdim=True) - brow)
    return torch.cat([brow, below.flip(1)], dim=1)
