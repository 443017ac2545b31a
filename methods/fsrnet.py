"""FSRNet: a coarse picture, facial priors seen in it, and a fine picture from both (Chen et al., CVPR 2018).

Written from the paper and from facts about two PyTorch re-implementations, for which no licence is stated; no code of
them is used here. What the authors released is for Torch7.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import register
from methods.layers.keys import rename
from methods.layers.priors import heat_maps, label_maps
from methods.layers.resample import upsample_8bit
from methods.layers.scaffold import scale_channels

_LABELS, _POINTS = 11, 68  # parsing maps, and heat maps of landmarks
_LEVELS = 3  # of an hourglass
_RANGE = 2  # of what is compared: pictures and maps from -1 to 1

_PARTS = {"csr_net": "coarse", "fsr_enc": "encoder", "pre_net": "prior", "fsr_dec": "decoder"}
_INSIDE = [  # the names of the re-implementation, by our names of its four parts, and ours
    (r"prior_conv1\.(weight|bias)", ""),  # of landmarks' maps, which are not of our number
    (r"prior_conv2\.(weight|bias)", r"to_parsing_maps.\1"),
    (r"coarse\.conv1\.1\.(.+)", r"coarse.head.0.\1"),
    (r"coarse\.conv1\.2\.(.+)", r"coarse.head.1.\1"),
    (r"(encoder|prior|decoder)\.conv1\.([01])\.(.+)", r"\1.head.\2.\3"),
    (r"decoder\.deconv1\.0\.(.+)", r"decoder.head.3.\1"),
    (r"decoder\.deconv1\.1\.(.+)", r"decoder.head.4.\1"),
    (r"(coarse|encoder|decoder)\.conv2\.1\.weight", r"\1.tail.0.weight"),
    (r"(\w+)\.res_blocks\.(\d+)\.layers\.1\.weight", r"\1.blocks.\2.body.0.weight"),
    (r"(\w+)\.res_blocks\.(\d+)\.layers\.2\.(.+)", r"\1.blocks.\2.body.1.\3"),
    (r"(\w+)\.res_blocks\.(\d+)\.layers\.5\.weight", r"\1.blocks.\2.body.3.weight"),
    (r"(\w+)\.res_blocks\.(\d+)\.layers\.6\.(.+)", r"\1.blocks.\2.body.4.\3"),
    (r"prior\.res_blocks\.0\.convBlock\.(.+)", r"prior.blocks.0.branch.\1"),
    (r"prior\.res_blocks\.0\.skipConv\.(.+)", r"prior.blocks.0.shortcut.\1"),
    (r"prior\.hg_blocks\.([01])\.res_center\.convBlock\.(.+)", r"prior.tail.\1.centre.branch.\2"),
    (r"prior\.hg_blocks\.([01])\.res(\d)_1\.convBlock\.(.+)", r"prior.tail.\1.skip.\2.branch.\3"),
    (r"prior\.hg_blocks\.([01])\.res(\d)_2\.convBlock\.(.+)", r"prior.tail.\1.down.\2.branch.\3"),
    (r"prior\.hg_blocks\.([01])\.res(\d)_3\.convBlock\.(.+)", r"prior.tail.\1.up.\2.branch.\3"),
]


class Outputs(NamedTuple):
    """SR and the coarse SR [B, 3, s h, s w] in [0, 1], and maps in [-1, 1] of the face, half as large.

    The maps' channels are heat maps of 68 landmarks, where the network has those, and then 11 parsing maps.
    """

    sr: Tensor
    coarse: Tensor
    maps: Tensor


@register(
    "fsrnet",
    title="FSRNet",
    year=2018,
    paper="Chen et al., FSRNet: End-to-End Learning Face Super-Resolution with Facial Priors",
    venue="CVPR 2018, 2492-2501",
    licence="none stated",
    published_parameters=3_263_691,
    tags=["cnn", "landmarks"],
    needs=["landmarks"],
    scales=[2, 4, 8, 16],
)
class FSRNet(nn.Module):
    """Map LR [B, 3, h, w] in [0, 1] to SR [B, 3, s h, s w] in [0, 1]; s h and s w must be divisible by 16.

    The input is enlarged to the output's size first (bicubic, 8 bits) and brought to [-1, 1]. A coarse network makes a
    picture of it; an encoder and a prior network see that picture at half its size, and a decoder makes the fine one of
    what both find. All convolutions but those of the prior network pad by reflection, pictures end in a tanh. `width`
    multiplies every channel count but those of pictures and maps.

    Which network this is: the blocks of each stack have weights of their own, as the paper means, and there are 11
    parsing maps (3,263,691 parameters). A re-implementation whose file can be read repeats one block in every stack;
    its file names each repetition, so that it makes here the picture that it makes there. `landmarks` adds heat maps
    of 68 landmarks, which the paper has for Helen (194 of them): the loss alone reads maps, `forward` leaves them out.
    """

    def __init__(self, scale: int = 8, *, width: float = 1.0, landmarks: bool = False) -> None:
        super().__init__()
        self.scale, self.landmarks = scale, landmarks
        c = scale_channels(64, width)
        self.coarse = _part([_conv(3, c), *_bend(c)], [_Block(c) for _ in range(3)], [_conv(c, 3), nn.Tanh()])
        self.encoder = _part(
            [nn.Conv2d(3, c, 3, stride=2, padding=1, bias=False), *_bend(c)],
            [_Block(c) for _ in range(12)],
            [_conv(c, c), nn.Tanh()],
        )
        self.prior = _part(
            [nn.Conv2d(3, c, 7, stride=2, padding=3, bias=False), *_bend(c)],
            [_Bottleneck(c, 2 * c), _Block(2 * c), _Block(2 * c)],
            [_Hourglass(2 * c), _Hourglass(2 * c)],
        )
        enlarge = nn.ConvTranspose2d(c, c, 3, stride=2, padding=1, output_padding=1, bias=False)
        self.decoder = _part(
            [nn.Conv2d(3 * c, c, 3, padding=1, bias=False), *_bend(c), enlarge, *_bend(c)],
            [_Block(c) for _ in range(3)],
            [_conv(c, 3), nn.Tanh()],
        )
        if landmarks:
            self.to_heat_maps = nn.Conv2d(2 * c, _POINTS, 1)
        self.to_parsing_maps = nn.Conv2d(2 * c, _LABELS, 1)

    def forward(self, lr: Tensor) -> Tensor:
        return self._run(lr)[0]

    def outputs(self, lr: Tensor) -> Outputs:
        """Return the SR, the coarse SR and the maps."""
        sr, coarse, seen = self._run(lr)
        maps = [self.to_heat_maps(seen)] if self.landmarks else []
        return Outputs(sr, coarse, torch.cat([*maps, self.to_parsing_maps(seen)], dim=1))

    def objective(self) -> nn.Module:
        """Return what trains it: both pictures and the maps."""
        return Objective(self.landmarks)

    def saved_multiply_adds(self, shape: torch.Size) -> int:
        """Return what the maps cost that the re-implementation computes for every picture, and `forward` does not."""
        layers = [self.to_parsing_maps, *([self.to_heat_maps] if self.landmarks else [])]
        places = shape[0] * shape[-2] * shape[-1] * self.scale**2 // 4
        return places * sum(layer.weight.numel() for layer in layers)

    def _run(self, lr: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return SR and coarse SR in [0, 1], and the prior network's features."""
        coarse = self.coarse(upsample_8bit(lr, self.scale) * 2 - 1)
        seen = self.prior(coarse)
        fine = self.decoder(torch.cat([self.encoder(coarse), seen], dim=1))
        return (fine + 1) / 2, (coarse + 1) / 2, seen

    @staticmethod
    def authors_key(key: str) -> str | None:
        """Return our name of a re-implementation's tensor, "" for landmarks' maps, None for one that it has not."""
        part, dot, rest = key.partition(".")
        return rename(f"{_PARTS.get(part, part)}{dot}{rest}", _INSIDE)


class Objective(nn.Module):
    """Mean squared error of the coarse picture, the fine one and the maps, with equal weights, all from -1 to 1.

    The maps are polygons of the face's landmarks, by the eleven labels of Helen's parsing, and, if the network has
    `landmarks`, Gaussians around them; a face without landmarks trains the pictures alone.
    """

    def __init__(self, landmarks: bool) -> None:
        super().__init__()
        without = () if landmarks else ("heat maps of landmarks: only with the option landmarks, 68 of them",)
        self.landmarks = landmarks
        self.left_out = ("parsing maps that people drew, hair among them: polygons of 68 landmarks instead", *without)

    def terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001 - methods know no class of bench's
        found = network.outputs(batch.lr)  # type: ignore[operator]
        terms = {
            "coarse": _RANGE**2 * F.mse_loss(found.coarse.float(), batch.hr),
            "fine": _RANGE**2 * F.mse_loss(found.sr.float(), batch.hr),
        }
        if batch.landmarks is not None:
            terms["maps"] = self._error_of(found.maps.float(), batch.landmarks)
        return terms

    def _error_of(self, maps: Tensor, points: Tensor) -> Tensor:
        """Return the mean squared error of maps [B, n, S, S] in the faces that have landmarks; 0 without any."""
        known = ~points.isnan().flatten(1).any(dim=1)
        drawn = [heat_maps(points, maps.shape[-1])] if self.landmarks else []
        target = torch.cat([*drawn, label_maps(points, maps.shape[-1])], dim=1) * _RANGE - 1
        errors = (maps - target).square().mean(dim=(1, 2, 3))
        return (errors * known).sum() / known.sum().clamp(min=1)


class _Block(nn.Module):
    """Residual block [B, C, H, W] -> the same: two convolutions with BatchNorm, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels), *_bend(channels), _conv(channels, channels), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class _Bottleneck(nn.Module):
    """Bottleneck of half the output's channels behind BatchNorm and ReLU, plus the input."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        middle = out_channels // 2
        self.branch = nn.Sequential(
            *_bend(in_channels),
            nn.Conv2d(in_channels, middle, 1),
            *_bend(middle),
            nn.Conv2d(middle, middle, 3, padding=1),
            *_bend(middle),
            nn.Conv2d(middle, out_channels, 1),
        )
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.shortcut(x)


class _Hourglass(nn.Module):
    """Bottlenecks at four sizes, [B, C, H, W] to the same, H divisible by 8. Levels are counted from the innermost."""

    def __init__(self, channels: int) -> None:
        super().__init__()

        def blocks() -> nn.ModuleDict:
            return nn.ModuleDict({str(level): _Bottleneck(channels, channels) for level in range(_LEVELS, 0, -1)})

        self.skip, self.down, self.up = blocks(), blocks(), blocks()
        self.centre = _Bottleneck(channels, channels)

    def forward(self, x: Tensor, level: int = _LEVELS) -> Tensor:
        if level == 0:
            return self.centre(x)
        name = str(level)
        inner = self.up[name](self(self.down[name](F.max_pool2d(x, 2)), level - 1))
        return self.skip[name](x) + F.interpolate(inner, scale_factor=2.0, mode="nearest")


def _part(head: list[nn.Module], blocks: list[nn.Module], tail: list[nn.Module]) -> nn.Sequential:
    parts = {"head": head, "blocks": blocks, "tail": tail}
    return nn.Sequential(OrderedDict((name, nn.Sequential(*layers)) for name, layers in parts.items()))


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="reflect", bias=False)


def _bend(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU()]
