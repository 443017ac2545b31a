"""The table of `fsr export`: chosen rows, metrics and test sets of an experiment, ready for a paper."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.analysis.claims import covers_training, emphasis, find_row
from bench.analysis.results import FaceSet, Results, RowResult
from bench.core.errors import UserError, suggest
from bench.metrics.catalogue import DEFAULT, get_metric
from bench.report.columns import (
    Field,
    Measure,
    beside_of,
    flag,
    labels,
    make_table,
    means,
    multiply_adds,
    parameters,
    published,
)
from bench.report.table import Cell, Column, Emphasis, Row, Table, number_cell
from bench.report.words import listed

_PUBLISHED = "published"  # what the keys of the paper's own columns begin with
_UP, _DOWN = "↑", "↓"


@dataclass(frozen=True)
class Chosen:
    """What a table shows: labels or method ids, metrics and test sets by name, all of them or the usual where empty.

    `published` adds the paper's numbers beside ours, `cost` parameters and multiply-adds.
    """

    rows: Sequence[str] = ()
    metrics: Sequence[str] = ()
    tests: Sequence[str] = ()
    published: bool = False
    cost: bool = False


def paper_table(results: Results, chosen: Chosen) -> Table:
    """Build the table: means of the chosen metrics on each test set, the best and the second best of the rows marked.

    Best is what is better than every other row shown, by the rule of all tables (`bench.analysis.claims.emphasis`).
    Raises UserError, with the nearest name, for a row, metric or test set that the experiment has not, and where
    nothing that is asked for has a number.
    """
    rows = list(dict.fromkeys(find_row(results, name) for name in chosen.rows)) or list(results.rows)
    rows.sort(key=lambda row: bool(row.foreign))  # those of other budgets stand below
    names = [test.dataset for test in results.test]
    tests = [results.test[names.index(name)] for name in _known(results, "test set", chosen.tests, names)]
    usual = [name for name in DEFAULT if name in results.metrics] or list(results.metrics)
    metrics = _known(results, "metric", chosen.metrics, results.metrics, usual)
    measures = [Measure(results, test, metric) for test in tests or results.test for metric in metrics]
    measures = [one for one in measures if any(one.scores(row) is not None for row in rows)]
    if not measures:
        raise UserError(f"{results.folder}: no row that is asked for is scored by {listed(metrics)} yet")
    fields = [labels(), *(flag(name) for name in results.modules if any(name in row.modules for row in rows))]
    for test in dict.fromkeys(measure.test for measure in measures):
        own = [measure for measure in measures if measure.test == test]
        fields += [_means(measure, rows) for measure in own]
        fields += _printed(results, own, rows) if chosen.published else []
    fields += [parameters(), multiply_adds()] if chosen.cost else []
    table = make_table(results.folder.name, results.title, "", rows, fields)
    table = dataclasses.replace(table, rows=tuple(map(_remarks_to_label, table.rows)))
    return dataclasses.replace(table, caption=_caption(results, rows, measures, table))


def _known(
    results: Results, what: str, asked: Iterable[str], known: Sequence[str], usual: Sequence[str] = ()
) -> list[str]:
    """Return the names that are asked for, each once, or the usual ones; raise UserError for one that is not known."""
    for name in asked:
        if name not in known:
            raise UserError(f"{results.folder}: no {what} '{name}': {suggest(name, known)}")
    return list(dict.fromkeys(asked)) or list(usual)


def _means(measure: Measure, rows: Sequence[RowResult]) -> Field[RowResult]:
    """Return means as plain numbers under the set's name, with the marks of the rows that are shown."""
    results, spec, plain = measure.results, measure.spec, means(measure, plain=True)
    marks = emphasis(results, measure.test, measure.metric, rows)
    place = {results.rows[number]: mark.place for number, mark in marks.items()}

    def fill(shown: Sequence[RowResult]) -> list[Cell]:
        return [
            _marked(cell, spec.decimals, place.get(row, "")) for row, cell in zip(shown, plain.fill(shown), strict=True)
        ]

    arrow = _UP if spec.higher_is_better else _DOWN
    key = f"{measure.metric}_{measure.test.dataset}"
    column = measure.column(key, f"{spec.title} {arrow}", set_title(results, measure.test), "right")
    return Field(column, fill)


def _marked(cell: Cell, decimals: int, place: Emphasis) -> Cell:
    """Return a mean without its deviation, standing out as `place` says."""
    value = float(cell.value) if isinstance(cell.value, int | float) else None
    return dataclasses.replace(number_cell(value, decimals), emphasis=place, remarks=cell.remarks)


def _printed(results: Results, measures: Sequence[Measure], rows: Sequence[RowResult]) -> list[Field[RowResult]]:
    """Return what the paper prints of these metrics on a test set, or on what that stands in for, if anything."""
    test = measures[0].test
    table = ("table1" if results.kind == "ablation" else "table2") if test.truth else "table3"
    paper, beside = beside_of(results, table)
    dataset, fields = paper.counterpart(test.dataset), list[Field[RowResult]]()
    for metric in beside.metrics:
        ours = [measure for measure in measures if measure.metric.partition("-")[0] == metric.partition("-")[0]]
        arrow = _UP if get_metric(metric).higher_is_better else _DOWN
        title, group = f"{get_metric(metric).title} {arrow}", f"Published, {paper.datasets.get(dataset, dataset)}"
        key = f"{_PUBLISHED}_{metric}_{test.dataset}"
        column = Column(key, title, get_metric(metric).unit, group, "right", test.dataset)
        field = published(results, table, metric, dataset, column)
        if ours and any(cell.value is not None for cell in field.fill(rows)):
            fields.append(field)
    return fields


def set_title(results: Results, test: FaceSet) -> str:
    """Return a test set's name as the paper prints it, else its id."""
    return beside_of(results, "table1")[0].datasets.get(test.dataset, test.dataset)


def _remarks_to_label(row: Row) -> Row:
    """Return a row whose footnotes all stand at its label, so that numbers stay in line."""
    remarks = tuple(dict.fromkeys(text for cell in row.cells for text in cell.remarks))
    first, *others = (dataclasses.replace(cell, remarks=()) for cell in row.cells)
    return dataclasses.replace(row, cells=(dataclasses.replace(first, remarks=remarks), *others))


def _caption(results: Results, rows: Sequence[RowResult], measures: Sequence[Measure], table: Table) -> str:
    """Say in one sentence what the numbers are, on which faces, of how many seeds, and what stands out."""
    metrics = listed(list(dict.fromkeys(measure.spec.title for measure in measures)))
    tests = list(dict.fromkeys(measure.test for measure in measures))
    sets = [
        f"{set_title(results, test)} ({test.faces:,}{'' if place else ' faces'})" for place, test in enumerate(tests)
    ]
    text = f"{metrics} on {listed(sets)} under protocol {results.protocol}, means over faces{_seeds(results, rows)}"
    places = {cell.emphasis for row in table.rows for cell in row.cells}
    parts = ["bold: better than every other row in simultaneous 95% intervals"] if "best" in places else []
    parts += ["underlined: second best mean"] if "second" in places else []
    if "best" not in places:
        why = any(covers_training(results, measure.test, measure.metric) for measure in measures)
        parts.append("no mean is better than every other" if why else "of one seed, so that no row can be called best")
    if any(column.key.startswith(_PUBLISHED) for column in table.columns):
        parts.append("published numbers are of their authors' own training and faces")
    return f"{text}; {'; '.join(parts)}."


def _seeds(results: Results, rows: Sequence[RowResult]) -> str:
    counts = {len(row.runs) for row in rows if any(run.trained for run in row.runs) and not row.foreign}
    if not counts:
        return ""
    least, most = min(counts), max(counts)
    return f" and {least if least == most else f'{least} to {most}'} seed{'' if most == 1 else 's'}"
