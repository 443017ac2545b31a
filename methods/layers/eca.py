"""Efficient channel attention (Wang et al., CVPR 2020)."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn

EcaRule = Literal["public", "nearest", "ceil"]


def eca_kernel(channels: int, rule: EcaRule = "public") -> int:
    """Return the odd kernel size for t = log2(C)/2 + 1/2 (paper, equation 8).

    The paper writes ceiling brackets but says "nearest odd number". "public" is ECA-Net's code: the whole part of t,
    made odd upwards; "nearest" is the nearest odd number, the lower one at a tie; "ceil" rounds up and makes it odd.
    """
    t = (math.log2(channels) + 1) / 2
    if rule == "nearest":
        return max(1, 2 * math.ceil((t - 1) / 2 - 0.5) + 1)
    whole = math.ceil(t) if rule == "ceil" else int(t)
    return whole if whole % 2 else whole + 1


class ECA(nn.Module):
    """Weigh each channel of [B, C, H, W] by itself and its neighbours (paper, equation 7)."""

    def __init__(self, channels: int, rule: EcaRule = "public") -> None:
        super().__init__()
        kernel = eca_kernel(channels, rule)
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3))  # [B, C]
        weight = self.conv(mean.unsqueeze(1)).sigmoid()  # [B, 1, C]
        return x * weight.view(*mean.shape, 1, 1)
