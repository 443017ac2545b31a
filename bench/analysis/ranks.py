"""Rows ranked over several data sets: Friedman's test and Nemenyi's critical difference.

Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006, section 3.2: within each block (a
data set) rows get ranks, and average ranks are compared. What a block measures and how wide its scores are spread does
not matter, so that data sets of different difficulty can be put together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bench.core.errors import UserError

ENOUGH = 3  # blocks: with fewer no test is made


@dataclass(frozen=True)
class Ranking:
    """Rows from the best average rank to the worst, over `blocks` blocks.

    `p` is Friedman's, of all rows being alike. Two rows whose average ranks are `critical` or less apart cannot be told
    from each other; `groups` are the largest sets of such rows, or all rows where p claims nothing. With fewer than 3
    blocks there is no test: p and critical are NaN, groups empty.
    """

    rows: tuple[str, ...]
    average: tuple[float, ...]
    blocks: int
    p: float
    critical: float
    groups: tuple[tuple[str, ...], ...]


def rank(values: np.ndarray, rows: Sequence[str], higher_is_better: bool, level: float = 0.95) -> Ranking:
    """Rank `rows` by scores [rows, blocks], 1 the best; equal scores share their ranks' mean.

    Raises UserError for fewer than three rows (two are compared by an interval), rows of one name, scores that are not
    numbers, and a level outside (0, 1).
    """
    if len(rows) < 3:
        raise UserError(f"{len(rows)} rows: ranks take at least three; `fsr power` compares two by their interval")
    if not 0 < level < 1:
        raise UserError(f"level {level:g}: expected a number between 0 and 1, e.g. 0.95")
    if len(set(rows)) < len(rows):
        raise UserError("two rows of one name: ranks tell rows apart by their names")
    if np.isnan(values).any():
        raise UserError("a score is not a number: ranks take every row on every block")
    average = average_ranks(values, higher_is_better)
    order = [int(place) for place in np.argsort(average, kind="stable")]
    names, sorted_ranks = tuple(rows[place] for place in order), tuple(float(average[place]) for place in order)
    blocks = values.shape[1]
    if blocks < ENOUGH:
        return Ranking(names, sorted_ranks, blocks, math.nan, math.nan, ())
    critical, p = critical_difference(len(rows), blocks, level), friedman(values)
    groups = _groups(names, sorted_ranks, critical) if p < 1 - level else (names,)
    return Ranking(names, sorted_ranks, blocks, p, critical, groups)


def average_ranks(values: np.ndarray, higher_is_better: bool) -> np.ndarray:
    """Return the mean over blocks of each row's rank, float [rows], from scores [rows, blocks]."""
    ranked = stats.rankdata(-values if higher_is_better else values, axis=0)
    return np.asarray(ranked.mean(axis=1))


def friedman(values: np.ndarray) -> float:
    """Return Friedman's p, by chi-square, of scores [rows, blocks] having one distribution; 1 if all are equal.

    The approximation wants about 10 blocks; with fewer p is on the safe side.
    """
    if (values == values[:1]).all():
        return 1.0
    return float(stats.friedmanchisquare(*values).pvalue)


def critical_difference(rows: int, blocks: int, level: float = 0.95) -> float:
    """Return how far apart two average ranks must be to be told apart (Nemenyi 1963; Demsar 2006, section 3.2.2)."""
    q = float(stats.studentized_range.ppf(level, rows, math.inf)) / math.sqrt(2)
    return q * math.sqrt(rows * (rows + 1) / (6 * blocks))


def _groups(rows: Sequence[str], ranks: Sequence[float], critical: float) -> tuple[tuple[str, ...], ...]:
    """Return the longest runs of rows, at least two, whose first and last are not told apart; no run within another."""
    found: list[tuple[int, int]] = []
    for start, low in enumerate(ranks):
        end = max(place for place, high in enumerate(ranks) if high - low <= critical)
        if end > start and (not found or end > found[-1][1]):
            found.append((start, end))
    return tuple(tuple(rows[start : end + 1]) for start, end in found)
