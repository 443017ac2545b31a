"""What a metric is: a name, what it needs, and one of two ways to its values.

Most metrics compare SR with HR pair by pair (`Pairwise`). Others first describe each picture on its own, by the
statistics of its blocks or by the place of its eyes, and then compare descriptions (`Described`); a description is made
once a picture, so that the ground truth of a face set is described once for all methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.core.errors import UserError
from bench.metrics.parts import in_parts

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics.protocol import Channel, Protocol

AT_ONCE = 3 * 128 * 128  # pixels of each side
Need = Literal["hr", "lr"]


class UnavailableError(UserError):
    """A metric cannot run here: a package, a weight file or the network is missing. Says what and the way out."""


@dataclass(frozen=True)
class Batch:
    """Pictures as a pairwise metric gets them: [B, 3, H, W] on one device, all of one size.

    `sr` is what the protocol compares: uint8 levels unless the protocol keeps floats. `hr` and `lr` are uint8 levels,
    or None where there are none. Floats that are levels / 255 give the same scores (see bench.metrics.protocol.unit).
    """

    sr: Tensor
    hr: Tensor | None
    lr: Tensor | None
    protocol: Protocol
    scale: int = 8
    degradation: str = "pil-bicubic"

    def compare(self, channel: Channel, score: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return score(sr, hr) of SR and HR as the protocol compares them in `channel`: float64 [B]."""
        assert self.hr is not None
        height, width = self.sr.shape[-2:]
        count = max(1, AT_ONCE // (height * width)) if self.sr.device.type == "cpu" else len(self.sr)
        compared = partial(self.protocol.compared, channel=channel)
        return in_parts(lambda sr, hr: score(compared(sr), compared(hr)), (self.sr, self.hr), count)

    def take(self, places: list[int]) -> Batch:
        """Return the pictures at `places`, which rise."""
        if len(places) == len(self.sr):
            return self
        hr, lr = (None if side is None else side[places] for side in (self.hr, self.lr))
        return replace(self, sr=self.sr[places], hr=hr, lr=lr)


@dataclass(frozen=True)
class Spec:
    """What is common to all metrics.

    `parameters` returns what else decides a value (block size, hash of the weights); it goes into the cache's key and
    beside the value. `caution` is what a reader must know next to a number. `colour` tells whether the protocol's
    colour space, border and window apply (PSNR, SSIM), or its rounding alone.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    decimals: int
    needs: tuple[Need, ...]
    source: str
    parameters: Callable[[], Mapping[str, Any]] = dict
    caution: str = ""
    colour: bool = False
    extra: str = ""  # the extra of pyproject.toml that it takes, "" where none


@dataclass(frozen=True)
class Pairwise(Spec):
    """A metric of each picture with its reference: `compute(batch)` returns float64 [B], NaN where undefined."""

    compute: Callable[[Batch], Tensor] = field(kw_only=True)


@dataclass(frozen=True)
class Description:
    """A description of single pictures, shared by several metrics and cached by the pictures' content.

    `describe` maps uint8 [B, H, W, 3] to float64 [B, length], NaN where there is nothing (no face found). With a
    `frame`, which describes the ground truth, it takes the frame's rows of that too: both are looked at in one place.
    """

    name: str
    describe: Callable[..., np.ndarray]
    parameters: Callable[[], Mapping[str, Any]] = dict
    frame: Description | None = None


@dataclass(frozen=True)
class Described(Spec):
    """A metric of descriptions: `compare(sr, hr)`, or `compare(sr)` where HR is not needed, maps [N, length] to [N].

    It sees all N pictures of a face set at once. `remark` says of HR's descriptions what a reader must know of these
    pictures, "" where nothing.
    """

    description: Description = field(kw_only=True)
    compare: Callable[..., np.ndarray] = field(kw_only=True)
    remark: Callable[[np.ndarray], str] = field(kw_only=True, default=lambda hr: "")


Metric = Pairwise | Described


def distance(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance of each pair of embeddings [N, length]: [N]."""
    return np.asarray(np.linalg.norm(sr - hr, axis=1))


def cosine(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """Return the cosine of the angle between each pair of embeddings [N, length]: [N]."""
    return np.asarray((sr * hr).sum(axis=1) / np.linalg.norm(sr, axis=1) / np.linalg.norm(hr, axis=1))


def point_error(sr: np.ndarray, hr: np.ndarray, left: int, right: int) -> np.ndarray:
    """Return the mean distance of points [N, points, 2] in per cent of that between HR's points `left` and `right`."""
    between = np.linalg.norm(hr[:, left] - hr[:, right], axis=1)
    return np.asarray(100 * np.linalg.norm(sr - hr, axis=2).mean(axis=1) / between)
