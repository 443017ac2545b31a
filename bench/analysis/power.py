"""How many images and seeds a gain takes: the variances of a paired difference, and the power of its interval.

Model: the score of method m, training s, image i is a mean of m, what is hard about i (shared, and gone in the paired
difference), method x image, training (m, s) and training x image (m, s, i), all but the mean random and independent.
statsmodels knows the power of a t test, whose margin depends on one variance; this margin depends on up to three.
Variances are those of the two-way analysis of variance without replication (Searle, Casella and McCulloch, Variance
Components, 1992, chapter 4), never below 0.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special
from scipy.stats import qmc

from bench.core.errors import UserError

POWER = 0.8
MOST_IMAGES = 10_000_000  # as good as all the images there are
MOST_SEEDS = 1024
_POINTS = 9  # 2^9 draws of the estimated variances


@dataclass(frozen=True)
class Components:
    """The variances of a paired difference, in the metric's unit squared.

    `image` is over images, of the difference of the two methods. `training` and `interaction` hold a number for each
    method that is trained: the variance over trainings of its mean over images, and that of training x image. `known`
    is False where nothing tells about training; it is then 0, and every answer is about these very trainings alone.
    """

    image: float
    training: tuple[float, ...]
    interaction: tuple[float, ...]
    known: bool = True


def measure(
    a: np.ndarray, b: np.ndarray, trained: tuple[bool, bool] = (True, True), seed_sd: float | None = None
) -> Components:
    """Return the variances of the difference of scores [seeds, images] of two methods, paired by image.

    The seeds of the two are independent trainings, equal numbers or not. `seed_sd` replaces what is measured of each
    method's training; without it a trained method of one seed is taken to vary as the other does. Images without a
    finite score are left out; raises UserError for fewer than two, and for a negative `seed_sd`.
    """
    finite = np.isfinite(a).all(axis=0) & np.isfinite(b).all(axis=0)
    if finite.sum() < 2:
        raise UserError(f"images with finite scores: {finite.sum()}, expected at least two to measure a variance")
    if seed_sd is not None and seed_sd < 0:
        raise UserError(f"deviation over trainings {seed_sd:g}: expected 0 or more, in the metric's unit")
    groups = [np.asarray(group, np.float64)[:, finite] for group in (a, b)]
    measured = [
        _of_training(group) if has and len(group) > 1 else None for group, has in zip(groups, trained, strict=True)
    ]
    mixed = sum(parts[1] / len(group) for parts, group in zip(measured, groups, strict=True) if parts)
    image = max(float(np.var(groups[0].mean(axis=0) - groups[1].mean(axis=0), ddof=1)) - mixed, 0.0)
    known = [parts[0] for parts in measured if parts]
    other = sum(known) / len(known) if known else 0.0
    own = [parts or (other, 0.0) for parts, has in zip(measured, trained, strict=True) if has]
    training = tuple(seed_sd**2 if seed_sd is not None else variance for variance, _ in own)
    interaction = tuple(variance for _, variance in own)
    return Components(image, training, interaction, seed_sd is not None or bool(known) or not own)


def seed_spread(*groups: np.ndarray) -> tuple[float, int] | None:
    """Return the standard deviation over trainings of a mean over images, and its degrees of freedom; methods pooled.

    As if all methods varied alike; None without a method of several seeds, scores [seeds, images].
    """
    means = [group[:, np.isfinite(group).all(axis=0)].mean(axis=1) for group in groups if len(group) > 1]
    own = sum(len(mean) - 1 for mean in means)
    return (math.sqrt(sum(((mean - mean.mean()) ** 2).sum() for mean in means) / own), own) if own else None


def seed_range(*groups: np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """Return the interval, by chi-square, of what `seed_spread` gives."""
    spread = seed_spread(*groups)
    if spread is None:
        return None
    sd, own = spread
    low, high = (sd * math.sqrt(own / special.chdtri(own, tail)) for tail in ((1 - level) / 2, (1 + level) / 2))
    return low, high


def power(components: Components, gain: float, images: int, seeds: tuple[int, ...], level: float = 0.95) -> float:
    """Return the chance that the interval of the difference claims a true `gain`, with `seeds` of each trained method.

    Given the variances that a study will estimate, the mean is normal and the interval's margin fixed; the chance is
    the mean over draws of those estimates (chi-square, quasi-random points): few seeds' uncertain margins count.
    The two methods are taken to be all that tells how seeds vary, as if both varied alike; the rows that a real
    experiment has beside them make its interval narrower, and skewness wider. One seed of a method says nothing of its
    training: 0 where that varies.
    """
    if images < 2 or _blind(components, seeds):
        return 0.0
    margins, error = _margins(components, images, seeds, level)
    return float(special.ndtr((gain - margins) / error).mean()) if error > 0 else float(gain > 0)


def detectable(
    components: Components, images: int, seeds: tuple[int, ...], level: float = 0.95, wanted: float = POWER
) -> float:
    """Return the smallest gain that the interval claims with power `wanted`; infinite where no gain can be claimed.

    More seeds and more images always lower it.
    """
    _check(level, wanted)
    if images < 2 or _blind(components, seeds):
        return math.inf
    margins, error = _margins(components, images, seeds, level)
    if error == 0:
        return 0.0
    top = float(margins.max()) + 10 * error
    return float(optimize.brentq(lambda gain: power(components, gain, images, seeds, level) - wanted, 0, top))


def images_needed(
    components: Components, gain: float, seeds: tuple[int, ...], level: float = 0.95, wanted: float = POWER
) -> int | None:
    """Return the fewest images from which on `gain` is seen; None where all the images there are would not do."""
    _check(level, wanted, gain)
    return _fewest(lambda images: power(components, gain, images, seeds, level) >= wanted, MOST_IMAGES)


def seeds_needed(
    components: Components, gain: float, images: int, level: float = 0.95, wanted: float = POWER
) -> int | None:
    """Return the fewest seeds of each trained method, two at least, with which `gain` is seen; None if none is enough.

    None, too, where no method is trained or nothing is known of the training.
    """
    _check(level, wanted, gain)
    methods = len(components.training)
    if not methods or not components.known:
        return None
    return _fewest(lambda seeds: power(components, gain, images, (seeds,) * methods, level) >= wanted, MOST_SEEDS)


def _fewest(enough: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest number, two at least, from which on there is enough; None where `most` is not."""
    low, high = 1, most
    if not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _of_training(group: np.ndarray) -> tuple[float, float]:
    """Return the variances of training and of training x image, from scores [seeds, images]."""
    seeds, images = group.shape
    rest = group - group.mean(axis=1, keepdims=True) - group.mean(axis=0) + group.mean()
    interaction = float((rest**2).sum()) / ((seeds - 1) * (images - 1))
    return max(float(group.mean(axis=1).var(ddof=1)) - interaction / images, 0.0), interaction


@functools.lru_cache(maxsize=4096)
def _quantiles(own: int, images: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval's margin in standard errors by the logarithm of what seeds add over what images do.

    The variance over seeds, estimated on `own` degrees of freedom, is uncertain, and the margin is the quantile of a
    mixture over what it may be; that of the images has `images` degrees of freedom.
    """
    points, weights = np.polynomial.legendre.leggauss(96)
    ratios = np.linspace(-12, 12, 49)[:, None]
    total = 1 + np.exp(ratios) * own / special.chdtri(own, (points + 1) / 2)
    errors, wanted = np.sqrt(total / (1 + np.exp(ratios))), 1 - level  # the weights add up to 2
    low, high = np.full(len(ratios), 1e-2), np.full(len(ratios), 1e4)
    for _ in range(50):
        middle = np.sqrt(low * high)
        beyond = special.stdtr(images * total**2, -middle[:, None] / errors) @ weights > wanted
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    return ratios[:, 0], high


def _blind(components: Components, seeds: tuple[int, ...]) -> bool:
    return any(count < 2 and own > 0 for count, own in zip(seeds, components.training, strict=True))


@functools.lru_cache(maxsize=4096)
def _margins(components: Components, images: int, seeds: tuple[int, ...], level: float) -> tuple[np.ndarray, float]:
    """Return the interval's margin for each draw of what it estimates, and the true standard error."""
    per_image = components.image + sum(v / k for v, k in zip(components.interaction, seeds, strict=True))
    of_images, methods = per_image / images, list(zip(components.training, components.interaction, seeds, strict=True))
    own = sum(count - 1 for *_, count in methods)
    pooled = sum((count - 1) * (training + mixed / images) for training, mixed, count in methods) / max(own, 1)
    of_seeds = pooled * sum(1 / count for *_, count in methods)
    by_images, by_seeds = _chances()
    drawn = of_images * special.chdtri(images - 1, by_images) / (images - 1)
    if own and of_seeds:
        seen = of_seeds * special.chdtri(own, by_seeds) / own
        ratios, quantiles = _quantiles(own, images - 1, level)
        margins = np.interp(np.log(seen / drawn), ratios, quantiles) * np.sqrt(drawn + seen)
    else:
        margins = special.stdtrit(images - 1, (1 + level) / 2) * np.sqrt(drawn)
    error = math.sqrt(of_images + sum(v / k for v, k in zip(components.training, seeds, strict=True)))
    return margins, error


@functools.cache
def _chances() -> np.ndarray:
    """Return quasi-random points, [2, draws] in (0, 1), always the same."""
    points = qmc.Sobol(2, scramble=False).random_base2(_POINTS)
    return np.asarray(points.T + 0.5 / len(points))


def _check(level: float, wanted: float, gain: float = 1.0) -> None:
    if not 0 < level < 1:
        raise UserError(f"level {level:g}: expected a number between 0 and 1, e.g. 0.95")
    if not (1 - level) / 2 < wanted < 1:
        raise UserError(f"power {wanted:g}: expected a number between {(1 - level) / 2:g} and 1, e.g. 0.8")
    if gain <= 0:
        raise UserError(f"gain {gain:g}: expected a number above 0, in the metric's unit")
