"""Planned power is what simulated studies reach; variances are found again; what cannot be seen is said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.analysis.power import (
    MOST_IMAGES,
    Components,
    detectable,
    images_needed,
    measure,
    power,
    seed_range,
    seeds_needed,
)
from bench.core.errors import UserError
from tests.bench.analysis.simulation import difference, spread_of

TYPICAL = Components(image=0.12, training=(0.05**2, 0.05**2), interaction=(0.01, 0.01))


def draw_scores(
    draw: np.random.Generator, parts: Components, gain: float, images: int, seeds: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores [seeds, images] of two methods, as the model of the variances says."""
    pair = [
        draw.normal(0, math.sqrt(own), (count, 1)) + draw.normal(0, math.sqrt(mixed), (count, images))
        for own, mixed, count in zip(parts.training, parts.interaction, seeds, strict=True)
    ]
    hard = draw.normal(25, 2, images)
    return pair[0] + hard + gain + draw.normal(0, math.sqrt(parts.image), images), pair[1] + hard


@pytest.mark.parametrize(
    ("training", "images", "seeds"),
    [
        (0.05, 60, (2, 2)),
        pytest.param(0.0, 100, (1, 1), marks=pytest.mark.slow),
        pytest.param(0.05, 300, (3, 3), marks=pytest.mark.slow),
        pytest.param(0.2, 50, (3, 5), marks=pytest.mark.slow),
        pytest.param(0.02, 500, (5, 5), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("wanted", [0.5, 0.8])
def test_simulated_studies_reach_the_power(training: float, images: int, seeds: tuple[int, int], wanted: float) -> None:
    """600 studies of exactly the gain that is said to be seen: it is claimed as often as asked, or a bit more often."""
    parts = Components(0.12, (training**2,) * 2, (0.01, 0.01))
    gain = detectable(parts, images, seeds, wanted=wanted)
    draw, claims = np.random.default_rng([images, *seeds]), 0
    for _ in range(600):
        rows = draw_scores(draw, parts, gain, images, seeds)
        claims += difference(rows, 0, 1, spread_of(rows)).low > 0
    assert -0.04 < claims / 600 - wanted < 0.075
    assert power(parts, gain, images, seeds) == pytest.approx(wanted)


def test_without_seeds_it_is_the_power_of_the_paired_t_test() -> None:
    """Power of a paired t test in G*Power 3.1: effect size 0.5, 34 pairs, two-sided 5%: 0.8078."""
    parts = Components(image=1.0, training=(), interaction=())
    assert power(parts, 0.5, 34, ()) == pytest.approx(0.8078, abs=0.002)
    assert images_needed(parts, 0.5, ()) == 34
    assert seeds_needed(parts, 0.5, 34) is None


def test_variances_are_found_again() -> None:
    """The mean over 200 studies of 3 and 4 seeds."""
    draw = np.random.default_rng(0)
    truth = Components(0.09, (0.1**2, 0.2**2), (0.01, 0.04))
    found = [measure(*draw_scores(draw, truth, 0.3, 50, (3, 4))) for _ in range(200)]
    assert np.mean([parts.image for parts in found]) == pytest.approx(truth.image, rel=0.05)
    assert np.mean([parts.training for parts in found], axis=0) == pytest.approx(truth.training, rel=0.2)
    assert np.mean([parts.interaction for parts in found], axis=0) == pytest.approx(truth.interaction, rel=0.05)


def test_more_seeds_and_more_images_always_help() -> None:
    for images in (20, 100, 1000):
        by_seeds = [detectable(TYPICAL, images, (count, count)) for count in (2, 3, 4, 5, 7, 10, 20, 50)]
        assert by_seeds == sorted(by_seeds, reverse=True)
    for seeds in (2, 5, 10, 50):
        by_images = [detectable(TYPICAL, images, (seeds, seeds)) for images in (10, 20, 50, 100, 300, 1000, 10_000)]
        assert by_images == sorted(by_images, reverse=True)
    assert detectable(TYPICAL, 100, (5, 5), level=0.99) > detectable(TYPICAL, 100, (5, 5))
    assert detectable(TYPICAL, 100, (5, 5), wanted=0.9) > detectable(TYPICAL, 100, (5, 5))


def test_the_numbers_needed_are_the_smallest_that_do() -> None:
    images = images_needed(TYPICAL, 0.12, (5, 5))
    assert images is not None
    assert power(TYPICAL, 0.12, images, (5, 5)) >= 0.8 > power(TYPICAL, 0.12, images - 1, (5, 5))
    seeds = seeds_needed(TYPICAL, 0.12, 100)
    assert seeds is not None
    assert power(TYPICAL, 0.12, 100, (seeds, seeds)) >= 0.8 > power(TYPICAL, 0.12, 100, (seeds - 1, seeds - 1))


def test_seeds_or_images_alone_can_hide_a_gain() -> None:
    """With 3 seeds that vary by 0.05 dB, 0.1 dB is not seen on any number of images; 6 seeds would do."""
    assert seeds_needed(TYPICAL, 0.1, 20) is None, "and few images hide it from any number of seeds"
    assert images_needed(TYPICAL, 0.1, (3, 3)) is None
    assert power(TYPICAL, 0.1, MOST_IMAGES, (3, 3)) < 0.8
    seeds = seeds_needed(TYPICAL, 0.1, MOST_IMAGES)
    assert seeds == 6
    assert images_needed(TYPICAL, 0.1, (6, 6)) is not None and images_needed(TYPICAL, 0.1, (5, 5)) is None


def test_one_seed_of_a_method_that_varies_claims_nothing() -> None:
    assert detectable(TYPICAL, 1000, (1, 1)) == math.inf
    assert power(TYPICAL, 5.0, 1000, (1, 3)) == 0
    assert images_needed(TYPICAL, 5.0, (1, 1)) is None


def test_what_is_not_known_of_training() -> None:
    draw = np.random.default_rng(1)
    a, b = draw_scores(draw, TYPICAL, 0, 40, (3, 1))
    alone = measure(a[:1], b)
    assert not alone.known and alone.training == (0.0, 0.0)
    assert alone.image == pytest.approx(np.var(a[0] - b[0], ddof=1))
    assert seeds_needed(alone, 0.1, 40) is None
    given = measure(a[:1], b, seed_sd=0.05)
    assert given.known and given.training == pytest.approx((0.0025, 0.0025))
    mixed = measure(a, b)
    assert mixed.known and mixed.training[0] == mixed.training[1], "the other is taken to vary alike"
    untrained = measure(a, b, trained=(True, False))
    assert len(untrained.training) == 1 and untrained.training[0] == mixed.training[0]
    neither = measure(a[:1], b, trained=(False, False))
    assert neither.known and neither.training == ()


def test_no_variance_at_all() -> None:
    same = np.full((2, 10), 25.0)
    parts = measure(same + 0.1, same)
    assert detectable(parts, 10, (2, 2)) == pytest.approx(0, abs=1e-6)
    assert images_needed(parts, 0.1, (2, 2)) == 2 and seeds_needed(parts, 0.1, 10) == 2
    nothing = Components(0.0, (0.0,), (0.0,))
    assert detectable(nothing, 10, (2,)) == 0 and power(nothing, 0.1, 10, (2,)) == 1


def test_scores_that_are_not_finite_are_left_out() -> None:
    a, b = draw_scores(np.random.default_rng(2), TYPICAL, 0, 12, (2, 2))
    a[0, 3], b[1, 5] = np.inf, np.nan
    keep = [i for i in range(12) if i not in (3, 5)]
    assert measure(a, b) == measure(a[:, keep], b[:, keep])


def test_the_range_of_the_deviation_over_trainings() -> None:
    """Three means of deviation 1: by chi-square with 2 degrees of freedom, sqrt(2 / 7.378) to sqrt(2 / 0.0506)."""
    group = np.array([[-1.0, -1], [0, 0], [1, 1]])
    found = seed_range(group)
    assert found == pytest.approx((0.5207, 6.285), rel=1e-3)
    both = seed_range(group, group)
    assert both is not None and found is not None and found[0] < both[0] < 1 < both[1] < found[1]
    assert seed_range(group[:1]) is None


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UserError, match="images with finite scores: 1, expected at least two"):
        measure(np.ones((2, 1)), np.ones((2, 1)))
    with pytest.raises(UserError, match="level 1:"):
        detectable(TYPICAL, 10, (2, 2), level=1)
    with pytest.raises(UserError, match="power 1:"):
        images_needed(TYPICAL, 0.1, (2, 2), wanted=1)
    with pytest.raises(UserError, match="gain 0:"):
        seeds_needed(TYPICAL, 0, 10)
    with pytest.raises(UserError, match="expected 0 or more"):
        measure(np.ones((2, 3)), np.ones((2, 3)), seed_sd=-0.1)
