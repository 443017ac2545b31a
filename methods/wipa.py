"""WIPA: wavelet-integrated, identity-preserving super-resolution (Dastmalchi and Aghaeinia, 2022).

Written from the paper and from facts about the released generators (1,386,688 parameters with wavelets, 1,235,968
without), whose code states no licence; no code of it is used here.
"""

from __future__ import annotations

import itertools
import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import register
from methods.layers.keys import rename
from methods.layers.scaffold import scale_channels

_SLOPE = 0.1  # of every LeakyReLU
_CHANNELS = 64
_DETAILS = 9  # three colours times horizontal, vertical and diagonal
_EPOCHS = 200  # of the release
_ALL_FROM, _RIVAL_FROM, _ADVERSARIAL_FROM = 1, 2, 4  # epochs: other terms than the pixels', the discriminator, its term
_SEEN, _VGG, _GAN = (
    4,
    0.001,
    0.001,
)  # the convolution that is compared (conv3_1), weights of that term and the adversary's
_BLOCK = re.compile(r"ResBlock(\d+)\.block\.(.+)")
_STAGE = re.compile(r"(Upsample|WaveletConv|WaveletRecConv|WaveletMergeConv)(\d+)\.(.+)")
_LAYERS = {"WaveletConv": "wavelet", "WaveletRecConv": "detail", "WaveletMergeConv": "merge"}
_NAMES = [  # the released names outside blocks and stages, and ours
    (r"conv1\.weight", "head.0.weight"),
    (r"bn\.(.+)", r"head.1.\1"),
    (r"conv2\.weight", "tail.weight"),
]


@register(
    "wipa",
    title="WIPA",
    year=2022,
    paper="Dastmalchi and Aghaeinia, Super-resolution of very low-resolution face images with a wavelet integrated, "
    "identity preserving adversarial network",
    venue="Signal Processing: Image Communication 107:116755",
    licence="none stated",
    published_parameters=1_386_688,
    tags=["cnn", "wavelet", "gan"],
    needs=["vgg16"],
    scales=[2, 4, 8, 16],
    variants={
        "wipa-baseline": {
            "title": "WIPA baseline",
            "published_parameters": 1_235_968,
            "tags": ["cnn", "gan"],
            "options": {"wavelets": False},
        },
    },
)
class WIPA(nn.Module):
    """Map LR [B, 3, h, w] in [0, 1] to SR [B, 3, s h, s w] in [0, 1]; s is a power of two.

    Residual blocks at LR size, and fewer at each of the sizes up to half of the output's; the features of every size
    but the first are enlarged to the output's and added. With `wavelets` each stage also makes features from which the
    Haar details of HR at its size can be read by a convolution that the loss alone uses. `width` multiplies the 64
    channels. Released for s = 8 (8, 4 and 2 blocks) and 16 (16, 8, 4 and 2); the smaller scales go on by that rule.

    Exact as released; so kept are bicubic enlargement with aligned corners (torch's, a = -0.75), a tanh at the end, no
    biases, and torch's own first weights: the released code means to draw others, but its call changes nothing. Its
    training reads LR pictures that were never rounded to 8 bits (Gaussian, sigma 3.5, and the mean of the central 2x2
    pixels of 8x8), not the ones the harness gives.

    `objective` is the release's but for the identity term, see `Adversarial`.
    """

    def __init__(self, scale: int = 8, *, width: float = 1.0, wavelets: bool = True) -> None:
        super().__init__()
        stages = int(math.log2(scale)) if scale > 1 else 0
        if stages < 1 or 2**stages != scale:
            raise ValueError(f"scale must be a power of two from 2 on, {scale} given")
        channels = scale_channels(_CHANNELS, width)
        self.scale, self.width, self.wavelets, self.channels = scale, width, wavelets, channels
        self.depths = [2 ** (stages - i) for i in range(stages)]  # blocks of each stage
        self.head = nn.Sequential(_conv(3, channels), nn.BatchNorm2d(channels), nn.LeakyReLU(_SLOPE))
        self.blocks = nn.ModuleList(Block(channels) for _ in range(sum(self.depths)))
        self.stages = nn.ModuleList(Stage(channels, wavelets) for _ in range(stages))
        self.tail = _conv(channels, 3)

    def forward(self, lr: Tensor) -> Tensor:
        return self._run(lr)[0]

    def outputs(self, lr: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return SR, and the Haar details seen at each size, the finest first: [B, 9, s h/2, s w/2], and so on down.

        Their channels are those of `haar_details`; the list is empty without wavelets.
        """
        sr, features = self._run(lr)
        details = [stage.detail(x) for stage, x in zip(self.stages, features, strict=True)] if self.wavelets else []
        return sr, details[::-1]

    def objective(self) -> Adversarial:
        """Return the release's objective, with a discriminator as narrow as this network is."""
        return Adversarial(self.width)

    def saved_multiply_adds(self, shape: torch.Size) -> int:
        """Return what the details cost that the released network computes for every picture, and `forward` does not."""
        pixels = sum(shape[-2] * shape[-1] * 4**i for i in range(len(self.stages)))
        return self.wavelets * shape[0] * pixels * self.channels * _DETAILS * 9

    def _run(self, lr: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return SR and what each stage holds before it grows: its wavelet features, where there are such."""
        x, blocks, kept, total = self.head(lr * 2 - 1), iter(self.blocks), [], None
        size = [side * self.scale for side in lr.shape[-2:]]
        for depth, stage in zip(self.depths, self.stages, strict=True):
            for _ in range(depth):
                x = next(blocks)(x)
            x, features = stage(x)
            kept.append(features)
            large = F.interpolate(x, size, mode="bicubic", align_corners=True)
            total = large if total is None else total + large
        return (self.tail(total).tanh() + 1) / 2, kept

    @staticmethod
    def authors_key(key: str) -> str | None:
        """Return our name of a tensor of the released generators, None for one that they have not."""
        if block := _BLOCK.fullmatch(key):
            return f"blocks.{int(block[1]) - 1}.body.{block[2]}"
        if stage := _STAGE.fullmatch(key):
            layer = _LAYERS.get(stage[1])
            inner = f"{layer}.{stage[3]}" if layer else rename(stage[3], [(r"convtr\.weight", "up.weight")])
            return inner and f"stages.{int(stage[2]) - 1}.{inner}"
        return rename(key, _NAMES)


class Adversarial(nn.Module):
    """Mean squared error, wavelets, features of VGG16 and a discriminator, by the share of 200 epochs that is done.

    "pixel" is alone in epoch 0. From epoch 1 there are "wavelets", the mean over sizes l of L1 of the details / 4^l
    (none without wavelets), and "vgg", 0.001 times the mean squared distance of the features of conv3_1, where VGG16's
    weights can be had; the release has VGG19's conv3_1. The discriminator trains from epoch 2, "adversarial" is 0.001
    times the binary cross-entropy of its answer on SR and comes from epoch 4.

    Labels are drawn for every picture, as released: 0.8 + c + (0.2 - c) u of a true one, d u of a made one, u uniform
    in [0, 1]; over the training c rises from 0 to 0.1 and d falls from 0.2 to 0.1. Our own readings: both on a line by
    iteration, and a true one's label for SR where the generator trains.
    """

    adversary_betas = (0.5, 0.999)
    left_out = (
        "identity term (0.005): SphereFace's weights cannot be had offline",
        "VGG19's features: its weights cannot be had offline; VGG16's instead, where they can",
    )

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.adversary = Discriminator(width)

    def terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001 - methods know no class of bench's
        sr, details = network.outputs(batch.lr)  # type: ignore[operator]
        sr, epoch = sr.float(), _epoch_of(batch)
        self._sr = sr.detach()  # for the discriminator's step
        terms = {"pixel": F.mse_loss(sr, batch.hr)}
        if epoch >= _ALL_FROM and details:
            terms["wavelets"] = _distance_of(details, batch.hr)
        if epoch >= _ALL_FROM and "vgg16" in batch.features:
            made, true = (_features_of(batch, pictures) for pictures in (sr, batch.hr))
            terms["vgg"] = _VGG * F.mse_loss(made, true)
        if epoch >= _ADVERSARIAL_FROM:
            terms["adversarial"] = _GAN * _cross_entropy(self.adversary(sr), _true_labels(batch))
        return terms

    def adversary_terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001
        if _epoch_of(batch) < _RIVAL_FROM:
            return {}
        return {
            "real": _cross_entropy(self.adversary(batch.hr), _true_labels(batch)),
            "fake": _cross_entropy(self.adversary(self._sr), _made_labels(batch)),
        }


class Discriminator(nn.Module):
    """Tell true pictures [B, 3, 128, 128] in [0, 1] from made ones: logits [B, 1]; the release's has 4,855,617 numbers.

    Pictures that are larger get the mean over their parts, smaller ones are refused by the last convolution.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        sizes = [scale_channels(_CHANNELS * 2**i, width) for i in range(4)]
        layers: list[nn.Module] = [nn.Conv2d(3, sizes[0], 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        for few, many in itertools.pairwise(sizes):
            layers += [nn.Conv2d(few, many, 4, stride=2, padding=1), nn.BatchNorm2d(many), nn.LeakyReLU(_SLOPE)]
        self.body = nn.Sequential(*layers, nn.Conv2d(sizes[-1], sizes[0], 8), nn.LeakyReLU(_SLOPE))
        self.tail = nn.Linear(sizes[0], 1)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.tail(self.body(pictures * 2 - 1).mean((2, 3)))


class Block(nn.Module):
    """Residual block [B, C, H, W] -> the same: LeakyReLU of the input plus two convolutions with BatchNorm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(_SLOPE),
            _conv(channels, channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.body(x) + x, _SLOPE)


class Stage(nn.Module):
    """Double the size of features [B, C, H, W], with wavelet features merged in first.

    Returns [B, C, 2H, 2W] and the wavelet features [B, C, H, W], of which `detail` makes Haar details; the features
    themselves without wavelets.
    """

    def __init__(self, channels: int, wavelets: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
        self.wavelets = wavelets
        if wavelets:
            self.wavelet = _conv(channels, channels)
            self.detail = _conv(channels, _DETAILS)
            self.merge = nn.Conv2d(2 * channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.wavelet(x) if self.wavelets else x
        if self.wavelets:
            x = self.merge(torch.cat([x, features], dim=1))
        return F.leaky_relu(self.up(x), _SLOPE), features


def haar_details(picture: Tensor, levels: int) -> list[Tensor]:
    """Return the Haar details of a picture [B, C, H, W] at `levels` sizes: [B, 3C, H/2, W/2], a quarter of that, ...

    Horizontal (upper less lower rows), vertical (left less right) and diagonal of colour c are channels 3c, 3c + 1 and
    3c + 2. Every level is divided by the growth of its approximation, 2^level, so that all are in the picture's units.
    """
    details = []
    for level in range(levels):
        a, b = picture[..., ::2, ::2], picture[..., ::2, 1::2]
        c, d = picture[..., 1::2, ::2], picture[..., 1::2, 1::2]
        bands = torch.stack([a + b - c - d, a - b + c - d, a - b - c + d], dim=2) / 2
        details.append(bands.flatten(1, 2) / 2**level)
        picture = (a + b + c + d) / 2
    return details


def _distance_of(details: list[Tensor], hr: Tensor) -> Tensor:
    """Return the mean over sizes l of L1 of Haar details / 4^l, l = 0 being the finest."""
    pairs = zip(details, haar_details(hr, len(details)), strict=True)
    return torch.stack([F.l1_loss(made.float(), true) / 4**level for level, (made, true) in enumerate(pairs)]).mean()


def _epoch_of(batch) -> int:  # noqa: ANN001
    return int(batch.progress * _EPOCHS + 1e-9)  # a share's rounding must not hold an epoch back


def _features_of(batch, pictures: Tensor) -> Tensor:  # noqa: ANN001
    return next(itertools.islice(batch.features["vgg16"](pictures), _SEEN, None)).float()


def _true_labels(batch) -> Tensor:  # noqa: ANN001
    sure = 0.1 * batch.progress
    return 0.8 + sure + (0.2 - sure) * torch.rand(len(batch.hr), 1, device=batch.hr.device)


def _made_labels(batch) -> Tensor:  # noqa: ANN001
    return (0.2 - 0.1 * batch.progress) * torch.rand(len(batch.hr), 1, device=batch.hr.device)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.float(), labels)


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
