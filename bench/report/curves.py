"""Figure 6: validation PSNR against training iterations, a line a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, pairwise
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from bench.analysis.results import Results, RowResult
from bench.report.style import WIDTH, Style, new_figure, row_style, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (WIDTH, 3.7)  # inches
MOST = 24  # rows in a figure: with more nobody finds one in it
T = TypeVar("T")
_END = 0.75  # from which part of the iterations on the picture in the picture shows them
_INSET = (0.57, 0.09, 0.41, 0.4)  # where: left, bottom, width and height as parts of the axes


def draw_curves(results: Results) -> Figure | None:
    """Draw the mean curve of every row over its seeds, with a band of one standard deviation for several seeds.

    Where curves leave room, the last quarter of the iterations is enlarged in a picture in the picture. Runs that
    failed are left out, and of many rows those that end low; returns None when there is no curve at all.
    """
    styled = [(row, row_style(results, row)) for row in results.rows if _points(row)]
    if not styled:
        return None
    styled = most(styled, lambda shown: max(_points(shown[0]))[1])
    curves = [_points(row) for row, _ in styled]
    with settings():
        figure = new_figure(SIZE)
        axes = figure.add_subplot()
        axes.set(xlabel="Training iteration", ylabel="Validation PSNR (dB)")
        last = max(iteration for curve in curves for iteration, _ in curve)
        _draw_rows(axes, styled, (0, 1.015 * last or 1), psnr_limits(curves), last)
        if (end := end_limits(curves)) is not None:
            inset = axes.inset_axes(_INSET)
            _draw_rows(inset, styled, (_END * last, 1.005 * last), end, last)
            inset.tick_params(labelsize=6.5, length=2)
            inset.set(xlabel="", ylabel="")
        row_legend(figure, styled)
        sns.despine(ax=axes)
    return figure


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


def _draw_rows(
    axes: Axes,
    styled: Sequence[tuple[RowResult, Style]],
    iterations: tuple[float, float],
    psnr: tuple[float, float],
    last: int,
) -> None:
    """Draw all curves between limits; the iterations count in thousands when the last one is large."""
    for index, (row, style) in enumerate(styled):
        _draw_row(axes, row, style, index, shade=min(0.15, 0.6 / len(styled)))
    axes.set_xlim(*iterations)
    axes.set_ylim(*psnr)
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands if last >= 10_000 else _plain))
    axes.grid(axis="y", linewidth=0.4, color="#DDDDDD")


def _draw_row(axes: Axes, row: RowResult, style: Style, index: int, shade: float) -> None:
    """Draw the mean over seeds, and a band of one standard deviation where there are several."""
    points = pd.DataFrame(_points(row), columns=["iteration", "psnr"]).groupby("iteration")["psnr"]
    mean, spread = points.mean(), points.std()
    every = max(1, len(mean) // 8)
    axes.plot(mean.index, mean, label=row.label, markevery=(index % every, every), **style.line)
    if len({run.name for run in row.runs if run.curve and run.status != "failed"}) > 1:
        axes.fill_between(mean.index, mean - spread, mean + spread, color=style.color, alpha=shade, linewidth=0)


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
