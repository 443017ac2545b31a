"""SFMNet: spatial-frequency mutual network (Wang et al., CVPR 2023).

Written from the paper and from facts about the released network (8,799,622 parameters), whose code states no licence;
no code of it is used here.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import register
from methods.layers.keys import rename
from methods.layers.resample import upsample_8bit

_HEAD = 8  # channels of an attention head
_TINY = 1e-8  # added before and after the spectrum's convolutions
_INSTEAD = 1e-5  # of NaN and infinity
_SPECTRAL = 0.01  # weight of amplitudes and phases in the objective
_STAGES = ("down1", "down2", "down3", "neck", "up1", "up2", "up3")
_NAMES = [  # the released names, and ours
    (r"conv_fuse\.(?:\d|1[0-3])\.spa_att\.(?:temperature|(?:kv|q)(?:_dwconv)?\.weight|project_out\.weight)", ""),
    (r"(head|tail)\.0\.(.+)", r"\1.\2"),
    (r"(head|tail)_fre\.0\.(.+)", r"\1_frequency.\2"),
    (r"(down[123])\.0\.layers\.0\.layers\.(.+)", r"spatial.\1.resize.0.\2"),
    (r"(down[123])\.0\.layers\.2\.layers\.(.+)", r"spatial.\1.resize.2.\2"),
    (r"(down[123])_fre\.0\.layers\.0\.layers\.(.+)", r"frequency.\1.resize.0.\2"),
    (r"(down[123])_fre\.0\.layers\.2\.layers\.(.+)", r"frequency.\1.resize.2.\2"),
    (r"(up[123])\.0\.([02]\..+)", r"spatial.\1.resize.\2"),
    (r"(up[123])_fre\.0\.([02]\..+)", r"frequency.\1.resize.\2"),
    (r"(down[123]|up[123])\.1\.(.+)", r"spatial.\1.first.\2"),
    (r"neck\.0\.(.+)", r"spatial.neck.first.\1"),
    (r"(down[123]|neck|up[123])_mo\.0\.(.+)", r"spatial.\1.second.\2"),
    (r"(down[123]|up[123])_fre\.1\.(.+)", r"frequency.\1.first.\2"),
    (r"neck_fre\.0\.(.+)", r"frequency.neck.first.\1"),
    (r"(down[123]|neck|up[123])_fre_mo\.0\.(.+)", r"frequency.\1.second.\2"),
    (r"conv_fuse\.(\d+)\.fre\.(.+)", r"fusions.\1.from_spatial.\2"),  # crossed: their `fre` reads spatial features
    (r"conv_fuse\.(\d+)\.spa\.(.+)", r"fusions.\1.from_frequency.\2"),
    (r"conv_fuse\.(\d+)\.fre_att\.(.+)", r"fusions.\1.attention.\2"),
    (r"conv_fuse\.(\d+)\.fuse\.(.+)", r"fusions.\1.gate.\2"),
]
_INSIDE = [  # within spatial groups and frequency blocks
    (r"(.+)\.body\.([01])\.layers\.([01])\.layers\.(.+)", r"\1.blocks.\2.conv\3.\4"),
    (r"(.+)\.body\.2\.(.+)", r"\1.last.\2"),
    (r"(.+)\.re_scale\.scale", r"\1.weight"),
    (r"(.+)\.fpre\.(.+)", r"\1.before.\2"),
    (r"(.+)\.amp_fuse\.(.+)", r"\1.amplitude.\2"),
    (r"(.+)\.pha_fuse\.(.+)", r"\1.phase.\2"),
    (r"(.+)\.post\.(.+)", r"\1.after.\2"),
    (r"(.+)", r"\1"),
]


@register(
    "sfmnet",
    title="SFMNet",
    year=2023,
    paper="Wang et al., Spatial-Frequency Mutual Learning for Face Super-Resolution",
    venue="CVPR 2023, 22356-22366",
    licence="none stated",
    published_parameters=8_799_622,
    tags=["cnn", "attention", "fourier"],
    scales=[2, 4, 8, 16],
)
class SFMNet(nn.Module):
    """Map LR [B, 3, h, w] in [0, 1] to SR [B, 3, s h, s w]; s h and s w must be divisible by 8.

    Two networks of down, neck and up stages run side by side on the bicubic enlargement of the input (8 bits, [0, 1]):
    one of convolutions, one that changes amplitude and phase of its features' spectra; after every half stage the
    spatial features take in the others' through attention. Each adds what it finds to its input. `width` multiplies
    the 64 channels, to a multiple of eight: attention heads keep eight channels, full width has eight heads.

    Exact as released, first weights included (torch's own). So kept: both attentions of a fusion share one set of
    weights, the skips of the spatial branch are taken before a stage's second fusion, and the last layers' PReLU acts
    on the three colours. Left out: 14 attentions that the released code builds and never runs (253,680 parameters).
    A phase jumps at +-pi and is convolved all the same, so rounding alone changes the output: the released network's
    by 2.4e-5 with the number of threads, a picture's of one colour, whose spectrum is little but rounding, by more. The
    order of operations here is therefore that of the release, spectra are computed in float32 under autocast, and in
    evaluation `forward` runs pictures one by one, so that a batch's size does not change scores.

    `objective` is that of the first of two stages; the second, optional and adversarial, is not here.
    """

    def __init__(self, scale: int = 8, *, width: float = 1.0) -> None:
        super().__init__()
        if width <= 0:
            raise ValueError(f"width must be more than 0, {width} given")
        channels = _HEAD * max(1, round(64 * width / _HEAD))
        self.scale = scale
        self.head, self.tail = ConvAct(3, channels), ConvAct(channels, 3)
        self.head_frequency, self.tail_frequency = ConvAct(3, channels), ConvAct(channels, 3)
        self.spatial = nn.ModuleDict({name: Stage(channels, name, Group) for name in _STAGES})
        self.frequency = nn.ModuleDict({name: Stage(channels, name, Spectrum) for name in _STAGES})
        self.fusions = nn.ModuleList(Fusion(channels) for _ in range(2 * len(_STAGES)))

    def forward(self, lr: Tensor) -> Tensor:
        parts = [lr] if self.training else lr.split(1)
        large = [upsample_8bit(part, self.scale) for part in parts]
        return torch.cat([self._spatial(x, self._frequency(x)) + x for x in large])

    def outputs(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """Return SR, and what the frequency branch makes of `lr` by itself, both [B, 3, s h, s w]."""
        large = upsample_8bit(lr, self.scale)
        features = self._frequency(large)
        return self._spatial(large, features) + large, self.tail_frequency(features[-1]) + large

    def objective(self) -> Objective:
        """Return the objective of the release's first stage."""
        return Objective()

    def saved_multiply_adds(self, shape: torch.Size) -> int:
        """Return what the frequency branch's own picture costs, which the released network makes every time."""
        return shape[0] * shape[-2] * shape[-1] * self.scale**2 * self.tail_frequency.layers.weight.numel()

    def _frequency(self, large: Tensor) -> list[Tensor]:
        """Return the features after each half stage, fourteen, of a picture [B, 3, H, W]."""
        x, features = self.head_frequency(large), []
        skips = [x]
        for name, stage in self.frequency.items():
            first = stage.first(stage.resize(x))
            x = stage.second(first)
            if name.startswith("down"):
                skips.append(x)
            else:
                x = x + skips.pop()
            features += [first, x]
        return features

    def _spatial(self, large: Tensor, features: list[Tensor]) -> Tensor:
        """Return what the spatial branch adds to the picture [B, 3, H, W], given the other branch's features."""
        x, fusions = self.head(large), zip(self.fusions, features, strict=True)
        skips = [x]
        for name, stage in self.spatial.items():
            fuse, other = next(fusions)
            x = stage.second(fuse(other, stage.first(stage.resize(x))))
            if name.startswith("down"):
                skips.append(x)
            else:
                x = x + skips.pop()
            fuse, other = next(fusions)
            x = fuse(other, x)
        return self.tail(x)

    @staticmethod
    def authors_key(key: str) -> str | None:
        """Return our name of a tensor of the released network, "" for the unused attentions', None for no tensor's."""
        ours = rename(key, _NAMES)
        return rename(ours, _INSIDE) if ours else ours


class Objective(nn.Module):
    """L1 of both branches' pictures, and of the amplitudes and phases of the frequency branch's.

    Amplitudes and phases are those of torch's `rfft2` without normalisation, a phase's distance the plain difference.
    """

    left_out = ("the release's second stage (adversarial, VGG features): optional there",)

    def terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001 - methods know no class of bench's
        sr, other = network.outputs(batch.lr)  # type: ignore[operator]
        with _float32(batch.hr):
            got, expected = torch.fft.rfft2(other.float()), torch.fft.rfft2(batch.hr.float())
            return {
                "spatial": F.l1_loss(sr.float(), batch.hr),
                "frequency": F.l1_loss(other.float(), batch.hr),
                "amplitude": _SPECTRAL * F.l1_loss(got.abs(), expected.abs()),
                "phase": _SPECTRAL * F.l1_loss(got.angle(), expected.angle()),
            }


class ConvAct(nn.Module):
    """3x3 convolution without bias, and PReLU of one slope."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.layers(x))


class Stage(nn.Module):
    """The layers of one stage of a branch: change of size, then a block before and one after the first fusion."""

    def __init__(self, channels: int, name: str, block: type[nn.Module]) -> None:
        super().__init__()
        self.resize: nn.Module = nn.Identity()
        if name.startswith("down"):
            self.resize = nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                nn.PixelUnshuffle(2),
                nn.Conv2d(4 * channels, channels, 1, bias=False),
            )
        elif name.startswith("up"):
            self.resize = nn.Sequential(nn.Conv2d(channels, 4 * channels, 1), nn.PixelShuffle(2), nn.PReLU())
        self.first, self.second = block(channels), block(channels)


class Block(nn.Module):
    """Residual block of two convolutions without biases, with ReLU after each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv1(F.relu(self.conv0(x))) + x)


class Group(nn.Module):
    """Two residual blocks and a convolution, plus the input times a learned number."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(channels), Block(channels))
        self.last = ConvAct(channels, channels)
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.blocks(x)) + x * self.weight


class Spectrum(nn.Module):
    """Change the amplitude and the phase of features [B, C, H, W] by convolutions over their half spectra."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before, self.after = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.amplitude, self.phase = (
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.LeakyReLU(0.1),
                nn.Conv2d(channels, channels, 3, padding=1),
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        with _float32(x):
            changed = self._change(self.before(x.float()))
        return _finite(self.after(changed) + x)

    def _change(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(x + _TINY, norm="backward")
        amplitude, phase = spectrum.abs(), spectrum.angle()
        amplitude = self.amplitude(amplitude) + amplitude
        phase = self.phase(phase) + phase
        real, imaginary = amplitude * torch.cos(phase) + _TINY, amplitude * torch.sin(phase) + _TINY
        spectrum = torch.complex(real, imaginary) + _TINY
        return torch.fft.irfft2(spectrum, s=x.shape[-2:], norm="backward").abs()


class Attention(nn.Module):
    """Attention among channels: x [B, C, H, W] asks, y of the same shape answers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // _HEAD
        self.temperature = nn.Parameter(torch.ones(self.heads, 1, 1))
        self.q = nn.Conv2d(channels, channels, 1, bias=False)
        self.q_dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.kv = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.kv_dwconv = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels, bias=False)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        query, (key, value) = self.q_dwconv(self.q(x)), self.kv_dwconv(self.kv(y)).chunk(2, dim=1)
        query, key, value = (part.reshape(len(x), self.heads, _HEAD, -1) for part in (query, key, value))
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        weights = (query @ key.transpose(-2, -1) * self.temperature).softmax(dim=-1)
        return self.project_out((weights @ value).reshape(x.shape))


class Fusion(nn.Module):
    """Bring features of the frequency branch into those of the spatial one, both [B, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.from_spatial = nn.Conv2d(channels, channels, 3, padding=1)
        self.from_frequency = nn.Conv2d(channels, channels, 3, padding=1)
        self.attention = Attention(channels)  # one for both directions
        self.gate = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 3, padding=1), nn.Conv2d(channels, 2 * channels, 3, padding=1)
        )

    def forward(self, frequency: Tensor, spatial: Tensor) -> Tensor:
        spatial, frequency = self.from_spatial(spatial), self.from_frequency(frequency)
        spatial = self.attention(spatial, frequency) + spatial
        frequency = self.attention(frequency, spatial) + frequency
        gates = self.gate(torch.cat([spatial, frequency], dim=1)).sigmoid().chunk(2, dim=1)
        return _finite(spatial * gates[0] + frequency * gates[1])


def _float32(x: Tensor) -> AbstractContextManager[object]:
    """Keep autocast off what is computed from `x`; the meta device has none."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def _finite(x: Tensor) -> Tensor:
    return torch.nan_to_num(x, nan=_INSTEAD, posinf=_INSTEAD, neginf=_INSTEAD)
