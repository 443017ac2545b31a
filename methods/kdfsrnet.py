"""KDFSRNet: a network that learns facial structure from a teacher that sees parsing maps (Wang et al., TCSVT 2022).

Written from the paper and from facts about the released models, for which no licence is stated; no code of them is
used here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import register
from methods.layers.channel_attention import RCAB
from methods.layers.keys import rename
from methods.layers.priors import parsing_maps
from methods.layers.resample import upsample_8bit
from methods.layers.scaffold import scale_channels

_LEVELS = 4  # halvings of the enlarged picture
_MAPS = 3  # channels of a parsing map
_EPOCHS, _TAUGHT = 400, 11  # of the release: all, and the first ones, in which the student follows its teacher
_FEATURES, _SOFT = 10.0, 0.1  # weights of the teacher's features in the first epoch, and of its picture
_POLYGONS = "the authors' parsing maps were never published: polygons of 68 landmarks instead"


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
    needs=["landmarks"],
    teacher="kdfsrnet-teacher",
    scales=[2, 4, 8, 16],
    variants={
        "kdfsrnet-teacher": {
            "title": "KDFSRNet (teacher)",
            "published_parameters": 2_526_027,
            "teacher": "",
            "options": {"blocks": 2, "parsing": True, "distill": 0.0},
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
    A teacher trains by L1 and sees the maps of its training faces; where it is validated or scored no landmarks are
    there, and its maps are zero. A student follows a teacher in the first `distill` of its training, see `Follow`.
    """

    def __init__(
        self,
        scale: int = 8,
        *,
        width: float = 1.0,
        blocks: int = 6,
        parsing: bool = False,
        distill: float = 0.5,
    ) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError(f"blocks must be at least 1, {blocks} given")
        if not 0 <= distill <= 1:
            raise ValueError(f"distill must be from 0 to 1, {distill} given: it is a share of the training")
        self.scale, self.parsing, self.distill = scale, parsing, distill
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

    def objective(self) -> nn.Module:
        """Return the teacher's objective or the student's."""
        return See() if self.parsing else Follow(self.distill)

    @staticmethod
    def authors_key(key: str) -> str | None:
        """Return our name of a tensor of the released networks, "" for an unused one, None for one they have not."""
        name = rename(key, _NAMES)
        return name and name.replace(".body.3.conv_du.", ".body.3.weigh.")


class See(nn.Module):
    """The teacher's objective: L1 of the picture that it makes with the face's parsing map in sight."""

    left_out = (_POLYGONS,)

    def terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001 - methods know no class of bench's
        return {"pixel": F.l1_loss(network(batch.lr, _maps_of(batch)).float(), batch.hr)}


class Follow(nn.Module):
    """The student's objective: L1, and closeness to a teacher in the first `distill` of the training.

    That share is cut into eleven parts i = 0 to 10, the epochs of the release: "features" is 10 (10 - i) / 10 times the
    mean over the nine features of their L1 distance from the teacher's, "soft" is 0.1 times that of the SR. The teacher
    sees maps of the batch's faces, zero where there are no landmarks. (The released one runs in training mode, which
    changes nothing: no layer of it knows the difference.)

    Of the release these are 11 of up to 400 epochs, or 232,000 steps of 8 faces, more than a whole training has here:
    by that share the teacher would be gone after a few of a few hundred steps, by their number it would never go. Half
    of the training, the default, is our reading between the two, which a row says; 11 / 400 is the release's share.
    """

    def __init__(self, distill: float) -> None:
        super().__init__()
        self.distill = distill
        own = f"the first {distill:g} of the training follow the teacher, of the release {_TAUGHT} of {_EPOCHS} epochs"
        self.left_out = (_POLYGONS,) if distill == _TAUGHT / _EPOCHS else (_POLYGONS, own)

    def terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001
        if batch.teacher is None or batch.landmarks is None or batch.progress >= self.distill:
            return {"pixel": F.l1_loss(network(batch.lr).float(), batch.hr)}
        sr, features = network.outputs(batch.lr)  # type: ignore[operator]
        with torch.no_grad():
            seen, shown = batch.teacher.outputs(batch.lr, _maps_of(batch))
        epoch = int(_TAUGHT * batch.progress / self.distill + 1e-9)  # a division's rounding must not hold an epoch back
        apart = [F.l1_loss(own.float(), other.float()) for own, other in zip(features, shown, strict=True)]
        return {
            "pixel": F.l1_loss(sr.float(), batch.hr),
            "features": _FEATURES * (10 - epoch) / 10 * torch.stack(apart).mean(),
            "soft": _SOFT * F.l1_loss(sr.float(), seen.float()),
        }


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


def _maps_of(batch) -> Tensor | None:  # noqa: ANN001
    """Return the parsing maps of a batch's faces [B, 3, H, H], zero for a face without landmarks; None without any."""
    side = batch.hr.shape[-1]
    return None if batch.landmarks is None else parsing_maps(batch.landmarks, side, side)


def _checked(maps: Tensor, picture: Tensor) -> Tensor:
    expected = (len(picture), _MAPS, *picture.shape[2:])
    if maps.shape != expected:
        raise ValueError(
            f"parsing maps are {list(maps.shape)}, expected {list(expected)}: one for each enlarged picture"
        )
    return maps.to(picture)
