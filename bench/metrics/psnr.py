"""Peak signal-to-noise ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def psnr(sr: Tensor, hr: Tensor, peak: float = 255.0) -> Tensor:
    """Return the PSNR of each pair in dB: 10 log10(peak^2 / MSE); infinite where the pictures are equal.

    `sr` and `hr` are [B, H, W] in [0, peak]; the result is float64 [B]. Source: paper, equations 13 and 14.
    """
    error = (sr.double() - hr.double()).square().mean(dim=(-2, -1))
    return 10 * (peak**2 / error).log10()
