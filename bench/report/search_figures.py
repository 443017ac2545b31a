"""Figures of a search: trials as lines over parallel axes, and what each hyper-parameter explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from bench.report.curves import DPI, OKABE_ITO, REFERENCE, settings
from bench.schedule.search.importance import Importance
from bench.schedule.search.record import SearchRecord, TrialRecord
from bench.schedule.search.space import Dimension

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

_WIDTH = 4.8  # inches: the text width of a plain article
_AXIS = 0.95  # inches from one axis to the next, at least
_INK = "#444444"
_PALE = "#C4C4C4"
_LEAST = 2  # finished trials: fewer have no colours to tell apart
_ALPHA = 0.05


def draw_parallel(record: SearchRecord) -> Figure | None:
    """Draw a line a trial through its values to its PSNR; None with fewer than two finished trials.

    Trials that were stopped early are pale and end before the axis of PSNR: theirs is that of another iteration.
    """
    finished = record.finished()
    if len(finished) < _LEAST:
        return None
    scale = _Scale([trial.psnr for trial in finished if trial.psnr is not None])
    stopped = [trial for trial in record.trials if trial.status == "stopped"]
    best = max(finished, key=lambda trial: trial.psnr or -math.inf)
    with settings():
        count = len(record.space)
        figure = Figure(figsize=(max(_WIDTH, _AXIS * (count + 1)), 3.3), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for place, dimension in enumerate(record.space):
            _draw_axis(axes, place, dimension)
        _draw_scale(axes, count, scale)
        for trial in stopped:
            axes.plot(*_points(record, trial), color=_PALE, linewidth=0.7, zorder=1, solid_joinstyle="round")
        for trial in sorted(finished, key=lambda trial: trial.psnr or -math.inf):
            end = scale.place(trial.psnr or 0.0)
            x, y = _points(record, trial)
            style: dict[str, Any] = {"color": scale.color(end), "linewidth": 1.1, "zorder": 2}
            if trial is best:
                style = {"color": "black", "linewidth": 1.9, "zorder": 3}
            axes.plot([*x, count], [*y, end], solid_joinstyle="round", **style)
        axes.set_xlim(-0.45, count + 0.35)
        axes.set_ylim(-0.04, 1.04)
        axes.set_axis_off()
        _legend(figure, best, len(finished), len(stopped))
    return figure


def draw_importance(found: Sequence[Importance]) -> Figure:
    """Draw the share that each hyper-parameter explains as a bar, the most at the top, with chance as a tick."""
    with settings():
        figure = Figure(figsize=(_WIDTH, 1.0 + 0.32 * len(found)), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for place, one in enumerate(found):
            sure = one.p < _ALPHA
            color = OKABE_ITO[3]
            axes.barh(place, one.share, 0.55, facecolor=color if sure else "white", edgecolor=color, linewidth=0.9)
            axes.plot([one.chance] * 2, [place - 0.38, place + 0.38], color=_INK, linewidth=1.4, solid_capstyle="butt")
        axes.set_yticks(range(len(found)), [one.dimension.name for one in found])
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.set_xlim(0, 1)
        axes.set_xlabel("Share of the variance of PSNR ranks explained, less chance")
        axes.grid(axis="x", linewidth=0.4, color="#DDDDDD")
        axes.set_axisbelow(True)
        figure.legend(handles=_importance_keys(found), loc="outside lower center", ncols=3, frameon=False)
        sns.despine(ax=axes, left=True)
        axes.tick_params(axis="y", length=0)
    return figure


class _Scale:
    """PSNR on the last axis: from 0 at the worst finished trial to 1 at the best, and its colours."""

    def __init__(self, values: Sequence[float]) -> None:
        # A few trials far below the others would press those into one point: they are drawn at the foot.
        low, middle = np.quantile(values, [0.0, 0.5])
        self.high = max(values)
        self.low = max(float(low), float(self.high - 4 * (self.high - middle)))
        if self.high - self.low < 1e-6:
            self.low = self.high - 0.1
        self.cut = self.low > low
        self.map: Colormap = sns.color_palette("viridis_r", as_cmap=True)

    def place(self, psnr: float) -> float:
        return max(0.0, (psnr - self.low) / (self.high - self.low))

    def color(self, place: float) -> Any:
        return self.map(0.08 + 0.84 * place)  # the ends of viridis are too light and too dark for lines


def _points(record: SearchRecord, trial: TrialRecord) -> tuple[list[float], list[float]]:
    """Return where a trial's line runs; lines of equal choices lie a little beside each other."""
    count = len(record.trials)
    beside = (trial.number - (count + 1) / 2) / max(count, 1)
    places = []
    for dimension in record.space:
        place, room = _place(dimension, trial.values[dimension.key])
        places.append(place + beside * room)
    return [float(x) for x in range(len(places))], places


def _place(dimension: Dimension, value: Any) -> tuple[float, float]:
    """Return the height of a value on its axis, from 0 to 1, and the room that lines have around it."""
    if dimension.kind == "choice":
        count = len(dimension.values)
        return (dimension.values.index(value) + 0.5) / count, min(0.12, 0.5 / count)
    low, high = (float(end) for end in dimension.values)
    if dimension.kind == "loguniform":
        return math.log(value / low) / math.log(high / low), 0.0
    return (value - low) / (high - low), 0.0


def _draw_axis(axes: Axes, x: float, dimension: Dimension) -> None:
    axes.plot([x, x], [0, 1], color=_INK, linewidth=0.8, zorder=4)
    for value in _ticks(dimension):
        place, _ = _place(dimension, value)
        axes.plot([x - 0.025, x], [place, place], color=_INK, linewidth=0.8, zorder=4)
        _label(axes, x - 0.05, place, _short(value), ha="right", fontsize=6.5)
    log = "\n(log)" if dimension.kind == "loguniform" else "\n"
    _label(axes, x, 1.05, dimension.name.replace("_", " ") + log, ha="center", va="bottom", fontsize=7.5)


def _label(axes: Axes, x: float, y: float, text: str, **how: Any) -> None:
    """Write beside an axis, over the lines but legible."""
    halo = [withStroke(linewidth=2.2, foreground="white")]
    axes.text(x, y, text, **{"va": "center", "color": _INK, "zorder": 5, "path_effects": halo, **how})


def _ticks(dimension: Dimension) -> list[Any]:
    """Return the values that are written at an axis: choices, decades between the ends, or round numbers."""
    if dimension.kind == "choice":
        return list(dimension.values)
    low, high = dimension.values
    if dimension.kind == "loguniform":
        decades = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
        room = math.log(high / low) / 12
        inner = [one for one in decades if math.log(one / low) > room and math.log(high / one) > room]
        return [low, *inner[:: 1 + len(inner) // 5], high]
    return _round_ticks(low, high, dimension.kind == "randint")


def _round_ticks(low: float, high: float, whole: bool = False) -> list[Any]:
    """Return both ends and round numbers between them, with room for text."""
    room = (high - low) / 12
    inner = [float(one) for one in MaxNLocator(nbins=5, integer=whole).tick_values(low, high)]
    return [low, *(one for one in inner if low + room < one < high - room), high]


def _short(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return text if len(text) <= 14 else text[:13] + "…"
    text = f"{value:.3g}"
    return text.replace("e-0", "e-").replace("e+0", "e")


def _draw_scale(axes: Axes, x: float, scale: _Scale) -> None:
    """Draw the axis of PSNR as a strip of its colours."""
    strip = np.array([scale.color(place)[:3] for place in np.linspace(0, 1, 128)])[:, None, :]
    axes.imshow(strip, extent=(x, x + 0.07, 0, 1), origin="lower", aspect="auto", zorder=4)
    decimals = 2 if scale.high - scale.low > 0.08 else 3
    for psnr in _round_ticks(scale.low, scale.high):
        text = f"{psnr:.{decimals}f}"
        at_foot = "≤" if scale.cut and psnr == scale.low else ""
        _label(axes, x + 0.11, scale.place(psnr), at_foot + text, ha="left", fontsize=6.5)
    _label(axes, x, 1.05, "PSNR\n(dB)", ha="center", va="bottom", fontsize=7.5)


def _legend(figure: Figure, best: TrialRecord, finished: int, stopped: int) -> None:
    handles = [
        Line2D([], [], color="black", linewidth=1.9, label=f"best: trial {best.number}"),
        Line2D([], [], color=REFERENCE, linewidth=1.1, label=f"{finished} finished, by PSNR"),
    ]
    if stopped:
        handles.append(Line2D([], [], color=_PALE, linewidth=0.9, label=f"{stopped} stopped early"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)


def _importance_keys(found: Sequence[Importance]) -> list[Any]:
    from matplotlib.patches import Patch

    color, keys = OKABE_ITO[3], []
    if any(one.p < _ALPHA for one in found):
        keys.append(Patch(facecolor=color, edgecolor=color, label="p < 0.05"))
    if any(one.p >= _ALPHA for one in found):
        keys.append(Patch(facecolor="white", edgecolor=color, label="not told from chance"))
    return [*keys, Line2D([], [], color=_INK, linewidth=1.4, label="chance, 95%")]
