"""How often intervals hold what is true: experiments drawn with known differences, judged by the rule of reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.analysis.intervals import Estimate, Group, interval
from bench.analysis.spread import Spread, fit_spread


@dataclass(frozen=True)
class Design:
    """An experiment: seeds of each trained row, and what varies.

    `ratio` is the standard deviation over seeds in standard errors of the images of a difference, `deviant` by what the
    first row's is larger, `spread` the deviation of the logarithm of every row's. `sigma` makes the images' part
    log-normal (0: normal). `photos` holds the number of faces of each photo, which share half of their variance;
    without it there are `images` of a face each.
    """

    seeds: tuple[int, ...]
    ratio: float
    deviant: float = 1.0
    spread: float = 0.0
    sigma: float = 0.0
    images: int = 100
    photos: tuple[int, ...] = ()


@dataclass
class Coverage:
    """How many intervals hold the true value, of how many: of pairs without the deviant row, and of those with it."""

    hits: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})
    tried: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})
    named: int = 0

    def share(self, deviant: bool = False) -> float:
        return self.hits[deviant] / self.tried[deviant]


def draw_rows(design: Design, draw: np.random.Generator) -> list[np.ndarray]:
    """Return scores [seeds, images] of rows that are all equally good; a difference's images have standard error 1."""
    rows, photos = len(design.seeds), design.photos or (1,) * design.images
    faces, deviation = sum(photos), np.exp(design.spread * draw.standard_normal(len(design.seeds))) * design.ratio
    deviation[0] *= design.deviant
    shared = np.repeat(_images(draw, design.sigma, (rows, len(photos))), photos, axis=1)
    own = draw.standard_normal((rows, faces)) if design.photos else np.zeros((rows, faces))
    weight = math.sqrt(0.5) if design.photos else 1.0
    error = math.sqrt(
        2 * weight**2 * (sum(size**2 for size in photos) / faces**2 + (1 / faces if design.photos else 0))
    )
    images = (weight * shared + weight * own) / error
    return [images[row] + deviation[row] * draw.standard_normal((count, 1)) for row, count in enumerate(design.seeds)]


def _images(draw: np.random.Generator, sigma: float, size: tuple[int, int]) -> np.ndarray:
    if sigma == 0:
        return draw.standard_normal(size)
    mean = math.exp(sigma**2 / 2)
    return (draw.lognormal(0, sigma, size) - mean) / (math.sqrt(math.expm1(sigma**2)) * mean)


def spread_of(rows: Sequence[np.ndarray]) -> Spread | None:
    return fit_spread({str(place): row.mean(axis=1) for place, row in enumerate(rows)})


def contrast(
    rows: Sequence[np.ndarray], weights: Sequence[float], spread: Spread | None, clusters: Sequence[str] = ()
) -> Estimate:
    """Return the interval of a weighted sum of rows, those of weight 0 left out, as a report makes it."""
    alone = [spread is not None and str(place) in spread.deviant for place in range(len(rows))]
    used = [(Group(row, True, own), weight) for row, own, weight in zip(rows, alone, weights, strict=True) if weight]
    return interval([group for group, _ in used], [weight for _, weight in used], spread, clusters)


def difference(
    rows: Sequence[np.ndarray], a: int, b: int, spread: Spread | None, clusters: Sequence[str] = ()
) -> Estimate:
    return contrast(rows, [(place == a) - (place == b) for place in range(len(rows))], spread, clusters)


def cover(design: Design, repeats: int, pairs: int = 6, seed: int = 0) -> Coverage:
    """Draw experiments; of each judge the differences of some pairs, and of some with the first row if it deviates."""
    draw, found = np.random.default_rng(seed), Coverage()
    names = [f"photo {place}" for place, size in enumerate(design.photos) for _ in range(size)]
    every = [(a, b) for a in range(len(design.seeds)) for b in range(a) if b or design.deviant == 1]
    apart = [(a, 0) for a in range(1, len(design.seeds))] if design.deviant != 1 else []
    for _ in range(repeats):
        rows = draw_rows(design, draw)
        spread = spread_of(rows)
        found.named += spread is not None and "0" in spread.deviant
        for chosen, limit in ((every, pairs), (apart, pairs // 2)):
            for place in draw.permutation(len(chosen))[:limit]:
                a, b = chosen[place]
                estimate = difference(rows, a, b, spread, names)
                found.hits[chosen is apart] += estimate.low <= 0 <= estimate.high
                found.tried[chosen is apart] += 1
    return found
