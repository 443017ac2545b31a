"""SPARNet's scaffold: encoder, body and decoder of residual blocks with attention.

The proposed network keeps it and adds modules (paper, sections 3.1 and 3.2), so both are built from these parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from methods.layers.conv import ConvLayer, Scale
from methods.layers.hourglass import Hourglass
from methods.layers.resample import upsample_8bit

Attention = Literal["2d", "3d"]
Fuse = Literal["add", "mul", "concat", "sigmoid-sum"]
MakeStructure = Callable[[int], nn.Module]

# Depths at which every hourglass bottoms out at 4x4 for a 128x128 picture.
ENCODER_DEPTHS, BODY_DEPTH, DECODER_DEPTHS = (4, 3, 2), 2, (3, 4, 5)


class AttentionBlock(nn.Module):
    """Residual block with attention: [B, C_in, H, W] -> [B, C_out, H', W'].

    SPARNet's facial attention unit: F = convolutions of the pre-activated input; output = shortcut + F * sigmoid(A), A
    from an hourglass of F. The proposed multi-scale residual block (paper, section 3.2) adds a second branch E on F,
    `structure`, and multiplies F by "F_scale", which is not defined further. `fuse` is how A and E make it:
    "sigmoid-sum" sigmoid(A + E), "add" sigmoid(A) + E, "mul" sigmoid(A) * E, "concat" a 1x1 convolution of both. Only
    the first has a bound: as E grows with F, the others square features that are larger than those in training, and
    the next block squares them again. "sigmoid-sum" and "add" contain SPARNet's block as E = 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        scale: Scale,
        *,
        depth: int,
        mid: int,
        attention: Attention,
        structure: MakeStructure | None = None,
        fuse: Fuse = "sigmoid-sum",
    ) -> None:
        super().__init__()
        changed = scale != "same" or in_channels != out_channels
        self.shortcut = (
            ConvLayer(in_channels, out_channels, scale=scale, norm=False, act=False) if changed else nn.Identity()
        )
        self.before = nn.Sequential(nn.BatchNorm2d(in_channels), nn.LeakyReLU(0.2))
        self.conv1 = ConvLayer(in_channels, out_channels, scale="up" if scale == "up" else "same")
        self.conv2 = ConvLayer(out_channels, out_channels, scale="down" if scale == "down" else "same", act=False)
        maps = 1 if attention == "2d" else out_channels
        self.hourglass = Hourglass(out_channels, maps, depth, mid)
        self.fuse = fuse
        if structure is not None:
            self.structure = structure(out_channels)
            if fuse == "concat":
                self.join = nn.Conv2d(maps + out_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv2(self.conv1(self.before(x)))
        return self.shortcut(x) + features * self._weigh(features)

    def _weigh(self, features: Tensor) -> Tensor:
        """Return F_scale, one map or one a channel."""
        logits = self.hourglass(features)
        if not hasattr(self, "structure"):
            return logits.sigmoid()
        structure = self.structure(features)
        if self.fuse == "sigmoid-sum":
            return (logits + structure).sigmoid()
        if self.fuse == "mul":
            return logits.sigmoid() * structure
        if self.fuse == "concat":
            return self.join(torch.cat([logits.sigmoid(), structure], dim=1))
        return logits.sigmoid() + structure


class Scaffold(nn.Module):
    """Map LR [B, 3, h, w] in [0, 1] to SR [B, 3, s h, s w]; s h must be divisible by 32.

    The input is enlarged to the output's size first (bicubic, 8 bits) and brought to [-1, 1]; the output comes back
    from [-1, 1], with no final activation and no skip from the input. Subclasses change `deep` and `decode`.
    """

    def __init__(
        self,
        scale: int,
        width: float,
        deep_blocks: int,
        attention: Attention,
        structure: MakeStructure | None = None,
        fuse: Fuse = "sigmoid-sum",
    ) -> None:
        super().__init__()
        if deep_blocks < 1:
            raise ValueError(f"deep_blocks must be at least 1, {deep_blocks} given")
        self.scale = scale
        self.widths = [scale_channels(channels, width) for channels in (32, 64, 128, 128)]
        mid = scale_channels(64, width)

        def block(channels: tuple[int, int], scale: Scale, depth: int) -> AttentionBlock:
            return AttentionBlock(
                *channels, scale, depth=depth, mid=mid, attention=attention, structure=structure, fuse=fuse
            )

        down = list(zip(self.widths, self.widths[1:], strict=False))
        up = [(wide, narrow) for narrow, wide in reversed(down)]
        deep = self.widths[-1]
        self.head = ConvLayer(3, self.widths[0], norm=False, act=False)
        self.encoder = nn.ModuleList(block(c, "down", d) for c, d in zip(down, ENCODER_DEPTHS, strict=True))
        self.body = nn.ModuleList(block((deep, deep), "same", BODY_DEPTH) for _ in range(deep_blocks))
        self.decoder = nn.ModuleList(block(c, "up", d) for c, d in zip(up, DECODER_DEPTHS, strict=True))
        self.tail = ConvLayer(self.widths[0], 3, norm=False, act=False)

    def forward(self, lr: Tensor) -> Tensor:
        shallow = self.head(upsample_8bit(lr, self.scale) * 2 - 1)  # equation 1
        features = [shallow]
        for block in self.encoder:
            features.append(block(features[-1]))  # equation 2
        out = self.decode(self.deep(features[-1]), features)  # equations 3 and 4
        return (self.tail(out) + 1) / 2

    def deep(self, x: Tensor) -> Tensor:
        """Run the blocks at LR size."""
        for block in self.body:
            x = block(x)
        return x

    def decode(self, x: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Bring deep features to HR size; `features` are F_0 (HR size) to F_3 (LR size) of the encoder."""
        for block in self.decoder:
            x = block(x)
        return x


def scale_channels(channels: int, width: float) -> int:
    """Return `channels` times `width`, brought to a multiple of four, at least four."""
    if width <= 0:
        raise ValueError(f"width must be more than 0, {width} given")
    return max(4, 4 * round(channels * width / 4))


def draw_weights(network: nn.Module, width: float, branch_gain: float = 1.0) -> None:
    """Draw first weights as SPARNet does: convolutions N(0, 0.02), biases 0, BatchNorm scales N(1, 0.02).

    0.02 is divided by the root of `width`: a narrow network then starts with signals as large as the full one's.
    `branch_gain` multiplies the scale of each block's last BatchNorm: 1 is SPARNet's; with less, blocks start closer to
    their shortcuts (Goyal et al. 2017 start at 0), which lets high learning rates work.
    """
    if not 0 <= branch_gain <= 1:
        raise ValueError(f"branch_gain must be between 0 and 1, {branch_gain} given")
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02 / math.sqrt(width))
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    for block in network.modules():
        if isinstance(block, AttentionBlock):
            nn.init.normal_(block.conv2.norm.weight, branch_gain, 0.02 * branch_gain)
