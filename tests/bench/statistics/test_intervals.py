"""Intervals cover what they promise; tests and effects equal definitions written out here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.errors import UserError
from bench.statistics.factorial import additivity, effect_estimates, effects
from bench.statistics.intervals import difference, estimate, interval
from bench.statistics.significance import NO_DIFFERENCE, holm, leaders, verdict, wilcoxon

# Paper, Table 1: PSNR on Helen with (ESEM, PA, FEM).
PAPER = {
    (False, False, False): 27.389,
    (False, False, True): 27.533,
    (False, True, False): 27.425,
    (True, False, False): 27.585,
    (True, True, False): 27.612,
    (True, False, True): 27.684,
    (False, True, True): 27.579,
    (True, True, True): 27.744,
}


@pytest.mark.parametrize(("seeds", "images"), [(1, 50), (2, 50), (3, 50), (5, 300)])
def test_the_interval_of_a_difference_covers_the_truth(seeds: int, images: int) -> None:
    """2,000 simulated comparisons: a gain of 0.1 dB, trainings that vary by 0.05 dB, pictures of every difficulty."""
    draw, hits, many = np.random.default_rng(seeds), 0, 2000
    for repeat in range(many):
        difficulty = draw.normal(25, 2, images)
        trainings = draw.normal(0, 0.05, (2, seeds, 1)) if seeds > 1 else np.zeros((2, 1, 1))
        noise = draw.normal(0, 0.1, (2, seeds, images))
        a, b = difficulty + trainings + noise
        a = a + 0.1 + draw.normal(0, 0.35, images)
        found = interval([a, b], [1, -1], draws=250, seed=repeat)
        hits += found.low <= 0.1 <= found.high
    assert 0.93 <= hits / many <= 0.97


def test_a_mean_and_its_interval() -> None:
    values = np.random.default_rng(0).normal(20, 3, (1, 400))
    found = estimate(values)
    assert found.mean == pytest.approx(values.mean()) and found.n == 400 and not found.covers_training
    assert found.high - found.low == pytest.approx(2 * 1.966 * values.std(ddof=1) / 20, rel=0.05)
    assert estimate(values) == found, "the same scores give the same interval"


def test_pairing_removes_what_pictures_share() -> None:
    draw = np.random.default_rng(1)
    hard = draw.normal(25, 3, 100)
    a, b = hard[None] + 0.3 + draw.normal(0, 0.2, 100), hard[None]
    found = difference(a, b)
    assert 0.2 < found.low < 0.3 < found.high < 0.4
    assert estimate(a).high - estimate(a).low > 5 * (found.high - found.low)


def test_scores_that_are_not_finite_are_left_out_of_both() -> None:
    a, b = np.arange(10.0)[None] + 1, np.arange(10.0)[None]
    a[0, 3], b[0, 5] = np.inf, np.nan
    found = difference(a, b)
    assert (found.n, found.left_out, found.mean) == (8, 2, 1)
    nothing = estimate(np.full((1, 3), np.nan))
    assert (nothing.n, nothing.left_out) == (0, 3) and math.isnan(nothing.mean)
    one = estimate(np.array([[7.0]]))
    assert one.mean == 7 and math.isnan(one.low)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_wilcoxon() -> None:
    """Six differences of one sign, no ties: p is 2 / 2^6."""
    a = np.array([[1.0, 2, 3, 4, 5, 6]])
    assert wilcoxon(a, a * 0) == pytest.approx(2 / 64)
    assert wilcoxon(a, a) == 1
    assert wilcoxon(np.concatenate([a, a]), np.concatenate([a * 0, a * 0])) == pytest.approx(2 / 64), "seeds averaged"


def test_who_leads_and_who_ties() -> None:
    draw = np.random.default_rng(2)
    base = draw.normal(25, 2, (1, 60))
    rows = {
        "bad": base - 1 + draw.normal(0, 0.3, (1, 60)),
        "good": base + draw.normal(0, 0.3, (1, 60)),
        "as good": base + draw.normal(0, 0.3, (1, 60)),
    }
    found = leaders(rows, higher_is_better=True)
    assert {found.top, *found.ties} == {"good", "as good"}
    assert found.p["bad"] < 1e-6 and found.difference["bad"].high < 0
    assert leaders(rows, higher_is_better=False).top == "bad" and not leaders(rows, higher_is_better=False).ties
    assert verdict(rows["good"], rows["bad"], True) == "better"
    assert verdict(rows["good"], rows["bad"], False) == "worse"
    assert verdict(rows["good"], rows["as good"], True) == NO_DIFFERENCE


def test_one_lucky_training_is_no_claim() -> None:
    """Every image agrees, but the trainings do not: Wilcoxon alone would call it."""
    images = np.random.default_rng(3).normal(25, 2, 50)
    a = images + np.array([[0.4], [-0.3], [0.1]])
    b = images + np.array([[0.1], [0.0], [0.02]])
    assert wilcoxon(a, b) < 0.001
    assert verdict(a, b, True) == NO_DIFFERENCE


def test_effects_of_the_papers_table() -> None:
    found = effects(PAPER)
    assert {key: round(value, 3) for key, value in found.items() if len(key) == 1} == {
        (0,): 0.175,
        (1,): 0.042,
        (2,): 0.132,
    }
    assert all(abs(value) < 0.02 for key, value in found.items() if len(key) > 1)
    parts, whole = additivity(PAPER)
    assert (round(parts, 3), round(whole, 3)) == (0.376, 0.355)


def test_effects_with_intervals() -> None:
    draw = np.random.default_rng(4)
    hard = draw.normal(0, 2, 80)
    cells = {cell: mean + hard + draw.normal(0, 0.1, (2, 80)) for cell, mean in PAPER.items()}
    found = effect_estimates(cells)
    assert set(found) == set(effects(PAPER))
    for effect, truth in effects(PAPER).items():
        assert found[effect].low - 0.03 < truth < found[effect].high + 0.03
        assert found[effect].mean == pytest.approx(effects({c: v.mean() for c, v in cells.items()})[effect])
    assert found[0,].excludes_zero


def test_a_missing_cell_is_named() -> None:
    cells = dict(PAPER)
    del cells[True, False, True]
    with pytest.raises(UserError, match=r"no row with factors yes\+no\+yes"):
        effects(cells)
