"""Figures of gains against size and of effects: one for all test sets, legible whatever a row does."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bench.analysis.results import RowResult, read_results
from bench.report.dots import Dots, Marked, differ_in_size, draw_dots, gain_limits
from bench.report.modules import capacity_page, factorial_page
from bench.report.style import REFERENCE, figure_bytes, style_of
from tests.bench.report.fabricate import change, fabricate, rows_of_table_1, run_name

ROW = RowResult("Row", "msfnet-8", ())


def point(mean: float, parameters: float = 1.0, half: float = 0.02) -> Marked:
    return Marked(ROW, parameters, parameters, mean, mean - half, mean + half, line=False)


def sized(folder: Path) -> Path:
    """Write an ablation of three test sets in which every model has a size of its own."""
    fabricate(folder, tests=("celeba", "helen", "lfw"), seeds=(0, 1), baseline="msfnet-1")
    for number in range(1, 9):
        for seed in (0, 1):
            path = folder / run_name(f"msfnet-{number}", seed) / "run.json"
            change(path, parameters=number * 10**6, multiply_adds=number * 10**9)
    return folder


def test_one_capacity_figure_for_all_sets(tmp_path: Path) -> None:
    page = capacity_page(read_results(sized(tmp_path)))
    assert page is not None and list(page.pictures) == ["capacity"] and len(page.tables) == 3
    figure = page.pictures["capacity"].draw()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["CelebA", "", "Helen", "", "LFW", ""]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1, "one scale of gains"
    figure_bytes(figure, "png")
    (legend,) = figure.legends
    assert figure.bbox.containsx(legend.get_window_extent().x0) and figure.bbox.containsx(legend.get_window_extent().x1)
    assert not any(legend.get_window_extent().overlaps(axes.get_window_extent()) for axes in figure.axes)


def test_networks_of_one_or_two_sizes_have_no_picture(tmp_path: Path) -> None:
    folder = sized(tmp_path)
    for number in range(1, 9):
        for seed in (0, 1):
            change(folder / run_name(f"msfnet-{number}", seed) / "run.json", parameters=10**6 + 10 * number)
    page = capacity_page(read_results(folder))
    assert page is not None and not page.pictures and len(page.tables) == 3
    assert not differ_in_size([point(0, 1.0), point(0, 1.01), point(0, 2.0)])
    assert differ_in_size([point(0, 1.0), point(0, 1.5), point(0, 2.0)])


def test_a_gain_far_beyond_the_others_does_not_squash_them() -> None:
    near = [point(0.01 * n) for n in range(10)]
    low, high = gain_limits([*near, point(-3.0)])
    assert (low, high) == pytest.approx(gain_limits(near), abs=0.01)
    assert -0.1 < low < -0.02 and 0.11 < high < 0.2
    wide = gain_limits([*near, point(0.05, half=2.0)])
    assert wide[1] - wide[0] < 0.3, "nor does one wide interval"
    assert all(map(math.isfinite, gain_limits([point(0.0)]))) and np.subtract(*gain_limits([point(0.0)])) < 0


def test_what_is_beyond_the_border_says_how_far(tmp_path: Path) -> None:
    def psnr(method: str, seed: int, image: int) -> float:
        return 30.0 + image + {"bicubic": -5, "msfnet-3": -4.5}.get(method, 0.0) + 0.01 * seed

    folder = fabricate(tmp_path, seeds=(0, 1), psnr=psnr)
    for number in range(1, 9):
        for seed in (0, 1):
            change(folder / run_name(f"msfnet-{number}", seed) / "run.json", parameters=number * 10**6)
    page = capacity_page(read_results(folder))
    assert page is not None
    axes = page.pictures["capacity"].draw().axes[0]
    assert [text.get_text() for text in axes.texts] == ["-4.50 ↓"]
    assert axes.get_ylim()[0] > -1


def test_one_axis_of_effects_for_all_sets(tmp_path: Path) -> None:
    page = factorial_page(read_results(sized(tmp_path)))
    assert page is not None and list(page.pictures) == ["effects"] and len(page.tables) == 3
    figure = page.pictures["effects"].draw()
    (axes,) = figure.axes
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["measured, CelebA", "measured, Helen", "measured, LFW", "published, Helen"]
    assert [text.get_text() for text in axes.get_yticklabels()][:3] == ["ESEM", "PA", "FEM"]
    figure_bytes(figure, "png")
    box = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1


def test_published_dots_are_hollow_and_have_no_interval() -> None:
    figure = draw_dots(
        [Dots("ours", ["a"], [(1.0, 0.5, 1.5)]), Dots("theirs", ["a"], [(2.0, 2.0, 2.0)], printed=True)], "Effect"
    )
    ours, theirs = figure.axes[0].containers
    assert ours.has_xerr and not theirs.has_xerr  # type: ignore[attr-defined]
    assert theirs.lines[0].get_markerfacecolor() == "white" and theirs.lines[0].get_color() == REFERENCE  # type: ignore[attr-defined]


def test_points_have_the_styles_of_their_methods(tmp_path: Path) -> None:
    page = capacity_page(read_results(sized(tmp_path)))
    assert page is not None
    (legend,) = page.pictures["capacity"].draw().legends
    shown = {text.get_text(): line for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)}
    methods = {row["label"]: row["method"] for row in rows_of_table_1()}
    for label, line in shown.items():
        style = style_of(methods[label.partition(":")[0]])
        assert (line.get_color(), line.get_marker()) == (style.color, style.marker)
