"""DIC: deep iterative collaboration of super-resolution and landmark estimation (Ma et al., CVPR 2020), and DICGAN.

Written from the paper and from facts about the released model (21,803,849 parameters); no code of it is used here.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import register
from methods.layers.dic_objective import DICGANObjective, DICObjective
from methods.layers.keys import rename
from methods.layers.scaffold import scale_channels

_MEAN = (0.509, 0.424, 0.378)  # of the authors' training faces
_POINTS = 68
_PARTS = (  # first and last landmark in iBUG's order: left eye, right eye, nose, mouth, outline with brows
    (36, 41),
    (42, 47),
    (27, 35),
    (48, 67),
    (0, 26),
)
_LEAST_PEAK = 0.05  # maps that are lower everywhere are not brought to a maximum of one
_LEVELS = 4  # of the hourglass
Start = Literal["calm", "released"]

_BLOCK = r"(first_block|block)\."
_NAMES = [  # the released names, and ours
    (r"conv_in\.([01]\..+)", r"head.\1"),
    (_BLOCK + r"compress_(in|out)\.(.+)", r"\1.compress_\2.\3"),
    (_BLOCK + r"upBlocks\.(.+)", r"\1.up.\2"),
    (_BLOCK + r"downBlocks\.(.+)", r"\1.down.\2"),
    (_BLOCK + r"uptranBlocks\.(.+)", r"\1.before_up.\2"),
    (_BLOCK + r"downtranBlocks\.(.+)", r"\1.before_down.\2"),
    (r"block\.fusion_block\.conv_in\.0\.(.+)", r"fusion.spread.0.\1"),
    (r"block\.fusion_block\.resnet\.(\d)\.res\.([02])\.(.+)", r"fusion.branches.\1.\2.\3"),
    (r"out\.([01])\.(.+)", r"tail.\1.\2"),
    (r"conv_out\.0\.(.+)", r"tail.2.\1"),
    (r"HG\.pre_conv_block\.(.+)", r"landmarks.before.\1"),
    (r"HG\.compress_in\.(.+)", r"landmarks.compress.\1"),
    (r"HG\.hg\.res_center\.(.+)", r"landmarks.hourglass.centre.\1"),
    (r"HG\.hg\.res(\d)_1\.(.+)", r"landmarks.hourglass.skip.\1.\2"),
    (r"HG\.hg\.res(\d)_2\.(.+)", r"landmarks.hourglass.down.\1.\2"),
    (r"HG\.hg\.res(\d)_3\.(.+)", r"landmarks.hourglass.up.\1.\2"),
    (r"HG\.hg_conv_out\.0\.(.+)", r"landmarks.to_maps.0.\1"),
    (r"HG\.hg_conv_out\.1\.conv_block\.0\.(.+)", r"landmarks.to_maps.1.\1"),
    (r"HG\.hg_conv_out\.2\.(.+)", r"landmarks.to_maps.3.\1"),
]
_RESIDUAL = [(r"(.+)\.conv_block\.([023])\.(.+)", r"\1.branch.\2.\3"), (r"(.+)\.skip_layer\.(.+)", r"\1.shortcut.\2")]


class Outputs(NamedTuple):
    """What each step gives: SR [B, 3, 8h, 8w] in [0, 1], and landmark maps of it [B, 68, 2h, 2w] in iBUG's order."""

    sr: list[Tensor]
    maps: list[Tensor]


@register(
    "dic",
    title="DIC",
    year=2020,
    paper="Ma et al., Deep Face Super-Resolution with Iterative Collaboration between Attentive Recovery and Landmark "
    "Estimation",
    venue="CVPR 2020",
    licence="MIT",
    published_parameters=21_803_849,
    tags=["cnn", "landmarks", "iterative"],
    needs=["landmarks"],
    scales=[8],
)
class DIC(nn.Module):
    """Map LR [B, 3, h, w] in [0, 1] to SR [B, 3, 8h, 8w] in `steps` steps; h and w are at least 8.

    Each step but the first sees the landmark maps of the step before. `width` multiplies every channel count but those
    of pictures and landmarks; `groups` is the number of pairs of enlarging and shrinking convolutions in a block, which
    cost most; `start` is how first weights are drawn (see _draw_weights). The released network has 6 groups and runs 4
    steps; a file of its weights fits any number of steps.

    Exact, as released: the feedback blocks, at 2h x 2w, enlarge by 8 inside, to twice the SR's sides (256x256 for a
    face of 128x128). `forward` gives the last step's SR and leaves out its landmark maps, which nothing sees; `outputs`
    gives all. Landmark maps have a quarter of the SR's sides and join features of 2h x 2w, so there is no other scale.

    `objective` is the whole training but for the learning rate's steps, which are the profile's.
    """

    mean: Tensor

    def __init__(
        self, scale: int = 8, *, width: float = 1.0, steps: int = 4, groups: int = 6, start: Start = "calm"
    ) -> None:
        super().__init__()
        if scale != 8:
            raise ValueError(f"DIC enlarges 8 times, scale {scale} given")
        if steps < 2 or groups < 1:
            raise ValueError(f"DIC needs at least 2 steps and 1 group, {steps} and {groups} given")
        channels = scale_channels(48, width)
        self.steps, self.width = steps, width
        self.head = nn.Sequential(nn.Conv2d(3, 4 * channels, 3, padding=1), _prelu(), nn.PixelShuffle(2))
        self.first_block = _Feedback(channels, channels, groups)
        self.block = _Feedback(2 * channels, channels, groups)
        self.fusion = _Fusion(channels, len(_PARTS))
        self.tail = nn.Sequential(
            nn.ConvTranspose2d(channels, channels, 8, stride=4, padding=2),
            _prelu(),
            nn.Conv2d(channels, 3, 3, padding=1),
        )
        self.landmarks = _Landmarks(width)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        _draw_weights(self, start)

    def forward(self, lr: Tensor) -> Tensor:
        return self._run(lr, last_maps=False).sr[-1]

    def outputs(self, lr: Tensor) -> Outputs:
        """Return the SR and the landmark maps of every step."""
        return self._run(lr, last_maps=True)

    def objective(self) -> nn.Module:
        """Return what trains it: pictures and landmark maps of every step."""
        return DICObjective()

    def saved_multiply_adds(self, shape: torch.Size) -> int:
        """Return what `forward` leaves out for an input of `shape`: the landmarks of the last SR."""
        return shape[0] * self.landmarks.multiply_adds(8 * shape[2], 8 * shape[3])

    def _run(self, lr: Tensor, last_maps: bool) -> Outputs:
        x = lr - self.mean
        enlarged = F.interpolate(x, scale_factor=8, mode="bilinear", align_corners=False)
        features = self.head(x)
        found = Outputs([], [])
        state = hidden = None
        for step in range(1, self.steps + 1):
            if state is None:
                state = self.first_block(self.first_block.compress_in(features))
            else:
                joined = self.block.compress_in(torch.cat([features, state], dim=1))
                state = self.block(self.fusion(joined, _weigh_parts(found.maps[-1])))
            centred = self.tail(state) + enlarged
            found.sr.append(centred + self.mean)
            if step < self.steps or last_maps:
                maps, hidden = self.landmarks(centred, hidden)
                found.maps.append(maps)
        return found

    @staticmethod
    def authors_key(key: str) -> str | None:
        """Return our name of a tensor of the released networks, None for one that they have not."""
        ours = rename(key, _NAMES)
        return ours and (rename(ours, _RESIDUAL) or ours)


@register(
    "dic-gan",
    title="DICGAN",
    year=2020,
    paper="Ma et al., Deep Face Super-Resolution with Iterative Collaboration between Attentive Recovery and Landmark "
    "Estimation",
    venue="CVPR 2020",
    licence="MIT",
    published_parameters=21_803_849,
    tags=["cnn", "landmarks", "iterative", "gan"],
    needs=["landmarks"],
    teacher="dic",
    scales=[8],
)
class DICGAN(DIC):
    """DIC, trained further against an adversary: `teacher` is the trained DIC that it begins as."""

    def objective(self) -> nn.Module:
        """Return what trains it: the last step's picture, landmark maps of every step, and an adversary."""
        return DICGANObjective(self.width)


class _Feedback(nn.Module):
    """Enlarge by 8 and shrink again, `groups` times, each time from all results before: [B, C, H, W] to the same.

    `compress_in`, which makes the input from `in_channels`, is for the caller: the fusion comes between.
    """

    def __init__(self, in_channels: int, channels: int, groups: int) -> None:
        super().__init__()
        self.compress_in = _pointwise(in_channels, channels)
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(channels, channels, 12, stride=8, padding=2), _prelu())
            for _ in range(groups)
        )
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 12, stride=8, padding=2), _prelu()) for _ in range(groups)
        )
        self.before_up = nn.ModuleList(_pointwise(i * channels, channels) for i in range(2, groups + 1))
        self.before_down = nn.ModuleList(_pointwise(i * channels, channels) for i in range(2, groups + 1))
        self.compress_out = _pointwise(groups * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        low, high = [x], []
        for i, (up, down) in enumerate(zip(self.up, self.down, strict=True)):
            high.append(up(self.before_up[i - 1](torch.cat(low, dim=1)) if i else x))
            low.append(down(self.before_down[i - 1](torch.cat(high, dim=1)) if i else high[0]))
        return self.compress_out(torch.cat(low[1:], dim=1))


class _Fusion(nn.Module):
    """Give every facial part its own features of [B, C, H, W] and sum them by weights [B, parts, H, W]."""

    def __init__(self, channels: int, parts: int, blocks: int = 7) -> None:
        super().__init__()
        wide = channels * parts
        self.spread = nn.Sequential(nn.Conv2d(channels, wide, 1), nn.LeakyReLU(0.2))
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(wide, wide, 3, padding=1, groups=parts),
                nn.LeakyReLU(0.2),
                nn.Conv2d(wide, wide, 3, padding=1, groups=parts),
            )
            for _ in range(blocks)
        )

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        y = self.spread(x)
        for branch in self.branches:
            y = y + branch(y)
        parts = y.unflatten(1, (weights.shape[1], -1))  # [B, parts, C, H, W]
        return (parts * weights.unsqueeze(2)).sum(dim=1)


def _weigh_parts(maps: Tensor) -> Tensor:
    """Return weights of the five parts [B, 5, H, W] that sum to one at each place, from landmark maps [B, 68, H, W]."""
    maps = maps / maps.amax(dim=(2, 3), keepdim=True).clamp(min=_LEAST_PEAK)
    parts = [maps[:, first : last + 1].sum(dim=1, keepdim=True) for first, last in _PARTS]
    return torch.cat(parts, dim=1).softmax(dim=1)


class _Landmarks(nn.Module):
    """Find 68 landmark maps [B, 68, H/4, W/4] in a picture [B, 3, H, W] less its mean, H at least 64.

    It passes features on from step to step, `hidden`; the first step's own stand in for those before it.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        narrow, middle, half = (scale_channels(channels, width) for channels in (64, 128, 256))
        self.before = nn.Sequential(
            nn.Conv2d(3, narrow, 7, stride=2, padding=3),
            nn.ReLU(),
            _Residual(narrow, middle),
            nn.MaxPool2d(2),
            _Residual(middle, middle),
            _Residual(middle, half),
        )
        self.compress = nn.Conv2d(2 * half, 2 * half, 1)
        self.hourglass = _Hourglass(2 * half)
        self.to_maps = nn.Sequential(
            _Residual(half, half), nn.Conv2d(half, half, 1), nn.ReLU(), nn.Conv2d(half, _POINTS, 1)
        )

    def forward(self, x: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        features = self.before(x)
        joined = torch.cat([features, features if hidden is None else hidden], dim=1)
        now, after = self.hourglass(self.compress(joined)).chunk(2, dim=1)
        return self.to_maps(now), after

    def multiply_adds(self, height: int, width: int) -> int:
        """Return the multiply-adds for one picture of so many pixels."""
        half, quarter = height // 2 * (width // 2), height // 4 * (width // 4)
        outside = [self.before[3:], self.compress, self.to_maps]
        count = _multiply_adds(self.before[:3], half) + sum(_multiply_adds(part, quarter) for part in outside)
        return count + self.hourglass.multiply_adds(height // 4, width // 4)


class _Hourglass(nn.Module):
    """Residual blocks at five sizes, [B, C, H, W] to the same, H at least 16. Levels are counted from the innermost."""

    def __init__(self, channels: int) -> None:
        super().__init__()

        def blocks() -> nn.ModuleDict:
            return nn.ModuleDict({str(level): _Residual(channels, channels) for level in range(_LEVELS, 0, -1)})

        self.skip, self.down, self.up = blocks(), blocks(), blocks()
        self.centre = _Residual(channels, channels)

    def forward(self, x: Tensor, level: int = _LEVELS) -> Tensor:
        if level == 0:
            return self.centre(x)
        name = str(level)
        inner = self.up[name](self(self.down[name](F.max_pool2d(x, 2)), level - 1))
        enlarged = F.interpolate(inner, size=x.shape[-2:], mode="bilinear", align_corners=True)  # as released
        return self.skip[name](x) + enlarged

    def multiply_adds(self, height: int, width: int, level: int = _LEVELS) -> int:
        """Return the multiply-adds for features of so many places, from `level` inwards."""
        if level == 0:
            return _multiply_adds(self.centre, height * width)
        name, height_in, width_in = str(level), height // 2, width // 2
        inner = sum(_multiply_adds(part[name], height_in * width_in) for part in (self.down, self.up))
        inner += self.multiply_adds(height_in, width_in, level - 1)
        return _multiply_adds(self.skip[name], height * width) + inner


class _Residual(nn.Module):
    """Bottleneck of half the channels plus the input; as released, nothing bends the signal after the 3x3."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        middle = out_channels // 2
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, middle, 1),
            nn.ReLU(),
            nn.Conv2d(middle, middle, 3, padding=1),
            nn.Conv2d(middle, out_channels, 1),
        )
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.shortcut(x)


def _prelu() -> nn.PReLU:
    return nn.PReLU(init=0.2)


def _pointwise(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1), _prelu())


def _multiply_adds(part: nn.Module, places: int) -> int:
    """Return the multiply-adds of all convolutions in `part`, each of which gives `places` places."""
    return places * sum(layer.weight.numel() for layer in part.modules() if isinstance(layer, nn.Conv2d))


def _draw_weights(network: DIC, start: Start) -> None:
    """Draw first weights: Kaiming's normal distribution by inputs (which suits any width), biases 0.

    "released" leaves it at that, and lets signals grow: tenfold in the fusion, a thousandfold a step in the landmark
    net, which its authors replace by one that they trained before. "calm" multiplies the last convolution of residual
    branches by 0.1, and what goes into the hourglass, which adds up five sizes, by 1/5: signals keep their size.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if start == "released":
        return
    branches = [*network.fusion.branches, *(part.branch for part in network.modules() if isinstance(part, _Residual))]
    with torch.no_grad():
        for branch in branches:
            branch[-1].weight *= 0.1
        network.landmarks.compress.weight *= 1 / (_LEVELS + 1)
