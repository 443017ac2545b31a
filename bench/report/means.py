"""From scores an image to one number a row: mean over images, then mean and standard deviation over seeds."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

from bench.analysis.claims import scores_of
from bench.analysis.intervals import estimate
from bench.analysis.results import FaceSet, Results, RowResult, RunResult
from bench.report.table import Cell, Provenance, number_cell


def mean_score(run: RunResult, test: FaceSet, protocol: str, metric: str) -> float | None:
    """Return the mean of a run's scores over exactly the faces of `test`; None when one of them has no score."""
    values = run.values(test, protocol, metric).values()
    return _mean(list(values)) if len(values) == test.faces else None


def measured_cell(results: Results, row: RowResult, test: FaceSet, metric: str, decimals: int) -> Cell:
    """Return the mean over seeds of the mean over images, with the sample standard deviation over seeds.

    Only runs that have finished and scored every face count; with none of them the cell is a dash. One seed has no
    standard deviation. The cell's interval (95%, over images and seeds) is not part of its text.
    """
    runs = row.scored_runs(test, results.protocol)
    found = [(run, mean_score(run, test, results.protocol, metric)) for run in runs]
    means = {run.name: mean for run, mean in found if mean is not None}
    if not means:
        return Cell()
    values = list(means.values())
    finite = all(map(math.isfinite, values))
    spread = statistics.stdev(values) if len(values) > 1 and finite else None
    source = Provenance(tuple(means), test.dataset, test.fingerprint, test.faces, len(values), results.protocol)
    cell = number_cell(_mean(values), decimals, spread, source)
    scores = scores_of(results, row, test, metric)
    assert scores is not None  # there are means
    told = estimate(scores)
    return dataclasses.replace(cell, interval=(told.low, told.high)) if finite and math.isfinite(told.low) else cell


def row_status(row: RowResult, results: Results) -> str:
    """Say in a word how far a row has come.

    "finished"; "partial" when some of its runs or test sets are missing; else what keeps it from having any number:
    "failed", "running", "not scored" or "not run", the first that applies to one of its runs.
    """
    scored = [run.scored(test, results.protocol) for run in row.runs for test in results.test]
    if all(scored) and scored:
        return "finished"
    if any(scored):
        return "partial"
    states = {run.status for run in row.runs}
    for status in ("failed", "running"):
        if status in states:
            return status
    return "not scored" if "finished" in states else "not run"


def problems(row: RowResult, results: Results) -> tuple[str, ...]:
    """Return a line for every run of a row that has no number, or not on every test set, or a broken picture."""
    found = [line for run in row.runs for line in _problems_of(run, results)]
    return tuple(dict.fromkeys(found)) or (() if row.runs else ("No run is planned for this row.",))


def _problems_of(run: RunResult, results: Results) -> list[str]:
    if run.status == "failed":
        return [f"{run.name} failed: {run.error.rstrip('.') or 'no reason recorded'}."]
    if run.status == "running":
        last = run.curve[-1].iteration if run.curve else 0
        return [f"{run.name} has not finished (last validated at iteration {last} of {results.iterations})."]
    if run.status == "not run":
        return ["Not run yet; run the experiment again to train what is missing."]
    lines = []
    for test in results.test:
        count = run.scored_faces(test, results.protocol)
        if count != test.faces:
            lines.append(f"{run.name} is scored on {count} of the {test.faces} faces of {test.dataset}.")
        if broken := run.broken.get(test.fingerprint, ()):
            lines.append(
                f"{run.name}: the output holds NaN or infinity on {len(broken)} of the {test.faces} faces of "
                f"{test.dataset}, scored with NaN as black and infinity as the end of the range."
            )
    return lines


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)
