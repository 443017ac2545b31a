"""How far two orders of the same rows agree: Spearman's rank correlation, its interval by the rule of differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from bench.analysis.claims import gain, scores_of
from bench.analysis.intervals import LEVEL, Estimate
from bench.analysis.results import FaceSet, Results, RowResult
from bench.analysis.significance import holm
from bench.core.errors import UserError

MOST = 16  # rows: orders are counted over their subsets


def agreement(
    results: Results, rows: Sequence[RowResult], test: FaceSet, metric: str, reference: Sequence[float]
) -> Estimate | None:
    """Return the rank correlation of rows' means with `reference`, a number each; None where a row has no scores."""
    scores = [scores_of(results, row, test, metric) for row in rows]
    means = [float(values.mean()) for values in scores if values is not None]
    if len(means) < len(rows):
        return None
    pairs = {
        (a, b): estimate
        for a, b in itertools.combinations(range(len(rows)), 2)
        if (estimate := gain(results, rows[a], rows[b], test, metric)) is not None
    }
    return order_agreement(means, pairs, reference)


def order_agreement(
    means: Sequence[float], pairs: Mapping[tuple[int, int], Estimate], reference: Sequence[float]
) -> Estimate:
    """Return Spearman's rank correlation of `means` with `reference`, a number each, and its interval.

    `pairs` are the differences of any two means, the first less the second, by the rule of all intervals. The interval
    spans the correlations of all orders in which every pair that differs significantly (p corrected by Holm over the
    pairs) stands as measured: with 95% the true order is one of them, so that it holds the true correlation, over seeds
    and images as the differences do. It has no p, for nothing is tested against 0. Raises UserError for fewer than
    three rows, more than MOST, or not one reference number each.
    """
    count = len(means)
    if not 3 <= count <= MOST or count != len(reference):
        raise UserError(
            f"{count} rows and {len(reference)} numbers: an order takes three to {MOST}, and one number a row"
        )
    wanted = stats.rankdata(reference) - (count + 1) / 2
    known = [*pairs.values()]
    n, left_out = min(one.n for one in known), max(one.left_out for one in known)
    seeds, covers = max(one.seeds for one in known), all(one.covers_training for one in known)
    if not np.isfinite(means).all():
        return Estimate(math.nan, math.nan, math.nan, n, seeds, left_out, covers)
    found = _correlation(stats.rankdata(means) - (count + 1) / 2, wanted)
    low, high = _extremes(_below(means, pairs), wanted)
    return Estimate(found, min(low, found), max(high, found), n, seeds, left_out, covers)


def _below(means: Sequence[float], pairs: Mapping[tuple[int, int], Estimate]) -> list[int]:
    """Return which rows are certain to be below each, as bits."""
    below = [0] * len(means)
    corrected = holm([1.0 if math.isnan(one.p) else one.p for one in pairs.values()])
    for (a, b), p in zip(pairs, corrected, strict=True):
        upper, lower = (a, b) if means[a] > means[b] else (b, a)
        if p < 1 - LEVEL:
            below[upper] |= 1 << lower
    return below


def _extremes(below: Sequence[int], wanted: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest correlation with `wanted` of all orders in which rows stand above `below`.

    Rows are placed from the lowest on; what is reached by the same rows is one state, of which the ends are kept.
    """
    count = len(below)
    ranks = np.arange(1, count + 1) - (count + 1) / 2
    states = {0: (0.0, 0.0)}
    for rank in ranks:
        further: dict[int, tuple[float, float]] = {}
        for placed, (low, high) in states.items():
            for row in range(count):
                if placed >> row & 1 or below[row] & ~placed:
                    continue
                step, now = float(rank * wanted[row]), placed | 1 << row
                least, most = further.get(now, (math.inf, -math.inf))
                further[now] = min(least, low + step), max(most, high + step)
        states = further
    ((low, high),) = states.values()
    size = math.sqrt(float(ranks @ ranks) * float(wanted @ wanted)) or 1.0
    return _rounded(low / size), _rounded(high / size)


def _correlation(ranks: np.ndarray, wanted: np.ndarray) -> float:
    """Return the correlation of centred ranks; 0 where all are equal."""
    size = math.sqrt(float(ranks @ ranks) * float(wanted @ wanted))
    return _rounded(float(ranks @ wanted) / size) if size else 0.0


def _rounded(value: float) -> float:
    """Return a correlation without the last digits, so that the same order has 1."""
    return round(value, 12)
