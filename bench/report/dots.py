"""Figures of numbers with intervals: effects one below another, and gains against size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.analysis.results import RowResult
from bench.report.curves import DPI, OKABE_ITO, REFERENCE, choose_styles, row_legend, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 4.8  # inches: the text width of a plain article
_MARKERS = (("o", OKABE_ITO[3], True), ("D", REFERENCE, False))  # measured, published


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
        figure = _figure((_WIDTH, 0.9 + 0.3 * len(names)))
        axes = figure.add_subplot()
        for place, (one, (marker, color, filled)) in enumerate(zip(series, _MARKERS, strict=False)):
            shift = 0.16 * (2 * place - len(series) + 1)
            _draw_series(axes, one, shift, marker, color, filled)
        axes.axvline(0, color="#444444", linewidth=0.7, zorder=0)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel(label)
        axes.grid(axis="x", linewidth=0.4, color="#DDDDDD")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        sns.despine(ax=axes, left=True)
        axes.tick_params(axis="y", length=0)
    return figure


def draw_sizes(rows: Sequence[RowResult], modules: Sequence[str], marked: Sequence[Marked]) -> Figure:
    """Draw gains against parameters and against multiply-adds, side by side, in the styles of the curves of `rows`."""
    styles = dict(zip((row.label for row in rows), choose_styles(rows, modules), strict=True))
    with settings():
        figure = _figure((_WIDTH, 3.4))
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, what in ((left, "parameters"), (right, "multiply_adds")):
            joined = sorted((getattr(one, what), one.mean) for one in marked if one.line)
            axes.plot(*zip(*joined, strict=True), color=REFERENCE, linewidth=0.8, dashes=(4, 2), zorder=0)
            for one in marked:
                style = styles[one.row.label]
                axes.errorbar(
                    getattr(one, what),
                    one.mean,
                    yerr=[[one.mean - one.low], [one.high - one.mean]],
                    color=style.color,
                    marker=style.marker,
                    markersize=4.5,
                    markeredgewidth=0.3,
                    markeredgecolor="white",
                    elinewidth=0.7,
                    alpha=0.95,
                )
            axes.axhline(0, color="#444444", linewidth=0.7, zorder=0)
            axes.grid(axis="y", linewidth=0.4, color="#DDDDDD")
        left.set(xlabel="Parameters (M)", ylabel="Gain in PSNR (dB)")
        right.set(xlabel="Multiply-adds (G)")
        row_legend(figure, [(one.row, styles[one.row.label]) for one in marked], lines=False)
        sns.despine(figure)
    return figure


def _figure(size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_series(axes: Axes, one: Dots, shift: float, marker: str, color: str, filled: bool) -> None:
    means, lows, highs = zip(*one.values, strict=True)
    axes.errorbar(
        means,
        [place + shift for place in range(len(means))],
        xerr=[
            [mean - low for mean, low in zip(means, lows, strict=True)],
            [high - mean for mean, high in zip(means, highs, strict=True)],
        ],
        fmt=marker,
        color=color,
        markerfacecolor=color if filled else "white",
        markersize=4.5,
        elinewidth=1.1,
        label=one.title,
    )
