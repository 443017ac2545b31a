"""KDFSRNet: a network that learns facial structure from a teacher that sees parsing maps (Wang et al., TCSVT 2022).

Written from the paper and from facts about the released models, for which no licence is stated; no code of them is
used here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench import register
from methods.layers.channel_attention import RCAB
from methods.layers.keys import rename
from methods.layers.resample import upsample_8bit
from methods.layers.scaffold import scale_channels

_LEVELS = 4  # halvings of the enlarged picture
_MAPS = 3  # channels of a parsing map


def _stage_names() -> list[tuple[str, str]]:
    """Return the released names of each stage, as the older and the newer release write them, and ours."""
    stages = [("down", i, i - 1, "1") for i in range(1, _LEVELS + 1)]
    stages += [("up", i, i + _LEVELS, "0") for i in range(1, _LEVELS + 1)]
    rules = [(r"bottleneck\.(.+)", rf"stages.{_LEVELS}.blocks.\1")]
    for side, level, number, layer in stages:
        rules.append((rf"{side}{level}\.(?:{layer}|conv)\.(weight|bias)", rf"stages.{number}.resize.{layer}.\1"))
        rules.append((rf"{side}_stage{level}\.(.+)", rf"stages.{number}.blocks.\1"))
    return rules


_NAMES = [
    (r"(sub|add)_mean\.(weight|bias)", ""),  # of the student; its forward pass never reads them
    (r"(head|tail)\.0\.(weight|bias)", r"\1.\2"),
    *_stage_names(),
]


@register(
    "kdfsrnet",
    title="KDFSRNet",
    year=2022,
    paper="Wang et al., Propagating Facial Prior Knowledge for Multitask Learning in Face Super-Resolution",
    venue="IEEE TCSVT 32(11):7317-7331",
    licence="none stated",
    published_parameters=5_204_019,
    tags=["cnn", "attention", "distillation"],
    scales=[2, 4, 8, 16],
    variants={
        "kdfsrnet-teacher": {
            "title": "KDFSRNet (teacher)",
            "published_parameters": 2_526_027,
            "needs": ["parsing"],
            "options": {"blocks": 2, "parsing": True},
        },
    },
)
class KDFSRNet(nn.Module):
    """Map LR [B, 3, h, w] in [0, 1] to SR [B, 3, s h, s w]; s h and s w must be divisible by 16.

    The input is enlarged to the output's size first (bicubic, 8 bits) and stays in [0, 1]; so does the output, with no
    final activation. Nine stages: four that halve the size (space to depth, 3x3), one at the smallest, four that double
    it (3x3, pixel shuffle), each followed by `blocks` residual blocks with channel attention: 6, the teacher's 2. As
    released, no skip joins the two halves, and none the input to the output.

    `parsing` makes it the teacher: its first convolution also reads a parsing map of the face, after the picture's
    channels. `width` multiplies every channel count but that of the attention's hidden units, which stays 4: fewer
    are too often all silent. First weights are torch's default draw, whose size follows the fan-in at any width.

    The released student's file holds two more layers that shift means (24 numbers); they are never used and left out.
    Of the training, not here: a student follows a teacher by 10 (10 - e) / 10 times the mean L1 distance of the nine
    features and 0.1 times that of the SR, in epochs e = 0 to 10, beside the L1 that is all from then on; the frozen
    teacher runs in training mode. `outputs` gives what these terms need.
    """

    def __init__(self, scale: int = 8, *, width: float = 1.0, blocks: int = 6, parsing: bool = False) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError(f"blocks must be at least 1, {blocks} given")
        self.scale, self.parsing = scale, parsing
        channels = scale_channels(64, width)
        down = [_Stage(channels, "down", blocks) for _ in range(_LEVELS)]
        up = [_Stage(channels, "up", blocks) for _ in range(_LEVELS)]
        self.head = nn.Conv2d(3 + _MAPS * parsing, channels, 3, padding=1)
        self.stages = nn.ModuleList([*down, _Stage(channels, "same", blocks), *up])
        self.tail = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, lr: Tensor, maps: Tensor | None = None) -> Tensor:
        """Return the SR; `maps` as in `features`."""
        return self.outputs(lr, maps)[0]

    def outputs(self, lr: Tensor, maps: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Return the SR and the nine features; `maps` as in `features`."""
        features = self.features(lr, maps)
        return self.tail(features[-1]), features

    def features(self, lr: Tensor, maps: Tensor | None = None) -> list[Tensor]:
        """Return what the nine stages put out: C channels at 1/2, 1/4, 1/8, 1/16, 1/16, 1/8, 1/4, 1/2 and 1 of s h.

        `maps` are the teacher's parsing maps [B, 3, s h, s w]; None: zeros. Raises ValueError for maps of another
        shape, and for maps given to a student, which reads none.
        """
        x = upsample_8bit(lr, self.scale)
        if self.parsing:
            x = torch.cat([x, torch.zeros_like(x) if maps is None else _checked(maps, x)], dim=1)
        elif maps is not None:
            raise ValueError("a student reads no parsing maps, maps given; give them to one with parsing=True")
        x, features = self.head(x), []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    @staticmethod
    def authors_key(key: str) -> str | None:
        """Return our name of a tensor of the released networks, "" for an unused one, None for one they have not."""
        name = rename(key, _NAMES)
        return name and name.replace(".body.3.conv_du.", ".body.3.weigh.")


class _Stage(nn.Module):
    """Change of size, then residual blocks: [B, C, H, W] -> [B, C, H', W'], H' being H, 2H ("up") or H/2 ("down")."""

    def __init__(self, channels: int, change: str, blocks: int) -> None:
        super().__init__()
        if change == "down":
            self.resize: nn.Module = nn.Sequential(
                nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, channels, 3, padding=1)
            )
        elif change == "up":
            self.resize = nn.Sequential(nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.PixelShuffle(2))
        else:
            self.resize = nn.Identity()
        self.blocks = nn.Sequential(*(RCAB(channels, hidden=4) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(self.resize(x))
        return out


def _checked(maps: Tensor, picture: Tensor) -> Tensor:
    expected = (len(picture), _MAPS, *picture.shape[2:])
    if maps.shape != expected:
        raise ValueError(
            f"parsing maps are {list(maps.shape)}, expected {list(expected)}: one for each enlarged picture"
        )
    return maps.to(picture)
