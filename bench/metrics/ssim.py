"""Structural similarity."""

from __future__ import annotations

import functools
from functools import partial
from typing import TYPE_CHECKING

from bench.core.errors import UserError
from bench.metrics.protocol import Window
from bench.metrics.spec import Batch, Pairwise

if TYPE_CHECKING:
    from torch import Tensor


def ssim(sr: Tensor, hr: Tensor, peak: float = 255.0, window: Window = Window()) -> Tensor:  # noqa: B008 - frozen
    """Return the SSIM of each pair with K 0.01 and 0.03: the mean over all places where the window fits.

    `sr` and `hr` are [B, H, W] or [B, C, H, W] in [0, peak], no side smaller than the window (else UserError); the
    result is float64 [B], the mean over channels. Two equal pictures have 1, flat ones too. Source: Wang et al. 2004;
    the paper's equation 15 lacks the factor 2 of the covariance, without which equal pictures would score about 0.5,
    and is not followed there.
    """
    import torch

    if sr.shape != hr.shape:
        raise UserError(f"SSIM of pictures of different sizes: {list(sr.shape)} and {list(hr.shape)}")
    if min(sr.shape[-2:]) < window.size:
        raise UserError(f"SSIM needs at least {window.size}x{window.size} pixels, {list(sr.shape[-2:])} given")
    x, y = sr.double(), hr.double()
    # Sum and difference need four blurs where the pictures themselves need five.
    mean_sum, mean_difference, square_sum, square_difference = _blur(
        torch.stack([x + y, x - y, (x + y).square(), (x - y).square()]), window
    )
    unbiased = window.size**2 / (window.size**2 - 1) if window.covariance == "sample" else 1.0
    means, products = (
        (mean_sum.square() + mean_difference.square()) / 2,
        (mean_sum.square() - mean_difference.square()) / 2,
    )
    variances = ((square_sum + square_difference) / 2 - means) * unbiased
    covariances = ((square_sum - square_difference) / 2 - products) * unbiased
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    structure = (covariances + c2) / (variances + c2)
    if window.clip:
        structure = structure.clamp(min=0)
    likeness: Tensor = structure * (products + c1) / (means + c1)
    return likeness.flatten(1).mean(1)


def _blur(images: Tensor, window: Window) -> Tensor:
    """Weigh [..., H, W] by the window at each place where it fits: [..., H - size + 1, W - size + 1]."""
    height, width = images.shape[-2:]
    rows = _band(height, window).to(images.device)
    columns = _band(width, window).to(images.device)
    return rows @ images @ columns.T


@functools.lru_cache(maxsize=16)
def _band(side: int, window: Window) -> Tensor:
    """Return the matrix [side - size + 1, side] whose rows are the window's weights, each a pixel further."""
    import torch

    place = torch.arange(window.size, dtype=torch.float64) - window.size // 2
    weight = torch.exp(-0.5 * (place / window.sigma).square()) if window.kind == "gaussian" else torch.ones_like(place)
    band = torch.zeros(side - window.size + 1, side, dtype=torch.float64)
    for row in range(len(band)):
        band[row, row : row + window.size] = weight / weight.sum()
    return band


def _compute(batch: Batch) -> Tensor:
    return batch.compare(batch.protocol.ssim, partial(ssim, window=batch.protocol.window))


METRICS = (Pairwise("ssim", "SSIM", "", True, 4, ("hr",), "Wang et al. 2004", colour=True, compute=_compute),)
