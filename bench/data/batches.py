"""Training batches, cut, augmented and degraded on the device.

Faces sit in memory as uint8 and stay so until the last step; there are no worker processes. Batch k of seed s is a
pure function of (s, k), so a run resumes at any iteration without the state of a sampler.

On a CPU every picture is resized by torch's uint8 kernel, which computes as PIL does and is the fastest way there is;
elsewhere PIL's two passes are two matrix products for a whole batch, which wait for nothing.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from bench.core.errors import UserError
from bench.data.augment import Augment
from bench.data.landmarks import POINTS, move_landmarks

if TYPE_CHECKING:
    from torch import Tensor


def derive_seed(*parts: object) -> int:
    """Return a 63-bit seed that depends on every part, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class Batches:
    """Batch k -> (lr, hr): float32 in [0, 1], [B, 3, H/scale, W/scale] and [B, 3, H, W], in channels-last memory.

    `faces` is uint8 [N, H, W, 3]. Faces are drawn without replacement, epoch by epoch; batches run on over the end of
    an epoch. `landmarks` are the faces', float32 [N, 68, 2], NaN where there are none. Raises UserError without faces,
    for faces that are not square, and for landmarks that are not one set a face.
    """

    def __init__(
        self,
        faces: np.ndarray,
        *,
        batch: int,
        scale: int,
        seed: int,
        augment: Augment,
        device: torch.device,
        landmarks: np.ndarray | None = None,
    ) -> None:
        if len(faces) == 0:
            raise UserError("no training faces")
        if faces.shape[1] != faces.shape[2]:
            raise UserError(f"training faces are {faces.shape[2]}x{faces.shape[1]}, expected squares")
        self.faces = torch.from_numpy(np.array(faces)).to(device).permute(0, 3, 1, 2)
        self.batch, self.scale, self.seed, self.augment, self.device = batch, scale, seed, augment, device
        if landmarks is not None and landmarks.shape != (len(faces), POINTS, 2):
            raise UserError(
                f"landmarks are {list(landmarks.shape)}, expected {[len(faces), POINTS, 2]}: one set a face"
            )
        self.landmarks = None if landmarks is None else torch.from_numpy(np.array(landmarks, np.float32))

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        hr = cut_faces(self.faces, *self._draw(k))
        return degrade_batch(hr, self.scale).float() / 255, hr.float() / 255

    def landmarks_of(self, k: int) -> Tensor | None:
        """Return the landmarks of batch k's HR faces, moved as their pixels are: float32 [B, 68, 2] on the device.

        x, then y, in HR pixels, (0, 0) being the centre of the first one; NaN for a face without. None without
        landmarks. See `move_landmarks`.
        """
        if self.landmarks is None:
            return None
        chosen, cuts = self._draw(k)
        return _send(move_landmarks(self.landmarks[chosen], cuts, self.faces.shape[-1]), self.device)

    def _draw(self, k: int) -> tuple[list[int], Tensor]:
        """Return which faces batch k has, and how they are cut."""
        chosen = [self._face(k * self.batch + i) for i in range(self.batch)]
        draw = torch.Generator().manual_seed(derive_seed(self.seed, "augment", k))
        return chosen, draw_cuts(self.augment, self.faces.shape[-1], self.batch, draw)

    def _face(self, position: int) -> int:
        epoch, place = divmod(position, len(self.faces))
        return int(_shuffled(self.seed, epoch, len(self.faces))[place])


@functools.lru_cache(maxsize=4)
def _shuffled(seed: int, epoch: int, count: int) -> np.ndarray:
    draw = torch.Generator().manual_seed(derive_seed(seed, "epoch", epoch))
    return torch.randperm(count, generator=draw).numpy()


def draw_cuts(augment: Augment, size: int, count: int, draw: torch.Generator) -> Tensor:
    """Draw how `count` faces of `size` pixels are changed: int64 [count, 5] of side, top, left, mirror and turns.

    A square window of `side` pixels, which begins at (top, left), is resized to the full size, then mirrored (0 or 1)
    and turned by as many quarters as `turns` says. The side is the size over the zoom, to the nearest whole pixel.
    """
    low, high = augment.scale
    zoom = low + (high - low) * torch.rand(count, generator=draw, dtype=torch.float64)
    side = (size / zoom).round().long()
    places = torch.rand(2, count, generator=draw, dtype=torch.float64)
    top, left = (places * (size - side + 1)).long().unbind()
    mirror = torch.randint(2, (count,), generator=draw) * int(augment.flip)
    turns = torch.randint(4, (count,), generator=draw) * int(augment.rot90)
    return torch.stack([side, top, left, mirror, turns], dim=1)


def cut_faces(faces: Tensor, chosen: list[int], cuts: Tensor) -> Tensor:
    """Return the `chosen` ones of the faces, uint8 [N, 3, H, H], as `cuts` change them: uint8 [B, 3, H, H].

    Resized as PIL resizes a crop, within one grey level but for a few pixels in a thousand, which are within two.
    """
    if faces.device.type != "cpu":
        return cut_by_products(faces[_send(torch.tensor(chosen), faces.device)], _send(cuts, faces.device))
    # Views of the faces, joined at the end: torch gathers rows of bytes ten times more slowly than it joins them.
    parts = [_cut(faces[face : face + 1], *cut) for face, cut in zip(chosen, cuts.tolist(), strict=True)]
    return torch.cat(parts).contiguous(memory_format=torch.channels_last)


def _cut(face: Tensor, side: int, top: int, left: int, mirror: int, turns: int) -> Tensor:
    size = face.shape[-1]
    if side < size:
        window = face[..., top : top + side, left : left + side]
        face = F.interpolate(window, (size, size), mode="bicubic", antialias=True)
    if mirror:
        face = face.flip(-1)
    return torch.rot90(face, turns, (-2, -1)) if turns else face


def degrade_batch(hr: Tensor, scale: int) -> Tensor:
    """Shrink faces, uint8 [B, 3, H, W], by `scale` as PIL's bicubic does: uint8 [B, 3, H/scale, W/scale].

    Differs from PIL by at most one grey level.
    """
    height, width = hr.shape[-2:]
    if hr.device.type != "cpu":
        return degrade_by_products(hr, scale)
    return F.interpolate(hr, (height // scale, width // scale), mode="bicubic", antialias=True)


def cut_by_products(faces: Tensor, cuts: Tensor) -> Tensor:
    """Do what `cut_faces` does to faces, uint8 [B, 3, H, H], by matrix products: for devices that are not a CPU."""
    side, top, left, mirror, turns = cuts.unbind(1)
    size = faces.shape[-1]
    hr = _resize(faces, resize_matrix(top, side, size, size), resize_matrix(left, side, size, size))
    mirror, turns = mirror.view(-1, 1, 1, 1), turns.view(-1, 1, 1, 1)
    hr = torch.where(mirror == 1, hr.flip(-1), hr)
    hr = torch.where(turns >= 2, hr.flip(-2, -1), hr)
    hr = torch.where(turns % 2 == 1, torch.rot90(hr, 1, (-2, -1)), hr)
    return hr.contiguous(memory_format=torch.channels_last)


def degrade_by_products(hr: Tensor, scale: int) -> Tensor:
    """Do what `degrade_batch` does by matrix products: for devices that are not a CPU."""
    start = torch.zeros(1, dtype=torch.int64, device=hr.device)
    rows, columns = (resize_matrix(start, start + size, size, size // scale) for size in hr.shape[-2:])
    return _resize(hr, rows, columns).contiguous(memory_format=torch.channels_last)


def resize_matrix(start: Tensor, window: Tensor, size: int, out: int) -> Tensor:
    """Return float32 [B, out, size]: row i weighs `size` pixels for pixel i of the window resized to `out` pixels.

    The window of `window` pixels, int64 [B], begins at `start`; what lies outside of it counts for nothing. Keys' cubic
    with a = -0.5, stretched where the window shrinks: PIL's bicubic, weights beyond the border being dropped and the
    rest rescaled.
    """
    place = torch.arange(size, device=start.device)
    step = (window / out).view(-1, 1, 1)
    centre = start.view(-1, 1, 1) + (torch.arange(out, device=start.device).view(-1, 1) + 0.5) * step - 0.5
    weight = _keys((centre - place) / step.clamp_min(1))
    offset = place - start.view(-1, 1, 1)
    weight = weight * ((offset >= 0) & (offset < window.view(-1, 1, 1)))
    return weight / weight.sum(dim=2, keepdim=True)


def _resize(pictures: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Resize uint8 [B, 3, H, W] by matrices [B or 1, out, H or W]; like PIL, columns first, and bytes in between."""
    wide = _to_bytes(pictures.float() @ columns.transpose(1, 2).unsqueeze(1))
    return _to_bytes(rows.unsqueeze(1) @ wide.float())


def _to_bytes(levels: Tensor) -> Tensor:
    return (levels + 0.5).floor().clamp(0, 255).byte()


def _keys(distance: Tensor, a: float = -0.5) -> Tensor:
    """Return Keys' cubic kernel (Keys 1981, equation 15 for a = -0.5)."""
    x = distance.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _send(values: Tensor, device: torch.device) -> Tensor:
    """Copy to the device without waiting for it."""
    return (values.pin_memory() if device.type == "cuda" else values).to(device, non_blocking=True)
