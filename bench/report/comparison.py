"""Tables 2 and 3: every method on several test sets, with and without a truth, our numbers beside the paper's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.claims import emphasis
from bench.analysis.results import FaceSet, Results, RowResult
from bench.metrics.catalogue import get_metric
from bench.papers.published import Printed, ledger
from bench.report.ablation import PUBLISHED, caption, claim_note, labelled, measured_note, own_notes
from bench.report.means import measured_cell
from bench.report.table import Cell, Column, Table, emphasise, number_cell

_OURS = {"msfnet-8": "msfnet"}  # in Tables 2 and 3 the network with all modules is "Ours"
_WITH_TRUTH = ("psnr", "ssim")


@dataclass(frozen=True)
class Beside:
    """Published numbers that stand beside ours: their table, their metrics, and what must be known of them."""

    table: str
    metrics: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def published_number(method: str, metric: str, dataset: str, tables: Sequence[str] = PUBLISHED) -> Printed | None:
    """Return what is published of a method's network, under whichever name it stands in `tables`."""
    names = (method, _OURS.get(method, method))
    return next((found for name in names if (found := ledger().find(name, metric, dataset, tables))), None)


def comparison_table(results: Results) -> Table | None:
    """Build Table 2 (paper, section 4.4): PSNR and SSIM on all test sets with a truth; None for fewer than two."""
    tests = tuple(test for test in results.test if test.truth)
    if len(tests) < 2:
        return None
    metrics = [name for name in _WITH_TRUTH if name in results.metrics]
    beside = Beside(
        "Table 2",
        _WITH_TRUTH,
        (
            "Published: the paper's Table 2, with the authors' training on their own choice of photos, so not "
            "comparable cell by cell. Model 8 stands beside the paper's own network.",
        ),
    )
    return _table(results, tests, "table2", f"{results.title}: comparison", metrics, beside)


def realworld_table(results: Results) -> Table | None:
    """Build Table 3 (paper, section 4.4): metrics without a reference on test sets without a truth; None for none."""
    tests = tuple(test for test in results.test if not test.truth)
    metrics = [name for name in results.metrics if not get_metric(name).needs]
    if not tests or not metrics:
        return None
    beside = Beside(
        "Table 3",
        ("niqe",),
        (
            "Published: NIQE of the paper's Table 3 on other faces, by a convention that it does not state. Its values "
            "and ours cannot be compared, only the order of the methods can.",
            *(one.text for one in ledger().errata_of("Table 3") if one.tables == ("Table 3",)),
        ),
    )
    return _table(results, tests, "table3", f"{results.title}: real-world faces", metrics, beside)


def _table(
    results: Results, tests: tuple[FaceSet, ...], name: str, title: str, metrics: Sequence[str], beside: Beside
) -> Table:
    """Build a table of `metrics` on `tests`; the paper's numbers stand beside them if it has any of those sets."""
    results = dataclasses.replace(results, test=tests)
    if not any(test.dataset in ledger().datasets for test in tests):
        beside = Beside(beside.table)
    footnotes: list[str] = []
    columns = (Column("model", "Model", align="left"), *_columns(results, metrics, beside))
    rows = tuple(
        labelled(results, row, tuple(_cells(results, row, metrics, beside)), footnotes) for row in results.rows
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
        *beside.notes,
        *_stand_ins(results),
        *own_notes(results),
    )
    return Table(name, title, caption(results), columns, rows, notes, tuple(footnotes))


def _columns(results: Results, metrics: Sequence[str], beside: Beside) -> Iterator[Column]:
    align: Literal["left", "right"] = "left" if len(results.seeds) > 1 else "right"  # as in Table 1
    for test in results.test:
        for name in metrics:
            spec = get_metric(name)
            yield Column(name, spec.title, spec.unit, f"Measured, {test.dataset}", align, test.dataset)
        for name in beside.metrics:
            spec, group = get_metric(name), f"Published, {ledger().datasets.get(test.dataset, test.dataset)}"
            title = "NIQE" if name == "niqe" else spec.title  # which convention it is is not known
            yield Column(f"published_{name}", title, spec.unit, group, dataset=test.dataset)


def _cells(results: Results, row: RowResult, metrics: Sequence[str], beside: Beside) -> Iterator[Cell]:
    for test in results.test:
        for name in metrics:
            yield measured_cell(results, row, test, name, get_metric(name).decimals)
        for name in beside.metrics:
            plain = row is results.plain(row.method)
            found = published_number(row.method, name, test.dataset, (beside.table,)) if plain else None
            yield number_cell(found.value, found.decimals) if found else Cell()


def _stand_ins(results: Results) -> list[str]:
    """Say what the test sets are in place of the paper's, as their audits tell."""
    shown = {test.dataset for test in results.test}
    found = [one for one in results.audits if one["dataset"] in shown and one["stands_for"]]
    return [f"{one['title']}: {one['stands_for']}" for one in found]
