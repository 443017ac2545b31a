"""The pages about modules: the ablation as the factorial it is, and gains held against the networks' sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from bench.analysis.claims import scores_of
from bench.analysis.factorial import Effect, Rows, additivity, effects, factorial_rows, measured_effects
from bench.analysis.intervals import Estimate
from bench.analysis.results import FaceSet, Results, RowResult
from bench.metrics.catalogue import get_metric
from bench.report.columns import (
    Measure,
    beside_of,
    each,
    gains,
    labels,
    make_table,
    means,
    multiply_adds,
    parameters,
    scored,
)
from bench.report.curves import MOST
from bench.report.dots import Dots, Marked, differ_in_size, draw_dots, draw_sizes
from bench.report.page import Page, Picture
from bench.report.table import Cell, Column, Table, gain_cell, signed_cell
from bench.report.words import failing, listed, on, seed_notes, suffix, widened

_MAIN = "psnr"  # the metric of gains against size, and of the effects that are drawn


def factorial_page(results: Results) -> Page | None:
    """Build the page of main effects and interactions; None without a scored row for each combination of modules."""
    rows = factorial_rows(results)
    tables, text, drawn = list[Table](), list[str](), dict[FaceSet, Mapping[Effect, Estimate]]()
    for test in results.test if rows else ():
        every = {measure.metric: measured_effects(results, test, measure.metric) for measure in scored(results, test)}
        measured = {metric: estimates for metric, estimates in every.items() if estimates}
        if not measured:
            continue
        tables.append(_effects_table(results, rows, test, measured))
        if _MAIN in measured:
            text.append(_sums_in_words(results, rows, test))
            drawn[test] = measured[_MAIN]
    pictures = {}
    if drawn:
        about = f"Effects on PSNR, {listed([on(test) for test in drawn])}, with 95% intervals, beside published ones."
        draw = partial(draw_dots, _dots(results, rows, drawn), "Effect on PSNR (dB)")
        pictures["effects"] = Picture(draw, "Effects on PSNR with intervals", about)
    if not tables:
        return None
    head = (
        f"Each of {listed(results.modules)} is there or not, in every combination, so every row says something about "
        "every module. A main effect is the mean of the rows with a module less that of the rows without; an "
        "interaction is half of what one module's effect changes by the other. Intervals are paired by image.",
        *text,
    )
    return Page("factorial", "Factorial effects", head, tuple(tables), pictures)


def capacity_page(results: Results) -> Page | None:
    """Build the page of gains against size; None without a baseline, or when no other trained row is scored.

    Rows that change the training alone are left out: their network has its size already.
    """
    base, controls = results.base, [row for row in results.rows if row.match and not row.foreign]
    tables, panels, joined = list[Table](), dict[FaceSet, list[Marked]](), list[str]()
    for test in (test for test in results.test if test.truth and base):
        rows = [row for row in results.rows if _size(results, row, test) and not row.training]
        if base is None or base not in rows or len(rows) < 2:
            continue
        tables.append(_capacity_table(results, base, controls, test, rows))
        panels[test] = _marked(results, base, controls, test, rows)
        joined = [row.label for row in controls if row in rows] or joined
    pictures = {}
    if base and any(map(differ_in_size, panels.values())):
        about = f"PSNR over {base.label} on {listed([on(test) for test in panels])} with 95% intervals, against "
        about += "parameters and multiply-adds. What lies far beyond the others is drawn at the border, with its gain."
        about += f" The line leads from {base.label} to {listed(joined)}: what size alone gives." if joined else ""
        many = any(len(points) > MOST for points in panels.values())
        about += f" Of more than {MOST} rows those that gain most are drawn." if many else ""
        draw = partial(draw_sizes, results, {_title(results, test): points for test, points in panels.items()})
        pictures["capacity"] = Picture(draw, "Gain in PSNR against size", about)
    text = "The modules make the network larger. A gain counts for a module as far as it exceeds what size alone gives"
    text += f": {listed([f'{row.label} is {widened(results, row)}' for row in controls])}." if controls else "."
    return Page("capacity-control", "Capacity control", (text,), tuple(tables), pictures) if tables else None


def _printed(results: Results, rows: Rows, metric: str) -> dict[tuple[bool, ...], float]:
    """Return the published numbers of the same rows, or nothing when one is missing."""
    paper, beside = beside_of(results, "table1")
    printed = {cell: paper.find(row.method, metric, paper.reference, beside.tables) for cell, row in rows.items()}
    values = {cell: number.value for cell, number in printed.items() if number is not None}
    return values if len(values) == len(rows) else {}


def _effects_table(
    results: Results, rows: Rows, test: FaceSet, measured: Mapping[str, Mapping[Effect, Estimate]]
) -> Table:
    paper, beside = beside_of(results, "table1")
    every = list(next(iter(measured.values())))
    names = {effect: Cell(name := _effect_name(results, effect), name) for effect in every}
    columns = [each(Column("effect", "Effect", align="left"), names.__getitem__)]
    for metric, estimates in measured.items():
        measure = Measure(results, test, metric)
        gained = {effect: gain_cell(estimate, measure.spec.decimals) for effect, estimate in estimates.items()}
        columns.append(each(measure.column(group="Measured"), gained.__getitem__))
    printed = {
        metric: cells for metric in beside.metrics if metric in measured and (cells := _printed(results, rows, metric))
    }
    for metric, cells in printed.items():
        spec, group = get_metric(metric), f"Published, {paper.datasets[paper.reference]}"
        column = Column(f"published_{metric}", spec.title, spec.unit, group)
        values = {effect: signed_cell(value, spec.decimals) for effect, value in effects(cells).items()}
        columns.append(each(column, values.__getitem__))
    note = "The published effects follow from the printed means; neither seeds nor scores of single images are printed."
    return make_table(
        f"effects{suffix(results, test)}",
        f"Effects of {listed(results.modules)}",
        f"On {on(test)}, protocol {results.protocol}; 95% intervals in brackets.",
        every,
        columns,
        (
            *seed_notes(results, [test], list(measured)),
            *((note,) if printed else ()),
            *(text for row in rows.values() for text in failing(results, row, test)),
        ),
    )


def _effect_name(results: Results, effect: Effect) -> str:
    return " × ".join(results.modules[place] for place in effect)  # noqa: RUF001


def _dots(results: Results, rows: Rows, drawn: Mapping[FaceSet, Mapping[Effect, Estimate]]) -> list[Dots]:
    """Return a series of effects a test set, and the published ones, which name the set that they were printed for."""
    series, names = list[Dots](), list[str]()
    for test, measured in drawn.items():
        names = [_effect_name(results, effect) for effect in measured]
        values = [(effect.mean, effect.low, effect.high) for effect in measured.values()]
        series.append(Dots(f"measured, {_title(results, test)}", names, values))
    if cells := _printed(results, rows, _MAIN):
        paper, _ = beside_of(results, "table1")
        values = [(value,) * 3 for value in effects(cells).values()]
        series.append(Dots(f"published, {paper.datasets[paper.reference]}", names, values, printed=True))
    return series


def _title(results: Results, test: FaceSet) -> str:
    """Return a test set's name as its paper prints it, or its id."""
    return beside_of(results, "table1")[0].datasets.get(test.dataset, test.dataset)


def _sums_in_words(results: Results, rows: Rows, test: FaceSet) -> str:
    """Say whether single gains add up."""
    scores = {cell: scores_of(results, row, test, _MAIN) for cell, row in rows.items()}
    single, together = additivity({cell: float(values.mean()) for cell, values in scores.items() if values is not None})
    text = (
        f"On {test.dataset} the PSNR gains of single modules add up to {single:+.3f} dB; all together gain "
        f"{together:+.3f} dB."
    )
    if cells := _printed(results, rows, _MAIN):
        single, together = additivity(cells)
        text += f" Published: {single:+.3f} and {together:+.3f} dB."
    return text


def _size(results: Results, row: RowResult, test: FaceSet) -> tuple[int, int] | None:
    """Return parameters and multiply-adds of a trained row that is scored and knows them."""
    runs = (run for run in row.scored_runs(test, results.protocol) if run.trained)
    sizes = ((run.parameters, run.multiply_adds) for run in runs)
    return next(((size, work) for size, work in sizes if size and work), None)


def _capacity_table(
    results: Results, base: RowResult, controls: Sequence[RowResult], test: FaceSet, rows: Sequence[RowResult]
) -> Table:
    measure = Measure(results, test, _MAIN)
    paper, beside = beside_of(results, "table1")

    def published_gain(row: RowResult) -> Cell:
        pair = [paper.find(side.method, _MAIN, paper.reference, beside.tables) for side in (row, base)]
        if row is base or row is not results.plain(row.method) or pair[0] is None or pair[1] is None:
            return Cell()
        return signed_cell(pair[0].value - pair[1].value, pair[0].decimals)

    over = {row: measure.column(f"over_{row.label}", f"Over {row.label}") for row in (base, *controls)}
    return make_table(
        f"capacity{suffix(results, test)}",
        "Gains against size",
        f"PSNR on {on(test)}, protocol {results.protocol}; 95% intervals in brackets.",
        rows,
        [
            labels(),
            parameters(),
            multiply_adds(),
            means(measure, plain=True),
            *(gains(measure, row, column) for row, column in over.items()),
            each(Column("published_gain", f"Published over {base.label}", measure.spec.unit), published_gain),
        ],
        seed_notes(results, [test], [_MAIN]),
    )


def _marked(
    results: Results, base: RowResult, controls: Sequence[RowResult], test: FaceSet, rows: Sequence[RowResult]
) -> list[Marked]:
    marked = []
    for row in rows:
        size, gain = _size(results, row, test), Measure(results, test, _MAIN).gain(row, base)
        assert size is not None  # the rows were chosen by it
        values = (gain.mean, gain.low, gain.high) if gain else (0.0, 0.0, 0.0)
        marked.append(Marked(row, size[0] / 1e6, size[1] / 1e9, *values, line=row in (base, *controls)))
    return marked
