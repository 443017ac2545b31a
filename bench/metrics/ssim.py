"""Structural similarity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

WINDOW = 11
SIGMA = 1.5


def ssim(sr: Tensor, hr: Tensor, peak: float = 255.0) -> Tensor:
    """Return the SSIM of each pair: Gaussian window 11x11, sigma 1.5, population covariance, K 0.01 and 0.03.

    `sr` and `hr` are [B, H, W] in [0, peak], at least 11 pixels a side (else UserError); the result is float64 [B],
    the mean over all places where the window fits. Source: Wang et al. 2004; the paper's equation 15 lacks the factor
    2 of the covariance, without which equal pictures would score about 0.5, and is not followed there.
    """
    if min(sr.shape[-2:]) < WINDOW:
        raise UserError(f"SSIM needs pictures of at least {WINDOW}x{WINDOW} pixels, {tuple(sr.shape[-2:])} given")
    x, y = sr.double(), hr.double()
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x.square()
    var_y = _blur(y * y) - mean_y.square()
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    norm = (mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2)
    return (likeness / norm).mean(dim=(-2, -1))


def _blur(image: Tensor) -> Tensor:
    """Blur [B, H, W] by the Gaussian window, keeping only places where it fits: [B, H - 10, W - 10]."""
    import torch
    import torch.nn.functional as F

    place = torch.arange(WINDOW, dtype=image.dtype, device=image.device) - WINDOW // 2
    weight = torch.exp(-0.5 * (place / SIGMA).square())
    weight = weight / weight.sum()
    image = F.conv2d(image.unsqueeze(1), weight.view(1, 1, WINDOW, 1))
    return F.conv2d(image, weight.view(1, 1, 1, WINDOW)).squeeze(1)
