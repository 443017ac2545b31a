"""Two rows of an experiment, or two runs, beside each other: the difference of each metric on each test set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.analysis.claims import find_row, gain, scores_of
from bench.analysis.intervals import Estimate, Group, interval
from bench.analysis.results import FaceSet, Results, RowResult, RunResult, read_run
from bench.core.errors import UserError
from bench.data.kin import clusters_of
from bench.metrics.catalogue import get_metric
from bench.runs.scores import ScoreSheet


def compare_rows(results: Results, a: str, b: str) -> dict[str, Any]:
    """Return by how much row `a` is above row `b`, by each metric on each test set that both are scored on.

    Rows go by their labels or method ids. Intervals are those of the experiment's tables: over images and, where a row
    tells how seeds vary, over seeds. Raises UserError for a row that is not there, for twice the same, and where no
    test set is scored for both.
    """
    first, second = find_row(results, a), find_row(results, b)
    if first is second:
        raise UserError(f"{a} and {b}: both are row {first.label}; expected two rows")
    rows = [
        row
        for test in results.test
        for metric in results.metrics
        for row in _of_rows(results, first, second, test, metric)
    ]
    if not rows:
        raise UserError(f"{results.folder}: no test set on which both {first.label} and {second.label} are scored")
    return {"experiment": results.folder.name, "a": first.label, "b": second.label, "differences": rows}


def _of_rows(results: Results, a: RowResult, b: RowResult, test: FaceSet, metric: str) -> Iterator[dict[str, Any]]:
    ours, theirs = (scores_of(results, row, test, metric) for row in (a, b))
    estimate = gain(results, a, b, test, metric)
    if ours is not None and theirs is not None and estimate is not None:
        yield _row(test.dataset, metric, results.protocol, ours, theirs, estimate)


def compare_runs(a: Path, b: Path) -> dict[str, Any]:
    """Return the same of two runs' folders, by every metric and protocol that both have on the same faces.

    Intervals are over images alone: they are about these two trainings. Raises UserError for a folder that holds no
    run, and where nothing is scored for both.
    """
    first, second = _read(a), _read(b)
    rows = [
        row
        for key, sheet in sorted(first.scores.items())
        if key in second.scores
        for row in _of_sheets(sheet, second.scores[key])
    ]
    if not rows:
        raise UserError(f"{a} and {b}: no metric that both are scored by on the same faces")
    return {"experiment": None, "a": first.name, "b": second.name, "differences": rows}


def _of_sheets(ours: ScoreSheet, theirs: ScoreSheet) -> Iterator[dict[str, Any]]:
    for metric, protocol in (column for column in ours.scored if column in theirs.scored):
        values = ours.values(metric, protocol), theirs.values(metric, protocol)
        images = sorted(values[0].keys() & values[1].keys())
        if images:
            a, b = (np.array([[side[image] for image in images]]) for side in values)
            clusters = clusters_of(ours.dataset, "test", images)
            estimate = interval([Group(a), Group(b)], [1.0, -1.0], None, clusters)
            yield _row(ours.dataset, metric, protocol, a, b, estimate)


def _row(dataset: str, metric: str, protocol: str, a: np.ndarray, b: np.ndarray, estimate: Estimate) -> dict[str, Any]:
    """Return one difference of scores [seeds, images]; what is not finite is None."""
    sign = 1 if get_metric(metric).higher_is_better else -1
    finite = np.isfinite(a).all(axis=0) & np.isfinite(b).all(axis=0)
    better = sign * (a[:, finite].mean(axis=0) - b[:, finite].mean(axis=0))
    return {
        "test": dataset,
        "metric": metric,
        "protocol": protocol,
        "a": _known(float(a[:, finite].mean())) if finite.any() else None,
        "b": _known(float(b[:, finite].mean())) if finite.any() else None,
        "difference": _known(estimate.mean),
        "ci95": [_known(estimate.low), _known(estimate.high)],
        "covers_training": estimate.covers_training,
        "seeds": [len(a), len(b)],
        "n": estimate.n,
        "wins": int((better > 0).sum()),
        "losses": int((better < 0).sum()),
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _read(folder: Path) -> RunResult:
    if not (folder / "run.json").is_file():
        raise UserError(f"{folder}: no run.json in it; expected a run's folder, as results/ablation/sparnet-s0-...")
    return read_run(folder)
