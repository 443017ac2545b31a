"""Tables 2 and 3: every method on several test sets, with and without a truth, our numbers beside the paper's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

from bench.analysis.claims import emphasis
from bench.analysis.results import FaceSet, Results, RowResult
from bench.metrics.catalogue import get_metric
from bench.papers.paper import Beside, Paper
from bench.report.ablation import (
    beside_of,
    caption,
    claim_note,
    labelled,
    measured_note,
    own_notes,
    published_cell,
)
from bench.report.means import measured_cell
from bench.report.table import Cell, Column, Table, emphasise

_WITH_TRUTH = ("psnr", "ssim")


def comparison_table(results: Results) -> Table | None:
    """Build Table 2 (paper, section 4.4): PSNR and SSIM on all test sets with a truth; None for fewer than two."""
    tests = tuple(test for test in results.test if test.truth)
    if len(tests) < 2:
        return None
    metrics = [name for name in _WITH_TRUTH if name in results.metrics]
    return _table(results, tests, "table2", f"{results.title}: comparison", metrics)


def realworld_table(results: Results) -> Table | None:
    """Build Table 3 (paper, section 4.4): metrics without a reference on test sets without a truth; None for none."""
    tests = tuple(test for test in results.test if not test.truth)
    metrics = [name for name in results.metrics if not get_metric(name).needs]
    if not tests or not metrics:
        return None
    return _table(results, tests, "table3", f"{results.title}: real-world faces", metrics)


def _table(results: Results, tests: tuple[FaceSet, ...], name: str, title: str, metrics: Sequence[str]) -> Table:
    """Build a table of `metrics` on `tests`; the paper's numbers stand beside them if it has any of those sets."""
    paper, beside = beside_of(results, name)
    results = dataclasses.replace(results, test=tests)
    if not any(test.dataset in paper.datasets for test in tests):
        beside = Beside()
    footnotes: list[str] = []
    columns = (Column("model", "Model", align="left"), *_columns(results, metrics, paper, beside))
    rows = tuple(
        labelled(results, row, tuple(_cells(results, row, metrics, paper, beside)), footnotes) for row in results.rows
    )
    for place, column in enumerate(columns):
        if column.key in metrics:
            test = next(test for test in tests if test.dataset == column.dataset)
            rows = emphasise(rows, place, emphasis(results, test, column.key))
    specs = [get_metric(one) for one in metrics]
    lower = ", ".join(spec.title for spec in specs if not spec.higher_is_better)
    notes = (
        measured_note(results),
        claim_note(results),
        *([f"Lower is better: {lower}."] if lower else []),
        *(f"{spec.title}: {spec.caution}." for spec in specs if spec.caution),
        *paper.notes(beside, [row.method for row in results.rows]),
        *_stand_ins(results),
        *own_notes(results),
    )
    return Table(name, title, caption(results), columns, rows, notes, tuple(footnotes))


def _columns(results: Results, metrics: Sequence[str], paper: Paper, beside: Beside) -> Iterator[Column]:
    align: Literal["left", "right"] = "left" if len(results.seeds) > 1 else "right"  # as in Table 1
    for test in results.test:
        for name in metrics:
            spec = get_metric(name)
            yield Column(name, spec.title, spec.unit, f"Measured, {test.dataset}", align, test.dataset)
        for name in beside.metrics:
            spec, group = get_metric(name), f"Published, {paper.datasets.get(test.dataset, test.dataset)}"
            title = "NIQE" if name == "niqe" else spec.title  # which convention it is is not known
            yield Column(f"published_{name}", title, spec.unit, group, dataset=test.dataset)


def _cells(results: Results, row: RowResult, metrics: Sequence[str], paper: Paper, beside: Beside) -> Iterator[Cell]:
    for test in results.test:
        for name in metrics:
            yield measured_cell(results, row, test, name, get_metric(name).decimals)
        for name in beside.metrics:
            yield published_cell(results, row, paper, beside, name, test.dataset)


def _stand_ins(results: Results) -> list[str]:
    """Say what the test sets are in place of the paper's, as their audits tell."""
    shown = {test.dataset for test in results.test}
    found = [one for one in results.audits if one["dataset"] in shown and one["stands_for"]]
    return [f"{one['title']}: {one['stands_for']}" for one in found]
