"""What a table may claim: the scores behind a cell, its interval, and which rows stand out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

from bench.analysis.intervals import Estimate, difference
from bench.analysis.results import FaceSet, Results, RowResult
from bench.analysis.significance import leaders
from bench.core.errors import UserError, suggest
from bench.metrics.catalogue import get_metric

Mark = Literal["best", "tie"]


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


def groups_of(results: Results, test: FaceSet, metric: str) -> list[np.ndarray]:
    """Return the scores [seeds, images] of every row that has some."""
    return [scores for row in results.rows if (scores := scores_of(results, row, test, metric)) is not None]


def gain(
    results: Results, row: RowResult, base: RowResult | None, test: FaceSet, metric: str, protocol: str | None = None
) -> Estimate | None:
    """Return how far a row's mean lies above that of `base`, paired by image; None without scores of both."""
    if base is None or row is base:
        return None
    over = base

    def compute() -> Estimate | None:
        a, b = (scores_of(results, side, test, metric, protocol) for side in (row, over))
        return None if a is None or b is None else difference(a, b)

    return row.once(("gain", over, test, metric, protocol or results.protocol, results.protocol), compute)


def emphasis(results: Results, test: FaceSet, metric: str) -> Mapping[int, Mark]:
    """Return the place of each row that stands out: "best", or "tie" where no difference to the best can be claimed.

    Foreign rows are no part of this: their budgets are others.

    "best" takes a claim against every other row that would hold for other trainings too, so every trained row must
    have several seeds; otherwise the leading rows are all "tie". A row without a finite mean never stands out, and
    where one is infinitely good, none does.
    """
    if not results.rows:
        return {}
    key = ("emphasis", results.rows, test, metric, results.protocol)
    return results.rows[0].once(key, lambda: _emphasis(results, test, metric))  # tables of fewer test sets share rows


def _emphasis(results: Results, test: FaceSet, metric: str) -> Mapping[int, Mark]:
    spec = get_metric(metric)
    scored = {
        place: values
        for place, row in enumerate(results.rows)
        if not row.foreign and (values := scores_of(results, row, test, metric)) is not None
    }
    best = math.inf if spec.higher_is_better else -math.inf
    finite = {str(place): values for place, values in scored.items() if np.isfinite(values).all()}
    if len(finite) < 2 or any((values == best).any() for values in scored.values()):
        return {}
    lead = leaders(finite, spec.higher_is_better)
    if not lead.ties and covers_training(results, test):
        return {int(lead.top): "best"}
    return {int(place): "tie" for place in (lead.top, *lead.ties)}


def covers_training(results: Results, test: FaceSet) -> bool:
    """Tell whether every trained row that is scored has several seeds, so that claims hold for other trainings."""
    runs = [row.scored_runs(test, results.protocol) for row in results.rows if not row.foreign]
    return all(len(some) > 1 or not some[0].trained for some in runs if some)
