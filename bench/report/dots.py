"""Figures of numbers with intervals: effects one below another, and gains against size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from bench.analysis.results import Results, RowResult
from bench.report.curves import most, row_legend
from bench.report.style import GRID, INK, PALETTE, REFERENCE, WIDTH, new_figure, row_style, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SERIES = tuple(zip(("blue", "vermillion", "green", "orange", "purple", "sky"), "osD^vP", strict=True))
_FAR = 3.0  # interquartile ranges beyond the quartiles: a gain out there would squash the others
_NEAR = 1.02  # sizes less than this apart count as one
_ALIKE = 2  # sizes that need no picture


@dataclass(frozen=True)
class Dots:
    """A series: a name, a label a dot, and mean, low and high of each; `printed` ones were not measured here."""

    title: str
    names: Sequence[str]
    values: Sequence[tuple[float, float, float]]
    printed: bool = False


@dataclass(frozen=True)
class Marked:
    """A row in the picture of sizes: parameters (M), multiply-adds (G), gain with its interval (dB).

    The points of rows with `line` are joined.
    """

    row: RowResult
    parameters: float
    multiply_adds: float
    mean: float
    low: float
    high: float
    line: bool


def draw_dots(series: Sequence[Dots], label: str) -> Figure:
    """Draw series of dots with intervals on one axis, one name a line, the first at the top."""
    names = series[0].names
    with settings():
        figure = new_figure((WIDTH, 1.0 + (0.14 + 0.08 * len(series)) * len(names)))
        axes = figure.add_subplot()
        for place, dots in enumerate(series):
            color, marker = (REFERENCE, "D") if dots.printed else _look(place)
            means, lows, highs = np.array(dots.values).T
            axes.errorbar(
                means,
                np.arange(len(means)) + 0.7 * ((place + 0.5) / len(series) - 0.5),
                xerr=None if dots.printed else [means - lows, highs - means],
                fmt=marker,
                color=color,
                markerfacecolor="white" if dots.printed else color,
                markersize=4,
                elinewidth=1.0,
                label=dots.title,
            )
        axes.axvline(0, color=INK, linewidth=0.7, zorder=0)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel(label)
        axes.grid(axis="x", linewidth=0.4, color=GRID)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        sns.despine(ax=axes, left=True)
        axes.tick_params(axis="y", length=0)
    return figure


def _look(place: int) -> tuple[str, str]:
    color, marker = _SERIES[place % len(_SERIES)]
    return PALETTE[color], marker


def differ_in_size(points: Sequence[Marked]) -> bool:
    """Tell whether rows are of more than two sizes, so that a picture of gains against size has something to show."""
    sizes = sorted({point.parameters for point in points})
    apart = sum(b > _NEAR * a for a, b in itertools.pairwise(sizes))
    return apart + 1 > _ALIKE


def draw_sizes(results: Results, panels: Mapping[str, Sequence[Marked]]) -> Figure:
    """Draw gains against parameters and against multiply-adds side by side, a line of panels a test set by its title.

    All panels have one scale of gains. What lies far beyond the others is drawn at the border, with its gain.
    """
    shown = {
        title: most(points, lambda point: math.inf if point.line else point.mean) for title, points in panels.items()
    }
    limits = gain_limits([point for points in shown.values() for point in points])
    with settings():
        figure = new_figure((WIDTH, 1.0 + 1.6 * len(shown) if len(shown) > 1 else 3.4))
        grid = figure.subplots(len(shown), 2, sharey=True, sharex="col", squeeze=False)
        for (left, right), (title, points) in zip(grid, shown.items(), strict=True):
            _draw_panel(results, left, points, "parameters", limits)
            _draw_panel(results, right, points, "multiply_adds", limits)
            left.set(ylabel="Gain in PSNR (dB)")
            left.set_title(title if len(shown) > 1 else "", loc="left", fontweight="bold")
        grid[-1][0].set(xlabel="Parameters (M)")
        grid[-1][1].set(xlabel="Multiply-adds (G)")
        grid[0][0].set_ylim(*limits)
        rows = dict.fromkeys(point.row for points in shown.values() for point in points)
        row_legend(figure, [(row, row_style(results, row)) for row in rows], lines=False)
        sns.despine(figure)
    return figure


def gain_limits(points: Sequence[Marked]) -> tuple[float, float]:
    """Return limits in dB that hold all gains but those far beyond the quartiles, and the intervals of most."""
    means = np.array([point.mean for point in points if math.isfinite(point.mean)] or [0.0])
    first, third = np.quantile(means, [0.25, 0.75])
    reach = _FAR * max(third - first, 0.02)
    near = means[(means >= first - reach) & (means <= third + reach)]
    widths = [half for point in points if math.isfinite(half := (point.high - point.low) / 2)]
    margin = float(np.median(widths)) if widths else 0.0
    span = float(near.max() - near.min()) or 0.1
    return float(near.min()) - margin - 0.08 * span, float(near.max()) + margin + 0.08 * span


def _draw_panel(results: Results, axes: Axes, points: Sequence[Marked], what: str, limits: tuple[float, float]) -> None:
    """Draw the points of a test set; the arrow of one beyond the limits says how far it lies."""
    joined = sorted((getattr(point, what), point.mean) for point in points if point.line)
    axes.plot(*zip(*joined, strict=True), color=REFERENCE, linewidth=0.8, dashes=(4, 2), zorder=0)
    for point in points:
        place, style = getattr(point, what), row_style(results, point.row)
        inside = limits[0] <= point.mean <= limits[1]
        look = style.line | {"elinewidth": 0.7, "alpha": 0.95}
        at = min(max(point.mean, limits[0]), limits[1])
        error = [[point.mean - point.low], [point.high - point.mean]] if inside else None
        axes.errorbar(place, at, yerr=error, clip_on=inside, **look)
        if not inside:
            arrow, above = ("↓", 6) if point.mean < limits[0] else ("↑", -6)
            axes.annotate(
                f"{point.mean:+.2f} {arrow}", (place, at), (0, above), textcoords="offset points", ha="center", size=6
            )
    axes.axhline(0, color=INK, linewidth=0.7, zorder=0)
    axes.grid(axis="y", linewidth=0.4, color=GRID)
