"""Verdicts: what an interval says about a claim, by rules that give every interval exactly one verdict."""

from __future__ import annotations

import math
from enum import StrEnum

from bench.analysis.intervals import Estimate
from bench.papers.paper import MARGINS, Rule
from bench.runs.failures import LIMIT


class Verdict(StrEnum):
    """What was found about a claim or, where a paper claims nothing, about a question ("higher", "lower")."""

    CONFIRMED = "confirmed"
    SMALLER = "smaller than claimed"
    LARGER = "larger than claimed"
    CONTRADICTED = "contradicted"
    HIGHER = "higher"
    LOWER = "lower"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not scored yet"


OPEN = "the sign is the paper's, the size is open"
LESS = "less than the paper's value"
SLIGHT = "a difference, perhaps within the margin"
ONE_SEED = "one seed a row: these trainings alone"
APART = "seeds apart"
AS_IN = "seeds vary as in"
FAILS = "fails on faces"
RULES = (
    "Everything is read off the 95% interval of the difference. An interval within a margin is a test of equivalence "
    f"(TOST, 2.5% a side). The margin is {MARGINS['psnr']:g} dB of PSNR and {MARGINS['ssim']:g} of SSIM, where a claim "
    "states no other.",
    f"**{Verdict.CONFIRMED}**: the interval lies on the paper's side of 0 and, to its ends, within the margin of the "
    "paper's value.",
    f"**{Verdict.SMALLER}**, **{Verdict.LARGER}**: it lies on the paper's side of 0, not within the margin, and all of "
    "it below, or above, the paper's value.",
    f"**{Verdict.CONTRADICTED}**: it lies on the other side of 0.",
    f"**{Verdict.INCONCLUSIVE}**: it contains 0; where all of it is below the paper's value, that is said. Or it lies "
    "on the paper's side of 0 and contains the paper's value, but reaches beyond the margin: the sign is the paper's, "
    "and the size is open. A wide interval is never a confirmation.",
    "Where a paper claims a sign alone, gives no value, or one that cannot be compared (NIQE), the side of 0 decides.",
    f"Where it claims nothing (not asked), the row is **{Verdict.HIGHER}** or **{Verdict.LOWER}** if the interval "
    "leaves out 0.",
    f"That there is no difference is {Verdict.CONFIRMED} by an interval within the margin of 0 on both sides, "
    f"{Verdict.CONTRADICTED} by one beyond it, and inconclusive otherwise, whether it contains 0 or not. So is that an "
    'interaction is small ("under"): its margin is the paper\'s largest, rounded up.',
    f"That every row is better than another is {Verdict.CONFIRMED} where the interval of each lies on that side of 0, "
    f"{Verdict.CONTRADICTED} where one lies on the other, and inconclusive otherwise. The row shown is the one with "
    "the least gain. Rows that change a setting are not among them: where one is worse, its own line says so.",
    "The order of rows is compared by Spearman's rank correlation of their means with the paper's table (the paper's "
    "value is 1: the same order, with a margin of 0.1). Its interval spans all orders that keep every difference of "
    "two rows that is significant (Holm over all pairs).",
    "**Probability** that the sign is the paper's: from the distribution that the interval is made of, above 97.5% "
    "exactly where the interval lies on the paper's side of 0. None where a claim has no sign, and where the interval "
    "is about these very trainings alone.",
    f"**{ONE_SEED}**: no row has two seeds, so that nothing tells how they vary; the interval is over images and about "
    "these very trainings, and the verdict is inconclusive.",
    f"**{AS_IN} an experiment**: no row has two seeds here; how much they vary is taken from that experiment, which "
    "has the same budget and training faces.",
    f"**{APART}**: that row's seeds vary more than those of the others, and its own variance is taken.",
    f"**{FAILS}**: how many each row fails on, all its seeds together: NaN or infinity in the output, or more than "
    f"{LIMIT:g} dB below the row without training. Differences hold these faces with their scores.",
    "A value of the paper with a data set's name behind it was printed for that set alone.",
    "**stand-in for** a set: the faces are not that set's. The paper's values are shown and not held against ours: the "
    "side of 0 alone decides.",
)


def judge(estimate: Estimate, rule: Rule, value: float = 0.0, margin: float = 0.0) -> tuple[Verdict, str]:
    """Return the verdict on a measured difference, and what must be added to it; RULES says how.

    `value` is the paper's, and of "sign" any number of the right sign; `margin` is what counts as no difference.
    """
    low, high = estimate.low, estimate.high
    if math.isnan(low):  # a single image has no interval
        low, high = -math.inf, math.inf
    if rule in ("none", "small"):
        return _judge_no_difference(low, high, margin)
    if rule == "asked":
        return (Verdict.HIGHER if low > 0 else Verdict.LOWER if high < 0 else Verdict.INCONCLUSIVE), ""
    if value < 0:
        low, high = -high, -low
    if high < 0:
        return Verdict.CONTRADICTED, ""
    if rule == "sign":
        return (Verdict.CONFIRMED if low > 0 else Verdict.INCONCLUSIVE), ""
    return _judge_value(low, high, abs(value), margin)


def band_of(rule: Rule, value: float, margin: float) -> tuple[float, float] | None:
    """Return what an interval must lie within to confirm a claim; None where a side of 0 decides."""
    centre = {"value": value, "none": 0.0, "small": 0.0}.get(rule)
    return None if centre is None else (centre - margin, centre + margin)


def _judge_no_difference(low: float, high: float, margin: float) -> tuple[Verdict, str]:
    if -margin <= low and high <= margin:
        return Verdict.CONFIRMED, ""
    if low > margin or high < -margin:
        return Verdict.CONTRADICTED, ""
    return Verdict.INCONCLUSIVE, SLIGHT if low > 0 or high < 0 else ""


def _judge_value(low: float, high: float, value: float, margin: float) -> tuple[Verdict, str]:
    """Judge an interval that reaches above 0 by a value above 0."""
    if low <= 0:
        return Verdict.INCONCLUSIVE, LESS if high < value else ""
    if value - margin <= low and high <= value + margin:
        return Verdict.CONFIRMED, ""
    if high < value:
        return Verdict.SMALLER, ""
    return (Verdict.LARGER, "") if low > value else (Verdict.INCONCLUSIVE, OPEN)


def sign_probability(estimate: Estimate, rule: Rule, value: float) -> float | None:
    """Return the chance that the true difference has the sign of `value`; None where no sign is claimed or known."""
    if rule not in ("value", "sign") or not estimate.covers_training or math.isnan(estimate.above):
        return None
    return estimate.above if value > 0 else 1 - estimate.above
