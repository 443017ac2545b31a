"""What an experiment's scores say about the images and seeds that a gain takes: the numbers of `fsr power`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.analysis.intervals import Estimate
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
    """What is asked: gains in the metric's unit, the interval's level, the power, and what is known of seeds."""

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
    where nothing is known of how they vary.
    """

    row: str
    difference: Estimate
    seeds: tuple[int, int]
    components: Components
    seed_sd_range: tuple[float, float] | None
    detectable: float
    needs: tuple[Need, ...]
    grid: Mapping[tuple[int, int], float]
    cautions: tuple[str, ...]

    def cautioned(self, *cautions: str) -> Comparison:
        """Return the comparison with further cautions."""
        return dataclasses.replace(self, cautions=(*self.cautions, *cautions))


def compare(
    row: str, estimate: Estimate, a: np.ndarray, base: np.ndarray, trained: tuple[bool, bool], asked: Asked
) -> Comparison:
    """Compare scores [seeds, images] of a row and of the baseline, whose difference `estimate` is.

    `trained` tells which of the two are trained.
    """
    parts = measure(a, base, trained, asked.seed_sd)
    groups = [group for group, has in zip((a, base), trained, strict=True) if has]
    seeds, given = tuple(map(len, groups)), asked.seed_sd is not None
    around = [count for count in _IMAGES if estimate.n / 3 <= count <= 12 * estimate.n]
    tried = sorted({*_SEEDS, *(count for count in seeds if count > 1)}) if seeds and parts.known else [1]
    grid = {
        (count, each): detectable(parts, count, (each,) * len(seeds), asked.level, asked.power)
        for count in sorted({estimate.n, *around})
        for each in tried
    }
    return Comparison(
        row=row,
        difference=estimate,
        seeds=(len(base), len(a)),
        components=parts,
        seed_sd_range=None if given else seed_range(*groups, level=asked.level),
        detectable=detectable(parts, estimate.n, seeds, asked.level, asked.power),
        needs=tuple(_need(parts, gain, estimate.n, seeds, asked) for gain in asked.gains),
        grid=grid,
        cautions=tuple(_cautions(parts, seeds, given)),
    )


def _need(parts: Components, gain: float, images: int, seeds: tuple[int, ...], asked: Asked) -> Need:
    wanted = asked.level, asked.power
    by_images, by_seeds = images_needed(parts, gain, seeds, *wanted), seeds_needed(parts, gain, images, *wanted)
    least_images = least_seeds = None
    if by_images is None:
        tried = [seeds_needed(parts, gain, many, *wanted) for many in (images, MOST_IMAGES)]
        least_seeds = min((count for count in tried if count is not None), default=None)
    if by_seeds is None and parts.known:
        least_images = images_needed(parts, gain, (MOST_SEEDS,) * len(seeds), *wanted)
    return Need(gain, by_images, by_seeds, least_images, least_seeds)


def _cautions(parts: Components, seeds: tuple[int, ...], given: bool) -> list[str]:
    if not parts.known:
        return [
            "one seed a method: how much seeds vary is unknown and taken as 0, so all numbers hold for these seeds "
            "alone; run several seeds, or give --seed-sd"
        ]
    single = bool(seeds) and min(seeds) == 1
    cautions = {
        "one of the two has one seed: its seeds are taken to vary as the other's do": single and not given,
        "one seed says nothing of how a method varies: no gain can be claimed with it": single,
        "few seeds: see how wide the range of their deviation is": not given and sum(seeds) - len(seeds) < 8,
    }
    return [text for text, applies in cautions.items() if applies]
