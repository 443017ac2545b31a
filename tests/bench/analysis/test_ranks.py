"""Ranks and critical differences are those of Demsar's paper; the diagram is legible."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.analysis.ranks import critical_difference, rank
from bench.core.errors import UserError
from bench.report.rank_diagram import draw_ranks
from bench.report.style import figure_bytes

# Demsar 2006, Table 6: AUC of C4.5, with m, with cf, with both, on 14 data sets.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
).T
NAMES = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")


def made_up(rows: int, blocks: int, spread: float, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    draw = np.random.default_rng(seed)
    return np.arange(rows)[:, None] * spread + draw.normal(0, 1, (rows, blocks)), [f"Model {i}" for i in range(rows)]


def test_the_published_example() -> None:
    """Average ranks 3.143, 2.000, 2.893, 1.964; chi-square 9.28; critical difference 1.25."""
    found = rank(DEMSAR, NAMES, higher_is_better=True)
    assert dict(zip(found.rows, found.average, strict=True)) == pytest.approx(
        dict(zip(NAMES, (3.143, 2.000, 2.893, 1.964), strict=True)), abs=5e-4
    )
    chi_square = 12 * 14 / (4 * 5) * (sum(mean**2 for mean in found.average) - 4 * 5**2 / 4)
    assert round(chi_square, 2) == 9.28
    assert round(found.critical, 2) == 1.25
    assert found.p < 0.05 and found.rows[0] == "C4.5+m+cf"
    assert rank(-DEMSAR, NAMES, higher_is_better=False) == found


def test_quantiles_of_the_published_table() -> None:
    """Demsar 2006, Table 5(a): the quantile is the critical difference over sqrt(k (k + 1) / 6N)."""
    published = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
    for rows, quantile in published.items():
        assert critical_difference(rows, 1) / math.sqrt(rows * (rows + 1) / 6) == pytest.approx(quantile, abs=1e-3)
    assert critical_difference(4, 14, level=0.9) / math.sqrt(20 / 84) == pytest.approx(2.291, abs=1e-3)


@pytest.mark.parametrize(("rows", "blocks", "spread"), [(4, 12, 1.0), (8, 20, 0.4), (10, 32, 0.3), (5, 3, 5.0)])
def test_groups_are_those_that_nemenyis_test_cannot_tell_apart(rows: int, blocks: int, spread: float) -> None:
    posthocs = pytest.importorskip("scikit_posthocs")
    values, names = made_up(rows, blocks, spread)
    found = rank(values, names, higher_is_better=True)
    assert found.p < 0.05
    p = posthocs.posthoc_nemenyi_friedman(values.T).to_numpy()
    for one, other in itertools.combinations(range(rows), 2):
        together = any({names[one], names[other]} <= set(group) for group in found.groups)
        assert together == (p[one, other] >= 0.05)
    for group, other in itertools.permutations(found.groups, 2):
        assert not set(group) <= set(other)


def test_rows_that_are_alike_are_one_group() -> None:
    values, names = made_up(4, 8, 0.0, seed=1)
    found = rank(values, names, higher_is_better=True)
    assert found.p > 0.05 and len(found.groups) == 1 and set(found.groups[0]) == set(names)
    same = rank(np.ones((3, 5)), "abc", True)
    assert same.p == 1 and same.average == (2, 2, 2)


def test_two_blocks_are_too_few_for_a_test() -> None:
    found = rank(np.array([[3.0, 3], [2, 2], [1, 1]]), "abc", higher_is_better=True)
    assert (found.rows, found.average, found.groups) == (("a", "b", "c"), (1, 2, 3), ())
    assert math.isnan(found.p) and math.isnan(found.critical)
    with pytest.raises(UserError, match="2 blocks"):
        draw_ranks(found)


def test_what_cannot_be_ranked() -> None:
    with pytest.raises(UserError, match="not a number"):
        rank(np.array([[1, 2], [3, np.nan], [5, 6]]), "abc", True)
    with pytest.raises(UserError, match="two rows of one name"):
        rank(np.ones((3, 5)), "aba", True)
    with pytest.raises(UserError, match="level 95:"):
        rank(np.ones((3, 5)), "abc", True, level=95)


@pytest.mark.parametrize(("rows", "blocks", "spread"), [(3, 10, 1.0), (11, 4, 0.5), (20, 6, 0.3)])
def test_no_text_of_the_diagram_covers_another_or_is_cut_off(rows: int, blocks: int, spread: float) -> None:
    pytest.importorskip("scikit_posthocs")
    values, names = made_up(rows, blocks, spread)
    names[1] = "A method of a long name (width 0.5)"
    found = rank(values, names, True)
    figure = draw_ranks(found)
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    (axes,) = figure.axes
    texts = [*axes.texts, *(label for label in axes.get_xticklabels() if 1 <= label.get_position()[0] <= rows)]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)
    shown = " ".join(text.get_text() for text in axes.texts)
    for name, mean in zip(found.rows, found.average, strict=True):
        assert name in shown and f"{mean:.2f}" in shown
    assert f"critical difference {found.critical:.2f}" in shown


def test_the_same_ranking_gives_the_same_bytes() -> None:
    pytest.importorskip("scikit_posthocs")
    found = rank(DEMSAR, NAMES, True)
    for kind in ("png", "pdf"):
        assert figure_bytes(draw_ranks(found), kind) == figure_bytes(draw_ranks(found), kind)
