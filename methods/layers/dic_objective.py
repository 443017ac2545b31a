"""What trains DIC and DICGAN (Ma et al., CVPR 2020): pictures and landmark maps of every step, and an adversary.

Written from the paper and from facts about the released training; no code of it is used here. The networks are those
of methods/dic.py: `outputs(lr)`, `landmarks`, `steps`, `mean`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.layers.priors import heat_maps
from methods.layers.scaffold import scale_channels

MAP_WEIGHT, ADVERSARY_WEIGHT = 0.1, 0.005
_FROZEN = 2_000 / 150_000  # of the iterations, at whose start the landmark net rests


class DICObjective(nn.Module):
    """L1 of every step's SR, and 0.1 of the squared error of its landmark maps.

    The landmark net is trained on HR faces in the stage before, alone, rests for the first 2,000 of 150,000 iterations
    and then learns with the rest. Our reading: the stage has a fifth as many steps as there are iterations, and the net
    sees the HR face as often as it sees an SR, handing its features on; the authors start from a file of such a net
    (FB_HG_68_CelebA.pth) that cannot be had offline, and say nothing of how they made it.
    """

    stage = 0.2

    def terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001 - methods know no class of bench's
        """Return the terms "pixel" and, where there are landmarks, "heat_maps"; in the stage that of HR alone."""
        network.landmarks.requires_grad_(batch.iteration < 0 or batch.progress >= _FROZEN)
        if batch.iteration < 0:
            return {"heat_maps": MAP_WEIGHT * map_error(maps_of_faces(network, batch.hr), batch.landmarks)}
        found = network.outputs(batch.lr)
        terms = {"pixel": torch.stack([F.l1_loss(sr.float(), batch.hr) for sr in found.sr]).sum()}
        if batch.landmarks is not None:
            terms["heat_maps"] = MAP_WEIGHT * map_error(found.maps, batch.landmarks)
        return terms


class DICGANObjective(nn.Module):
    """DIC's terms, of pictures for the last step alone and as often as there are steps, and 0.005 of an adversary's.

    The network begins as the trained DIC, its teacher; the landmark net stays as it is there. As `width` narrows the
    network it narrows the adversary (our choice: the two are meant to be a match).
    """

    adversary_rate, adversary_betas = 1.0, (0.9, 0.999)
    left_out = ("0.1 L1 of LightCNN-9's features: its weights cannot be had offline",)

    def __init__(self, width: float) -> None:
        super().__init__()
        self.adversary = Adversary(width)

    def start(self, network: nn.Module, teacher: nn.Module | None) -> None:
        """Give the network the trained DIC's weights."""
        if teacher is not None:
            network.load_state_dict(teacher.state_dict())

    def terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001
        """Return the terms "pixel", "heat_maps" (where there are landmarks) and "adversarial"."""
        network.landmarks.requires_grad_(False)
        found = network.outputs(batch.lr)
        self._fake = found.sr[-1] - network.mean
        terms = {"pixel": network.steps * F.l1_loss(found.sr[-1].float(), batch.hr)}
        if batch.landmarks is not None:
            terms["heat_maps"] = MAP_WEIGHT * map_error(found.maps, batch.landmarks)
        return {**terms, "adversarial": ADVERSARY_WEIGHT * _error(self.adversary(self._fake), 1.0)}

    def adversary_terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001
        """Return the adversary's terms: it is to give 1 for HR and 0 for the last step's SR."""
        real, fake = self.adversary(batch.hr - network.mean), self.adversary(self._fake.detach())
        return {"real": _error(real, 1.0), "fake": _error(fake, 0.0)}


class Adversary(nn.Module):
    """Tell faces [B, 3, 128, 128] less their mean from SR: logits [B, 1], in the form of LightCNN-9 (Wu et al., 2018).

    Nine convolutions, each of which keeps the larger of two halves of its channels, and a hidden layer of 256 that does
    so too. That it ends in one number behind a leaky ReLU, and reads three channels, is our reading: the paper names no
    more than the form.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c48, c96, c128, c192, hidden = (scale_channels(channels, width) for channels in (48, 96, 128, 192, 256))
        self.features = nn.Sequential(
            _Larger(nn.Conv2d(3, 2 * c48, 5, padding=2)),
            nn.MaxPool2d(2),
            *_pair(c48, c96),
            nn.MaxPool2d(2),
            *_pair(c96, c192),
            nn.MaxPool2d(2),
            *_pair(c192, c128),
            *_pair(c128, c128),
            nn.MaxPool2d(2),
        )
        self.head = nn.Sequential(_Larger(nn.Linear(8 * 8 * c128, 2 * hidden)), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


class _Larger(nn.Module):
    """Run a layer and keep, of channels i and n + i of its 2n, the larger one."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(*self.layer(x).chunk(2, dim=1))


def _pair(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        _Larger(nn.Conv2d(in_channels, 2 * in_channels, 1)),
        _Larger(nn.Conv2d(in_channels, 2 * out_channels, 3, padding=1)),
    ]


def maps_of_faces(network: nn.Module, hr: Tensor) -> list[Tensor]:
    """Return the landmark maps of HR [B, 3, H, W], which the landmark net sees as often as there are steps."""
    maps, hidden = [], None
    for _ in range(network.steps):
        found, hidden = network.landmarks(hr - network.mean, hidden)
        maps.append(found)
    return maps


def map_error(maps: list[Tensor], points: Tensor | None) -> Tensor:
    """Return the sum over the steps of the mean squared error of landmark maps [B, 68, S, S] from Gaussians.

    The mean is over the faces that have landmarks, `points` [B, 68, 2]; without any it is 0, with a gradient of 0.
    """
    if points is None:
        points = maps[0].new_full((len(maps[0]), maps[0].shape[1], 2), torch.nan)
    known = ~points.isnan().flatten(1).any(dim=1)
    target = heat_maps(points, maps[0].shape[-1])
    errors = torch.stack([(found.float() - target).square().mean(dim=(1, 2, 3)) for found in maps]).sum(dim=0)
    return (errors * known).sum() / known.sum().clamp(min=1)


def _error(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, label, dtype=torch.float32))
