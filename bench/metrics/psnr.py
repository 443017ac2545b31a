"""Peak signal-to-noise ratio."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.core.errors import UserError
from bench.metrics.spec import Batch, Pairwise

if TYPE_CHECKING:
    from torch import Tensor


def psnr(sr: Tensor, hr: Tensor, peak: float = 255.0, epsilon: float = 0.0) -> Tensor:
    """Return the PSNR of each pair in dB: 10 log10(peak^2 / MSE), MSE over all channels and pixels.

    `sr` and `hr` are [B, ..., H, W] in [0, peak]; the result is float64 [B], infinite where the pictures are equal
    unless `epsilon` is added to MSE / peak^2. Source: paper, equations 13 and 14.
    """
    if sr.shape != hr.shape:
        raise UserError(f"PSNR of pictures of different sizes: {list(sr.shape)} and {list(hr.shape)}")
    error = (sr.double() - hr.double()).square().flatten(1).mean(1)
    return -10 * (error / peak**2 + epsilon).log10()


def _compute(batch: Batch) -> Tensor:
    return batch.compare(batch.protocol.psnr, partial(psnr, epsilon=batch.protocol.epsilon))


METRICS = (
    Pairwise("psnr", "PSNR", "dB", True, 3, ("hr",), "Paper, equations 13 and 14", colour=True, compute=_compute),
)
