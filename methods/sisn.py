"""SISN: split-attention in split-attention network (Lu et al., ACM MM 2021).

Written from the paper and from facts about the released model (MIT); no code of it is used here.
"""

from __future__ import annotations

import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import register
from methods.layers.keys import rename
from methods.layers.scaffold import scale_channels

_MEAN = (0.4488, 0.4371, 0.4040)  # of red, green and blue, in [0, 1]
_PARTS = 4  # that a block's attention weighs against each other
_NAMES = [  # the released names, and ours
    (r"(sub_mean|add_mean)\.(weight|bias)", r"\1.\2"),
    (r"head\.1\.(weight|bias)", r"head.\1"),
    (r"body\.10\.(weight|bias)", r"body.\1"),
    (r"tail\.0\.(\d)\.(weight|bias)", r"enlarge.\1.\2"),
    (r"tail\.1\.(weight|bias)", r"tail.\1"),
    (r"body\.(\d)\.body\.10\.(weight|bias)", r"groups.\1.conv.\2"),
]
_BLOCK = re.compile(r"body\.(\d)\.(body\.(\d)|IA)\.(.+)")
_BLOCK_NAMES = [
    (r"skip\.weight", ""),  # in every block of the released network, used by none
    (r"conv1\.weight", "enter.0.weight"),
    (r"bn1\.(.+)", r"enter.1.\1"),
    (r"conv2\.conv\.weight", "split.0.weight"),
    (r"conv2\.bn0\.(.+)", r"split.1.\1"),
    (r"conv2\.conv1x1_1\.(weight|bias)", r"weigh.0.\1"),
    (r"conv2\.bn1\.(.+)", r"weigh.1.\1"),
    (r"conv2\.conv1x1_2\.(weight|bias)", r"weigh.3.\1"),
    (r"conv3\.weight", "leave.0.weight"),
    (r"bn3\.(.+)", r"leave.1.\1"),
]


@register(
    "sisn",
    title="SISN",
    year=2021,
    paper="Lu et al., Face Hallucination via Split-Attention in Split-Attention Network",
    venue="ACM Multimedia 2021:5501-5509",
    licence="MIT",
    published_parameters=8_755_035,
    tags=["cnn", "attention"],
    scales=[2, 4, 8, 16],
)
class SISN(nn.Module):
    """Map LR [B, 3, h, w] in [0, 1] to SR [B, 3, s h, s w], s a power of two; trains on two pictures a batch or more.

    Inside, colours are 0..255 less a mean. `groups` groups of `blocks` blocks work at LR size; each adds to its blocks'
    result that of one more block beside them. Pixel shuffles enlarge what comes out, plus the first features.

    Kept as released: the two layers that shift means are full 1x1 convolutions whose 24 numbers are trained with the
    rest. The first convolution reads a picture enlarged by nearest neighbour and then folded by s into channels, pixel
    by pixel with the colours innermost (not the order of torch's pixel_unshuffle): every LR pixel, s^2 times. Here it
    is repeated without being enlarged first, which is the same. Attention normalises means over the batch alone: with
    one picture torch has nothing to normalise, so training raises ValueError, as `least_batch` says.

    Left out: a 1x1 convolution in every block that nothing uses, 450,560 numbers of the released 8,755,035. `width`
    multiplies every channel count. First weights are torch's default draw, whose size follows the fan-in at any width.
    The objective is whole in `training_loss`; the mixing of pictures (blending, cutting out, CutMix and the like) that
    the released training can switch on is not here.
    """

    least_batch = 2

    def __init__(self, scale: int = 8, *, width: float = 1.0, groups: int = 10, blocks: int = 10) -> None:
        super().__init__()
        if scale < 1 or scale & (scale - 1):
            raise ValueError(f"scale must be a power of two, {scale} given")
        if min(groups, blocks) < 1:
            raise ValueError(f"groups and blocks must be at least 1, {groups} and {blocks} given")
        self.scale = scale
        channels = scale_channels(64, width)
        self.sub_mean, self.add_mean = _shift(-1), _shift(1)
        self.head = nn.Conv2d(3 * scale**2, channels, 3, padding=1)
        self.groups = nn.Sequential(*(_Group(channels, blocks) for _ in range(groups)))
        self.body = nn.Conv2d(channels, channels, 3, padding=1)
        doublings = [
            (nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.PixelShuffle(2)) for _ in range(int(math.log2(scale)))
        ]
        self.enlarge = nn.Sequential(*(layer for pair in doublings for layer in pair))
        self.tail = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        if self.training and len(lr) < self.least_batch:
            raise ValueError(
                f"SISN's attention normalises over the pictures of a batch: it trains on at least {self.least_batch}, "
                f"{len(lr)} given; raise the batch size"
            )
        pixels = self.sub_mean(lr * 255)
        shallow = self.head(torch.cat([pixels] * self.scale**2, dim=1))
        deep = self.body(self.groups(shallow)) + shallow
        sr: Tensor = self.add_mean(self.tail(self.enlarge(deep)))
        return sr / 255

    def training_loss(self, lr: Tensor, hr: Tensor) -> Tensor:
        """Return the mean absolute difference to `hr` [B, 3, s h, s w] in grey levels, as released.

        In [0, 1] the gradients of the attention are so small that Adam's epsilon holds its steps back.
        """
        return 255 * F.l1_loss(self(lr).float(), hr)

    @staticmethod
    def authors_key(key: str) -> str | None:
        """Return our name of a tensor of the released network, "" for an unused one, None for one that it has not."""
        if block := _BLOCK.fullmatch(key):
            group, _, number, inner = block.groups()
            place = f"groups.{group}.{f'blocks.{number}' if number else 'beside'}"
            ours = rename(inner, _BLOCK_NAMES)
            return ours and f"{place}.{ours}"
        return rename(key, _NAMES)


class _Group(nn.Module):
    """Blocks and a convolution, plus a block beside them: [B, C, H, W] keeps its shape."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_SplitAttention(channels) for _ in range(blocks)))
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.beside = _SplitAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.blocks(x)) + self.beside(x)
        return out


class _SplitAttention(nn.Module):
    """Residual block that weighs four parts, each seen by a quarter of the channels; [B, C, H, W] keeps its shape.

    For every channel the four weights are a softmax's, made from the mean over places of the parts' sum. On the way is
    a bias that BatchNorm takes away in training, whose gradient is rounding errors: read from files, and not trained.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        parts = _PARTS * channels
        self.enter = _normalised(nn.Conv2d(channels, channels, 1, bias=False), nn.ReLU(inplace=True))
        self.split = _normalised(
            nn.Conv2d(channels, parts, 3, padding=1, groups=_PARTS, bias=False), nn.ReLU(inplace=True)
        )
        self.weigh = _normalised(nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, parts, 1))
        self.leave = _normalised(nn.Conv2d(channels, channels, 1, bias=False))
        self.weigh[0].bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.split(self.enter(x)).unflatten(1, (_PARTS, -1))  # [B, 4, C, H, W]
        mean = parts.sum(dim=1).mean(dim=(2, 3), keepdim=True)
        weights = self.weigh(mean).unflatten(1, (_PARTS, -1)).softmax(dim=1)
        return (self.leave((parts * weights).sum(dim=1)) + x).relu()


def _normalised(conv: nn.Conv2d, *after: nn.Module) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), *after)


def _shift(sign: int) -> nn.Conv2d:
    """Return a 1x1 convolution that starts as the addition of `sign` times the mean colour."""
    conv = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        nn.init.dirac_(conv.weight)
        conv.bias.copy_(255 * sign * torch.tensor(_MEAN))  # type: ignore[union-attr]
    return conv
