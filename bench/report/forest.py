"""A forest plot: claims one below another, each interval beside the paper's value and its margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from bench.metrics.catalogue import get_metric
from bench.papers.judge import Finding
from bench.papers.verdict import Verdict
from bench.report.style import GRID, INK, PALETTE, REFERENCE, WIDE, new_figure, settings

_HEIGHT = 0.27  # inches a row
_BAND = 0.56  # how high a margin is drawn, in rows


@dataclass(frozen=True)
class ForestRow:
    """A claim in the picture: what was measured with its interval, beside what the paper says, in `unit`.

    `paper` is the paper's value, None where it prints none or one that cannot be compared. Within `band` an interval
    confirms the claim; None where a side of 0 decides.
    """

    label: str
    paper: float | None
    band: tuple[float, float] | None
    estimate: float
    low: float
    high: float
    verdict: str
    unit: str


def forest_rows(findings: Sequence[Finding]) -> list[ForestRow]:
    """Return the rows of a forest plot: of scored differences and effects those of the commonest unit, in their order.

    Ranks, and the least of many rows' gains, are in other ranges and are left out.
    """
    shown = [one for one in findings if one.claim.kind in ("difference", "effect", "changed")]
    units = [get_metric(one.metric).unit for one in shown if one.estimate]
    most = max(units, key=units.count, default="")
    return [
        ForestRow(
            one.text,
            one.published.value if one.published and one.band else None,
            one.band,
            one.estimate.mean,
            one.estimate.low,
            one.estimate.high,
            str(one.verdict),
            most,
        )
        for one in shown
        if one.estimate and math.isfinite(one.estimate.low) and get_metric(one.metric).unit == most
    ]


def draw_forest(rows: Sequence[ForestRow]) -> Figure:
    """Draw each interval on a line of its own, the first at the top, with its verdict at the right.

    A diamond is the paper's value, a grey band what confirms it; a hollow dot is inconclusive.
    """
    places = np.arange(len(rows))
    with settings():
        figure = new_figure((WIDE, 0.95 + _HEIGHT * len(rows)))
        axes = figure.add_subplot()
        for place, row in zip(places, rows, strict=True):
            if row.band is not None:
                corner, width = (row.band[0], place - _BAND / 2), row.band[1] - row.band[0]
                axes.add_patch(Rectangle(corner, width, _BAND, color=GRID, linewidth=0, zorder=1))
            if row.paper is not None:
                axes.plot(row.paper, place, "D", color=REFERENCE, markerfacecolor="white", markersize=4.5, zorder=2)
            axes.errorbar(
                row.estimate,
                place,
                xerr=[[row.estimate - row.low], [row.high - row.estimate]],
                fmt="o",
                color=PALETTE["blue"],
                markerfacecolor="white" if row.verdict == Verdict.INCONCLUSIVE else PALETTE["blue"],
                markersize=4.5,
                elinewidth=1.3,
                zorder=3,
            )
        axes.axvline(0, color=INK, linewidth=0.7, zorder=1.5)
        axes.set_yticks(places, [row.label for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(f"Difference ({rows[0].unit}), 95% intervals" if rows[0].unit else "Difference, 95% intervals")
        axes.grid(axis="x", linewidth=0.4, color=GRID)
        axes.set_axisbelow(True)
        verdicts = axes.secondary_yaxis("right")
        verdicts.set_yticks(places, [row.verdict for row in rows])
        verdicts.tick_params(length=0)
        verdicts.spines["right"].set_visible(False)
        _legend(figure)
        sns.despine(ax=axes, left=True)
        axes.tick_params(axis="y", length=0)
    return figure


def _legend(figure: Figure) -> None:
    dot: dict[str, Any] = {"marker": "o", "color": PALETTE["blue"], "markersize": 4.5, "linewidth": 1.3}
    hollow = dot | {"markerfacecolor": "white"}
    diamond = hollow | {"marker": "D", "color": REFERENCE, "linewidth": 0}
    handles = [
        Line2D([], [], label="measured", **dot),
        Line2D([], [], label="measured, inconclusive", **hollow),
        Line2D([], [], label="paper", **diamond),
        Patch(color=GRID, label="within the margin"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
