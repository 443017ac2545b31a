"""WFEN: wavelet-based feature enhancement network (Li et al., ACM MM 2024).

Written from facts about the released network, whose code has no licence; no code of it is used here.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import register
from methods.layers.keys import rename
from methods.layers.resample import upsample_8bit
from methods.layers.restormer import ChannelNorm, GatedFeedForward, QueryKeyValue, TransposedAttention
from methods.layers.scaffold import draw_weights, scale_channels

_NAMES = [  # the released names, and ours
    (r"first_conv\.(\w+)", r"head.\1"),
    (r"out_conv\.(\w+)", r"tail.\1"),
    (r"HaarDownsample1\.first_conv\.(\w+)", r"down.0.\1"),
    (r"HaarDownsample2\.first_conv\.(\w+)", r"down.1.\1"),
    (r"HaarDownsample3\.first_conv\.(\w+)", r"down.2.\1"),
    (r"RB1\.([02]\.\w+)", r"details.0.\1"),
    (r"RB2\.([02]\.\w+)", r"details.1.\1"),
    (r"RB3\.([02]\.\w+)", r"details.2.\1"),
    (r"HaarFeatureFusion1\.RB\.([02]\.\w+)", r"fuse.0.average.\1"),
    (r"HaarFeatureFusion2\.RB\.([02]\.\w+)", r"fuse.1.average.\1"),
    (r"HaarFeatureFusion3\.RB\.([02]\.\w+)", r"fuse.2.average.\1"),
    (r"HaarFeatureFusion1\.channel_tranformation\.([02]\.\w+)", r"fuse.0.details.\1"),
    (r"HaarFeatureFusion2\.channel_tranformation\.([02]\.\w+)", r"fuse.1.details.\1"),
    (r"HaarFeatureFusion3\.channel_tranformation\.([02]\.\w+)", r"fuse.2.details.\1"),
    (r"(HaarDownsample|HaarFeatureFusion)[123]\.HaarWavelet\.haar_weights", ""),
    (r"HaarFeatureFusion[123]\.InverseHaarWavelet\.haar_weights", ""),
]
_TRANSFORMER = re.compile(r"(Transformer[A-Za-z]*\d?(?:\.\d)?)\.module([sc])_(.+)")
_TRANSFORMERS = {
    "TransformerDown1.0": "encoder.0.0",
    "TransformerDown1.1": "encoder.0.1",
    "TransformerDown2.0": "encoder.1.0",
    "TransformerDown3.0": "encoder.2.0",
    "Transformer0": "body.0",
    **{f"Transformer.{i}": f"body.{i + 1}" for i in range(5)},
    "TransformerUp1.0": "decoder.0.0",
    "TransformerUp2.0": "decoder.1.0",
    "TransformerUp3.0": "decoder.2.0",
    "TransformerUp3.1": "decoder.2.1",
}
_HALVES = {"s": "regional", "c": "global_"}
_IN_TRANSFORMER = [
    (r"norm\.norm_0\.body\.(\w+)", r"norm1.\1"),
    (r"norm\.norm_2\.body\.(\w+)", r"norm2.\1"),
    (r"att\.att_0\.temperature", "attention.temperature"),
    (r"att\.att_0\.qkv\.weight", "attention.qkv.expand.weight"),
    (r"att\.att_0\.qkv_dwconv\.weight", "attention.qkv.depthwise.weight"),
    (r"att\.att_0\.project_out\.weight", "attention.project.weight"),
    (r"ffd\.ffd0\.project_in\.weight", "feed_forward.expand.weight"),
    (r"ffd\.ffd0\.dwconv\.weight", "feed_forward.depthwise.weight"),
    (r"ffd\.ffd0\.project_out\.weight", "feed_forward.project.weight"),
]


class WindowAttention(nn.Module):
    """Attention between channels within windows of [B, C, H, W]; H and W divisible by `window`.

    Queries and keys have unit length at each pixel; their products, summed over a window's pixels and times one
    temperature, pass a ReLU. `shift` rolls the map by half a window before and back after, wrapped around and with no
    mask. As released, a window of one pixel is rolled up and left by one but not back, so that the result is displaced.
    """

    def __init__(self, channels: int, window: int, shift: bool) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.temperature = nn.Parameter(torch.ones(1, 1, 1))
        self.qkv = QueryKeyValue(channels)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        before, after = -self.window // 2, self.window // 2  # -1 and 0 for a window of one pixel
        if self.shift:
            x = x.roll((before, before), dims=(2, 3))
        query, key, value = (_to_windows(part, self.window) for part in self.qkv(x))
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        scores = (query.transpose(1, 2) @ key * self.temperature).relu()  # [B windows, C, C]
        x = self.project(_from_windows(value @ scores, x.shape, self.window))
        return x.roll((after, after), dims=(2, 3)) if self.shift else x


def _to_windows(x: Tensor, window: int) -> Tensor:
    """Cut [B, C, H, W] into windows, row by row: [B windows, pixels of a window, C]."""
    x = x.unflatten(3, (-1, window)).unflatten(2, (-1, window))  # [B, C, rows, window, columns, window]
    return x.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)


def _from_windows(x: Tensor, shape: torch.Size, window: int) -> Tensor:
    """Undo _to_windows for a map of `shape`."""
    batch, channels, height, width = shape
    x = x.view(batch, height // window, width // window, window, window, channels)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(shape)


class Half(nn.Module):
    """One half of a full-domain transformer: attention, then a gated feed-forward layer; [B, C, H, W] keeps its shape.

    As released: the second layer reads attention and input, but its result is added to the attention alone.
    """

    def __init__(self, channels: int, attention: nn.Module) -> None:
        super().__init__()
        self.norm1, self.attention = ChannelNorm(channels), attention
        self.norm2, self.feed_forward = ChannelNorm(channels), GatedFeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.attention(self.norm1(x))
        return self.feed_forward(self.norm2(y + x)) + y


class FullDomainTransformer(nn.Sequential):
    """Attention within windows, then over the whole map, each with its feed-forward layer (FDT)."""

    def __init__(self, channels: int, window: int, shift: bool, heads: int) -> None:
        super().__init__()
        self.regional = Half(channels, WindowAttention(channels, window, shift))
        self.global_ = Half(channels, TransposedAttention(channels, heads, sparse=True))


class Haar(nn.Module):
    """Halve [B, C, H, W] by Haar's wavelet: its averages, and the sum of its three details.

    A pixel at even row and column is the sum of all four bands, so that the details' sum is it without the average.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        average = F.avg_pool2d(x, 2)
        return average, x[..., ::2, ::2] - average

    def saved_multiply_adds(self, shape: torch.Size) -> int:
        """Return the multiply-adds of the released form, a convolution with four fixed 2x2 filters a channel."""
        return 4 * shape.numel()


class InverseHaar(nn.Module):
    """Give [B, C, 2 H, 2 W] of averages and details (of columns, of rows, diagonal), each [B, C, H, W]."""

    def forward(self, average: Tensor, columns: Tensor, rows: Tensor, diagonal: Tensor) -> Tensor:
        plus, minus = average + columns, average - columns
        added, taken = rows + diagonal, rows - diagonal
        x = torch.stack([plus + added, minus + taken, plus - added, minus - taken], dim=2)
        return F.pixel_shuffle(x.flatten(1, 2), 2)

    def saved_multiply_adds(self, shape: torch.Size) -> int:
        """Return the multiply-adds of the released form, a transposed convolution with the same filters."""
        return 16 * shape.numel()


class Fuse(nn.Module):
    """Bring small features [B, C', H, W] to the size of `big` [B, C, 2 H, 2 W] and its channels by wavelets.

    As released, the refined details of `big` stand in the place of the inverse transform's averages.
    """

    def __init__(self, channels: int, small_channels: int) -> None:
        super().__init__()
        both = channels + small_channels
        self.haar, self.inverse = Haar(), InverseHaar()
        self.average = _two_convolutions(channels, channels, channels, 3)
        self.details = _two_convolutions(both, both, 3 * channels, 1)

    def forward(self, big: Tensor, small: Tensor) -> Tensor:
        average, details = self.haar(big)
        return self.inverse(self.average(details), *self.details(torch.cat([small, average], dim=1)).chunk(3, dim=1))


@register(
    "wfen",
    title="WFEN",
    year=2024,
    paper="Li et al., Efficient Face Super-Resolution via Wavelet-based Feature Enhancement Network",
    venue="ACM MM 2024:4515-4523",
    licence="none stated",
    published_parameters=6_795_879,
    tags=["transformer", "wavelet", "attention"],
    scales=[2, 4, 8, 16],
)
class WFEN(nn.Module):
    """Map LR [B, 3, h, w] in [0, 1] to SR [B, 3, s h, s w] by transformers between wavelets; s h divisible by 32.

    The input is enlarged to the output's size first (bicubic, 8 bits) and brought to [-1, 1]; the output comes back
    from [-1, 1], with no final activation and no skip from the input. `width` multiplies every channel count (40, 80
    and 160, brought to 4, 8 and 16 times a whole number), `deep_blocks` is the number of transformers at an eighth of
    the output's size after the first.

    Exact as released, with what is odd there: see Half, WindowAttention and Fuse. Left out: the 15,360 fixed numbers of
    Haar's filters, which `published_parameters` counts. The released training is L1 alone. First weights are the
    release's, N(0, 0.02): with them the six deep transformers get no gradient that float32 can hold, for Half has no
    skip.
    """

    def __init__(self, scale: int = 8, *, width: float = 1.0, deep_blocks: int = 5) -> None:
        super().__init__()
        if deep_blocks < 1:
            raise ValueError(f"deep_blocks must be at least 1, {deep_blocks} given")
        self.scale = scale
        narrow = scale_channels(40, width)
        mid, wide = 2 * narrow, 4 * narrow
        fdt = FullDomainTransformer

        self.head = nn.Conv2d(3, narrow, 3, padding=1)
        self.haar = Haar()
        self.encoder = nn.ModuleList([
            nn.Sequential(fdt(narrow, 8, False, 4), fdt(narrow, 8, False, 4)),
            nn.Sequential(fdt(mid, 4, True, 4)),
            nn.Sequential(fdt(wide, 2, False, 8)),
        ])  # fmt: skip
        self.down = nn.ModuleList([nn.Conv2d(narrow, mid, 1), nn.Conv2d(mid, wide, 1), nn.Conv2d(wide, wide, 1)])
        self.details = nn.ModuleList(
            _two_convolutions(channels, channels, channels, 1) for channels in (mid, wide, wide)
        )
        self.body = nn.Sequential(
            fdt(wide, 1, False, 8),
            *(fdt(wide, 1, i % 2 == 0, 8) for i in range(deep_blocks)),
        )
        self.fuse = nn.ModuleList([Fuse(wide, wide), Fuse(mid, wide), Fuse(narrow, mid)])
        self.decoder = nn.ModuleList([
            nn.Sequential(fdt(wide, 8, True, 8)),
            nn.Sequential(fdt(mid, 4, False, 4)),
            nn.Sequential(fdt(narrow, 2, True, 4), fdt(narrow, 2, False, 4)),
        ])  # fmt: skip
        self.tail = nn.Conv2d(narrow, 3, 3, padding=1)
        draw_weights(self, width)

    def forward(self, lr: Tensor) -> Tensor:
        first = self.head(upsample_8bit(lr, self.scale) * 2 - 1)
        features, y = [], self.encoder[0](first)
        for i, part in enumerate([*self.encoder[1:], self.body]):
            features.append(y)
            average, details = self.haar(self.down[i](y))
            y = part(average) + self.details[i](details)
        for fuse, part in zip(self.fuse, self.decoder, strict=True):
            y = part(fuse(features.pop(), y))
        return (self.tail(y + first) + 1) / 2

    @staticmethod
    def authors_key(key: str) -> str | None:
        """Return our name of a tensor of the released network; "" for a fixed filter, None for one that it has not."""
        transformer = _TRANSFORMER.fullmatch(key)
        if not transformer:
            return rename(key, _NAMES)
        place, inner = _TRANSFORMERS.get(transformer[1]), rename(transformer[3], _IN_TRANSFORMER)
        return f"{place}.{_HALVES[transformer[2]]}.{inner}" if place and inner else None


def _two_convolutions(in_channels: int, mid_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, mid_channels, kernel, padding=kernel // 2),
        nn.ReLU(),
        nn.Conv2d(mid_channels, out_channels, kernel, padding=kernel // 2),
    )
