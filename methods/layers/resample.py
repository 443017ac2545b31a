"""Bicubic up-sampling as face super-resolution pipelines do it: on 8-bit pictures."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def upsample_8bit(lr: Tensor, scale: int) -> Tensor:
    """Enlarge [B, 3, h, w] in [0, 1] by `scale` to whole grey levels, within one level of PIL's bicubic.

    The reference networks read pictures that PIL has enlarged and stored with 8 bits; rounding belongs to their input.
    With `antialias` torch uses PIL's kernel (Keys, a = -0.5). Computed in float32 whatever autocast says.
    """
    size = (lr.shape[-2] * scale, lr.shape[-1] * scale)
    levels = F.interpolate(lr.float() * 255, size, mode="bicubic", antialias=True)
    return levels.round().clamp(0, 255) / 255
