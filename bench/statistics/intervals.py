"""95% intervals of means and of paired differences, over images and over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

DRAWS = 4000
_BLOCK = 500  # draws at once: bounds the memory


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    `n` images were used and `left_out` have no finite value somewhere. With `seeds` of 1 the interval covers the chance
    of the images alone, not that of the training. Without two images low and high are NaN.
    """

    mean: float
    low: float
    high: float
    n: int
    seeds: int
    left_out: int

    @property
    def covers_training(self) -> bool:
        """Whether the interval tells about other trainings of the same method."""
        return self.seeds > 1

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference can be claimed by this interval."""
        return self.low > 0 or self.high < 0


def estimate(values: np.ndarray, level: float = 0.95) -> Estimate:
    """Return the mean of scores [seeds, images] with its interval; see `interval`."""
    return interval([values], [1.0], level)


def difference(a: np.ndarray, b: np.ndarray, level: float = 0.95) -> Estimate:
    """Return the mean of `a` less that of `b`, [seeds, images] each, paired by image; see `interval`.

    The seeds of the two are different trainings: they are drawn independently, equal numbers or not.
    """
    return interval([a, b], [1.0, -1.0], level)


def interval(
    groups: list[np.ndarray], weights: list[float], level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Estimate:
    """Return a weighted sum of groups' means, [seeds, images] each, with a hierarchical-bootstrap interval.

    Images are drawn with replacement, the same for all groups, and the seeds of each group on their own. Two things
    keep the interval honest where a plain percentile bootstrap is too narrow. A drawn mean of k seeds varies by
    (k - 1) / k of what it should, so seeds' deviations are stretched by sqrt(k / (k - 1)). And the spread of few draws
    is itself uncertain: the interval is the mean -+ Student's t times the bootstrap's standard error, with the degrees
    of freedom of Welch and Satterthwaite. Groups of one seed add nothing to the chance of training. Images that are
    not finite in any place are left out. The same input gives the same interval.
    """
    finite = np.all([np.isfinite(group).all(axis=0) for group in groups], axis=0)
    groups = [np.asarray(group, np.float64)[:, finite] for group in groups]
    n, seeds = int(finite.sum()), max(len(group) for group in groups)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, seeds, len(finite))
    mean = float(sum(weight * group.mean() for group, weight in zip(groups, weights, strict=True)))
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1, seeds, len(finite) - 1)
    error = _bootstrap_error(groups, weights, draws, np.random.default_rng(seed))
    margin = float(stats.t.ppf((1 + level) / 2, _freedom(groups, weights))) * error
    return Estimate(mean, mean - margin, mean + margin, n, seeds, len(finite) - n)


def _bootstrap_error(groups: list[np.ndarray], weights: list[float], draws: int, chance: np.random.Generator) -> float:
    """Return the standard error of the weighted sum over draws of images and seeds."""
    n = groups[0].shape[1]
    stretched = [_stretch(group) for group in groups]
    found = []
    for start in range(0, draws, _BLOCK):
        count = min(_BLOCK, draws - start)
        images = chance.multinomial(n, np.full(n, 1 / n), size=count) / n  # how often each image is drawn
        total = np.zeros(count)
        for group, weight in zip(stretched, weights, strict=True):
            k = len(group)
            share = chance.multinomial(k, np.full(k, 1 / k), size=count) / k
            total += weight * np.einsum("dk,dk->d", share, images @ group.T)
        found.append(total)
    return float(np.concatenate(found).std(ddof=1)) * math.sqrt(n / (n - 1))


def _stretch(group: np.ndarray) -> np.ndarray:
    """Stretch what each seed's mean is off by, so that a drawn mean of seeds varies as a mean of new seeds would."""
    k = len(group)
    if k == 1:
        return group
    off = group.mean(axis=1, keepdims=True) - group.mean()
    return np.asarray(group + off * (math.sqrt(k / (k - 1)) - 1))


def _freedom(groups: list[np.ndarray], weights: list[float]) -> float:
    """Return the degrees of freedom of the standard error: few seeds weigh by their part of the variance."""
    parts = [(_image_variance(groups, weights), groups[0].shape[1] - 1)]
    for group, weight in zip(groups, weights, strict=True):
        if len(group) > 1:
            parts.append((weight**2 * float(group.mean(axis=1).var(ddof=1)) / len(group), len(group) - 1))
    total = sum(variance for variance, _ in parts)
    return float(total**2 / sum(variance**2 / freedom for variance, freedom in parts)) if total > 0 else 1.0


def _image_variance(groups: list[np.ndarray], weights: list[float]) -> float:
    per_image = sum(weight * group.mean(axis=0) for group, weight in zip(groups, weights, strict=True))
    return float(np.var(per_image, ddof=1) / groups[0].shape[1])
