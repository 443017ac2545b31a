"""The tables that stand beside a paper's: Table 1 for one test set, Tables 2 and 3 for several, as lists of columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from bench.analysis.results import FaceSet, Results, RowResult
from bench.metrics.catalogue import get_metric
from bench.report.columns import (
    Field,
    Measure,
    beside_of,
    flag,
    gains,
    labels,
    make_table,
    means,
    multiply_adds,
    parameters,
    published,
    with_status,
)
from bench.report.table import Align, Column, Table
from bench.report.words import (
    caption,
    cautions,
    claim_note,
    lower_is_better,
    measured_note,
    own_notes,
    row_status,
    seed_notes,
)

_WITH_TRUTH = ("psnr", "ssim")
_FIRST = (*_WITH_TRUTH, "niqe-pooled")  # the columns of Table 1; all others are in the table of gains


def ablation_table(results: Results) -> Table:
    """Build Table 1 (paper, section 4.3) from an experiment's results, of one test set: `shown_in_table_1`."""
    results = dataclasses.replace(results, test=(shown_in_table_1(results),))
    done = [row.method for row in results.rows if row_status(row, results) in ("finished", "partial")]
    paper, beside = beside_of(results, "table1")
    notes = [
        measured_note(results),
        claim_note(results),
        *seed_notes(results, results.test, [metric for metric in _FIRST if metric in results.metrics]),
        *paper.notes(beside, done),
        *own_notes(results),
        *cautions(metric for metric in _FIRST if metric in results.metrics),
    ]
    fields = tuple(_ablation_fields(results))
    table = make_table("table1", results.title, caption(results), results.rows, fields, notes)
    return with_status(table, results)


def comparison_table(results: Results) -> Table | None:
    """Build Table 2 (paper, section 4.4): PSNR and SSIM on all test sets with ground truth; None for fewer than two."""
    tests = tuple(test for test in results.test if test.truth)
    metrics = [name for name in _WITH_TRUTH if name in results.metrics]
    return _compared(results, tests, "table2", "comparison", metrics) if len(tests) > 1 else None


def methods_table(results: Results) -> Table | None:
    """Build Table 2 of a comparison, on all test sets with ground truth, with gains and cost; None for none."""
    tests = tuple(test for test in results.test if test.truth)
    metrics = [name for name in _WITH_TRUTH if name in results.metrics]
    return _compared(results, tests, "table2", "PSNR and SSIM", metrics, whole=True) if tests else None


def realworld_table(results: Results) -> Table | None:
    """Build Table 3 (paper, section 4.4): no-reference metrics on test sets without ground truth; None for none."""
    tests = tuple(test for test in results.test if not test.truth)
    metrics = [name for name in results.metrics if not get_metric(name).needs]
    return _compared(results, tests, "table3", "real-world faces", metrics) if tests and metrics else None


def shown_in_table_1(results: Results) -> FaceSet:
    """Return the paper's reference test set if it is among the experiment's, else the first."""
    reference = beside_of(results, "table1")[0].reference
    return next((test for test in results.test if test.dataset == reference), results.test[0])


def _ablation_fields(results: Results) -> Iterator[Field[RowResult]]:
    (test,) = results.test
    paper, beside = beside_of(results, "table1")
    yield labels()
    yield from map(flag, results.modules)
    for metric in _FIRST:
        # Without ground truth only metrics that need none are shown.
        if metric in results.metrics and (test.truth or not get_metric(metric).needs):
            measure, group = Measure(results, test, metric), "Measured"
            yield means(measure, group, _align(results))
            if metric == _FIRST[0] and results.base:
                over = f"Gain over {results.base.label}"
                column = measure.column(f"{metric}_gain", over, group, _align(results))
                yield gains(measure, results.base, column)
    for metric in beside.metrics:
        spec, group = get_metric(metric), f"Published, {paper.datasets[paper.reference]}"
        column = Column(f"published_{metric}", spec.title, spec.unit, group)
        yield published(results, "table1", metric, paper.reference, column)
    yield from (parameters(), multiply_adds())


def _compared(
    results: Results, tests: tuple[FaceSet, ...], name: str, about: str, metrics: Sequence[str], *, whole: bool = False
) -> Table:
    """Build a table of `metrics` on `tests`; the paper's numbers stand beside them if it has any of those sets.

    The `whole` table of a comparison also has gains over the baseline and what the networks cost, and the paper's
    numbers on its reference set where it has none of those sets.
    """
    paper, beside = beside_of(results, name)
    results = dataclasses.replace(results, test=tests)
    known = any(paper.counterpart(test.dataset) in paper.datasets for test in tests)
    fields = [labels()]
    for test in tests:
        stands_in = paper.stands_in(test.dataset)
        group = f"Measured, {test.dataset}" + (f" ({stands_in})" if stands_in else "")
        for metric in metrics:
            measure = Measure(results, test, metric)
            fields.append(means(measure, group, _align(results)))
            if whole and results.base and metric == metrics[0]:
                over = measure.column(f"{metric}_gain", f"Gain over {results.base.label}", group, _align(results))
                fields.append(gains(measure, results.base, over))
        fields += _published(results, name, test.dataset) if known else []
    if whole:
        fields += [] if known else _published(results, name, paper.reference)
        fields += [parameters(), multiply_adds()]
    lower = lower_is_better(metrics)
    shown = {test.dataset for test in tests}
    notes = (
        measured_note(results),
        claim_note(results),
        *seed_notes(results, tests, metrics),
        *([f"Lower is better: {lower}."] if lower else []),
        *cautions(metrics),
        *(paper.notes(beside, [row.method for row in results.rows]) if known or whole else ()),
        *(
            f"{audit['title']}: {audit['stands_for']}"
            for audit in results.audits
            if audit["dataset"] in shown and audit["stands_for"]
        ),
        *own_notes(results),
    )
    table = make_table(name, f"{results.title}: {about}", caption(results), results.rows, fields, notes)
    return with_status(table, results)


def _published(results: Results, name: str, dataset: str) -> list[Field[RowResult]]:
    """Return what the paper prints beside a table for a data set, or what that stands in for, a column a metric."""
    paper, beside = beside_of(results, name)
    printed = paper.counterpart(dataset)
    fields, group = [], f"Published, {paper.datasets.get(printed, printed)}"
    for metric in beside.metrics:
        spec = get_metric(metric)
        # Which convention the paper's NIQE follows is not known: the family's name alone, without ours.
        title = spec.title if metric in results.metrics else metric.upper()
        column = Column(f"published_{metric}", title, spec.unit, group, dataset=dataset)
        fields.append(published(results, name, metric, printed, column))
    return fields


def _align(results: Results) -> Align:
    """Return left for several seeds: the points stand in line whether or not a standard deviation follows."""
    return "left" if len(results.seeds) > 1 else "right"
