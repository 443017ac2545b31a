"""What can be claimed: Wilcoxon's signed-rank test, Holm's correction, and who leads a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bench.analysis.intervals import Estimate, difference

NO_DIFFERENCE = "no difference can be claimed"


@dataclass(frozen=True)
class Leaders:
    """The row of the best mean, the rows with no claimed difference to it, and all differences to it with their p."""

    top: str
    ties: frozenset[str]
    p: Mapping[str, float]
    difference: Mapping[str, Estimate]


def wilcoxon(a: np.ndarray, b: np.ndarray) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test over images, of scores [seeds, images] averaged over seeds.

    Zeros count as Pratt says; scores that are equal throughout give 1. Images without a finite score are left out. With
    fewer than 6 images p cannot fall below 0.05.
    """
    off = a.mean(axis=0) - b.mean(axis=0)
    off = off[np.isfinite(off)]
    if not off.any():
        return 1.0
    return float(stats.wilcoxon(off, zero_method="pratt").pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number by Holm's step-down method, in the order given."""
    return multipletests(values, method="holm")[1].tolist() if len(values) else []


def verdict(a: np.ndarray, b: np.ndarray, higher_is_better: bool, p: float | None = None, level: float = 0.95) -> str:
    """Say whether `a` is "better" or "worse" than `b`, or that no difference can be claimed.

    A claim takes both: p (Wilcoxon's, or an adjusted one that is given) below 1 - level, and an interval of the
    difference without 0. The test alone would not see that another seed might come out otherwise.
    """
    estimate = difference(a, b, level)
    if not estimate.excludes_zero or (wilcoxon(a, b) if p is None else p) >= 1 - level:
        return NO_DIFFERENCE
    return "better" if (estimate.mean > 0) == higher_is_better else "worse"


def leaders(rows: Mapping[str, np.ndarray], higher_is_better: bool, level: float = 0.95) -> Leaders:
    """Find the best mean among rows of scores [seeds, images], and the rows with no claimed difference to it.

    p values are Wilcoxon's against the best row, corrected by Holm for the number of rows.
    """
    sign = 1 if higher_is_better else -1
    finite = np.all([np.isfinite(values).all(axis=0) for values in rows.values()], axis=0)
    top = max(rows, key=lambda name: sign * float(rows[name][:, finite].mean()) if finite.any() else 0.0)
    others = [name for name in rows if name != top]
    p = dict(zip(others, holm([wilcoxon(rows[top], rows[name]) for name in others]), strict=True))
    ties = [
        name for name in others if verdict(rows[top], rows[name], higher_is_better, p[name], level) == NO_DIFFERENCE
    ]
    return Leaders(top, frozenset(ties), p, {name: difference(rows[name], rows[top], level) for name in others})
