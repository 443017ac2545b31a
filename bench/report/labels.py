"""Labels beside the ends of lines, none over another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import isotonic_regression

from bench.report.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT = 1.045  # where labels begin, as a part of the axes' width
_LEADING = 1.2  # between baselines, in letters' sizes


@dataclass(frozen=True)
class EndLabel:
    """A text for the end of a line at (x, y); `color` is that of the thin line that leads to it."""

    text: str
    x: float
    y: float
    color: str
    size: float = 6.5
    strong: bool = False


def label_ends(axes: Axes, labels: Sequence[EndLabel]) -> None:
    """Write labels right of the axes, each as near to its line's end as the others leave room for.

    The axes' limits must be set; the figure is laid out for it.
    """
    if not labels:
        return
    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]
    height = axes.get_window_extent().height * 72 / figure.dpi
    low, high = axes.get_ylim()
    wanted = [min(max((label.y - low) / (high - low), 0.0), 1.0) for label in labels]
    gap = _LEADING * max(label.size for label in labels) / height
    for label, place in zip(labels, spread(wanted, gap), strict=True):
        axes.annotate(
            label.text,
            (label.x, min(max(label.y, low), high)),
            (_LEFT, place),
            textcoords="axes fraction",
            va="center",
            ha="left",
            fontsize=label.size,
            fontweight="bold" if label.strong else "normal",
            color="black" if label.strong else INK,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "linewidth": 0.5,
                "color": label.color,
                "shrinkA": 1,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return the places nearest to those that are wanted (least squares), in their order and at least `gap` apart.

    They lie within [0, 1], unless there are too many.
    """
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    free = isotonic_regression(np.asarray(wanted, float)[order] - steps).x
    placed = np.empty(len(wanted))
    placed[order] = np.clip(free, 0, max(1 - steps[-1], 0)) + steps
    return [float(place) for place in placed]
