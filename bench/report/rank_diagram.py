"""The critical-difference diagram: rows on an axis of average ranks, joined where no difference can be claimed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from bench.analysis.ranks import Ranking
from bench.core.errors import UserError
from bench.report.style import DPI, PALETTE, REFERENCE, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

_WIDTH = 4.8  # inches: the text width of a plain article
_LINE = 0.17  # inches a line of text
_LETTER = 0.07  # inches a letter
_INK = "#444444"
_ABOVE = 2.4  # lines above the axis: its numbers, and the bar of the critical difference


def draw_ranks(ranking: Ranking) -> Figure:
    """Draw average ranks, the best at the left, with the critical difference as a bar above the axis.

    Raises UserError without scikit-posthocs, and for a ranking of too few blocks to have been tested.
    """
    try:
        from scikit_posthocs import critical_difference_diagram
    except ImportError:
        raise UserError(
            "the diagram needs scikit-posthocs, which is not installed: pip install 'fsr-bench[ranks]'"
        ) from None
    if math.isnan(ranking.critical):
        raise UserError(f"{ranking.blocks} blocks: no test, so there is nothing to join rows by")
    alike = [[float(any({a, b} <= {*group} for group in ranking.groups)) for b in ranking.rows] for a in ranking.rows]
    with settings():
        figure = Figure(figsize=(_WIDTH, 1.0), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        drawn = critical_difference_diagram(
            dict(zip(ranking.rows, ranking.average, strict=True)),
            pd.DataFrame(alike, index=ranking.rows, columns=ranking.rows),
            ax=axes,
            label_fmt_left="{label}  {rank:.2f}",
            label_fmt_right="{rank:.2f}  {label}",
            label_props={"size": 8},
            color_palette=dict.fromkeys(ranking.rows, REFERENCE),
            marker_props={"s": 16, "color": _INK, "linewidths": 0, "clip_on": False},
            elbow_props={"linewidth": 0.7, "solid_joinstyle": "miter"},
            crossbar_props={"color": PALETTE["blue"], "linewidth": 2.6, "solid_capstyle": "round", "clip_on": False},
        )
        _spread(drawn["labels"], drawn["elbows"], len(ranking.rows))
        _finish(figure, axes, ranking)
    return figure


def _spread(labels: Sequence[Text], elbows: Sequence[Line2D], worst: int) -> None:
    """Put the labels beside the axis, where no elbow can run into them, and in black.

    Those at the right lie half a line lower, so that the elbows of neighbours do not look like one line.
    """
    gap = 0.012 * (worst - 1)
    for label, elbow in zip(labels, elbows, strict=True):
        left = label.get_horizontalalignment() == "right"
        x, y = (1 - gap, label.get_position()[1]) if left else (worst + gap, label.get_position()[1] - 0.5)
        label.set(x=x - gap if left else x + gap, y=y, color="black")
        rank = np.asarray(elbow.get_xdata())[-1]
        elbow.set(xdata=[x, rank, rank], ydata=[y, y, 0], clip_on=False)


def _finish(figure: Figure, axes: Axes, ranking: Ranking) -> None:
    """Show the whole range of ranks, one line of text a unit of height, and the critical difference above."""
    worst = len(ranking.rows)
    low = min(text.get_position()[1] for text in axes.texts) - 0.6
    axes.set_xlim(1, worst)
    axes.set_ylim(low, _ABOVE)
    longest = sum(
        max((len(text.get_text()) for text in axes.texts if text.get_horizontalalignment() == side), default=0)
        for side in ("left", "right")
    )
    figure.set_size_inches(_WIDTH + _LETTER * max(longest - 36, 0), _LINE * (_ABOVE - low) + 0.1)
    axes.xaxis.set_major_locator(MultipleLocator(1 if worst <= 15 else 5))
    axes.tick_params(axis="x", length=3, pad=1.5)
    axes.spines["top"].set(linewidth=0.7, color=_INK)
    end = 1 + ranking.critical
    axes.plot([1, end], [1.75, 1.75], color="black", linewidth=1.0, marker="|", markersize=5, clip_on=False)
    axes.text((1 + min(end, worst)) / 2, 2.0, f"critical difference {ranking.critical:.2f}", ha="center", va="bottom")
