"""Figure 6: validation PSNR against training iterations, a line a row.

Legible in grey: with modules to tell rows apart, the first one decides solid or dashed and the others the colour, and
every row has its own marker. Drawn on a figure of its own; the caller's matplotlib settings are left alone.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain, pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeVar

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from PIL import Image

from bench.analysis.results import Results, RowResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (4.8, 3.7)  # inches: the text width of a plain article
DPI = 200
MOST = 24  # rows in a figure: with more nobody finds one in it
T = TypeVar("T")
_COLOURS = 256
# Okabe and Ito's colours, safe for the colour-blind; the first four also differ as greys.
OKABE_ITO = ("#000000", "#56B4E9", "#D55E00", "#0072B2", "#E69F00", "#009E73", "#CC79A7")
REFERENCE = "#7F7F7F"
_END = 0.75  # from which part of the iterations on the picture in the picture shows them
_INSET = (0.57, 0.09, 0.41, 0.4)  # where: left, bottom, width and height as parts of the axes
_MARKERS = "osD^vPX<>phd"
_DASHES = ((), (4, 1.5), (1, 1.2), (5, 1.2, 1, 1.2))
_SETTINGS = {
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "text.parse_math": False,  # a label may hold a dollar sign
    "font.size": 8,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 7,
    "axes.linewidth": 0.7,
    "pdf.fonttype": 42,  # text stays text: journals refuse Type 3 fonts
}


@dataclass(frozen=True)
class Style:
    """How a row's line looks; an empty `dashes` is a solid line."""

    color: str
    dashes: tuple[float, ...]
    marker: str
    width: float = 1.3

    @property
    def line(self) -> dict[str, Any]:
        """The style in matplotlib's words."""
        return {
            "color": self.color,
            "linewidth": self.width,
            "linestyle": (0, self.dashes) if self.dashes else "-",
            "marker": self.marker,
            "markersize": 4,
            "markeredgewidth": 0.3,
            "markeredgecolor": "white",
        }


def draw_curves(results: Results) -> Figure | None:
    """Draw the mean curve of every row over its seeds, with a band of one standard deviation for several seeds.

    Where curves leave room, the last quarter of the iterations is enlarged in a picture in the picture. Runs that
    failed are left out, and of many rows those that end low; returns None when there is no curve at all.
    """
    # Styles are chosen over all rows, so that a row looks the same whichever others have a curve.
    styled = list(zip(results.rows, choose_styles(results.rows, results.modules), strict=True))
    styled = [(row, style) for row, style in styled if _points(row)]
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


def new_figure(size: tuple[float, float]) -> Figure:
    """Return an empty figure of this size in inches, with a canvas of its own."""
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """Return a figure as "png" or "pdf" without dates or versions: the same figure gives the same bytes.

    Its parts are placed once, however often it is saved.
    """
    kept: dict[str, dict[str, Any]] = {
        "png": {"metadata": {"Software": None}},
        "pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
    }
    out = io.BytesIO()
    with settings():
        if figure.get_layout_engine() is not None:
            figure.draw_without_rendering()
            figure.set_layout_engine(None)
        figure.savefig(out, format=kind, dpi=DPI, **kept[kind])
    return _in_few_colours(out) if kind == "png" else out.getvalue()


def _in_few_colours(picture: io.BytesIO) -> bytes:
    """Return a PNG of lines and letters with the 256 colours that fit it best, a third as large."""
    out = io.BytesIO()
    colours = Image.open(picture).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    colours.save(out, "PNG", optimize=True)
    return out.getvalue()


def choose_styles(rows: Sequence[RowResult], modules: Sequence[str]) -> list[Style]:
    """Return a style a row, no two alike for up to twelve rows.

    Among rows with modules: solid with the first module and dashed without, a colour for each set of the others. Rows
    without are thin and grey beside those; with no modules at all every row has its own colour.
    """
    styles: list[Style] = []
    sets: dict[tuple[bool, ...], int] = {}
    plain = 0
    for index, row in enumerate(rows):
        marker = _MARKERS[index % len(_MARKERS)]
        if row.modules and modules:
            others = tuple(row.modules.get(name, False) for name in modules[1:])
            color = OKABE_ITO[sets.setdefault(others, len(sets)) % len(OKABE_ITO)]
            styles.append(Style(color, _DASHES[0] if row.modules.get(modules[0]) else _DASHES[1], marker))
        elif modules:
            styles.append(Style(REFERENCE, _DASHES[2 + plain % 2], marker, width=1.0))
            plain += 1
        else:
            styles.append(Style(OKABE_ITO[index % len(OKABE_ITO)], _DASHES[index % len(_DASHES)], marker))
    return styles


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


def settings() -> AbstractContextManager[None]:
    """Set matplotlib's defaults with our sizes for as long as we draw, whatever the caller has set."""
    settings: dict[Any, Any] = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")}
    return matplotlib.rc_context(settings | dict(sns.axes_style("ticks")) | _SETTINGS)


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
