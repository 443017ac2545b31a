"""Edge metrics on pictures so small that their values can be worked out by hand."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.metrics.catalogue import get_metric, get_metrics
from bench.metrics.edges import canny, figure_of_merit, sobel
from bench.metrics.protocol import get_protocol
from bench.metrics.scoring import Scorer


def edges(*places: tuple[int, int]) -> np.ndarray:
    """Return bool [7, 7], True at the places (row, column)."""
    found = np.zeros((7, 7), bool)
    for place in places:
        found[place] = True
    return found


@pytest.mark.parametrize(
    ("found", "ideal", "merit"),
    [
        ([(3, 3)], [(3, 3)], 1.0),
        ([(3, 6)], [(3, 3)], 1 / 2),  # three pixels beside: 1 / (1 + 9/9)
        ([(4, 3)], [(3, 3)], 9 / 10),  # one pixel: 1 / (1 + 1/9)
        ([(4, 4)], [(3, 3)], 9 / 11),  # a diagonal one: 1 / (1 + 2/9)
        ([(3, 3), (3, 6)], [(3, 3)], (1 + 1 / 2) / 2),  # a spurious one
        ([(3, 3)], [(3, 3), (0, 0)], 1 / 2),  # a missing one
        ([(3, 4)], [(3, 3), (3, 6)], 9 / 10 / 2),  # the nearest ideal one counts
        ([], [(3, 3)], 0.0),
    ],
)
def test_the_figure_of_merit(found: list[tuple[int, int]], ideal: list[tuple[int, int]], merit: float) -> None:
    assert figure_of_merit(edges(*found), edges(*ideal)) == pytest.approx(merit)


def test_without_an_ideal_edge_there_is_no_merit() -> None:
    assert math.isnan(figure_of_merit(edges((1, 1)), edges()))


def step(place: int = 8, colour: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Return a picture, uint8 [16, 16, 3], that is black left of a column and of one colour from there on."""
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:, place:] = colour
    return picture


def score(sr: np.ndarray, hr: np.ndarray, protocol: str = "sparnet") -> dict[str, float]:
    """Return both edge metrics of a pair of pictures, uint8 [H, W, 3]."""
    scorer = Scorer(get_metrics(["edge-psnr", "edge-fom"]), [get_protocol(protocol)])
    made: Tensor = torch.from_numpy(sr).permute(2, 0, 1)[None].float() / 255
    scorer.add(made, hr[None])
    scores = scorer.finish()
    assert not scores.unavailable
    return {metric: float(values[0]) for (_, metric), values in scores.values.items()}


def test_the_gradient_of_a_step() -> None:
    """1 on either side of a step along the row, nothing down the column: sqrt((1^2 + 0^2) / 2) in two columns."""
    found = sobel(step()[..., 0] / 255)
    assert found[:, 7:9] == pytest.approx(np.full((16, 2), math.sqrt(0.5)))
    assert np.delete(found, (7, 8), axis=1) == pytest.approx(np.zeros((16, 14)))


def test_a_lost_step_costs_its_gradient() -> None:
    """1/2 in 2 of 16 columns: a mean squared error of 1/16, so 10 log10(16) dB."""
    flat = np.zeros_like(step())
    assert score(flat, step())["edge-psnr"] == pytest.approx(10 * math.log10(16))
    for colour, luma in (((255, 0, 0), 0.299), ((0, 255, 0), 0.587), ((0, 0, 255), 0.114)):
        expected = 10 * math.log10(16 / luma**2)
        assert score(flat, step(8, colour))["edge-psnr"] == pytest.approx(expected), "luma weighs colours"


def line(place: int = 8) -> np.ndarray:
    """Return a step with a grey column at its place, where the gradient then has its one maximum."""
    picture = step(place)
    picture[:, place] = 128
    return picture


def test_a_moved_step_is_as_far_as_it_moved() -> None:
    expected = np.zeros((16, 16), bool)
    expected[1:-1, 8] = True
    assert np.array_equal(canny(line()[..., 0] / 255), expected), "the rim has no edges"
    moved = {shift: score(line(8 + shift), line())["edge-fom"] for shift in (0, 1, 2, 3)}
    assert moved == pytest.approx({0: 1.0, 1: 9 / 10, 2: 9 / 13, 3: 1 / 2})
    assert score(np.zeros_like(line()), line())["edge-fom"] == 0
    assert math.isnan(score(line(), np.zeros_like(line()))["edge-fom"])


def test_equal_pictures_are_perfect_and_protocols_change_nothing() -> None:
    assert score(line(), line()) == {"edge-psnr": math.inf, "edge-fom": 1.0}
    random = np.random.default_rng(0)
    sr, hr = random.integers(0, 256, (2, 24, 24, 3), np.uint8)
    assert score(sr, hr, "sparnet") == pytest.approx(score(sr, hr, "dic")), "whose border is 8 pixels wide"
    assert all(get_metric(name).higher_is_better for name in ("edge-psnr", "edge-fom"))


def test_without_scikit_image_both_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    scorer = Scorer(get_metrics(["psnr", "edge-psnr", "edge-fom"]), [get_protocol("sparnet")])
    scorer.add(torch.zeros(1, 3, 16, 16), step()[None])
    scores = scorer.finish()
    assert {metric for _, metric in scores.values} == {"psnr"}
    assert all("pip install 'fsr-bench[metrics]'" in scores.unavailable[name] for name in ("edge-psnr", "edge-fom"))
