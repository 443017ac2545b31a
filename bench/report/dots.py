"""Figures of numbers with intervals: effects one below another, and gains against size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from bench.analysis.results import Results, RowResult
from bench.report.curves import most, row_legend
from bench.report.style import PALETTE, REFERENCE, WIDTH, new_figure, row_style, settings

_MARKERS = (("o", PALETTE["blue"], True), ("D", REFERENCE, False))  # measured, published


@dataclass(frozen=True)
class Dots:
    """A series: a name, a label a dot, and mean, low and high of each."""

    title: str
    names: Sequence[str]
    values: Sequence[tuple[float, float, float]]


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
    """Draw series of dots with intervals, one name a line, the first at the top."""
    names = series[0].names
    with settings():
        figure = new_figure((WIDTH, 0.9 + 0.3 * len(names)))
        axes = figure.add_subplot()
        for place, (dots, (marker, color, filled)) in enumerate(zip(series, _MARKERS, strict=False)):
            means, lows, highs = np.array(dots.values).T
            axes.errorbar(
                means,
                np.arange(len(means)) + 0.16 * (2 * place - len(series) + 1),
                xerr=[means - lows, highs - means],
                fmt=marker,
                color=color,
                markerfacecolor=color if filled else "white",
                markersize=4.5,
                elinewidth=1.1,
                label=dots.title,
            )
        axes.axvline(0, color="#444444", linewidth=0.7, zorder=0)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel(label)
        axes.grid(axis="x", linewidth=0.4, color="#DDDDDD")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        sns.despine(ax=axes, left=True)
        axes.tick_params(axis="y", length=0)
    return figure


def draw_sizes(results: Results, marked: Sequence[Marked]) -> Figure:
    """Draw gains against parameters and against multiply-adds, side by side."""
    marked = most(marked, lambda point: math.inf if point.line else point.mean)
    styles = {id(point): row_style(results, point.row) for point in marked}
    with settings():
        figure = new_figure((WIDTH, 3.4))
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, what in ((left, "parameters"), (right, "multiply_adds")):
            joined = sorted((getattr(point, what), point.mean) for point in marked if point.line)
            axes.plot(*zip(*joined, strict=True), color=REFERENCE, linewidth=0.8, dashes=(4, 2), zorder=0)
            for point in marked:
                axes.errorbar(
                    getattr(point, what),
                    point.mean,
                    yerr=[[point.mean - point.low], [point.high - point.mean]],
                    **styles[id(point)].line | {"markersize": 4.5, "elinewidth": 0.7, "alpha": 0.95},
                )
            axes.axhline(0, color="#444444", linewidth=0.7, zorder=0)
            axes.grid(axis="y", linewidth=0.4, color="#DDDDDD")
        left.set(xlabel="Parameters (M)", ylabel="Gain in PSNR (dB)")
        right.set(xlabel="Multiply-adds (G)")
        row_legend(figure, [(point.row, styles[id(point)]) for point in marked], lines=False)
        sns.despine(figure)
    return figure
