"""The pages beside a report's first, each as tables of columns: all metrics, and protocols."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from bench.analysis.results import FaceSet, Results, RowResult
from bench.metrics.catalogue import get_metric
from bench.metrics.protocol import PROTOCOLS
from bench.report.columns import CLAIMED, Measure, each, gains, labels, make_table, means, scored
from bench.report.page import Page
from bench.report.table import Cell, Column, Table, number_cell, remarked
from bench.report.words import cautions, claim_note, lower_is_better, on, seed_notes, suffix

_MAIN = "psnr"  # the metric whose table names the protocols' sources


def metrics_page(results: Results) -> Page | None:
    """Build the page of all metrics: means with their intervals, and differences from the baseline that hold."""
    tables = []
    for test in results.test:
        measures = scored(results, test)
        if measures:
            tables.append(_means_table(results, test, measures))
        if measures and results.base is not None:
            tables.append(_gains_table(results, results.base, test, measures))
    text = "Brackets hold 95% intervals, over images and seeds as the notes say."
    return Page("metrics", "All metrics", (text,), tuple(tables)) if tables else None


def sensitivity_page(results: Results) -> Page | None:
    """Build the page of protocols: the same pictures under every preset, and what is left of a gain."""
    tables, text = [], []
    for test in results.test:
        for metric in (name for name in results.metrics if get_metric(name).colour):
            measure = Measure(results, test, metric)
            protocols = _protocols(measure)
            if len(protocols) < 2:
                continue
            tables.append(_protocols_table(measure, protocols))
            if results.base is not None:
                tables.append(_protocol_gains_table(measure, results.base, protocols))
                text.append(_moves_in_words(measure, results.base, protocols))
    head = (
        "A protocol is how pixels become a score: colour space, rounding, border, SSIM window. The pictures are the "
        "same in every column, so whatever differs along a row is convention.",
        *filter(None, text),
    )
    return Page("sensitivity", "Protocol sensitivity", head, tuple(tables)) if tables else None


def _others(results: Results, base: RowResult) -> list[RowResult]:
    return [row for row in results.rows if row is not base]


def _means_table(results: Results, test: FaceSet, measures: Sequence[Measure]) -> Table:
    metrics = [measure.metric for measure in measures]
    return make_table(
        f"means{suffix(results, test)}",
        "All metrics",
        f"Means on {on(test)}, protocol {results.protocol}.",
        results.rows,
        [labels(), *(means(measure, interval=True) for measure in measures)],
        (
            claim_note(results),
            *seed_notes(results, [test], metrics),
            f"Lower is better: {lower_is_better(metrics) or 'none'}.",
            *cautions(metrics),
        ),
    )


def _gains_table(results: Results, base: RowResult, test: FaceSet, measures: Sequence[Measure]) -> Table:
    note = (
        f"{CLAIMED} a difference can be claimed among all of its column: its p, by the rule of the intervals, is below "
        "0.05 after Holm's correction. Intervals stand each for itself."
    )
    return make_table(
        f"gains{suffix(results, test)}",
        f"Differences from {base.label}",
        f"Paired by image, on {on(test)}, protocol {results.protocol}.",
        _others(results, base),
        [
            labels(),
            *(gains(measure, base, measure.column(f"{measure.metric}_gain"), tested=True) for measure in measures),
        ],
        (note, *seed_notes(results, [test], [measure.metric for measure in measures])),
    )


def _protocols(measure: Measure) -> list[str]:
    """Return the protocols under which any row is scored, the experiment's own first."""
    test, own = measure.test, measure.results.protocol
    known = {
        protocol
        for row in measure.results.rows
        for run in row.runs
        for name, protocol in run.columns(test)
        if name == measure.metric
    }
    return sorted(known, key=lambda name: (name != own, list(PROTOCOLS).index(name), name))


def _protocols_table(measure: Measure, protocols: Sequence[str]) -> Table:
    spec, test, results = measure.spec, measure.test, measure.results

    def cell(protocol: str, row: RowResult) -> Cell:
        scores = measure.scores(row, protocol)
        return remarked(
            Cell() if scores is None else number_cell(float(scores.mean()), spec.decimals), *measure.failing(row)
        )

    sources = [f"{name}: {PROTOCOLS[name].source}." for name in protocols if name in PROTOCOLS]
    return make_table(
        f"sensitivity-{measure.metric}{suffix(results, test)}",
        f"{spec.title} under every protocol",
        f"Means on {on(test)}{f', {spec.unit}' if spec.unit else ''}.",
        results.rows,
        [labels(), *(each(_protocol_column(name, test), partial(cell, name)) for name in protocols)],
        sources if measure.metric == _MAIN else (),
    )


def _protocol_gains_table(measure: Measure, base: RowResult, protocols: Sequence[str]) -> Table:
    spec, test, results = measure.spec, measure.test, measure.results
    return make_table(
        f"sensitivity-{measure.metric}-gain{suffix(results, test)}",
        f"{spec.title}: difference from {base.label} under every protocol",
        f"Paired by image, with 95% intervals, on {on(test)}{f', {spec.unit}' if spec.unit else ''}.",
        _others(results, base),
        [labels(), *(gains(measure, base, _protocol_column(name, test), name) for name in protocols)],
    )


def _protocol_column(protocol: str, test: FaceSet) -> Column:
    return Column(protocol, protocol, align="left", dataset=test.dataset)


def _moves_in_words(measure: Measure, base: RowResult, protocols: Sequence[str]) -> str:
    """Say how far values and gains move between protocols: the largest move of any row."""
    values, differences = [], []
    for row in measure.results.rows:
        scores = [measure.scores(row, name) for name in protocols]
        gained = [measure.gain(row, base, name) for name in protocols]
        values.append([drawn.mean() for drawn in scores if drawn is not None])
        differences.append([estimate.mean for estimate in gained if estimate is not None])
    if not any(differences):
        return ""
    moves = (max(float(np.ptp(row)) for row in rows if row) for rows in (values, differences))
    value, difference = (f"{move:.{measure.spec.decimals}f} {measure.spec.unit}".rstrip() for move in moves)
    return (
        f"{measure.spec.title} on {measure.test.dataset}: between protocols a row's value moves by up to {value}, its "
        f"difference from {base.label} by up to {difference}."
    )
