"""How much of the trials' PSNR each dimension of a search explains by itself.

R squared of a least-squares fit to the ranks of PSNR: on the groups of a choice (one-way analysis of variance, where it
is called eta squared and equals Kruskal and Wallis' H over n - 1, JASA 47, 1952), or on the ranks of a number and their
squares, which follow a rise, a fall or a single peak. Ranks keep a few trials far below the others from deciding. A fit
of k terms explains k / (n - 1) by chance; that much is taken off, which gives the adjusted R squared: 0 for what chance
gives, 1 for all. What only matters together with another dimension is not seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from bench.analysis.significance import holm
from bench.schedule.search.record import SearchRecord
from bench.schedule.search.space import Dimension

LEAST = 6  # trials: with fewer nothing is computed
ENOUGH = 20  # trials: with fewer only large shares can be told from chance
_PERMUTATIONS = 4000


@dataclass(frozen=True)
class Importance:
    """What one dimension explains of the PSNR of `trials` trials.

    `share` is the adjusted R squared (0 where it is negative), `chance` what 95% of permutations stay below, `p` the
    part of permutations that explain as much, corrected by Holm for the number of dimensions. `trend` is Spearman's
    rank correlation of a number with PSNR (None for choices).
    """

    dimension: Dimension
    share: float
    chance: float
    p: float
    trend: float | None
    trials: int


def importances(record: SearchRecord) -> list[Importance]:
    """Return the importance of each dimension, the largest share first, over the trials that finished.

    Dimensions in which those trials do not differ, or differ in too many ways to fit, are left out; with fewer than 6
    trials all are.
    """
    trials = record.finished()
    ranks = stats.rankdata([trial.psnr for trial in trials])
    if len(trials) < LEAST or len(np.unique(ranks)) == 1:
        return []
    found = []
    for dimension in record.space:
        values = [trial.values[dimension.key] for trial in trials]
        fit = design(dimension, values)
        if 1 <= fit.shape[1] <= len(trials) - 2:
            found.append(_importance(dimension, values, fit, ranks))
    adjusted = holm([one.p for one in found])
    found = [dataclasses.replace(one, p=p) for one, p in zip(found, adjusted, strict=True)]
    return sorted(found, key=lambda one: -one.share)


def design(dimension: Dimension, values: Sequence[Any]) -> np.ndarray:
    """Return the terms that PSNR is fitted on, besides its mean: orthonormal columns [trials, terms]."""
    if dimension.numeric:
        place = stats.rankdata(np.array(values, dtype=float))
        place = (place - place.mean()) / len(values)
        terms = np.stack([place, place**2], axis=1)
    else:
        terms = np.array([[float(value == one) for one in dimension.values] for value in values])
    left, sizes, _ = np.linalg.svd(terms - terms.mean(axis=0), full_matrices=False)
    return np.asarray(left[:, sizes > 1e-9])


def r_squared(fit: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the share of the variance of `values` [..., trials] that orthonormal terms [trials, terms] explain."""
    off = values - values.mean(axis=-1, keepdims=True)
    return np.asarray(((off @ fit) ** 2).sum(axis=-1) / (off**2).sum(axis=-1))


def _importance(dimension: Dimension, values: Sequence[Any], fit: np.ndarray, ranks: np.ndarray) -> Importance:
    shuffled = np.random.default_rng(0).permuted(np.tile(ranks, (_PERMUTATIONS, 1)), axis=1)
    found, by_chance = float(r_squared(fit, ranks)), r_squared(fit, shuffled)
    expected = fit.shape[1] / (len(ranks) - 1)

    def adjusted(share: float) -> float:
        return max(0.0, float((share - expected) / (1 - expected)))

    # 1e-9: permutations that give the same sums in another order of adding count as equal.
    p = (1 + int((by_chance >= found - 1e-9).sum())) / (1 + _PERMUTATIONS)
    trend = float(stats.spearmanr(values, ranks).statistic) if dimension.numeric else None
    limit = float(np.quantile(by_chance, 0.95))
    return Importance(dimension, adjusted(found), adjusted(limit), p, trend, len(ranks))
