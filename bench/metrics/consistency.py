"""LR consistency: does the super-resolved picture still belong to its input?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.degrade import degrade
from bench.metrics.protocol import unit
from bench.metrics.psnr import psnr
from bench.metrics.spec import Batch, Pairwise

if TYPE_CHECKING:
    from torch import Tensor


def _compute(batch: Batch) -> Tensor:
    """Return the PSNR of uint8 RGB between LR and SR degraded once more: float64 [B] in dB, infinite where equal."""
    import torch

    assert batch.lr is not None
    picture = batch.protocol.to_uint8(batch.sr).permute(0, 2, 3, 1).cpu().numpy()
    again = torch.from_numpy(degrade(picture, batch.scale, batch.degradation)).permute(0, 3, 1, 2)
    return psnr(again, (unit(batch.lr).double() * 255).round().cpu())


METRICS = (
    Pairwise(
        "lr-psnr",
        "LR consistency",
        "dB",
        True,
        2,
        ("lr",),
        "PSNR of RGB between the input and the output degraded as the input was",
        compute=_compute,
    ),
)
