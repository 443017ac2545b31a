"""Structural similarity."""

from __future__ import annotations

import functools
from functools import partial
from typing import TYPE_CHECKING

from bench.core.errors import UserError
from bench.metrics.blur import blur
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
    both, apart = x + y, x - y
    mean_sum, mean_difference, square_sum, square_difference = blur(
        torch.stack([both, apart, both.square(), apart.square()]), _weights(window)
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


@functools.lru_cache(maxsize=16)
def _weights(window: Window) -> tuple[float, ...]:
    """Return the window's weights along one direction."""
    import torch

    place = torch.arange(window.size, dtype=torch.float64) - window.size // 2
    weight = torch.exp(-0.5 * (place / window.sigma).square()) if window.kind == "gaussian" else torch.ones_like(place)
    return tuple((weight / weight.sum()).tolist())


def _compute(batch: Batch) -> Tensor:
    return batch.compare(batch.protocol.ssim, partial(ssim, window=batch.protocol.window))


METRICS = (Pairwise("ssim", "SSIM", "", True, 4, ("hr",), "Wang et al. 2004", colour=True, compute=_compute),)
