"""What an experiment's scores say about the images and seeds that a gain takes: all that `fsr power` tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.analysis.intervals import Estimate, difference
from bench.analysis.power import (
    MOST_IMAGES,
    MOST_SEEDS,
    Components,
    detectable,
    images_needed,
    measure,
    seed_range,
    seeds_needed,
)

_IMAGES = tuple(digit * 10**power for power in range(1, 6) for digit in (1, 2, 5))
_SEEDS = (2, 3, 5, 10)


@dataclass(frozen=True)
class Asked:
    """What is asked: gains in the metric's unit, the interval's level, the power, and what is known of training."""

    gains: tuple[float, ...]
    level: float = 0.95
    power: float = 0.8
    seed_sd: float | None = None


@dataclass(frozen=True)
class Need:
    """What a gain takes; None where no number is enough.

    `images` are needed with the seeds there are and `seeds` with the images there are. Where more images cannot help,
    `least_seeds` would do with any number of images; where more seeds cannot, `least_images` with any number of seeds.
    """

    gain: float
    images: int | None
    seeds: int | None
    least_images: int | None
    least_seeds: int | None


@dataclass(frozen=True)
class Comparison:
    """A row beside the baseline: the measured difference, its variances, and what gains can be seen.

    `seeds` are of the baseline and the row, `grid` is (images, seeds) -> the smallest gain that is seen; no seeds in it
    where nothing is known of training.
    """

    row: str
    found: Estimate
    seeds: tuple[int, int]
    components: Components
    seed_sd_range: tuple[float, float] | None
    detectable: float
    needs: tuple[Need, ...]
    grid: Mapping[tuple[int, int], float]
    cautions: tuple[str, ...]


def compare(row: str, a: np.ndarray, base: np.ndarray, trained: tuple[bool, bool], asked: Asked) -> Comparison:
    """Compare scores [seeds, images] of a row and of the baseline; `trained` tells which of the two are trained."""
    found = difference(a, base, asked.level)
    components = measure(a, base, trained, asked.seed_sd)
    groups = [group for group, has in zip((a, base), trained, strict=True) if has]
    seeds = tuple(map(len, groups))
    grid = _grid(components, found.n, seeds, asked)
    return Comparison(
        row=row,
        found=found,
        seeds=(len(base), len(a)),
        components=components,
        seed_sd_range=seed_range(*groups, level=asked.level) if asked.seed_sd is None else None,
        detectable=detectable(components, found.n, seeds, asked.level, asked.power),
        needs=tuple(_need(components, gain, found.n, seeds, asked) for gain in asked.gains),
        grid=grid,
        cautions=_cautions(components, seeds, asked.seed_sd is not None, grid),
    )


def _need(components: Components, gain: float, images: int, seeds: tuple[int, ...], asked: Asked) -> Need:
    how = asked.level, asked.power
    by_images = images_needed(components, gain, seeds, *how)
    by_seeds = seeds_needed(components, gain, images, *how)
    least_seeds = None
    if detectable(components, images, seeds, *how) <= gain:  # with two seeds more images than these may be worse
        by_images = min(by_images or images, images)
    if by_images is None:
        tried = [seeds_needed(components, gain, many, *how) for many in (images, MOST_IMAGES)]
        least_seeds = min((count for count in tried if count is not None), default=None)
    least_images = None
    if by_seeds is None and components.known:
        least_images = images_needed(components, gain, (MOST_SEEDS,) * len(seeds), *how)
    return Need(gain, by_images, by_seeds, least_images, least_seeds)


def _grid(components: Components, images: int, seeds: tuple[int, ...], asked: Asked) -> dict[tuple[int, int], float]:
    """Return the smallest gain for round numbers of images about those there are, and for a few numbers of seeds."""
    many = sorted({images, *(count for count in _IMAGES if images / 3 <= count <= 12 * images)})
    tried = sorted({*_SEEDS, *(count for count in seeds if count > 1)}) if seeds and components.known else [1]
    return {
        (count, each): detectable(components, count, (each,) * len(seeds), asked.level, asked.power)
        for count in many
        for each in tried
    }


def _cautions(
    components: Components, seeds: tuple[int, ...], given: bool, grid: Mapping[tuple[int, int], float]
) -> tuple[str, ...]:
    if not components.known:
        return (
            "one seed a method: how much trainings vary is unknown and taken as 0, so all numbers hold for these very "
            "trainings alone; run several seeds, or give --seed-sd",
        )
    found = []
    if not given and seeds and min(seeds) == 1:
        found.append("one of the two has one seed: its trainings are taken to vary as the other's do")
    if seeds and min(seeds) == 1:
        found.append("a method of one seed cannot be told from its training: no gain can be claimed with it")
    if not given and sum(seeds) - len(seeds) < 8:
        found.append("few seeds: see how wide the range of the training's deviation is")
    by_two = [gain for (_, each), gain in grid.items() if each == 2]
    if by_two and by_two[-1] > min(by_two):
        found.append("with 2 seeds more images may not help: the interval comes to rest on the few trainings alone")
    return tuple(found)
