"""What figures of a page draw beside means: validation curves, effects of modules, and scores image by image."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from bench.analysis.claims import scores_of
from bench.analysis.factorial import effects as effects_of
from bench.analysis.factorial import factorial_rows, measured_effects
from bench.analysis.intervals import Estimate
from bench.analysis.results import FaceSet, Results, RowResult
from bench.report.columns import beside_of, scored
from bench.report.interactive.record import Images, Trace, number, thousandths

IMAGE_METRICS = ("psnr", "ssim")
BLUE, GREY = "#3D9BD8", "#8A8F94"  # seen on white and on a dark page


def curves(results: Results) -> tuple[tuple[Trace, ...], ...]:
    """Return each row's validation curve, after its seeds' band where there are several; nothing without one."""
    return tuple(_curve(row) for row in results.rows)


def curves_about(results: Results) -> str:
    """Say what the curves show."""
    text = (
        f"PSNR on {results.val.faces:,} validation faces of {results.val.dataset}, protocol {results.protocol}, during "
        "training."
    )
    return text + (" Lines are means over seeds, bands one standard deviation." if len(results.seeds) > 1 else "")


def _curve(row: RowResult) -> tuple[Trace, ...]:
    points: dict[int, list[float]] = {}
    for run in row.runs:
        for point in run.curve if run.status != "failed" else ():
            if math.isfinite(point.psnr):
                points.setdefault(point.iteration, []).append(point.psnr)
    if not points:
        return ()
    x = sorted(points)
    mean = [statistics.fmean(points[i]) for i in x]
    line = {"x": x, "y": [number(value, 6) for value in mean], "mode": "lines+markers", "marker": {"size": 6}}
    if max(map(len, points.values())) < 2:
        return (line,)
    spread = [statistics.stdev(points[i]) if len(points[i]) > 1 else 0.0 for i in x]
    above, below = ([number(m + sign * sd, 6) for m, sd in zip(mean, spread, strict=True)] for sign in (1, -1))
    band = {"x": x + x[::-1], "y": above + below[::-1], "fill": "toself", "mode": "lines", "line": {"width": 0}}
    return band | {"hoverinfo": "skip"}, line


def effects(results: Results, test: FaceSet) -> dict[str, tuple[Trace, ...]]:
    """Return main effects and interactions by metric, beside those of the published means; none without a factorial."""
    found = {}
    for measure in scored(results, test) if factorial_rows(results) else ():
        measured = measured_effects(results, test, measure.metric)
        names = {place: " × ".join(results.modules[i] for i in place) for place in measured}  # noqa: RUF001
        if measured:
            printed = _published(results, measure.metric)
            ours = _dots("measured", {names[place]: one for place, one in measured.items()})
            theirs = {names[place]: number(value, 6) for place, value in printed.items() if place in names}
            beside = {"x": list(theirs.values()), "y": list(theirs), "name": "published", "mode": "markers"}
            found[measure.metric] = ours, *([beside | {"marker": _marker("diamond-open", GREY)}] if theirs else [])
    return found


def _dots(name: str, estimates: Mapping[str, Estimate]) -> Trace:
    """Return estimates as points with error bars; `customdata` are their bounds."""
    x = [number(one.mean) for one in estimates.values()]
    bounds = [(number(one.low), number(one.high)) for one in estimates.values()]
    reach = [(one.high - one.mean, one.mean - one.low) for one in estimates.values()]
    array, minus = ([number(pair[side], 6) for pair in reach] for side in (0, 1))
    bars = {"type": "data", "symmetric": False, "array": array, "arrayminus": minus}
    trace = {"x": x, "y": list(estimates), "customdata": bounds, "error_x": bars, "name": name, "mode": "markers"}
    hover = "%{y}: %{x:+.4~f} [%{customdata[0]:+.4~f}, %{customdata[1]:+.4~f}]<extra></extra>"
    return trace | {"marker": _marker("circle", BLUE), "hovertemplate": hover}


def _marker(symbol: str, color: str) -> dict[str, object]:
    return {"symbol": symbol, "color": color, "size": 11}


def _published(results: Results, metric: str) -> dict[tuple[int, ...], float]:
    """Return the effects that a paper's printed means have; none where one of them is missing."""
    paper, beside = beside_of(results, "table1")
    rows = factorial_rows(results)
    printed = {cell: paper.find(row.method, metric, paper.reference, beside.tables) for cell, row in rows.items()}
    values = {cell: one.value for cell, one in printed.items() if one is not None}
    return effects_of(values) if len(values) == len(rows) else {}


def images_of(results: Results, test: FaceSet) -> Images | None:
    """Return the scores of single images of every row, means over its seeds; None where no row has any."""
    names: tuple[str, ...] = ()
    by_metric = {}
    for metric in IMAGE_METRICS:
        by_row: list[tuple[int | None, ...] | None] = []
        for row in results.rows:
            scores = scores_of(results, row, test, metric)
            by_row.append(None if scores is None else thousandths(list(map(float, scores.mean(axis=0)))))
            if scores is not None and not names:
                run = row.scored_runs(test, results.protocol)[0]
                names = tuple(sorted(run.values(test, results.protocol, metric)))
        by_metric[metric] = tuple(by_row)
    return Images(names, by_metric) if names else None
