"""CTCNet: CNN-Transformer cooperation network (Gao et al., IEEE TIP 2023).

Written from facts about the released network, whose licence is non-commercial; no code of it is used here.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import register
from methods.layers.channel_attention import ChannelAttention
from methods.layers.conv import ConvLayer
from methods.layers.hourglass import HourglassLevel, released_name
from methods.layers.keys import rename
from methods.layers.resample import upsample_8bit
from methods.layers.restormer import ChannelNorm, GatedFeedForward, TransposedAttention
from methods.layers.scaffold import draw_weights, scale_channels

_ENCODER, _DECODER = ((1, 4), (2, 6), (4, 6)), ((4, 6), (2, 6), (1, 4))  # heads and transformers of each block

_BLOCK = re.compile(r"res_layers(_[a-z0-9_]+|\.\d+)\.(.+)")  # the released names, and ours
_BLOCKS = {
    "_down1_pre": "encoder.0",
    "_down1": "encoder.1",
    "_down2": "encoder.2",
    "_up1": "decoder.0",
    "_up2": "decoder.1",
    "_back": "decoder.2",
}
_UNITS = {"encoder": "first", "alise": "last", "decoder_low": "low", "decoder_high": "high"}
_IN_UNIT = [
    (r"weight1\.scale", ""),
    (r"weight2\.scale", "of_far"),
    (r"weight3\.scale", "of_near"),
    (r"weight4\.scale", "of_input"),
    (r"weight5\.scale", "of_refined"),
    (r"(layer[12])\.conv\.(\w+)", r"\1.squeeze.\2"),
    (r"(layer[12])\.relu\.(\w+)", r"\1.act.\2"),
    (r"(layer[12])\.conv1\.(\w+)", r"\1.expand.\2"),
    (r"(layer[12])\.weight1\.scale", r"\1.of_input"),
    (r"(layer[12])\.weight2\.scale", r"\1.of_change"),
    (r"alise\.conv\.weight", "join.weight"),
    (r"atten\.conv_du\.(.+)", r"gate.weigh.\1"),
    (r"layer4\.conv\.weight", "refine.weight"),
]
_IN_BLOCK = [
    (r"att\..+", ""),
    (r"att_func2?\.channel_func\.conv_du\.(.+)", r"attention.gate.weigh.\1"),
    (r"att_func2?\._64\.(\w+)", r"attention.shortcut.\1"),
    (r"att_func2?\.out_block\.0\.conv2d\.(\w+)", r"attention.to_map.conv.\1"),
]
_IN_COOPERATION = [
    (r"encoder_level1\.(\d+\.norm[12])\.body\.(\w+)", r"transformers.\1.\2"),
    (r"encoder_level1\.(\d+)\.attn\.temperature", r"transformers.\1.attention.temperature"),
    (r"encoder_level1\.(\d+)\.attn\.qkv\.weight", r"transformers.\1.attention.qkv.expand.weight"),
    (r"encoder_level1\.(\d+)\.attn\.qkv_dwconv\.weight", r"transformers.\1.attention.qkv.depthwise.weight"),
    (r"encoder_level1\.(\d+)\.attn\.project_out\.weight", r"transformers.\1.attention.project.weight"),
    (r"encoder_level1\.(\d+)\.ffn\.project_in\.weight", r"transformers.\1.feed_forward.expand.weight"),
    (r"encoder_level1\.(\d+)\.ffn\.dwconv\.weight", r"transformers.\1.feed_forward.depthwise.weight"),
    (r"encoder_level1\.(\d+)\.ffn\.project_out\.weight", r"transformers.\1.feed_forward.project.weight"),
]
_IN_BODY = [
    (r"(STL64|STL128|conv[12])\..+", ""),
    (r"scale_1\.scale", "of_low"),
    (r"scale_2\.scale", "of_high"),
    (r"compress1\.(\w+)", r"mix.\1"),
    (r"compress2\.(\w+)", r"modulate.\1"),
    (r"alise2\.conv\.weight", "merge.weight"),
]
_OUTSIDE = [
    (r"(head|tail|conv_64|conv_32)\.(\w+)", r"\1.\2"),
    (r"tail352_128\.(\w+)", r"join.0.0.\1"),
    (r"tail288_64\.(\w+)", r"join.1.0.\1"),
    (r"tai256_32\.(\w+)", r"join.2.0.\1"),
    (r"channel_func_128\.conv_du\.(.+)", r"join.0.1.weigh.\1"),
    (r"channel_func_64\.conv_du\.(.+)", r"join.1.1.weigh.\1"),
    (r"channel_func_32\.conv_du\.(.+)", r"join.2.1.weigh.\1"),
    (r"tranpose_128\.(\w+)", r"grow_once.\1"),
    (r"tranpose64_128\.(\w+)", r"grow_64.\1"),
    (r"tranpose128_128\.(\w+)", r"grow_twice.\1"),
    (r"(down|up)1\.([02]\.weight)", r"\1.0.\2"),
    (r"(down|up)2\.([02]\.weight)", r"\1.1.\2"),
    (r"(down|up)3\.([02]\.weight)", r"\1.2.\2"),
    (r"(down_input|up_input)\.[02]\.weight|embed\.\w+|scale[123]_[1-4]\.scale", ""),
]


class Unit(nn.Module):
    """Refine [B, C, H, W] by two nested residual layers whose results are joined, gated and added with learned weights.

    The released unit has a fifth weight that nothing uses.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer1, self.layer2 = ResidualLayer(channels), ResidualLayer(channels)
        self.join = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.gate = _gate(channels)
        self.refine = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.of_far, self.of_near, self.of_input, self.of_refined = (nn.Parameter(torch.ones(1)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        near = self.layer1(x)
        far = self.layer2(near)
        joined = self.join(torch.cat([self.of_far * far, self.of_near * near], dim=1)).relu()
        return self.of_input * x + self.of_refined * self.refine(self.gate(joined)).relu()


class ResidualLayer(nn.Module):
    """Weigh and add [B, C, H, W] and two convolutions of it through C / 2 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.act = nn.PReLU(channels // 2)
        self.expand = nn.Conv2d(channels // 2, channels, 3, padding=1)
        self.of_input, self.of_change = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.of_input * x + self.of_change * self.expand(self.act(self.squeeze(x)))


class Attention(nn.Module):
    """Weigh the places of [B, C, H, W] by one map from an hourglass whose features are gated and added to the input."""

    def __init__(self, channels: int, mid: int, depth: int) -> None:
        super().__init__()
        self.levels = HourglassLevel(channels, mid, depth, prelu=True)
        self.gate = _gate(mid)
        self.shortcut = nn.Identity() if channels == mid else nn.Conv2d(channels, mid, 1)
        self.to_map = ConvLayer(mid, 1, norm=False, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.to_map(self.gate(self.levels(x)) + self.shortcut(x)).sigmoid()


class Transformer(nn.Module):
    """Restormer's unit: attention between channels, then a gated feed-forward layer; [B, C, H, W] keeps its shape."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = ChannelNorm(channels), TransposedAttention(channels, heads)
        self.norm2, self.feed_forward = ChannelNorm(channels), GatedFeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class CooperationBlock(nn.Module):
    """Local-global block of encoder and decoder: unit, attention, unit, transformers, plus the input [B, C, H, W]."""

    def __init__(self, channels: int, mid: int, heads: int, transformers: int) -> None:
        super().__init__()
        self.first, self.last = Unit(channels), Unit(channels)
        self.attention = Attention(channels, mid, depth=4)
        self.transformers = nn.Sequential(*(Transformer(channels, heads) for _ in range(transformers)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.transformers(self.last(self.attention(self.first(x))))


class BodyBlock(nn.Module):
    """Refine the deepest features [B, C, H, W]: low and high frequencies apart, then together.

    As released, three units and both weights serve twice each.
    """

    def __init__(self, channels: int, mid: int) -> None:
        super().__init__()
        self.first, self.last, self.low, self.high = (Unit(channels) for _ in range(4))
        self.attention = Attention(channels, mid, depth=2)
        self.of_low, self.of_high = nn.Parameter(torch.full([1], 0.5)), nn.Parameter(torch.full([1], 0.5))
        self.mix = nn.Conv2d(2 * channels, channels, 1)
        self.merge = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.modulate = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.last(self.attention(self.first(x)))
        low = F.avg_pool2d(y, 2)
        high = self.high(y - _enlarge(low))
        low = self.low(low)
        mixed = self.mix(torch.cat([self.of_low * _enlarge(low), self.of_high * high], dim=1))
        mixed = self.of_low * self.high(mixed)
        low = self.of_high * _enlarge(self.low(low))
        merged = self.merge(torch.cat([low, mixed], dim=1)).relu()
        return x + self.last(merged + y * self.modulate(y))


@register(
    "ctcnet",
    title="CTCNet",
    year=2023,
    paper="Gao et al., CTCNet: A CNN-Transformer Cooperation Network for Face Image Super-Resolution",
    venue="IEEE TIP 32:1978-1991",
    licence="CC BY-NC-SA 4.0",
    published_parameters=24_404_917,
    tags=["cnn", "transformer", "attention"],
    scales=[2, 4, 8, 16],
)
class CTCNet(nn.Module):
    """Map LR [B, 3, h, w] in [0, 1] to SR [B, 3, s h, s w] by convolution and transformer blocks; s h divisible by 64.

    The input is enlarged to the output's size first (bicubic, 8 bits) and brought to [-1, 1]; the output is a change of
    it, and comes back from [-1, 1] with no final activation. `width` multiplies every channel count, `deep_blocks` is
    the number of blocks at an eighth of the output's size.

    Exact as released, with what is odd there: one convolution (`conv_32`) serves at two sizes and in two places of
    the decoder, one transposed convolution (`grow_twice`) twice in a row. Left out: 1,997,218 parameters (174 tensors)
    that never touch the picture; `published_parameters` counts them. The released training is L1 alone.
    """

    def __init__(self, scale: int = 8, *, width: float = 1.0, deep_blocks: int = 4) -> None:
        super().__init__()
        if deep_blocks < 1:
            raise ValueError(f"deep_blocks must be at least 1, {deep_blocks} given")
        self.scale = scale
        narrow, mid, wide = (scale_channels(channels, width) for channels in (32, 64, 128))
        widths = [narrow, mid, wide]

        def blocks(widths: list[int], plan: tuple[tuple[int, int], ...]) -> nn.ModuleList:
            return nn.ModuleList(
                CooperationBlock(channels, mid, *counts) for channels, counts in zip(widths, plan, strict=True)
            )

        self.head = nn.Conv2d(3, narrow, 3, padding=1)
        self.encoder = blocks(widths, _ENCODER)
        self.down = nn.ModuleList([_down(narrow, mid), _down(mid, wide), _down(wide, wide)])
        self.body = nn.Sequential(*(BodyBlock(wide, mid) for _ in range(deep_blocks)))
        self.up = nn.ModuleList([_up(wide, wide), _up(wide, mid), _up(mid, narrow)])
        self.conv_64 = nn.Conv2d(mid, mid, 3, stride=2, padding=1)
        self.conv_32 = nn.Conv2d(narrow, narrow, 3, stride=2, padding=1)
        self.grow_once = nn.ConvTranspose2d(wide, wide, 8, stride=2, padding=3)
        self.grow_64 = nn.ConvTranspose2d(mid, mid, 8, stride=2, padding=3)
        self.grow_twice = nn.ConvTranspose2d(wide, wide, 6, stride=2, padding=2)
        features = narrow + mid + wide  # of the encoder, all of which reach every block of the decoder
        self.join = nn.ModuleList(
            nn.Sequential(nn.Conv2d(features + channels, channels, 3, padding=1), _gate(channels))
            for channels in reversed(widths)
        )
        self.decoder = blocks(widths[::-1], _DECODER)
        self.tail = nn.Conv2d(narrow, 3, 3, padding=1)
        draw_weights(self, width)

    def forward(self, lr: Tensor) -> Tensor:
        large = upsample_8bit(lr, self.scale) * 2 - 1
        x = self.encoder[0](self.head(large))
        x1 = self.encoder[1](self.down[0](x))
        x2 = self.encoder[2](self.down[1](x1))
        deep = self.body(self.down[2](x2))
        half = self.conv_32(x)
        for i, features in enumerate([
            [x2, self.conv_64(x1), self.conv_32(half)],
            [x1, half, self.grow_once(x2)],
            [x, self.grow_64(x1), self.grow_twice(self.grow_twice(x2))],
        ]):  # fmt: skip
            deep = self.decoder[i](self.join[i](torch.cat([self.up[i](deep), *features], dim=1)))
        return (self.tail(deep) + large + 1) / 2

    @staticmethod
    def authors_key(key: str) -> str | None:
        """Return our name of a tensor of the released network; "" for an unused one, None for one that it has not."""
        block = _BLOCK.fullmatch(key)
        if not block:
            return rename(key, _OUTSIDE)
        in_body = block[1].startswith(".")
        ours = _in_block(block[2], 2 if in_body else 4, _IN_BODY if in_body else _IN_COOPERATION)
        part = f"body{block[1]}" if in_body else _BLOCKS.get(block[1])
        return part and ours and f"{part}.{ours}"


def _gate(channels: int) -> ChannelAttention:
    """Return channel attention with a sixteenth of the channels inside, two at least as in the full network."""
    return ChannelAttention(channels, max(2, channels // 16))


def _down(in_channels: int, out_channels: int) -> nn.Sequential:
    """Halve the size of [B, C, H, W]."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False),
        nn.LeakyReLU(0.2),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.LeakyReLU(0.2),
    )


def _up(in_channels: int, out_channels: int) -> nn.Sequential:
    """Double the size of [B, C, H, W]."""
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 6, stride=2, padding=2, bias=False),
        nn.LeakyReLU(0.2),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.LeakyReLU(0.2),
    )


def _enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def _in_block(name: str, depth: int, rules: list[tuple[str, str]]) -> str | None:
    """Return our name of a tensor in a block whose hourglass has `depth` levels; `rules` are those of its kind."""
    part, _, inner = name.partition(".")
    if part in _UNITS:
        ours = rename(inner, _IN_UNIT)
        return f"{_UNITS[part]}.{ours}" if ours else ours
    if part in ("att_func", "att_func2") and (level := released_name(inner, depth)):
        return f"attention.levels.{level}"
    return rename(name, _IN_BLOCK + rules)
