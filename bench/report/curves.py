"""Figure 6: validation PSNR against training iterations, a line a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from bench.analysis.results import Results, RowResult
from bench.report.highlight import highlights
from bench.report.labels import EndLabel, label_ends
from bench.report.style import FAINT, GRID, WIDTH, Style, new_figure, row_style, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (WIDTH, 3.4)  # inches
MOST = 24  # rows in a figure: with more nobody finds one in it
POINTS = "_points"  # the label of the dots of a row: none that a legend would show
T = TypeVar("T")
_DOTS = {"linestyle": "none", "markersize": 2, "markeredgewidth": 0, "alpha": 0.35, "markevery": 1, "zorder": 1.5}
_END = 0.75  # from which part of the iterations on the picture in the picture shows them
_INSET = (0.57, 0.09, 0.41, 0.4)  # where: left, bottom, width and height as parts of the axes


def draw_curves(results: Results) -> Figure | None:
    """Draw a line a row, its mean over seeds, smoothed; those of `in_colour` in colour and the others faint.

    Rows in colour have a band of one standard deviation over several seeds and dots where they were validated. Where
    curves leave room, the last quarter of the iterations is enlarged in a picture in the picture. Runs that failed are
    left out, and of many rows those that end low; returns None when there is no curve at all.
    """
    rows = drawn_rows(results)
    if not rows:
        return None
    curves = [_points(row) for row in rows]
    lines = [_line(results, row, in_colour(results)) for row in rows]
    with settings():
        figure = new_figure(SIZE)
        axes = figure.add_subplot()
        axes.set(xlabel="Training iteration", ylabel="Validation PSNR (dB)")
        last = max(iteration for curve in curves for iteration, _ in curve)
        _draw_lines(axes, lines, (0, 1.015 * last or 1), psnr_limits(curves), last)
        if (end := end_limits(curves)) is not None:
            inset = axes.inset_axes(_INSET)
            _draw_lines(inset, lines, (_END * last, 1.005 * last), end, last)
            inset.tick_params(labelsize=6.5, length=2)
            inset.set(xlabel="", ylabel="")
        sns.despine(ax=axes)
        label_ends(axes, [line.label for line in lines])
    return figure


def drawn_rows(results: Results) -> list[RowResult]:
    """Return the rows that the figure shows: those with a curve, and of many those that end highest."""
    return most([row for row in results.rows if _points(row)], lambda row: max(_points(row))[1])


def in_colour(results: Results) -> Mapping[RowResult, str]:
    """Return the rows that the figure shows in colour, and what each is."""
    return highlights(results, drawn_rows(results), lambda row: float(_smoothed(row)["mean"].iloc[-1]), "ends highest")


def smoothing(results: Results) -> int:
    """Return over how many validations the longest curve is smoothed; 1 for not at all."""
    return max((_window(len(_mean(row))) for row in drawn_rows(results)), default=1)


def most(items: Sequence[T], value: Callable[[T], float]) -> list[T]:
    """Return at most MOST of what a figure shows, those of the highest value, in their order."""
    if len(items) <= MOST:
        return list(items)
    chosen = sorted(range(len(items)), key=lambda place: value(items[place]), reverse=True)[:MOST]
    return [items[place] for place in sorted(chosen)]


def psnr_limits(curves: Sequence[Sequence[tuple[int, float]]]) -> tuple[float, float]:
    """Return limits in dB that give the second half of the curves about 45% of the height.

    The first points, far below, would else press everything that matters into a line; they are cut off.
    """
    last = max(iteration for curve in curves for iteration, _ in curve)
    values = [value for curve in curves for _, value in curve]
    late = [value for curve in curves for iteration, value in curve if iteration >= last / 2] or values
    top, span = max(values), max(max(values) - min(late), 0.1)
    bottom = max(min(values), top - 2.2 * span)
    margin = 0.04 * (top - bottom) or 0.05
    return bottom - margin, top + margin


def end_limits(curves: Sequence[Sequence[tuple[int, float]]]) -> tuple[float, float] | None:
    """Return limits in dB of the last quarter of the iterations, which a picture in the picture enlarges.

    Curves that end far below the others are left out of it. None where that quarter has fewer than three validations,
    or where curves leave no room for it, lower right.
    """
    last = max(iteration for curve in curves for iteration, _ in curve)
    bottom, top = psnr_limits(curves)
    late = [value for curve in curves for iteration, value in curve if iteration >= last / 2]
    ends = [[point for point in curve if point[0] >= _END * last] for curve in curves]
    steps = {iteration for end in ends for iteration, _ in end}
    if len(steps) < 3 or (min(late) - bottom) / (top - bottom) < _INSET[1] + _INSET[3]:
        return None
    values = list(chain.from_iterable(_upper([[value for _, value in end] for end in ends if end])))
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.05
    return low - margin, high + margin


def _upper(ends: list[list[float]]) -> list[list[float]]:
    """Return the curves above the widest gap between their means, where it is more than half of the range; else all."""
    ordered = sorted(ends, key=fmean)
    gaps = [fmean(above) - fmean(below) for below, above in pairwise(ordered)]
    if not gaps or max(gaps) <= sum(gaps) / 2 or (place := gaps.index(max(gaps)) + 1) > len(ordered) - 2:
        return ends
    return ordered[place:]


def _points(row: RowResult) -> list[tuple[int, float]]:
    """Return iteration and PSNR of every finite point of the row's runs that did not fail."""
    return [
        (point.iteration, point.psnr)
        for run in row.runs
        if run.status != "failed"
        for point in run.curve
        if math.isfinite(point.psnr)
    ]


@dataclass(frozen=True)
class _Line:
    """A row's line: mean and standard deviation over seeds, smoothed, by iteration, its points and its label.

    A faint line has no `style`.
    """

    row: RowResult
    curve: pd.DataFrame
    points: Sequence[tuple[int, float]]
    style: Style | None
    label: EndLabel


def _line(results: Results, row: RowResult, coloured: Mapping[RowResult, str]) -> _Line:
    style, curve = row_style(results, row) if row in coloured else None, _smoothed(row)
    text, color = _describe(row.label, row.modules), style.color if style else FAINT
    end = EndLabel(text, float(curve.index[-1]), float(curve["mean"].iloc[-1]), color, strong=style is not None)
    return _Line(row, curve, _points(row), style, end)


def _mean(row: RowResult) -> pd.DataFrame:
    """Return mean and sample standard deviation over seeds by iteration; that of one seed is NaN."""
    points = pd.DataFrame(_points(row), columns=["iteration", "psnr"]).groupby("iteration")["psnr"]
    return pd.DataFrame({"mean": points.mean(), "spread": points.std()})


def _smoothed(row: RowResult) -> pd.DataFrame:
    """Return `_mean` as a running mean over a tenth of the validations, with fewer at both ends."""
    curve = _mean(row)
    return curve.rolling(_window(len(curve)), center=True, min_periods=1).mean()


def _window(count: int) -> int:
    """Return the odd number of validations that are averaged: 1 for fewer than 20, else about a tenth."""
    return 2 * (count // 20) + 1


def _draw_lines(
    axes: Axes, lines: Sequence[_Line], iterations: tuple[float, float], psnr: tuple[float, float], last: int
) -> None:
    """Draw all lines between limits, faint ones first; iterations count in thousands when the last one is large."""
    for line in sorted(lines, key=lambda line: line.style is not None):
        mean, spread = line.curve["mean"], line.curve["spread"]
        if line.style is None:
            axes.plot(mean.index, mean, label=line.row.label, color=FAINT, linewidth=0.7)
            continue
        look = line.style.line | {"markevery": [-1]}
        axes.plot(*zip(*line.points, strict=True), label=POINTS, **look | _DOTS)
        axes.plot(mean.index, mean, label=line.row.label, **look)
        if spread.notna().any():
            color = line.style.color
            axes.fill_between(mean.index, mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
    axes.set_xlim(*iterations)
    axes.set_ylim(*psnr)
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands if last >= 10_000 else _plain))
    axes.grid(axis="y", linewidth=0.4, color=GRID)


def row_legend(figure: Figure, styled: Sequence[tuple[RowResult, Style]], lines: bool = True) -> None:
    """Put the legend below the axes, where no curve can run into it; without `lines` it shows markers alone."""
    handles = [
        Line2D([], [], label=_describe(row.label, row.modules), **style.line | ({} if lines else {"linewidth": 0}))
        for row, style in styled
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, handlelength=3.2, frameon=False, columnspacing=1.2
    )


def _describe(label: str, modules: Mapping[str, bool]) -> str:
    """Return a row's label with the modules that it has, e.g. "Model 5: ESEM+PA"."""
    has = "+".join(name for name, there in modules.items() if there)
    return f"{label}: {has or 'none'}" if modules else label


def _thousands(value: float, _: int) -> str:
    return f"{value / 1000:g}k" if value else "0"


def _plain(value: float, _: int) -> str:
    return f"{value:g}"
