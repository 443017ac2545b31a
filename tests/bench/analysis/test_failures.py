"""Which faces count as failures: at the limit, without a score, without a reference, and of the committed runs."""

from __future__ import annotations

import math

import pytest

from bench.analysis.failures import LIMIT, failures

INF, NAN = math.inf, math.nan


def test_a_face_fails_beyond_the_limit_and_the_worst_comes_first() -> None:
    found = failures([25.0, 21.9, 22.0, 10.5, -INF], [25.0, 25.0, 25.0, 28.0, 28.0], "abcde")
    assert [(one.face, one.psnr, one.reference) for one in found] == [("e", -INF, 28), ("d", 10.5, 28), ("b", 21.9, 25)]
    assert found[1].loss == 17.5 and LIMIT == 3.0


def test_nan_and_broken_pictures_fail_whatever_their_score() -> None:
    found = failures([NAN, 30.0, INF], [25.0, 25.0, 25.0], "abc", broken=["b"])
    assert [(one.face, one.broken) for one in found] == [("a", False), ("b", True)]


@pytest.mark.parametrize(("psnr", "fails"), [(INF, False), (46.0, False), (45.0, True), (20.0, True)])
def test_a_perfect_reference_is_taken_as_one_grey_level_off(psnr: float, fails: bool) -> None:
    assert bool(failures([psnr], [INF], ["flat"])) == fails


def test_without_ground_truth_or_reference_broken_pictures_alone_fail() -> None:
    assert [one.face for one in failures(None, None, "ab", broken={"b"})] == ["b"]
    assert [one.face for one in failures([5.0, NAN], None, "ab")] == ["b"]
    assert failures([5.0], [NAN], ["a"]) == ()


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        failures([1.0], [1.0, 2.0], ["a", "b"])
