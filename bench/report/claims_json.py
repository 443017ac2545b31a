"""What `fsr claims` prints: claims with their verdicts, and the rows that they rest on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from bench.analysis.failures import failures_of
from bench.analysis.results import FaceSet, Results, RowResult
from bench.core.text_table import text_table
from bench.papers.judge import Finding
from bench.report.claim_words import (
    is_smoke,
    judged,
    measured_text,
    own_paper,
    paper_text,
    probability_text,
    verdict_words,
)
from bench.report.first_screen import HEAD, first_screen, sentences


def claims_json(experiments: Mapping[str, Results], smoke: bool = True) -> dict[str, Any]:
    """Return every claim on every test set, and every row, of experiments by name, the main one first.

    `paper` is the paper's value, `estimate`, `low` and `high` what was measured with its 95% interval, `seeds` the
    fewest of a trained row that it rests on, `probability` that of the paper's sign; each is None where there is none.
    A claim of another paper than the experiment's own names it, and one that is judged by another experiment than the
    first that. Without `smoke` no claim is judged by smoke runs. A row's `seeds` are scored on every test set, its
    `failures` are the faces of all of them that it fails on, over all seeds.
    """
    claims = [
        _claim(name if place else "", results, test, finding)
        for place, (name, results) in enumerate(experiments.items())
        if smoke or not is_smoke(results)
        for test, findings in judged(results).items()
        for finding in findings
    ]
    rows = [_row(name, results, row) for name, results in experiments.items() for row in results.rows]
    return {"claims": claims, "rows": rows}


def _claim(experiment: str, results: Results, test: FaceSet, finding: Finding) -> dict[str, Any]:
    other = finding.paper.name if finding.paper != own_paper(results) else ""
    estimate, published = finding.estimate, finding.published
    return {
        "claim": " ".join([finding.text, *(f"({name})" for name in (other, experiment) if name)]),
        "paper": None if published is None else float(f"{published.value:.6g}"),
        "test": test.dataset,
        "metric": finding.metric,
        "estimate": None if estimate is None else _finite(estimate.mean),
        "low": None if estimate is None else _finite(estimate.low),
        "high": None if estimate is None else _finite(estimate.high),
        "verdict": str(finding.verdict),
        "seeds": finding.seeds,
        "probability": finding.probability,
    }


def _row(experiment: str, results: Results, row: RowResult) -> dict[str, Any]:
    scored = [run for run in row.runs if all(run.scored(test, results.protocol) for test in results.test)]
    truthful = [test for test in results.test if test.truth]
    return {
        "experiment": experiment,
        "label": row.label,
        "method": row.method,
        "trained": any(run.trained for run in row.runs),
        "seeds": len(scored),
        "failures": sum(
            len(failures_of(results, run, test)) for test in truthful for run in row.scored_runs(test, results.protocol)
        ),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def claims_text(experiments: Mapping[str, Results]) -> str:
    """Return the first screen of each experiment: three sentences and a table."""
    return "\n\n".join(part for name, results in experiments.items() for part in _screen(name, results))


def _screen(name: str, results: Results) -> Iterator[str]:
    screen = first_screen(results)
    if screen is None:
        yield f"{name}: no leading claim of a paper is scored yet."
        return
    yield f"{name}\n" + "\n".join(sentences(screen))
    body = [
        [
            one.text,
            paper_text(one, screen.test),
            measured_text(one),
            verdict_words(one),
            probability_text(one),
        ]
        for one in screen.findings
    ]
    yield text_table(HEAD, body, widths=(44, None, 44, 36, None))
