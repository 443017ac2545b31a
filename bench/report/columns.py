"""The columns that tables are put together from: each is what stands above it and a function that fills it."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from bench.analysis.claims import Mark, combined, emphasis, gain, scores_of
from bench.analysis.failures import failures_of
from bench.analysis.intervals import LEVEL, Estimate
from bench.analysis.results import FaceSet, Results, RowResult, RunResult
from bench.analysis.significance import holm
from bench.metrics.catalogue import get_metric
from bench.metrics.spec import Metric
from bench.papers.paper import Beside, Paper, paper_of
from bench.report.table import Align, Cell, Column, Provenance, Row, Table, check_cell, gain_cell, number_cell, remarked
from bench.report.words import devices, failing, problems, row_status
from bench.runs.records import RunState

CLAIMED = "*"
T = TypeVar("T")


@dataclass(frozen=True)
class Field(Generic[T]):
    """A column, and what gives its cells for what the rows are about."""

    column: Column
    fill: Callable[[Sequence[T]], Sequence[Cell]]


def each(column: Column, cell: Callable[[T], Cell]) -> Field[T]:
    """Return a column whose cells do not depend on each other."""
    return Field(column, lambda rows: [cell(row) for row in rows])


def make_table(
    name: str, title: str, caption: str, rows: Sequence[T], fields: Sequence[Field[T]], notes: Sequence[str] = ()
) -> Table:
    """Fill every column for `rows`; rows of an experiment carry the id of their method, foreign ones a footnote."""
    cells = zip(*(field.fill(rows) for field in fields), strict=True)
    body = tuple(_row(row, line) for row, line in zip(rows, cells, strict=True))
    return Table(name, title, caption, tuple(field.column for field in fields), body, tuple(notes))


def _row(about: object, cells: tuple[Cell, ...]) -> Row:
    method, foreign = getattr(about, "method", ""), getattr(about, "foreign", "")
    if foreign:
        first, *more = cells
        cells = (dataclasses.replace(first, remarks=(*first.remarks, f"{first.text}: {foreign}.")), *more)
    return Row(cells, method, foreign=foreign)


def with_status(table: Table, results: Results) -> Table:
    """Say of each row of an experiment's table how far it has come, and below the table what it lacks and why."""
    rows = []
    for result, row in zip(results.rows, table.rows, strict=True):
        status, lines = row_status(result, results), problems(result, results)
        label = result.label if status in ("finished", "partial") else f"{result.label} ({status})"
        cells = (Cell(result.label, label, remarks=(*row.cells[0].remarks, *lines)), *row.cells[1:])
        rows.append(dataclasses.replace(row, cells=cells, status=status, problem=" ".join(lines)))
    return dataclasses.replace(table, rows=tuple(rows))


def with_failures(table: Table) -> Table:
    """Return the table with a column after the measured means of each test set: faces that each run fails on."""
    columns, rows = list(table.columns), [list(row.cells) for row in table.rows]
    measured = {
        column.dataset: place
        for place, column in enumerate(table.columns)
        if any(row.cells[place].provenance for row in table.rows)
    }
    for dataset, place in sorted(measured.items(), key=lambda item: item[1], reverse=True):
        group = table.columns[place].group
        columns.insert(place + 1, Column("failures", "Failing faces per seed", "", group, "left", dataset))
        for cells in rows:
            source = cells[place].provenance
            counts = source.failures if source else ()
            cells.insert(place + 1, Cell(sum(counts), ", ".join(map(str, counts))) if counts else Cell())
    body = tuple(dataclasses.replace(row, cells=tuple(cells)) for row, cells in zip(table.rows, rows, strict=True))
    return dataclasses.replace(table, columns=tuple(columns), rows=body)


def with_timing(table: Table, results: Results) -> Table:
    """Return the table of an experiment's rows with a last column of seconds an image."""
    if len(table.rows) != len(results.rows) or not any(column.key == "multiply_adds" for column in table.columns):
        return table
    field = seconds()
    body = zip(table.rows, field.fill(results.rows), strict=True)
    rows = tuple(dataclasses.replace(row, cells=(*row.cells, cell)) for row, cell in body)
    apart = "Rows were timed on different devices: their times are not comparable."
    notes = (*table.notes, *([apart] if len(devices(results)) > 1 else []))
    return dataclasses.replace(table, columns=(*table.columns, field.column), rows=rows, notes=notes)


@dataclass(frozen=True)
class Measure:
    """A metric on one test set of an experiment."""

    results: Results
    test: FaceSet
    metric: str

    @property
    def spec(self) -> Metric:
        """What the metric is."""
        return get_metric(self.metric)

    def scores(self, row: RowResult, protocol: str | None = None) -> np.ndarray | None:
        """Return a row's scores [seeds, images]; None where it has none."""
        return scores_of(self.results, row, self.test, self.metric, protocol)

    def gain(self, row: RowResult, base: RowResult, protocol: str | None = None) -> Estimate | None:
        """Return how far a row lies above another."""
        return gain(self.results, row, base, self.test, self.metric, protocol)

    def failing(self, *rows: RowResult) -> tuple[str, ...]:
        """Say which faces of the test set rows fail on: what a mean of theirs must not hide."""
        return tuple(text for row in rows for text in failing(self.results, row, self.test))

    def column(self, key: str = "", title: str = "", group: str = "", align: Align = "left") -> Column:
        """Return the heading of a column of this metric."""
        spec = self.spec
        return Column(key or spec.name, title or spec.title, spec.unit, group, align, self.test.dataset)


def scored(results: Results, test: FaceSet) -> list[Measure]:
    """Return the metrics that any row has on a test set under the experiment's protocol."""
    measures = [Measure(results, test, metric) for metric in results.metrics]
    return [measure for measure in measures if any(measure.scores(row) is not None for row in results.rows)]


def labels() -> Field[RowResult]:
    """Return the first column: the rows' labels."""
    return each(Column("model", "Model", align="left"), lambda row: Cell(row.label, row.label))


def flag(module: str) -> Field[RowResult]:
    """Return a column of check marks: which rows have a module."""
    return each(Column(module, module, align="center"), lambda row: check_cell(row.modules.get(module)))


def means(
    measure: Measure, group: str = "", align: Align = "left", interval: bool = False, plain: bool = False
) -> Field[RowResult]:
    """Return measured means; the rows that stand out are marked, but for `plain`.

    A cell shows the standard deviation over seeds or, with `interval`, the 95% interval.
    """

    def fill(rows: Sequence[RowResult]) -> list[Cell]:
        marks = {} if plain else emphasis(measure.results, measure.test, measure.metric)
        marked = {id(measure.results.rows[place]): mark for place, mark in marks.items()}
        cells = [_mean_cell(measure, row, interval) for row in rows]
        return [_marked(cell, marked.get(id(row), Mark())) for row, cell in zip(rows, cells, strict=True)]

    return Field(measure.column(group=group, align=align), fill)


def _marked(cell: Cell, mark: Mark) -> Cell:
    """Return a cell that stands out as `mark` says; a dash, NaN or infinity never does."""
    finite = isinstance(cell.value, int | float) and math.isfinite(cell.value)
    return dataclasses.replace(cell, emphasis=mark.place, tied=mark.tied) if finite else cell


def gains(
    measure: Measure, base: RowResult, column: Column, protocol: str | None = None, tested: bool = False
) -> Field[RowResult]:
    """Return differences from `base` with their intervals, nothing in its own row.

    With `tested` a cell has the p of its difference, corrected by Holm over the column, and a star where it is below
    0.05; those of foreign rows have neither.
    """
    decimals = measure.spec.decimals

    def fill(rows: Sequence[RowResult]) -> list[Cell]:
        estimates = [measure.gain(row, base, protocol) for row in rows]
        cells = [
            Cell(text="") if row is base else remarked(gain_cell(gained, decimals), *measure.failing(row, base))
            for row, gained in zip(rows, estimates, strict=True)
        ]
        for place, p in _chances(rows, estimates).items() if tested else ():
            star = f" {CLAIMED}" if p < 1 - LEVEL else ""
            cells[place] = dataclasses.replace(cells[place], text=cells[place].text + star, p=p)
        return cells

    return Field(column, fill)


def beside_of(results: Results, table: str) -> tuple[Paper, Beside]:
    """Return the paper of an experiment's methods and what it has to stand beside a table, which may be nothing."""
    paper = paper_of(row.method for row in results.rows)
    return paper, paper.beside.get(table, Beside())


def published(results: Results, table: str, metric: str, dataset: str, column: Column) -> Field[RowResult]:
    """Return what is printed of the rows' methods; nothing is of a row that changes its method."""
    paper, beside = beside_of(results, table)

    def cell(row: RowResult) -> Cell:
        plain = row is results.plain(row.method)
        printed = paper.find(row.method, metric, dataset, beside.tables) if plain else None
        return number_cell(printed.value, printed.decimals) if printed else Cell()

    return each(column, cell)


def parameters() -> Field[RowResult]:
    """Return the networks' sizes in millions; the value is the count itself."""
    return each(Column("parameters", "Params", "M"), lambda row: _scaled(row, "parameters", 1e6))


def multiply_adds() -> Field[RowResult]:
    """Return multiply-adds an image in billions; the value is the count itself."""
    return each(Column("multiply_adds", "Mult-adds", "G"), lambda row: _scaled(row, "multiply_adds", 1e9))


def seconds() -> Field[RowResult]:
    """Return seconds an image, a mean over the finished runs."""

    def cell(row: RowResult) -> Cell:
        times = [run.seconds_per_image for run in _finished(row) if run.seconds_per_image is not None]
        return number_cell(sum(times) / len(times) if times else None, 3)

    return each(Column("seconds_per_image", "Time", "s/image"), cell)


def _mean_cell(measure: Measure, row: RowResult, interval: bool) -> Cell:
    """Return the mean over seeds of the mean over images, with the sample standard deviation over seeds.

    Only runs that have finished and scored every face count; with none of them the cell is a dash. One seed has no
    standard deviation. The 95% interval is over images and seeds.
    """
    results, test = measure.results, measure.test
    by_run = {
        run.name: _mean(list(values.values()))
        for run in row.scored_runs(test, results.protocol)
        if len(values := run.values(test, results.protocol, measure.metric)) == test.faces
    }
    total = combined(results, [(row, 1.0)], test, measure.metric)
    if not by_run or total is None:
        return Cell()
    run_means, decimals = list(by_run.values()), measure.spec.decimals
    finite = all(map(math.isfinite, run_means))
    spread = statistics.stdev(run_means) if len(run_means) > 1 and finite else None
    source = Provenance(
        tuple(by_run),
        test.dataset,
        test.fingerprint,
        test.faces,
        len(run_means),
        results.protocol,
        tuple(len(failures_of(results, run, test)) for run in row.runs if run.name in by_run),
    )
    cell = number_cell(_mean(run_means), decimals, spread, source)
    cell = dataclasses.replace(cell, remarks=measure.failing(row))  # also of a mean that one of them leaves undefined
    if not finite or not math.isfinite(total.low):
        return cell
    cell = dataclasses.replace(cell, interval=(total.low, total.high))
    if interval:
        text = f"{cell.value:.{decimals}f} [{total.low:.{decimals}f}, {total.high:.{decimals}f}]"
        cell = dataclasses.replace(cell, text=text)
    return cell


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def _chances(rows: Sequence[RowResult], estimates: Sequence[Estimate | None]) -> dict[int, float]:
    """Return p by the place of each row that has a difference, corrected for their number."""
    own = {
        place: found.p
        for place, (row, found) in enumerate(zip(rows, estimates, strict=True))
        if not row.foreign and found is not None and math.isfinite(found.p)
    }
    return dict(zip(own, holm(list(own.values())), strict=True))


def _finished(row: RowResult) -> list[RunResult]:
    return [run for run in row.runs if run.status is RunState.FINISHED]


def _scaled(row: RowResult, name: str, unit: float) -> Cell:
    """Return what a row's network costs, which is the same for every seed."""
    count = next((count for run in _finished(row) if (count := getattr(run, name)) is not None), None)
    return Cell(count, number_cell(None if count is None else count / unit, 3).text)
