"""Intervals cover what they promise; tests and effects equal definitions written out here."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.analysis.factorial import additivity, effect_estimates, effects
from bench.analysis.intervals import difference, estimate, widened
from bench.analysis.power import seed_spread
from bench.analysis.significance import NO_DIFFERENCE, holm, leaders, verdict, wilcoxon
from bench.core.errors import UserError

SLOW = pytest.mark.slow
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


def images_gain(draw: np.random.Generator, sigma: float, size: tuple[int, int]) -> np.ndarray:
    """Return the images' part of a gain, deviation 0.35: normal for sigma 0, else log-normal."""
    if sigma == 0:
        return draw.normal(0, 0.35, size)
    mean, deviation = math.exp(sigma**2 / 2), math.sqrt(math.expm1(sigma**2)) * math.exp(sigma**2 / 2)
    return (draw.lognormal(0, sigma, size) - mean) / deviation * 0.35


def coverage(seeds: int, images: int, sigma: float, noise: float, repeats: int = 4000) -> float:
    """Return how often the interval holds a gain of 0.1 dB between trainings that vary by 0.05 dB."""
    draw, hits = np.random.default_rng([seeds, images, int(10 * sigma)]), 0
    for _ in range(repeats // 100):
        scores = draw.normal(25, 2, (100, 1, 1, images)) + draw.normal(0, noise, (100, 2, seeds, images))
        scores = scores + (draw.normal(0, 0.05, (100, 2, seeds, 1)) if seeds > 1 else 0)
        scores[:, 0] += 0.1 + images_gain(draw, sigma, (100, images))[:, None]
        found = [difference(a, b) for a, b in scores]
        hits += sum(one.low <= 0.1 <= one.high for one in found)
    return hits / repeats


@pytest.mark.parametrize(
    ("seeds", "images"),
    [(3, 50), *(pytest.param(*case, marks=SLOW) for case in ((1, 32), (1, 300), (2, 50), (5, 300), (10, 32)))],
)
def test_the_interval_of_a_difference_covers_the_truth(seeds: int, images: int) -> None:
    """Nominal 95% is 93-97%, for normal differences of images that are hard or easy for both methods."""
    assert 0.93 <= coverage(seeds, images, sigma=0, noise=0.1) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "images"), [(1, 32), (3, 50), (10, 32)])
def test_it_covers_the_truth_at_the_skewness_of_real_differences(seeds: int, images: int) -> None:
    """A skewness of 0.95: nine in ten of the differences between rows of the quick reference have less."""
    assert 0.93 <= coverage(seeds, images, sigma=0.3, noise=0) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "images"), [(1, 32), (1, 50), (2, 32), (3, 50), (10, 32)])
def test_it_covers_the_truth_at_a_skewness_beyond_real_ones(seeds: int, images: int) -> None:
    """A skewness of 3.7. A symmetric interval covers 91% with 1 seed and 32 images."""
    assert 0.93 <= coverage(seeds, images, sigma=0.8, noise=0) <= 0.97


@pytest.mark.slow
def test_two_seeds_beside_a_method_without_training_cover_less() -> None:
    """Below the nominal level, as the docstring says: two trainings that are alike by chance look certain."""
    draw, hits = np.random.default_rng(0), 0
    for _ in range(3000):
        a = 0.1 + draw.normal(0, 0.35, 300) + draw.normal(0, 0.08, (2, 1))
        found = difference(a, np.zeros((1, 300)))
        hits += found.low <= 0.1 <= found.high
    assert 0.86 <= hits / 3000 <= 0.91


@pytest.mark.slow
@pytest.mark.parametrize("others", [(2,) * 4, (3, 3, 2, 2, 2, 2, 2, 2)])
@pytest.mark.parametrize("images", [50, 300])
def test_single_trainings_with_what_others_vary_by_cover_the_truth(images: int, others: tuple[int, ...]) -> None:
    """The spread of 4 or 10 degrees of freedom is drawn anew each time, as are the two trainings of the difference."""
    draw, hits = np.random.default_rng(images), 0
    for _ in range(3000):
        spread = seed_spread(*(draw.normal(0, 0.05, (seeds, 1)) for seeds in others))
        assert spread is not None and spread[1] == sum(others) - len(others)
        a = 0.1 + draw.normal(0, 0.35, (1, images)) + draw.normal(0, 0.05)
        b = np.zeros((1, images)) + draw.normal(0, 0.05)
        found = widened(difference(a, b), *spread, trainings=2)
        hits += found.low <= 0.1 <= found.high
    assert 0.94 <= hits / 3000 <= 0.98


def test_the_standard_error_is_that_of_a_bootstrap_over_seeds_and_images() -> None:
    """Without image x seed, which a bootstrap counts once more; seeds' deviations stretched by sqrt(k / (k - 1))."""
    draw = np.random.default_rng(5)
    hard = draw.normal(25, 1, 40)
    a = hard + draw.normal(0, 0.1, (3, 1)) + draw.normal(0, 0.5, 40)
    b = hard + draw.normal(0, 0.1, (4, 1))
    sums = []
    for _ in range(4000):
        images, total = draw.integers(0, 40, 40), 0.0
        for group, sign in ((a, 1), (b, -1)):
            k = len(group)
            off = (group.mean(axis=1) - group.mean()) * math.sqrt(k / (k - 1))
            total += sign * (group.mean(axis=0)[images].mean() + off[draw.integers(0, k, k)].mean())
        sums.append(total)
    parts = [
        (np.var(a.mean(axis=0) - b.mean(axis=0)) / 39, 39),
        (a.mean(axis=1).var() / 2, 2),
        (b.mean(axis=1).var() / 3, 3),
    ]
    free = sum(part for part, _ in parts) ** 2 / sum(part**2 / own for part, own in parts)
    found = difference(a, b)
    error = min(found.mean - found.low, found.high - found.mean) / stats.t.ppf(0.975, free)
    assert error == pytest.approx(np.std(sums), rel=0.03)


def test_the_bound_at_the_tail_is_moved_out() -> None:
    """By skewness (2 z^2 + 1) / 6 standard errors of the mean, and the other stays."""
    values = np.array([[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 4.0]])
    mean, error = values.mean(), stats.sem(values[0])
    reach = stats.skew(values[0], bias=False) / math.sqrt(7) * (2 * 1.959964**2 + 1) / 6 * error
    margin = stats.t.ppf(0.975, 6) * error
    found = estimate(values)
    assert found.low == pytest.approx(mean - margin)
    assert found.high == pytest.approx(mean + margin + reach)
    mirrored = estimate(-values)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


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
