"""The ablation as the factorial it is: main effects and interactions, ours beside those of the published numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bench.analysis.claims import scores_of
from bench.analysis.factorial import Effect, Rows, additivity, effects, factorial_rows, measured_effects
from bench.analysis.intervals import Estimate
from bench.analysis.results import FaceSet, Results
from bench.metrics.catalogue import get_metric
from bench.report.ablation import beside_of
from bench.report.dots import Dots, draw_dots
from bench.report.gains import scored_metrics
from bench.report.subpage import Page, Picture, on, suffix
from bench.report.table import Cell, Column, Row, Table, gain_cell


def factorial_page(results: Results) -> Page | None:
    """Build the page; None without modules, without a row for each of their combinations, or without its scores."""
    rows = factorial_rows(results)
    if not rows:
        return None
    tables, pictures, text = [], {}, []
    for test in results.test:
        every = {metric: measured_effects(results, test, metric) for metric in scored_metrics(results, test)}
        found = {metric: estimates for metric, estimates in every.items() if estimates}
        if not found:
            continue
        tables.append(_table(results, rows, test, found))
        if "psnr" in found:
            text.append(_in_words(results, rows, test))
            about = f"Effects on PSNR, {on(test)}, with 95% intervals, beside those of the published numbers."
            draw = partial(draw_dots, _dots(results, rows, found["psnr"]), "Effect on PSNR (dB)")
            pictures[f"effects{suffix(results, test)}"] = Picture(draw, "Effects on PSNR with intervals", about)
    if not tables:
        return None
    head = (
        f"Each of {_join(results.modules)} is there or not, in every combination, so every row tells about every "
        "module. A main effect is the mean of the rows with a module less that of the rows without; an interaction is "
        "half of what one module's effect changes by the other. Intervals are paired by image"
        + (
            ", over images and seeds."
            if len(results.seeds) > 1
            else ", over images alone: there is one training a row."
        ),
        *text,
    )
    return Page("factorial", "Factorial effects", head, tuple(tables), pictures)


def _published(results: Results, rows: Rows, metric: str) -> dict[tuple[bool, ...], float]:
    """Return the published numbers of the same rows, or nothing when one is missing."""
    paper, beside = beside_of(results, "table1")
    printed = {cell: paper.find(row.method, metric, paper.reference, beside.tables) for cell, row in rows.items()}
    found = {cell: one.value for cell, one in printed.items() if one is not None}
    return found if len(found) == len(rows) else {}


def _table(results: Results, rows: Rows, test: FaceSet, found: Mapping[str, Mapping[Effect, Estimate]]) -> Table:
    printed = {
        metric: effects(cells)
        for metric in ("psnr", "ssim")
        if metric in found and (cells := _published(results, rows, metric))
    }
    decimals = {metric: get_metric(metric).decimals for metric in printed}
    body = []
    for effect in next(iter(found.values())):
        name = _name(results, effect)
        measured = [gain_cell(told[effect], get_metric(metric).decimals) for metric, told in found.items()]
        theirs = [Cell(one[effect], f"{one[effect]:+.{decimals[metric]}f}") for metric, one in printed.items()]
        body.append(Row((Cell(name, name), *measured, *theirs), ""))
    specs = [get_metric(metric) for metric in found]
    paper = beside_of(results, "table1")[0]
    published_on = f"Published, {paper.datasets.get(paper.reference, paper.reference)}"
    return Table(
        f"effects{suffix(results, test)}",
        f"Effects of {_join(results.modules)}",
        f"On {on(test)}, protocol {results.protocol}; 95% intervals in brackets.",
        (
            Column("effect", "Effect", align="left"),
            *(Column(spec.name, spec.title, spec.unit, "Measured", "left", test.dataset) for spec in specs),
            *(
                Column(f"published_{metric}", get_metric(metric).title, get_metric(metric).unit, published_on)
                for metric in printed
            ),
        ),
        tuple(body),
        ("The published effects follow from the printed means; neither seeds nor scores of single images are printed.",)
        if printed
        else (),
    )


def _dots(results: Results, rows: Rows, found: Mapping[Effect, Estimate]) -> list[Dots]:
    names = [_name(results, effect) for effect in found]
    ours = Dots("measured", names, [(one.mean, one.low, one.high) for one in found.values()])
    cells = _published(results, rows, "psnr")
    return [ours, *([Dots("published", names, [(one, one, one) for one in effects(cells).values()])] if cells else [])]


def _in_words(results: Results, rows: Rows, test: FaceSet) -> str:
    """Say whether single gains add up."""
    means = {cell: scores_of(results, row, test, "psnr") for cell, row in rows.items()}
    single, together = additivity({cell: float(one.mean()) for cell, one in means.items() if one is not None})
    text = (
        f"On {test.dataset} the PSNR gains of single modules add up to {single:+.3f} dB; all together gain "
        f"{together:+.3f} dB."
    )
    cells = _published(results, rows, "psnr")
    if cells:
        single, together = additivity(cells)
        text += f" Published: {single:+.3f} and {together:+.3f} dB."
    return text


def _name(results: Results, effect: Effect) -> str:
    return " × ".join(results.modules[place] for place in effect)  # noqa: RUF001


def _join(names: tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
