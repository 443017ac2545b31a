"""The one rule for intervals: of a mean, a difference and every other weighted sum of rows' means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from bench.analysis.spread import Spread

LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Group:
    """A row's scores, [seeds, images]; NaN and infinity are images without a score.

    `trained` is False for what every run of it would repeat: interpolation, or weights and pictures as they were found.
    `alone`: its seeds vary otherwise than those of the other rows, see `bench.analysis.spread`.
    """

    scores: np.ndarray
    trained: bool = True
    alone: bool = False


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval; without two images low and high are NaN.

    `n` images were used, of as many `clusters` (photos or people) where those are known, and `left_out` have no finite
    value somewhere. `seeds` is the largest number of a group. With `covers_training` the interval is about other
    trainings too; without, no row tells how seeds vary and it is about these very trainings. `p` is the chance of a
    difference this far from 0 where there is none: below 0.05 exactly where the 95% interval lies on one side of 0.
    `interval` makes all of them of one distribution, so that they cannot disagree.
    """

    mean: float
    low: float
    high: float
    n: int
    seeds: int
    left_out: int
    covers_training: bool = True
    p: float = math.nan
    clusters: int = 0

    @property
    def above(self) -> float:
        """The chance that the true value is above 0: over 0.975 exactly where the 95% interval is, NaN without one.

        The interval's distribution read the other way, as what is known of the true value when nothing was before.
        """
        return 1 - self.p / 2 if self.mean > 0 else self.p / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference can be claimed by this interval."""
        return self.low > 0 or self.high < 0


def estimate(values: np.ndarray, clusters: Sequence[str] = (), level: float = LEVEL) -> Estimate:
    """Return the mean over images of scores [runs, images] of these very runs, with its interval; see `interval`."""
    return interval([Group(values, trained=False)], [1.0], None, clusters, level)


def interval(
    groups: Sequence[Group],
    weights: Sequence[float],
    spread: Spread | None,
    clusters: Sequence[str] = (),
    level: float = LEVEL,
) -> Estimate:
    """Return a weighted sum of rows' means with its interval: the one that tables, figures, pages and JSON print.

    What is estimated is the expected value of that sum for new trainings of the rows on the same training faces with
    the same budget, scored on new test photos of the same kind. Chance has two sources. Images: paired, the same for
    all rows; the variance of their mean over `clusters` (a name an image: its photo, or the person it shows), which
    are what was drawn, or over images where none are given. Seeds: independent between rows; each trained row's
    variance as `spread` moderates it, with as many degrees of freedom as it lends. At each point of `spread` the sum
    of both has a t with the degrees of freedom of Satterthwaite 1946; the interval is that of their mixture. A row of
    one seed has the variance of the others. Without `spread` no row tells how seeds vary, and the interval is about
    these very trainings alone: `covers_training` is False.

    Differences may be skewed, which a symmetric interval pays for where their tail is: that bound is moved out by what
    skewness adds to the quantile of a studentised mean, skewness (2 z^2 + 1) / 6 standard errors (Hall, The Bootstrap
    and Edgeworth Expansion, 1992, section 2.6). The other bound, which could move in, stays.

    Images that are not finite in any group are left out. docs/statistics.md has the coverage, simulated by the tests.
    """
    arrays = [np.asarray(group.scores, np.float64) for group in groups]
    finite = np.all([np.isfinite(array).all(axis=0) for array in arrays], axis=0)
    arrays = [array[:, finite] for array in arrays]
    n, seeds, left_out = int(finite.sum()), max(map(len, arrays)), int((~finite).sum())
    covers = spread is not None or not any(group.trained for group in groups)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, seeds, left_out, covers)
    per_image = np.sum([weight * array.mean(axis=0) for array, weight in zip(arrays, weights, strict=True)], axis=0)
    mean = float(per_image.mean())
    sums, sizes = _by_cluster(per_image - mean, [name for name, has in zip(clusters, finite, strict=False) if has])
    if len(sums) < 2:
        return Estimate(mean, math.nan, math.nan, n, seeds, left_out, covers, clusters=len(sums))
    variance, own = _of_images(sums, sizes)
    errors, freedom, shares = np.full(1, variance), np.full(1, own), np.ones(1)
    if spread is not None:
        parts = [
            (weight**2 / len(array) * found, lent)
            for group, array, weight in zip(groups, arrays, weights, strict=True)
            if group.trained
            for found, lent in [spread.of(array.mean(axis=1), group.alone)]
        ]
        shares = spread.weight
        errors = variance + sum((part for part, _ in parts), np.zeros_like(shares))
        squares = variance**2 / own + sum((part**2 / lent for part, lent in parts), np.zeros_like(shares))
        freedom = errors**2 / np.where(squares > 0, squares, 1)
    errors, freedom = np.sqrt(errors), np.maximum(freedom, 1)
    margin, reach = _margin(errors, freedom, shares, level), _reach(sums, n, errors, shares, level)
    inward = max(-reach, 0.0) if mean > 0 else max(reach, 0.0)
    p = 2 * _tail(max(abs(mean) - inward, 0.0), errors, freedom, shares)
    low, high = (_repeatable(mean + bound) for bound in (min(reach, 0) - margin, max(reach, 0) + margin))
    return Estimate(mean, low, high, n, seeds, left_out, covers, _repeatable(p), len(sums))


def _repeatable(value: float) -> float:
    """Return a number without the last digits, in which processors differ."""
    return float(f"{value:.10g}")


def _by_cluster(off: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of the images' distances from their mean, and how many images, of each cluster."""
    if not names:
        return off, np.ones_like(off)
    _, places = np.unique(np.array(names), return_inverse=True)
    return np.bincount(places, off), np.bincount(places).astype(float)


def _of_images(sums: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Return the variance of the mean over images, and its degrees of freedom, by the sums of clusters.

    What the mean takes from the squared sums is given back for clusters that are alike inside: n / (n - 1) of single
    images. Few large clusters decide by themselves, and the degrees of freedom are those of so many alike.
    """
    n, squares = float(sizes.sum()), float((sizes**2).sum())
    taken = 2 * float((sizes**3).sum()) / n - squares**2 / n**2
    variance = float((sums**2).sum()) / n**2 * squares / (squares - taken)
    return variance, max(squares**2 / float((sizes**4).sum()) - 1, 1.0)


def _tail(distance: float, errors: np.ndarray, freedom: np.ndarray, shares: np.ndarray) -> float:
    """Return the chance of a mixture of t beyond `distance` on one side."""
    if not errors.any():
        return 0.0 if distance > 0 else 0.5
    ratios = np.divide(distance, errors, out=np.full_like(errors, np.inf), where=errors > 0)
    return float(shares @ special.stdtr(freedom, -ratios))


def _margin(errors: np.ndarray, freedom: np.ndarray, shares: np.ndarray, level: float) -> float:
    """Return how far the interval reaches to each side: the quantile of a mixture of t."""
    margins = special.stdtrit(freedom, (1 + level) / 2) * errors
    low, high = float(margins.min()), float(margins.max())
    if high <= low * (1 + 1e-9):
        return high
    wanted = (1 - level) / 2
    return float(optimize.brentq(lambda m: _tail(m, errors, freedom, shares) - wanted, low, high, rtol=1e-10))


def _reach(sums: np.ndarray, n: int, errors: np.ndarray, shares: np.ndarray, level: float) -> float:
    """Return by how much the bound at the images' tail is moved out; of few seeds no skewness can be known."""
    count, total = len(sums), float(shares @ errors**2)
    if count < 3 or total == 0:
        return 0.0
    third = float((sums**3).sum()) / n**3 * count**2 / ((count - 1) * (count - 2))
    return third / total * (2 * float(special.ndtri((1 + level) / 2)) ** 2 + 1) / 6
