"""How much the seeds of an experiment's rows vary: each row's own variance, moderated by those of all rows.

Smyth, Linear models and empirical Bayes methods for assessing differential expression, 2004, section 3: the variances
of rows are drawn around a common one, a scaled inverse chi-square with `freedom` degrees of freedom, so that a row of
few seeds borrows from the others and one of many keeps its own. Smyth puts in one estimate of the common variance and
of `freedom`; with a dozen rows of two or three seeds that covers less than it says (91-94% here), so both are
integrated out on a grid: flat in the logarithm of the variance, and with equal weights for rows whose variances differ
much (2) to rows that vary alike (infinity).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

DEVIANT = 0.05  # the chance that rows that vary alike have one called deviant
_FREEDOM = np.array([2.0, 4.0, 8.0, 16.0, 32.0, 1e6])
_SCALES = 41
_ROUNDING = 1e-9  # of a mean: seeds that differ by less are the same
_LEAST = 1e-6  # of the largest weight: what weighs less is dropped


@dataclass(frozen=True, eq=False)
class Spread:
    """What is known of how seeds vary, from all rows of an experiment on one test set by one metric.

    `scale`, `freedom` and `weight` are [points]: possible common variances of a row's mean over images, how many
    degrees of freedom each lends to a row, and how likely the pair is. `deviant` names the rows that vary more than the
    others and are left to themselves, each with its standard deviation; `sd` is that of all other rows together, on
    `own` degrees of freedom.
    """

    scale: np.ndarray
    freedom: np.ndarray
    weight: np.ndarray
    deviant: Mapping[str, float]
    sd: float
    own: int

    def of(self, means: np.ndarray, alone: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the variance over seeds of one row, and its degrees of freedom, at each point; `alone`: its own."""
        own, found = len(means) - 1, float(means.var(ddof=1)) if len(means) > 1 else 0.0
        if alone:
            return np.full_like(self.scale, found), np.full_like(self.scale, own)
        total = self.freedom + own
        return (self.freedom * self.scale + own * found) / total, total


def fit_spread(rows: Mapping[str, np.ndarray]) -> Spread | None:
    """Return how much seeds vary, from each row's means over images, one a seed; None where no row has two seeds."""
    several = {label: means for label, means in rows.items() if len(means) > 1}
    rounding = {label: (_ROUNDING * float(np.abs(means).max())) ** 2 for label, means in several.items()}
    found = {label: float(means.var(ddof=1)) for label, means in several.items()}
    found = {label: variance if variance > rounding[label] else 0.0 for label, variance in found.items()}
    own = {label: len(means) - 1 for label, means in several.items()}
    if not several:
        return None
    deviant = _deviant(found, own)
    rest = [label for label in several if label not in deviant]
    variances, freedom = np.array([found[label] for label in rest]), np.array([own[label] for label in rest])
    total = int(freedom.sum())
    pooled = float(variances @ freedom) / total
    points = (np.zeros(1), np.full(1, float(total)), np.ones(1))
    if pooled > 0:
        points = _posterior(np.maximum(variances, 1e-6 * pooled), freedom, pooled)
    named = {label: math.sqrt(found[label]) for label in deviant}
    return Spread(*points, named, math.sqrt(pooled), total)


def _deviant(found: Mapping[str, float], own: Mapping[str, int]) -> list[str]:
    """Return the rows whose variance is beyond that of all others by an F test, step by step, at most a third of them.

    Each step's p is multiplied by the number of rows; a row must have two others beside it.
    """
    left, out = [*found], list[str]()
    while len(left) > 2 and 3 * (len(out) + 1) <= len(found):
        total = sum(own[label] for label in left)
        chances = {}
        for label in left:
            rest = sum(own[other] * found[other] for other in left if other != label) / (total - own[label])
            ratio = found[label] / rest if rest > 0 else math.inf if found[label] > 0 else 0.0
            chances[label] = float(special.fdtrc(own[label], total - own[label], ratio))
        most = min(left, key=chances.__getitem__)
        if chances[most] * len(left) >= DEVIANT:
            break
        left.remove(most)
        out.append(most)
    return out


def _posterior(found: np.ndarray, own: np.ndarray, pooled: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scale, freedom and weight of each point that matters; a row's variance over the scale is F distributed."""
    total = own.sum()
    log = np.linspace(-1 - 5 * math.sqrt(2 / total), 1 + 16 / total, _SCALES) + math.log(pooled)
    scale, freedom = np.exp(log)[:, None, None], _FREEDOM[None, :, None]
    ratio, half, lent = found / scale, own / 2, freedom / 2
    density = half * np.log(half / lent * ratio) - (half + lent) * np.log1p(half / lent * ratio)
    density = (density - special.betaln(half, lent)).sum(axis=-1)
    weight = np.exp(density - density.max())
    kept = weight > _LEAST
    scales, freedoms = np.broadcast_to(scale[..., 0], kept.shape), np.broadcast_to(freedom[..., 0], kept.shape)
    return scales[kept], freedoms[kept], weight[kept] / weight[kept].sum()
