"""The table model: how numbers are written and which of them stand out."""

from __future__ import annotations

import math

import pytest

from bench.analysis.intervals import Estimate
from bench.report.table import gain_cell, letter, number_cell


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (27.38951, None, "27.390"),
        (27.38951, 0.01251, "27.390 ± 0.013"),
        (0, None, "0"),
        (0.00049, None, "<0.001"),
        (0.00051, None, "0.001"),
        (-0.25, None, "-0.250"),
        (math.inf, None, "∞"),
        (math.nan, None, "–"),  # noqa: RUF001
        (None, None, "–"),  # noqa: RUF001
    ],
)
def test_numbers_are_written_with_their_decimals(value: float | None, spread: float | None, text: str) -> None:
    assert number_cell(value, 3, spread).text == text


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ((0.175, 0.1001, 0.2499), "+0.175 [+0.100, +0.250]"),
        ((-0.0201, -0.05, 0.01), "-0.020 [-0.050, +0.010]"),
        ((0.5, math.nan, math.nan), "+0.500"),
        ((math.nan, math.nan, math.nan), "–"),  # noqa: RUF001
    ],
)
def test_differences_have_a_sign_and_an_interval(told: tuple[float, float, float], text: str) -> None:
    assert gain_cell(Estimate(*told, n=9, seeds=1, left_out=0), 3).text == text
    assert gain_cell(None, 3).text == "–"  # noqa: RUF001


def test_footnote_marks_do_not_run_out() -> None:
    assert [letter(i) for i in (0, 25, 26, 27, 51, 52, 702)] == ["a", "z", "aa", "ab", "az", "ba", "aaa"]
