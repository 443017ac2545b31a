"""Degradations by name: PIL bicubic on 8-bit pictures, bit for bit, and what else robustness is tested with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from bench.core.errors import UserError, check_known
from bench.data.imresize import imresize
from bench.data.realworld import real_world

DEFAULT = "pil-bicubic"

# (face uint8 [H, W, 3], scale, index of the face in its set, seed) -> uint8 [H/scale, W/scale, 3]
Shrink = Callable[[np.ndarray, int, int, int], np.ndarray]


@dataclass(frozen=True)
class Degradation:
    """A way to shrink a face: a pure function of the face, the scale, the face's index in its set and the seed."""

    name: str
    about: str  # one sentence, for users
    function: Shrink


def degrade(hr: np.ndarray, scale: int, kind: str = DEFAULT, seed: int = 0) -> np.ndarray:
    """Shrink faces, uint8 [N, H, W, 3], by `scale` as `DEGRADATIONS[kind]` does: uint8 [N, H/scale, W/scale, 3].

    Face i comes out the same whatever the other faces are. Only kinds that draw at random look at `seed`.
    Raises UserError for an unknown kind and when the size does not divide by the scale.
    """
    check_known("degradation", kind, DEGRADATIONS)
    height, width = hr.shape[1:3]
    if scale < 1 or height % scale or width % scale:
        raise UserError(f"faces of {width}x{height} pixels cannot be shrunk by {scale}: the size must divide")
    out = np.empty((len(hr), height // scale, width // scale, 3), np.uint8)
    for index, (lr, face) in enumerate(zip(out, hr, strict=True)):
        lr[...] = DEGRADATIONS[kind].function(face, scale, index, seed)
    return out


def upsample(lr: np.ndarray, scale: int) -> np.ndarray:
    """Enlarge pictures, uint8 [N, h, w, 3], by `scale` with PIL bicubic: uint8 [N, h scale, w scale, 3]."""
    size = (lr.shape[2] * scale, lr.shape[1] * scale)
    out = np.empty((len(lr), size[1], size[0], 3), np.uint8)
    for large, picture in zip(out, lr, strict=True):
        large[...] = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    return out


def _pil(resample: Image.Resampling, face: np.ndarray, scale: int, index: int, seed: int) -> np.ndarray:
    height, width = face.shape[:2]
    return np.asarray(Image.fromarray(face).resize((width // scale, height // scale), resample))


def _matlab(face: np.ndarray, scale: int, index: int, seed: int) -> np.ndarray:
    height, width = face.shape[:2]
    return np.asarray(imresize(face[None], (height // scale, width // scale))[0])


def _torch(antialias: bool, face: np.ndarray, scale: int, index: int, seed: int) -> np.ndarray:
    """Shrink with torch's bicubic; in float64, so that no machine's float32 arithmetic decides how a half rounds."""
    import torch
    import torch.nn.functional as F

    height, width = face.shape[:2]
    picture = torch.from_numpy(np.array(face)).permute(2, 0, 1).unsqueeze(0).double()
    size = (height // scale, width // scale)
    lr = F.interpolate(picture, size, mode="bicubic", align_corners=False, antialias=antialias)
    return np.asarray(lr[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy())


DEGRADATIONS: Mapping[str, Degradation] = {
    degradation.name: degradation
    for degradation in (
        Degradation(
            DEFAULT,
            "PIL's antialiased bicubic on 8-bit pictures: the protocol of every table that names no other.",
            partial(_pil, Image.Resampling.BICUBIC),
        ),
        Degradation(
            "matlab-bicubic",
            "MATLAB's imresize: PIL's kernel, but the picture goes on mirrored beyond its border.",
            _matlab,
        ),
        Degradation(
            "torch-antialias",
            "torch's antialiased bicubic, as in training: within one grey level of PIL's on photos.",
            partial(_torch, True),
        ),
        Degradation(
            "area",
            "The mean of each block of scale x scale pixels (PIL's box filter).",
            partial(_pil, Image.Resampling.BOX),
        ),
        Degradation(
            "no-antialias",
            "Bicubic between the nearest 4x4 pixels alone (a = -0.75, as torch and OpenCV do by default): aliases.",
            partial(_torch, False),
        ),
        Degradation(
            "real-world",
            "Blur, shrinking, noise and JPEG, drawn at random for each face and decided by the seed.",
            real_world,
        ),
    )
}
