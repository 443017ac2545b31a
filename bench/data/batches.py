"""Training batches, cut, augmented and degraded on the device.

Faces sit in memory as uint8; there are no worker processes. Batch k of seed s is a pure function of (s, k), so a run
resumes at any iteration without the state of a sampler.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from bench.config import Augment
from bench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


def derive_seed(*parts: object) -> int:
    """Return a 63-bit seed that depends on every part, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class Batches:
    """Batch k -> (lr, hr): float32 in [0, 1], [B, 3, H/scale, W/scale] and [B, 3, H, W], in channels-last memory.

    `faces` is uint8 [N, H, W, 3]. Faces are drawn without replacement, epoch by epoch; batches run on over the end of
    an epoch.
    """

    def __init__(
        self, faces: np.ndarray, *, batch: int, scale: int, seed: int, augment: Augment, device: torch.device
    ) -> None:
        if len(faces) == 0:
            raise UserError("no training faces")
        self.faces = torch.from_numpy(np.array(faces)).to(device)
        self.batch, self.scale, self.seed, self.augment, self.device = batch, scale, seed, augment, device

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        chosen = torch.tensor([self._face(k * self.batch + i) for i in range(self.batch)], device=self.device)
        hr = self.faces[chosen].permute(0, 3, 1, 2).float()
        draw = torch.Generator().manual_seed(derive_seed(self.seed, "augment", k))
        hr = augment_batch(hr, self.augment, draw)
        return degrade_batch(hr, self.scale) / 255, hr / 255

    def _face(self, position: int) -> int:
        epoch, place = divmod(position, len(self.faces))
        return int(_shuffled(self.seed, epoch, len(self.faces))[place])


@functools.lru_cache(maxsize=4)
def _shuffled(seed: int, epoch: int, count: int) -> Tensor:
    draw = torch.Generator().manual_seed(derive_seed(seed, "epoch", epoch))
    return torch.randperm(count, generator=draw)


def degrade_batch(hr: Tensor, scale: int) -> Tensor:
    """Shrink grey levels [B, 3, H, W] (float, 0 to 255) by `scale` as PIL's bicubic does, to whole levels.

    Differs from PIL on uint8 by at most one level (PIL rounds between its two passes as well).
    """
    size = (hr.shape[-2] // scale, hr.shape[-1] // scale)
    return F.interpolate(hr, size, mode="bicubic", antialias=True).round().clamp(0, 255)


def augment_batch(hr: Tensor, augment: Augment, draw: torch.Generator) -> Tensor:
    """Change each face of [B, 3, H, H] (float grey levels) at random as `augment` says; levels stay whole.

    The zoom and the flips are one linear map of the rows and one of the columns, so a batch takes two matrix products.
    """
    count, _, size, width = hr.shape
    if size != width:
        raise UserError(f"training faces are {size}x{width}, expected squares")
    low, high = augment.scale
    window = size / (low + (high - low) * torch.rand(count, generator=draw, dtype=torch.float64))
    top, left = (torch.rand(2, count, generator=draw, dtype=torch.float64) * (size - window)).unbind()
    flip_x = torch.randint(2, (count,), generator=draw) * int(augment.flip)
    turns = torch.randint(4, (count,), generator=draw) * int(augment.rot90)
    # A quarter turn is a transposition and a flip: 1 transposes and flips rows, 2 flips both, 3 transposes and flips
    # columns.
    transpose = turns % 2 == 1
    flip_rows = (turns == 1) | (turns == 2)
    flip_columns = (turns >= 2) ^ (flip_x == 1)
    if transpose.any():
        hr = torch.where(transpose.to(hr.device).view(-1, 1, 1, 1), hr.transpose(-1, -2), hr)
    if high > 1 or flip_rows.any() or flip_columns.any():
        rows = _resize_matrix(top, window, flip_rows, size).to(hr)
        columns = _resize_matrix(left, window, flip_columns, size).to(hr)
        hr = rows.unsqueeze(1) @ hr @ columns.transpose(-1, -2).unsqueeze(1)
    return hr.round().clamp(0, 255).contiguous(memory_format=torch.channels_last)


def _resize_matrix(start: Tensor, window: Tensor, flip: Tensor, size: int) -> Tensor:
    """Return float32 [B, size, size]: row i weighs the source pixels for pixel i of the window resized to `size`.

    Keys' cubic with a = -0.5 (PIL's bicubic); a window is never larger than the picture, so no antialiasing is needed.
    Weights beyond the border are dropped and the rest rescaled, as PIL does.
    """
    place = torch.arange(size, dtype=torch.float64)
    step = (window / size).unsqueeze(1)
    centre = start.unsqueeze(1) + (place + 0.5) * step - 0.5
    weight = _keys(centre.unsqueeze(2) - place)
    weight = weight / weight.sum(dim=2, keepdim=True)
    return torch.where(flip.bool().view(-1, 1, 1), weight.flip(1), weight).float()


def _keys(distance: Tensor, a: float = -0.5) -> Tensor:
    """Return Keys' cubic kernel (Keys 1981, equation 15 for a = -0.5)."""
    x = distance.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
