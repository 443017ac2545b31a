"""The page of what papers print of an experiment's methods, a table a paper."""

from __future__ import annotations

from bench.analysis.results import Results, RowResult
from bench.metrics.catalogue import get_metric
from bench.papers.paper import Paper, PrintedTable, papers
from bench.report.columns import Field, each, labels, make_table
from bench.report.page import Page
from bench.report.table import Cell, Column, Table, number_cell

_TEXT = (
    "Every number as it was printed, each under its authors' own training, faces and protocol: no two papers can be "
    "compared cell by cell, and none with what was measured here."
)


def printed_page(results: Results) -> Page | None:
    """Build the page of published numbers of the rows' methods, from every paper that is known; None where none is."""
    methods = [row.method for row in results.rows]
    tables = [_table(results, paper) for paper in papers() if paper.count(methods)[0]]
    return Page("printed", "What papers print", (_TEXT,), tuple(tables)) if tables else None


def _table(results: Results, paper: Paper) -> Table:
    names = {name for row in results.rows for name in (row.method, paper.aliases.get(row.method, row.method))}
    fields: list[Field[RowResult]] = [labels()]
    notes = []
    for table in paper.tables:
        shown = [
            (dataset, metric)
            for dataset, metrics in table.numbers.items()
            for metric, values in metrics.items()
            if names & values.keys()
        ]
        fields += [_column(results, paper, table, dataset, metric) for dataset, metric in shown]
        notes += [f"{table.name}: {table.title}."] if shown else []
    notes += [erratum.text for erratum in paper.errata_of(table.name for table in paper.tables)]
    name = f"printed-{''.join(letter if letter.isalnum() else '-' for letter in paper.name.lower())}"
    return make_table(name, paper.name, f"{paper.citation}.", results.rows, fields, notes)


def _column(results: Results, paper: Paper, table: PrintedTable, dataset: str, metric: str) -> Field[RowResult]:
    spec = get_metric(metric)
    column = Column(f"{metric}", spec.title, spec.unit, f"{table.name}, {paper.datasets[dataset]}", dataset=dataset)

    def cell(row: RowResult) -> Cell:
        printed = paper.find(row.method, metric, dataset, [table.name]) if row is results.plain(row.method) else None
        return number_cell(printed.value, printed.decimals) if printed else Cell()

    return each(column, cell)
