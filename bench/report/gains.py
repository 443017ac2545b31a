"""Every metric: means with their intervals, and gains over the baseline with what can be claimed of them."""

from __future__ import annotations

import dataclasses

from bench.analysis.claims import covers_training, emphasis, gain, scores_of
from bench.analysis.results import FaceSet, Results, RowResult
from bench.analysis.significance import holm, wilcoxon
from bench.metrics.catalogue import get_metric
from bench.report.ablation import claim_note
from bench.report.means import measured_cell
from bench.report.subpage import Page, on, suffix
from bench.report.table import Cell, Column, Row, Table, emphasise, gain_cell

CLAIMED = "*"


def metrics_page(results: Results) -> Page | None:
    """Build the page of all metrics; None when nothing is scored."""
    tables = []
    for test in results.test:
        metrics = scored_metrics(results, test)
        if metrics:
            tables.append(_means(results, test, metrics))
        if metrics and results.base is not None:
            tables.append(_gains(results, results.base, test, metrics))
    if not tables:
        return None
    text = "Brackets hold 95% intervals, over images, and over seeds where there are several."
    return Page("metrics", "All metrics", (text,), tuple(tables))


def scored_metrics(results: Results, test: FaceSet) -> list[str]:
    """Return the metrics that any row has on a test set under the experiment's protocol."""
    return [
        metric
        for metric in results.metrics
        if any(scores_of(results, row, test, metric) is not None for row in results.rows)
    ]


def _means(results: Results, test: FaceSet, metrics: list[str]) -> Table:
    rows: tuple[Row, ...] = tuple(
        Row(
            (Cell(row.label, row.label), *(_with_interval(results, row, test, metric) for metric in metrics)),
            row.method,
        )
        for row in results.rows
    )
    for place, metric in enumerate(metrics, start=1):
        rows = emphasise(rows, place, emphasis(results, test, metric))
    specs = [get_metric(metric) for metric in metrics]
    columns = (
        Column("model", "Model", align="left"),
        *(Column(spec.name, spec.title, spec.unit, align="left", dataset=test.dataset) for spec in specs),
    )
    cautions = [f"{spec.title}: {spec.caution.rstrip('.')}." for spec in specs if spec.caution]
    better = f"Lower is better: {', '.join(spec.title for spec in specs if not spec.higher_is_better) or 'none'}."
    return Table(
        f"means{suffix(results, test)}",
        "All metrics",
        f"Means on {on(test)}, protocol {results.protocol}.",
        columns,
        rows,
        (claim_note(results), better, *cautions),
    )


def _with_interval(results: Results, row: RowResult, test: FaceSet, metric: str) -> Cell:
    decimals = get_metric(metric).decimals
    cell = measured_cell(results, row, test, metric, decimals)
    if cell.interval is None:
        return cell
    low, high = cell.interval
    return dataclasses.replace(cell, text=f"{cell.value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]")


def _gains(results: Results, base: RowResult, test: FaceSet, metrics: list[str]) -> Table:
    others = [row for row in results.rows if row is not base]
    found = [_gain_column(results, base, others, test, metric) for metric in metrics]
    rows = tuple(
        Row((Cell(row.label, row.label), *cells), row.method) for row, *cells in zip(others, *found, strict=True)
    )
    specs = [get_metric(metric) for metric in metrics]
    columns = (
        Column("model", "Model", align="left"),
        *(Column(f"{spec.name}_gain", spec.title, spec.unit, align="left", dataset=test.dataset) for spec in specs),
    )
    note = (
        f"{CLAIMED} a difference can be claimed: its interval is without 0, and Wilcoxon's p over images, corrected by "
        "Holm over the column, is below 0.05. Everywhere else no difference can be claimed."
    )
    if not covers_training(results, test):
        note += " With one training a row a claim is about these trainings, not about their methods."
    return Table(
        f"gains{suffix(results, test)}",
        f"Differences from {base.label}",
        f"Paired by image, on {on(test)}, protocol {results.protocol}.",
        columns,
        rows,
        (note,),
    )


def _gain_column(results: Results, base: RowResult, rows: list[RowResult], test: FaceSet, metric: str) -> list[Cell]:
    """Return a row's difference with its interval and p; p are corrected for the number of rows that have one."""
    decimals, truth = get_metric(metric).decimals, scores_of(results, base, test, metric)
    scores = [scores_of(results, row, test, metric) for row in rows]
    if truth is None:
        return [Cell()] * len(rows)
    p = iter(holm([wilcoxon(one, truth) for one in scores if one is not None]))
    cells = []
    for row, one in zip(rows, scores, strict=True):
        told = gain(results, row, base, test, metric)
        cell = gain_cell(told, decimals)
        if one is not None and told is not None:
            chance = next(p)
            mark = f" {CLAIMED}" if told.excludes_zero and chance < 0.05 else ""
            cell = dataclasses.replace(cell, text=cell.text + mark, p=chance)
        cells.append(cell)
    return cells
