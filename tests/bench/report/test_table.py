"""The table model: how numbers are written and which of them stand out."""

from __future__ import annotations

import math

import pytest

from bench.report.table import Cell, Provenance, Row, emphasise, letter, number_cell

SOURCE = Provenance(("run",), "synthfaces", "feed", 3, 1, "sparnet")


def column(*values: float | None) -> list[Row]:
    return [Row((number_cell(value, 3, provenance=SOURCE),), "method") for value in values]


def marks(rows: list[Row], higher_is_better: bool = True) -> list[str]:
    return [row.cells[0].emphasis for row in emphasise(rows, 0, 3, higher_is_better)]


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


def test_best_and_second_are_told_apart_as_printed() -> None:
    assert marks(column(28.1, 30.0004, None, 29.9996, 27.0)) == ["second", "best", "", "best", ""]
    assert marks(column(28.1, 30.0, 29.0), higher_is_better=False) == ["best", "", "second"]
    assert marks(column(30.0001, 30.0004)) == ["", ""], "equal as printed: nothing to tell apart"
    assert marks(column(30.0, None)) == ["", ""]


def test_only_measured_numbers_compete() -> None:
    published = Row((Cell(99.0, "99.000"),), "method")
    assert marks([published, *column(30.0, 29.0)]) == ["", "best", "second"]


def test_footnote_marks_do_not_run_out() -> None:
    assert [letter(i) for i in (0, 25, 26, 27, 51, 52, 702)] == ["a", "z", "aa", "ab", "az", "ba", "aaa"]
