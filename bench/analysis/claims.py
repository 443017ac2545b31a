"""What a table may claim: the scores behind a cell, its interval, and which rows stand out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.analysis.intervals import LEVEL, Estimate, Group, interval
from bench.analysis.results import FaceSet, Results, RowResult
from bench.analysis.significance import holm
from bench.analysis.spread import Spread, fit_spread
from bench.core.errors import UserError, suggest
from bench.data.kin import clusters_of
from bench.metrics.catalogue import get_metric

Term = tuple[RowResult, float]  # a row and its weight in a sum


@dataclass(frozen=True)
class Mark:
    """How a row stands out: `place` is "best" or "second", `tied` that no difference to the best can be claimed."""

    place: Literal["", "best", "second"] = ""
    tied: bool = False


def find_row(results: Results, name: str) -> RowResult:
    """Return the row of this label or method id, in any case; raise UserError for none, naming the nearest, or many."""
    wanted = name.casefold()
    rows = [row for row in results.rows if row.label.casefold() == wanted]
    rows = rows or [row for row in results.rows if row.method.casefold() == wanted]
    if len(rows) > 1:
        raise UserError(f"{results.folder}: several rows are '{name}': {', '.join(row.label for row in rows)}")
    if not rows:
        known = {word for row in results.rows for word in (row.label, row.method)}
        raise UserError(f"{results.folder}: no row '{name}': {suggest(name, known)}")
    return rows[0]


def scores_of(
    results: Results, row: RowResult, test: FaceSet, metric: str, protocol: str | None = None
) -> np.ndarray | None:
    """Return a row's scores [seeds, images] on exactly the faces of `test`, images in the order of their names.

    Runs that are not scored completely are passed over; None when no run is left.
    """
    rule = protocol or results.protocol

    def compute() -> np.ndarray | None:
        scored = [run.values(test, rule, metric) for run in row.scored_runs(test, results.protocol)]
        whole = [values for values in scored if len(values) == test.faces]
        return np.array([[values[image] for image in sorted(values)] for values in whole]) if whole else None

    return row.once(("scores", test, metric, rule, results.protocol), compute)


def spread_of(results: Results, test: FaceSet, metric: str, protocol: str | None = None) -> Spread | None:
    """Return how the seeds of an experiment's rows vary, or where no row has two seeds, those of its kin.

    None where neither tells. Rows that were made elsewhere tell nothing.
    """
    for source in (results, *results.kin):
        if test in source.test and (spread := _own_spread(source, test, metric, protocol or results.protocol)):
            return spread
    return None


def _own_spread(results: Results, test: FaceSet, metric: str, rule: str) -> Spread | None:
    def compute() -> Spread | None:
        rows = {}
        for place, row in enumerate(results.rows):
            scores = scores_of(results, row, test, metric, rule) if _is_trained(results, row, test) else None
            if scores is not None and (finite := np.isfinite(scores).all(axis=0)).any():
                rows[row.label if row.label not in rows else f"{row.label} ({place})"] = scores[:, finite].mean(axis=1)
        return fit_spread(rows)

    key = ("spread", results.rows, test, metric, rule, results.protocol)
    return results.rows[0].once(key, compute) if results.rows else None


def _is_trained(results: Results, row: RowResult, test: FaceSet) -> bool:
    runs = row.scored_runs(test, results.protocol)
    return bool(runs) and runs[0].trained and not row.foreign


def combined(
    results: Results,
    terms: Sequence[Term],
    test: FaceSet,
    metric: str,
    protocol: str | None = None,
    level: float = LEVEL,
) -> Estimate | None:
    """Return a weighted sum of rows' means with its interval, paired by image; None where a row has no scores.

    All that a report says of means and differences comes from here; `bench.analysis.intervals.interval` is the rule.
    """
    (first, _), *_ = terms
    spread = spread_of(results, test, metric, protocol)

    def compute() -> Estimate | None:
        groups = []
        for row, _ in terms:
            scores = scores_of(results, row, test, metric, protocol)
            if scores is None:
                return None
            alone = spread is not None and row.label in spread.deviant
            groups.append(Group(scores, _is_trained(results, row, test), alone))
        clusters = _clusters(results, first, test)
        return interval(groups, [weight for _, weight in terms], spread, clusters, level)

    key = ("sum", tuple(terms), test, metric, protocol or results.protocol, results.protocol, level, id(spread))
    return first.once(key, compute)


def _clusters(results: Results, row: RowResult, test: FaceSet) -> tuple[str, ...]:
    """Return the photo or person of each image, in the order of the scores."""

    def compute() -> tuple[str, ...]:
        images = sorted(row.scored_runs(test, results.protocol)[0].sheet(test).images)
        return clusters_of(test.dataset, test.split, images)

    return row.once(("clusters", test, results.protocol), compute)


def gain(
    results: Results,
    row: RowResult,
    base: RowResult | None,
    test: FaceSet,
    metric: str,
    protocol: str | None = None,
    level: float = LEVEL,
) -> Estimate | None:
    """Return how far a row's mean lies above that of `base`, paired by image; None without scores of both."""
    if base is None or row is base:
        return None
    return combined(results, [(row, 1.0), (base, -1.0)], test, metric, protocol, level)


def emphasis(
    results: Results, test: FaceSet, metric: str, among: Sequence[RowResult] | None = None
) -> Mapping[int, Mark]:
    """Return the place of each row that stands out, of all rows or `among` those that are shown, and how.

    The row of the best mean is "best" where it is better than every other row in simultaneous 95% intervals (p of each
    difference, corrected by Holm), which takes knowing how seeds vary; where it is not, it and all rows not
    distinguishable from it are tied. "second" is the second best mean. Rows that were made elsewhere are no part of
    this: their budgets are others. A row without a finite score on every image never stands out, and where one is
    infinitely good, none does.
    """
    if not results.rows:
        return {}
    kin = tuple(str(one.folder) for one in results.kin)
    shown = tuple(results.rows if among is None else among)
    key = ("emphasis", results.rows, shown, test, metric, results.protocol, kin)
    # tables of fewer test sets share rows
    return results.rows[0].once(key, lambda: _emphasis(results, test, metric, shown))


def _emphasis(results: Results, test: FaceSet, metric: str, shown: Sequence[RowResult]) -> Mapping[int, Mark]:
    spec = get_metric(metric)
    scored = {
        place: values
        for place, row in enumerate(results.rows)
        if row in shown and not row.foreign and (values := scores_of(results, row, test, metric)) is not None
    }
    best = math.inf if spec.higher_is_better else -math.inf
    means = {place: float(values.mean()) for place, values in scored.items() if np.isfinite(values).all()}
    if len(means) < 2 or any((values == best).any() for values in scored.values()):
        return {}
    top, *others = sorted(means, key=means.__getitem__, reverse=spec.higher_is_better)
    apart = {place: gain(results, results.rows[place], results.rows[top], test, metric) for place in others}
    corrected = holm([1.0 if found is None or math.isnan(found.p) else found.p for found in apart.values()])
    tied = {place for place, p in zip(others, corrected, strict=True) if p >= 1 - LEVEL}
    if not tied and covers_training(results, test, metric):
        return {top: Mark("best"), others[0]: Mark("second")}
    marks = {place: Mark("second" if place == others[0] else "", place in tied) for place in others}
    return {top: Mark("", True)} | {place: mark for place, mark in marks.items() if mark != Mark()}


def covers_training(results: Results, test: FaceSet, metric: str) -> bool:
    """Tell whether intervals are about other trainings too: some row tells how seeds vary, or none is trained."""
    if spread_of(results, test, metric) is not None:
        return True
    return not any(_is_trained(results, row, test) for row in results.rows)
