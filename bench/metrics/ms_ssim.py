"""Multi-scale structural similarity, where pictures are large enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.metrics.spec import Batch, Pairwise, UnavailableError
from bench.metrics.ssim import ssim_terms

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics.protocol import Window

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ms_ssim(sr: Tensor, hr: Tensor, window: Window, peak: float = 255.0) -> Tensor:
    """Return the MS-SSIM of each pair [B, C, H, W] in [0, peak] over five scales, float64 [B].

    The product of the contrast-structure terms, and at the coarsest scale of SSIM, each to the power of its weight;
    negative terms count as 0. Raises UnavailableError for pictures whose fifth scale is smaller than the window.
    Source: Wang, Simoncelli and Bovik 2003.
    """
    import torch
    import torch.nn.functional as F

    least = window.size * 2 ** (len(WEIGHTS) - 1)
    if min(sr.shape[-2:]) < least:
        height, width = sr.shape[-2:]
        coarse = min(height, width) // 2 ** (len(WEIGHTS) - 1)
        raise UnavailableError(
            f"not defined for {width}x{height} pixels: at the fifth scale {coarse} are left, the window takes "
            f"{window.size}; at least {least}x{least} are needed"
        )
    x, y, product = sr.double(), hr.double(), torch.ones(len(sr), dtype=torch.float64, device=sr.device)
    for scale, weight in enumerate(WEIGHTS):
        similarity, structure = ssim_terms(x, y, peak, window)
        last = scale == len(WEIGHTS) - 1
        product = product * (similarity if last else structure).clamp(min=0) ** weight
        if not last:
            padding = (x.shape[-2] % 2, x.shape[-1] % 2)
            x, y = (F.avg_pool2d(one, 2, padding=padding) for one in (x, y))
    return product


def _compute(batch: Batch) -> Tensor:
    rule = batch.protocol
    assert batch.hr is not None
    sr, hr = (rule.compared(one, rule.ssim) for one in (batch.sr, batch.hr))
    return ms_ssim(sr, hr, rule.window)


METRICS = (
    Pairwise(
        "ms-ssim",
        "MS-SSIM",
        "",
        True,
        4,
        ("hr",),
        "Wang, Simoncelli and Bovik 2003; from 176x176 pixels, so not for faces of 128x128",
        colour=True,
        compute=_compute,
    ),
)
