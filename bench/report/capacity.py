"""Capacity control: gains against size, and what size alone gives."""

from __future__ import annotations

from functools import partial

from bench.analysis.claims import gain
from bench.analysis.results import FaceSet, Results, RowResult, RunResult
from bench.metrics.catalogue import get_metric
from bench.report.ablation import beside_of
from bench.report.dots import Marked, draw_sizes
from bench.report.means import measured_cell
from bench.report.subpage import Page, Picture, on, suffix
from bench.report.table import Cell, Column, Row, Table, gain_cell


def capacity_page(results: Results) -> Page | None:
    """Build the page on all networks; None without a baseline, or when no other trained row is scored.

    Rows that change the training alone are left out: their network has its size already.
    """
    base = results.base
    if base is None:
        return None
    control = next((row for row in results.rows if row.match), None)
    tables, pictures = [], {}
    for test in (one for one in results.test if one.truth):
        rows = [row for row in results.rows if _costs(results, row, test) is not None and not row.training]
        if base not in rows or len(rows) < 2:
            continue
        tables.append(_table(results, base, control, test, rows))
        draw = partial(draw_sizes, results.rows, results.modules, _marked(results, base, control, test, rows))
        about = f"PSNR over {base.label} on {on(test)} with 95% intervals, against parameters and multiply-adds." + (
            f" The line leads from {base.label} to {control.label}: what size alone gives." if control else ""
        )
        pictures[f"capacity{suffix(results, test)}"] = Picture(draw, "Gain in PSNR against size", about)
    if not tables:
        return None
    text = "The modules make the network larger. A gain counts for a module as far as it exceeds what size alone gives"
    text += f": {control.label} is {control.method}, widened to the size of {control.match}." if control else "."
    return Page("capacity-control", "Capacity control", (text,), tuple(tables), pictures)


def _costs(results: Results, row: RowResult, test: FaceSet) -> RunResult | None:
    """Return a scored run of a trained row that says what it costs."""
    runs = (run for run in row.scored_runs(test, results.protocol) if run.trained)
    return next((run for run in runs if run.parameters and run.multiply_adds), None)


def _table(results: Results, base: RowResult, control: RowResult | None, test: FaceSet, rows: list[RowResult]) -> Table:
    decimals = get_metric("psnr").decimals
    against = [base, *([control] if control else [])]
    body = []
    for row in rows:
        run = _costs(results, row, test)
        assert run is not None and run.parameters and run.multiply_adds
        cells = [
            Cell(row.label, row.label),
            Cell(run.parameters, f"{run.parameters / 1e6:.3f}"),
            Cell(run.multiply_adds, f"{run.multiply_adds / 1e9:.3f}"),
            measured_cell(results, row, test, "psnr", decimals),
        ]
        for other in against:
            cells.append(
                Cell(text="") if row is other else gain_cell(gain(results, row, other, test, "psnr"), decimals)
            )
        published = Cell() if row is not results.plain(row.method) else _published_gain(results, row, base)
        body.append(Row((*cells, published), row.method))
    gains = [
        Column(f"over_{other.label}", f"Over {other.label}", "dB", align="left", dataset=test.dataset)
        for other in against
    ]
    return Table(
        f"capacity{suffix(results, test)}",
        "Gains against size",
        f"PSNR on {on(test)}, protocol {results.protocol}; 95% intervals in brackets.",
        (
            Column("model", "Model", align="left"),
            Column("parameters", "Params", "M"),
            Column("multiply_adds", "Mult-adds", "G"),
            Column("psnr", "PSNR", "dB", align="left", dataset=test.dataset),
            *gains,
            Column("published_gain", f"Published over {base.label}", "dB"),
        ),
        tuple(body),
    )


def _published_gain(results: Results, row: RowResult, base: RowResult) -> Cell:
    """Return the published difference in PSNR."""
    if row is base:
        return Cell()
    paper, beside = beside_of(results, "table1")
    ours, theirs = (paper.find(one.method, "psnr", paper.reference, beside.tables) for one in (row, base))
    if ours is None or theirs is None:
        return Cell()
    value = ours.value - theirs.value
    return Cell(value, f"{value:+.{ours.decimals}f}")


def _marked(
    results: Results, base: RowResult, control: RowResult | None, test: FaceSet, rows: list[RowResult]
) -> list[Marked]:
    found = []
    for row in rows:
        run, told = _costs(results, row, test), gain(results, row, base, test, "psnr")
        assert run is not None and run.parameters and run.multiply_adds
        values = (told.mean, told.low, told.high) if told else (0.0, 0.0, 0.0)
        found.append(Marked(row, run.parameters / 1e6, run.multiply_adds / 1e9, *values, line=row in (base, control)))
    return found
