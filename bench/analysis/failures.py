"""The faces that the runs of an experiment fail on (see bench.runs.failures)."""

from __future__ import annotations

from bench.analysis.results import FaceSet, Results, RowResult, RunResult
from bench.runs.failures import Failure, failures_beside


def reference_row(results: Results) -> RowResult | None:
    """Return the row that failures are told by: the first whose method is not trained, Bicubic; None without one."""
    own = (row for row in results.rows if row.runs and not row.foreign)
    return next((row for row in own if not any(run.trained for run in row.runs)), None)


def failures_of(results: Results, run: RunResult, test: FaceSet) -> tuple[Failure, ...]:
    """Return the faces of `test` that a run fails on under the experiment's protocol, the worst first."""
    row, broken = reference_row(results), run.broken.get(test.fingerprint, ())
    theirs = row.runs[0].values(test, results.protocol, "psnr") if row else {}
    return failures_beside(run.values(test, results.protocol, "psnr"), theirs, broken)
