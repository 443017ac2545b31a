"""Figure 6: whose curves are drawn, how they are told apart, and which part of them is shown."""

from __future__ import annotations

import dataclasses
import itertools
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from bench.analysis.results import Point, read_results
from bench.core.files import read_csv, write_csv
from bench.report.curves import MOST, POINTS, draw_curves, end_limits, in_colour, most, psnr_limits, smoothing
from bench.report.highlight import in_words
from bench.report.labels import spread
from bench.report.style import FAINT, figure_bytes, row_style
from bench.runs.store import CURVE
from tests.bench.report.fabricate import change, fabricate, rows_of_table_1, run_name


def draw(folder: Path) -> Figure:
    figure = draw_curves(read_results(folder))
    assert figure is not None
    return figure


def write_points(folder: Path, method: str, seed: int, points: dict[int, float]) -> None:
    rows = [{"iteration": i, "loss": 1.0, "psnr": psnr, "learning_rate": 1e-3} for i, psnr in points.items()]
    write_csv(folder / run_name(method, seed) / "curve.csv", CURVE, rows)


def test_a_line_a_row_that_has_a_curve(tmp_path: Path) -> None:
    folder = fabricate(tmp_path)
    change(folder / run_name("msfnet-2") / "run.json", status="failed", error="diverged")
    shutil.rmtree(folder / run_name("msfnet-3"))
    write_points(folder, "msfnet-4", 0, {100: math.nan, 200: 30.0})
    figure = draw(folder)
    axes = figure.axes[0]
    lines = lines_of(axes)
    assert set(lines) == {"SPARNet", *(f"Model {n}" for n in (1, 4, 5, 6, 7, 8))}, "no curve: Bicubic, Models 2 and 3"
    kept = read_csv(folder / run_name("msfnet-8") / "curve.csv", CURVE)
    assert np.allclose(lines["Model 8"].get_xdata(), [int(row["iteration"]) for row in kept])
    assert np.allclose(lines["Model 8"].get_ydata(), [float(row["psnr"]) for row in kept], rtol=1e-12)
    assert list(np.asarray(lines["Model 4"].get_xdata())) == [200], "a point that is no number is left out"
    texts = [text.get_text() for text in axes.texts]
    assert texts[:2] == ["SPARNet", "Model 1: none"] and texts[-1] == "Model 8: ESEM+PA+FEM"
    assert not axes.collections, "one seed has no band"
    assert "dB" in axes.get_ylabel() and "iteration" in axes.get_xlabel()


def lines_of(axes: Axes) -> dict[str, Line2D]:
    """Return the line of each row by its label."""
    return {str(line.get_label()): line for line in axes.get_lines() if line.get_label() != POINTS}


@pytest.mark.parametrize("rows", [2, 10, 24])
def test_labels_stand_beside_their_lines_and_none_over_another(tmp_path: Path, rows: int) -> None:
    """Lines that end within a hundredth of a dB, in an order that is not that of the rows."""
    every = [{"label": f"Row {n}", "method": "msfnet-8", "options": {"width": n}} for n in range(rows)]
    results = read_results(fabricate(tmp_path, rows=every))
    made = []
    for n, row in enumerate(results.rows):
        curve = tuple(Point(i, 30 - 5 / i + 0.01 * (7 * n % rows) / rows) for i in range(1, 12))
        made.append(dataclasses.replace(row, runs=(dataclasses.replace(row.runs[0], curve=curve),)))
    results = dataclasses.replace(results, rows=tuple(made))
    figure = draw_curves(results)
    assert figure is not None
    figure_bytes(figure, "png")
    axes = figure.axes[0]
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the line that leads to it
    assert len(boxes) == rows and not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(box.overlaps(axes.get_window_extent()) for box in boxes), "no label covers data"
    assert all(figure.bbox.containsx(box.x1) and figure.bbox.y0 <= box.y0 for box in boxes)
    ends = [line.get_ydata()[-1] for line in lines_of(axes).values()]
    by_label = dict(zip(lines_of(axes), ends, strict=True))
    down = sorted(axes.texts, key=lambda text: float(Text.get_window_extent(text).y0))
    assert [text.get_text() for text in down] == sorted(by_label, key=by_label.__getitem__)


def test_labels_are_as_near_as_can_be() -> None:
    assert spread([0.5, 0.1], 0.2) == [0.5, 0.1]
    assert spread([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])
    assert spread([0.0, 0.0, 1.0], 0.2) == pytest.approx([0.0, 0.2, 1.0])
    assert spread([1.0, 1.0], 0.2) == pytest.approx([0.8, 1.0])


def test_rows_that_matter_have_their_methods_styles_and_the_others_are_faint(tmp_path: Path) -> None:
    rows = rows_of_table_1()
    rows.insert(2, {"label": "SPARNet-wide", "method": "sparnet", "match": "msfnet-8"})
    folder = fabricate(tmp_path, rows=rows, seeds=(0, 1))
    for seed in (0, 1):
        write_points(folder, "msfnet-6", seed, {100: 40.0, 200: 99.0 + seed})
    results, axes = read_results(folder), draw(folder).axes[0]
    matter = in_colour(results)
    assert {row.label: why for row, why in matter.items()} == {
        "SPARNet-wide": "widened to Model 8's parameters",
        "Model 1": "the baseline",
        "Model 6": "ends highest",
        "Model 8": "all modules",
    }
    assert in_words(matter, 10).endswith("Model 8 (all modules). The other 6 are grey.")
    for row in results.rows[1:]:
        line, style = lines_of(axes)[row.label], row_style(results, row)
        look = (style.color, style.marker) if row in matter else (FAINT, "None")
        assert (to_hex(line.get_color()).upper(), line.get_marker()) == look
    assert len(axes.collections) == len(matter), "bands of those alone"


def test_the_comparisons_proposed_row_matters(tmp_path: Path) -> None:
    rows = [{"label": method, "method": method} for method in ("bicubic", "sparnet", "dic", "msfnet")]
    results = read_results(fabricate(tmp_path, rows=rows, baseline="bicubic", psnr=lambda method, *_: len(method)))
    assert {row.label: why for row, why in in_colour(results).items()} == {
        "sparnet": "ends highest",
        "msfnet": "the paper's own",
    }


def test_a_long_curve_is_smoothed_and_its_points_stay(tmp_path: Path) -> None:
    folder = fabricate(tmp_path, rows=rows_of_table_1()[-1:])
    write_points(folder, "msfnet-8", 0, {i: 30 + i % 2 for i in range(1, 41)})
    axes = draw(folder).axes[0]
    assert smoothing(read_results(folder)) == 5
    (dots,) = (line for line in axes.get_lines() if line.get_label() == POINTS)
    assert set(np.asarray(dots.get_ydata())) == {30.0, 31.0}
    smooth = np.asarray(lines_of(axes)["Model 8"].get_ydata())
    assert smooth[2:-2] == pytest.approx([30.4 + 0.2 * (i % 2) for i in range(3, 39)]), "three and two of five"


def test_several_seeds_give_their_mean_and_a_band(tmp_path: Path) -> None:
    folder = fabricate(tmp_path, seeds=(0, 1, 2), rows=rows_of_table_1()[-1:])
    write_points(folder, "msfnet-8", 0, {100: 20.0, 200: 24.0})
    write_points(folder, "msfnet-8", 1, {100: 22.0, 200: 28.0})
    write_points(folder, "msfnet-8", 2, {100: 99.0, 200: 99.0})
    change(folder / run_name("msfnet-8", 2) / "run.json", status="failed", error="diverged")
    axes = draw(folder).axes[0]
    line, (band,) = lines_of(axes)["Model 8"], axes.collections
    assert np.allclose(line.get_xydata(), [(100, 21), (200, 26)])
    corners = {(round(x), round(y, 3)) for x, y in band.get_paths()[0].vertices}
    assert corners == {(100, 19.586), (100, 22.414), (200, 23.172), (200, 28.828)}  # sample deviations 1.414 and 2.828


def test_limits_show_what_matters() -> None:
    rise = [(i, 30 - 20 * math.exp(-i / 20)) for i in range(1, 201)]
    low, high = psnr_limits([rise, [(i, value - 0.5) for i, value in rise]])
    late = [value for i, value in rise if i >= 100]
    assert low < min(late) - 0.5 and max(late) < high < max(late) + 0.5
    assert (max(late) - min(late) + 0.5) / (high - low) > 0.35, "the second half fills much of the height"
    for flat in ([(1, 25.0)], [(1, 25.0), (2, 25.0)]):
        low, high = psnr_limits([flat])
        assert low < 25 < high and high - low < 1


def test_the_last_quarter_is_enlarged_where_there_is_room(tmp_path: Path) -> None:
    folder = fabricate(tmp_path, rows=rows_of_table_1()[-2:])
    for method, gain in (("msfnet-7", 0.0), ("msfnet-8", 0.2)):
        write_points(folder, method, 0, {i: 30 + gain - 20 * math.exp(-i / 20) for i in range(10, 201, 10)})
    axes = draw(folder).axes[0]
    (inset,) = axes.child_axes
    assert lines_of(inset).keys() == lines_of(axes).keys()
    low, high = inset.get_ylim()
    ends = [np.asarray(line.get_ydata())[-3:] for line in axes.get_lines()]
    assert low < np.min(ends) and np.max(ends) < high < np.max(ends) + 1
    rise = [(i, 30 - 20 * math.exp(-i / 20)) for i in range(1, 201)]
    assert end_limits([rise]) is not None
    assert end_limits([rise[::50]]) is None, "two validations are no curve"
    assert end_limits([[(i, 25.0 + i % 2) for i in range(100)]]) is None, "the curves are everywhere"
    second, far = ([(i, value - less) for i, value in rise] for less in (0.3, 3.0))
    assert end_limits([far, rise, second]) == end_limits([rise, second]), "what ends far below is left out"
    low, high = end_limits([rise, far]) or (0, 0)
    assert high - low > 3, "of two curves neither is"


def test_nothing_to_draw(tmp_path: Path) -> None:
    folder = fabricate(tmp_path)
    for path in folder.glob("*/curve.csv"):
        path.unlink()
    assert draw_curves(read_results(folder)) is None


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_any_label_can_be_drawn(tmp_path: Path, kind: str) -> None:
    row = {**rows_of_table_1()[-1], "label": "_m\nodel% ^ $\\frac{$"}
    assert len(figure_bytes(draw(fabricate(tmp_path, rows=[row])), kind)) > 1000


def test_of_many_rows_those_that_end_highest_are_drawn_in_their_order() -> None:
    assert most([3.0, 1.0, 2.0], lambda value: value) == [3.0, 1.0, 2.0]
    many = [float(place * 7 % 50) for place in range(50)]
    assert most(many, lambda value: value) == [value for value in many if value >= 50 - MOST]
