"""How far two orders of the same rows agree: Spearman's rank correlation with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from bench.analysis.intervals import Estimate
from bench.core.errors import UserError

DRAWS = 2000


def order_agreement(groups: Sequence[np.ndarray], reference: Sequence[float], level: float = 0.95) -> Estimate:
    """Return Spearman's rank correlation of the groups' means, [seeds, images] each, with `reference`, a number each.

    The interval is a bootstrap's (percentiles, always the same draws): images are drawn anew for all groups together,
    seeds for each by itself, so that groups of one seed tell about their trainings alone. Images that are not finite
    anywhere are left out. Raises UserError for fewer than three groups, or not one reference number each.
    """
    if len(groups) < 3 or len(groups) != len(reference):
        raise UserError(f"{len(groups)} rows and {len(reference)} numbers: an order takes three, and one number a row")
    finite = np.all([np.isfinite(group).all(axis=0) for group in groups], axis=0)
    n, seeds, wanted = int(finite.sum()), max(map(len, groups)), stats.rankdata(reference)
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, seeds, len(finite))
    groups = [np.asarray(group, np.float64)[:, finite] for group in groups]
    found = _correlation(np.array([[group.mean()] for group in groups]), wanted)[0]
    random = np.random.default_rng(0)
    weights = random.multinomial(n, np.full(n, 1 / n), size=DRAWS) / n
    drawn = np.array([_over_seeds(group @ weights.T, random) for group in groups])
    low, high = np.quantile(_correlation(drawn, wanted), [(1 - level) / 2, (1 + level) / 2])
    whole = min(map(len, groups)) > 1
    return Estimate(float(found), float(low), float(high), n, seeds, len(finite) - n, whole)


def _over_seeds(means: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the mean over as many seeds, drawn anew for each column, of means [seeds, draws]."""
    seeds, draws = means.shape
    chosen = random.integers(0, seeds, (seeds, draws))
    return np.asarray(np.take_along_axis(means, chosen, axis=0).mean(axis=0))


def _correlation(means: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the correlation of each column's ranks, of means [rows, draws], with `wanted`; 0 where all are equal."""
    ranks = stats.rankdata(means, axis=0) - (len(means) + 1) / 2
    other = wanted - wanted.mean()
    size = np.sqrt((ranks**2).sum(axis=0) * (other**2).sum())
    return np.asarray(other @ ranks / np.where(size > 0, size, 1))
