"""FishFSRNet: up, down and up again, with a parsing map of the face in sight (Wang et al., IEEE TBIOM 2023).

Written from the paper and from facts about the released code, for which no licence is stated; no code of it is used
here. As released that code does not run: the facts are those of it with one mistake mended.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import register
from methods.layers.keys import rename
from methods.layers.priors import parsing_maps
from methods.layers.scaffold import scale_channels

_MAPS = 3  # channels of a parsing map
_FUSED = [(-2, -1, 0), (-1, 0, 1), (0, 1, 2), (0, 1, 2), (-1, 0, 1), (-2, -1, 0)]  # halvings of what each fusion takes
_POLYGONS = "the authors' parsing maps were never published: polygons of 68 landmarks instead"


def _names() -> list[tuple[str, str]]:
    """Return the released names, down to the parts, and ours; those of the parsing net begin with "parsing."."""
    rules = [
        (r"(conv_tail[123]|up2_stage3\.1)\..+", ""),  # which nothing runs: the last stage's first unit runs twice
        (r"(head|tail)\.0\.(.+)", r"\1.\2"),
        (r"conv\.(.+)", r"middle.\1"),
        (r"refine2\.(\d)\.(.+)", r"fusions.\1/\2"),
        (r"parsing\.(head|feature)\.0\.(.+)", r"parsing.\1.\2"),
        (r"parsing\.body\.(\d)\.body\.([02])\.(.+)", r"parsing.blocks.\1.\2.\3"),
    ]
    for theirs, ours in (("up", "up"), ("down", "down"), ("up2", "again")):
        for n in range(3):
            layer = (r"0\.conv", "1") if ours == "down" else (r"0\.0", "0")
            rules.append((rf"{theirs}{n + 1}\.{layer[0]}\.(.+)", rf"{ours}.{n}.resize.{layer[1]}.\1"))
            rules.append((rf"{theirs}_stage{n + 1}\.(\d)\.(.+)", rf"{ours}.{n}.units.\1/\2"))
    return rules


_NAMES = _names()
_INSIDE = [  # of units and fusions; names that both have do not clash
    (r"(.+)/body\.([02])\.(.+)", r"\1.body.\2.\3"),
    (r"(.+)/attention_layer1\.spatial_layer1\.(.+)", r"\1.spatial.0.\2"),
    (r"(.+)/attention_layer1\.spatial_layer3\.(.+)", r"\1.spatial.2.\2"),
    (r"(.+)/(?:attention_layer2|attention)\.mlp\.1\.(.+)", r"\1.gate.mlp.0.\2"),
    (r"(.+)/(?:attention_layer2|attention)\.mlp\.3\.(.+)", r"\1.gate.mlp.2.\2"),
    (r"(.+)/conv\.(.+)", r"\1.merge.\2"),
    (r"(.+)/conv_feature\.0\.(.+)", r"\1.features.0.\2"),
    (r"(.+)/conv_parsing\.0\.(.+)", r"\1.maps.0.\2"),
    (r"(.+)/conv_fusion\.(.+)", r"\1.blend.\2"),
    (r"(.+)/attention_fusion\.(.+)", r"\1.leave.\2"),
    (r"(.+)/refine2\.conv\.([01])\.body\.([02])\.(.+)", r"\1.refine.0.\2.\3.\4"),
    (r"(.+)/refine4\.conv\.([01])\.body\.([02])\.(.+)", r"\1.refine.1.\2.\3.\4"),
    (r"(.+)/refine8\.conv\.([01])\.body\.([02])\.(.+)", r"\1.refine.2.\2.\3.\4"),
    (r"(.+)/down1\.(weight|bias)", r"\1.halve.\2"),
    (r"(.+)/down2\.([02])\.(.+)", r"\1.quarter.\2.\3"),
]


@register(
    "fishfsrnet",
    title="FishFSRNet",
    year=2023,
    paper="Wang et al., Super-Resolving Face Image by Facial Parsing Information",
    venue="IEEE TBIOM 2023",
    licence="none stated",
    published_parameters=8_423_683,
    tags=["cnn", "attention", "parsing"],
    needs=["landmarks"],
    scales=[8],
)
class FishFSRNet(nn.Module):
    """Map LR [B, 3, h, w] in [0, 1] to SR [B, 3, 8h, 8w]; h and w are at least 2.

    Two networks in a row. `parsing` makes a parsing map [B, 3, h, w] of LR, which is brought to 256 levels (it is kept
    as a PNG file in between). The other doubles the features' size three times, halves it three times and doubles it
    again three times; a unit of attention sees the map at its size, and after every change of size but the last the
    features of the three sizes before are fused into those at hand. `width` multiplies every channel count but those
    of pictures and maps, and the attention's 16 hidden units down to no fewer than four.

    Exact, as released, but for a mistake that keeps the released code from running; so kept is that the unit of the
    last stage runs twice. Left out: what nothing runs, the unit that was to follow it and three 1x1 convolutions
    (246,352 of 8,423,683 parameters). The parsing net, a file of its own for its authors, has 594,371 more. Both files
    are read as one whose names of the parsing net begin with "parsing.".

    In evaluation maps are made picture by picture, so that a batch's size does not change how they are rounded.
    """

    def __init__(self, scale: int = 8, *, width: float = 1.0) -> None:
        super().__init__()
        if scale != 8:
            raise ValueError(f"FishFSRNet enlarges 8 times, scale {scale} given")
        c = scale_channels(64, width)
        self.parsing = _Parsing(c)
        self.head = _conv(3, c)
        self.up = nn.ModuleList(_Stage(c, _double(c), 2) for _ in range(3))
        self.down = nn.ModuleList(_Stage(c, _halve(c), 2) for _ in range(3))
        self.middle = _conv(c, c)
        self.again = nn.ModuleList(_Stage(c, _double(c), units, times) for units, times in ((2, 1), (2, 1), (1, 2)))
        self.fusions = nn.ModuleList(_Fusion(c, halvings) for halvings in _FUSED)
        self.tail = _conv(c, 3)

    def forward(self, lr: Tensor) -> Tensor:
        return self.enlarge(lr, self.maps_of(lr))

    def maps_of(self, lr: Tensor) -> Tensor:
        """Return the parsing maps of LR [B, 3, h, w] on the 256 levels of [0, 1]; no gradient flows back."""
        parts = [lr] if self.training else lr.split(1)
        with torch.no_grad():
            maps = torch.cat([self.parsing(part) for part in parts])
        return (maps.float().clamp(0, 1) * 255).round() / 255

    def enlarge(self, lr: Tensor, maps: Tensor) -> Tensor:
        """Return the SR of LR, given parsing maps of it, both [B, 3, h, w]."""
        fusions = iter(self.fusions)
        x, before = self.head(lr), []
        for stage in self.up:
            before.append(stage.resize(x))
            x = stage(before[-1], maps)
        x, down = next(fusions)(x, before), []
        for number, stage in enumerate(self.down):
            down.append(stage.resize(x))
            x = stage(down[-1], maps)
            x = next(fusions)(x, before if number < 2 else down[::-1])
        x = self.middle(x)
        for number, stage in enumerate(self.again):
            x = stage(stage.resize(x), maps)
            if number < 2:
                x = next(fusions)(x, down[::-1])
        return self.tail(x)

    def objective(self) -> nn.Module:
        """Return what trains both networks, one after the other."""
        return ParsingFirst()

    @staticmethod
    def authors_key(key: str) -> str | None:
        """Return our name of a tensor of the released networks, "" for an unused one, None for one they have not."""
        ours = rename(key, _NAMES)
        return rename(ours, _INSIDE) if ours and "/" in ours else ours


class ParsingFirst(nn.Module):
    """L1 of the parsing maps in a stage before, and then L1 of the picture, for which the parsing net rests.

    The maps are the polygons at the face's size, averaged to LR's: the release shrinks its maps with the picture. Our
    reading: the stage has a fifth as many steps as there are iterations, of which the release says nothing.
    """

    stage = 0.2
    left_out = (_POLYGONS,)

    def terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001 - methods know no class of bench's
        """Return the term "parsing" in the stage, of the faces that have landmarks (0 without any), then "pixel"."""
        network.parsing.requires_grad_(batch.iteration < 0)
        if batch.iteration >= 0:
            return {"pixel": F.l1_loss(network(batch.lr).float(), batch.hr)}
        maps, points = network.parsing(batch.lr).float(), batch.landmarks
        if points is None:
            points = maps.new_full((len(maps), 68, 2), torch.nan)
        known = ~points.isnan().flatten(1).any(dim=1)
        side = batch.hr.shape[-1]
        target = F.adaptive_avg_pool2d(parsing_maps(points, side, side), maps.shape[-2:])
        errors = (maps - target).abs().mean(dim=(1, 2, 3))
        return {"parsing": (errors * known).sum() / known.sum().clamp(min=1)}


class _Parsing(nn.Module):
    """Make a parsing map of a picture, both [B, 3, h, w]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = _conv(3, channels)
        self.blocks = nn.ModuleList(_bent(channels) for _ in range(8))
        self.feature = _conv(channels, _MAPS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x)
        for block in self.blocks:
            x = x + 0.2 * block(x)
        return self.feature(x)


class _Stage(nn.Module):
    """A change of size, `resize`, which is for the caller, and units of attention, each `times` times."""

    def __init__(self, channels: int, resize: nn.Module, units: int, times: int = 1) -> None:
        super().__init__()
        self.resize, self.times = resize, times
        self.units = nn.ModuleList(_Unit(channels) for _ in range(units))

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        maps = F.interpolate(maps, x.shape[-2:], mode="nearest")
        for unit in self.units:
            for _ in range(self.times):
                x = unit(x, maps)
        return x


class _Unit(nn.Module):
    """Residual block with attention over places and channels and a parsing map: [B, C, H, W], [B, 3, H, W] -> first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.body = _bent(c)
        self.spatial = nn.Sequential(nn.Conv2d(c, 2 * c, 1), nn.ReLU(), nn.Conv2d(2 * c, c, 1), nn.Sigmoid())
        self.gate = _Gate(c)
        self.merge = nn.Conv2d(2 * c, c, 1)
        self.features = nn.Sequential(_conv(c, c), nn.ReLU())
        self.maps = nn.Sequential(_conv(_MAPS, c), nn.ReLU())
        self.blend = _conv(2 * c, c)
        self.leave = nn.Conv2d(2 * c, c, 1)

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        y = self.body(x)
        y = self.merge(torch.cat([y * self.spatial(y), self.gate(y)], dim=1))
        seen = self.blend(torch.cat([self.features(x), self.maps(maps)], dim=1))
        return self.leave(torch.cat([seen, y], dim=1)) + x


class _Gate(nn.Module):
    """Weigh the channels of [B, C, H, W] by their means, largest values and variances over the places."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(4, channels // 4)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        seen = (mean.flatten(1), x.amax(dim=(2, 3)), (x - mean).square().mean(dim=(2, 3)))
        mean_of, most_of, spread_of = (self.mlp(values) for values in seen)
        return x * (mean_of + most_of + spread_of).sigmoid()[..., None, None]


class _Fusion(nn.Module):
    """Fuse features of three sizes into x [B, C, H, W]; `halvings` bring each of them to its size, -1 doubles."""

    def __init__(self, channels: int, halvings: Sequence[int]) -> None:
        super().__init__()
        c = channels
        self.halvings = halvings
        if 1 in halvings:
            self.halve = _conv(c, c, stride=2)
        if 2 in halvings:
            self.quarter = nn.Sequential(_conv(c, c, stride=2), nn.ReLU(), _conv(c, c, stride=2))
        self.refine = nn.ModuleList(nn.ModuleList(_bent(c) for _ in range(2)) for _ in halvings)
        self.merge = nn.Conv2d(len(halvings) * c, c, 1)
        self.gate = _Gate(c)

    def forward(self, x: Tensor, features: Sequence[Tensor]) -> Tensor:
        refined = []
        for halvings, blocks, feature in zip(self.halvings, self.refine, features, strict=True):
            y = x - self._aligned(feature, halvings)
            for block in blocks:
                y = y + block(y)
            refined.append(x + y)
        return self.gate(self.merge(torch.cat(refined, dim=1))) + x

    def _aligned(self, feature: Tensor, halvings: int) -> Tensor:
        if halvings < 0:
            return F.interpolate(feature, scale_factor=2.0**-halvings, mode="nearest")
        if halvings == 0:
            return feature
        return self.halve(feature) if halvings == 1 else self.quarter(feature)


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)


def _bent(channels: int) -> nn.Sequential:
    return nn.Sequential(_conv(channels, channels), nn.ReLU(), _conv(channels, channels))


def _double(channels: int) -> nn.Sequential:
    return nn.Sequential(_conv(channels, 4 * channels), nn.PixelShuffle(2))


def _halve(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.PixelUnshuffle(2), _conv(4 * channels, channels))
