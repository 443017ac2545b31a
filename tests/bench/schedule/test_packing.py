"""Several runs on one device: what is measured and what is chosen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench.core.errors import UserError
from bench.schedule.packing import best_count, measure
from tests.bench.conftest import smooth_faces
from tests.bench.runs.train_child import make_run


@pytest.mark.slow
def test_runs_side_by_side_are_measured(tiny: None, tmp_path: Path) -> None:
    config, faces, device = make_run(tmp_path).config, smooth_faces(6, 0), torch.device("cpu")
    (alone, memory), (together, memory_of_both) = (measure(config, faces, device, count, 1.0) for count in (1, 2))
    assert alone > 5 and together > 5
    assert memory_of_both > 1.5 * memory > 0
    with pytest.raises(Exception, match="NaN or infinite"):
        measure(make_run(tmp_path, explode=True).config, faces, device, 2, 1.0)


@pytest.mark.parametrize(
    ("rates", "memory", "best"),
    [
        ((10, 19, 35, 36), 100, 4),  # eight bring hardly more than four
        ((10, 19, 35, 60), 100, 8),
        ((10, 19, 35, 60), 250, 4),  # eight do not fit
        ((10, 9, 8, 7), 100, 1),
        ((10, 0, 99, 99), 100, 1),  # two cannot go on
    ],
)
def test_the_best_that_fits_is_chosen(
    rates: tuple[float, ...], memory: float, best: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert best_count(pretended(rates, memory), 1200) == best
    assert f"chosen: {best}" in caplog.text


def test_a_run_that_does_not_go_on_alone_is_an_error() -> None:
    with pytest.raises(UserError, match="a single run does not go on"):
        best_count(pretended((0,), 0), 1200)


def pretended(rates: tuple[float, ...], memory: float) -> Callable[[int], tuple[float, float]]:
    """Stand in for `measure` on 1, 2, 4 and 8 runs; with a rate of 0 they lack memory."""

    def measured(count: int) -> tuple[float, float]:
        rate = rates[(1, 2, 4, 8).index(count)]
        if not rate:
            raise torch.OutOfMemoryError("out of memory")
        return rate, count * memory

    return measured
