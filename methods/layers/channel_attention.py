"""Channel attention by squeeze and excitation, and RCAN's residual block around it (Zhang et al., ECCV 2018)."""

from __future__ import annotations

from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """Weigh the channels of [B, C, H, W] by a sigmoid of their means, through `hidden` units with ReLU."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x.mean(dim=(2, 3), keepdim=True))


class RCAB(nn.Module):
    """Residual channel attention block: 3x3, ReLU, 3x3, channel attention, plus the input; [B, C, H, W] keeps shape."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            ChannelAttention(channels, hidden),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)
