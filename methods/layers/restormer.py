"""Restormer's layers (Zamir et al., CVPR 2022), which CTCNet and WFEN build their transformer units from.

Written from descriptions of what CTCNet's and WFEN's released networks compute.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """Layer normalisation of [B, C, H, W] over the channels of each pixel: biased variance, 1e-5, weight and bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        channels_last = x.permute(0, 2, 3, 1)
        return F.layer_norm(channels_last, self.weight.shape, self.weight, self.bias, 1e-5).permute(0, 3, 1, 2)


class TransposedAttention(nn.Module):
    """Attention between channels, each a vector of all pixels, in `heads` groups; [B, C, H, W] -> [B, C, H, W].

    C must be divisible by `heads`. Restormer's (MDTA): queries and keys of unit length, their products times a
    temperature for each head, softmax. `sparse` is WFEN's form: ReLU in place of softmax, one temperature for all
    heads, and before the last convolution channels change from (head, c) order to (c, head).
    """

    def __init__(self, channels: int, heads: int, *, sparse: bool = False) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels must be divisible by heads, {channels} and {heads} given")
        self.heads, self.sparse = heads, sparse
        self.temperature = nn.Parameter(torch.ones(1 if sparse else heads, 1, 1))
        self.qkv = QueryKeyValue(channels)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        grouped = (part.flatten(2).unflatten(1, (self.heads, -1)) for part in self.qkv(x))
        query, key, value = grouped  # each [B, heads, C / heads, H W]
        scores = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1) * self.temperature
        out = (scores.relu() if self.sparse else scores.softmax(dim=-1)) @ value
        if self.sparse:
            out = out.transpose(1, 2)
        return self.project(out.reshape(x.shape))


class QueryKeyValue(nn.Module):
    """Give queries, keys and values, each [B, C, H, W]: a 1x1 and a depthwise 3x3 convolution, zeros at the border."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.depthwise = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.depthwise(self.expand(x)).chunk(3, dim=1)


class GatedFeedForward(nn.Module):
    """Restormer's gated feed-forward layer (GDFN), 2.66 C channels inside; [B, C, H, W] -> [B, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = int(2.66 * channels)
        self.expand = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.depthwise(self.expand(x)).chunk(2, dim=1)
        return self.project(F.gelu(gate) * value)
