"""The page of rows image by image: how often one is better than the baseline, and the faces that runs fail on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.analysis.failures import failures_of, reference_row
from bench.analysis.results import FaceSet, Results, RowResult, RunResult
from bench.metrics.catalogue import get_metric
from bench.report.columns import Field, Measure, each, labels, make_table
from bench.report.page import Page
from bench.report.table import Cell, Column, Table, check_cell, number_cell, remarked, signed_cell
from bench.report.words import failing, none_fails, on, suffix
from bench.runs.failures import LIMIT, Failure

_MAIN = "psnr"  # the metric of gains image by image
_LISTED = 10  # failing faces of a run
_Case = tuple[RowResult, RunResult, Failure]


def images_page(results: Results) -> Page | None:
    """Build the page of rows image by image: how often one is better than the baseline, and where it breaks down."""
    base, text = results.base, []
    tables = [_images_table(results, base, test) for test in results.test if base and _compares(results, base, test)]
    if base and tables:
        text = [
            "A mean hides a network that fails on a few faces. A row's gain on an image is its PSNR less "
            f"{base.label}'s, both means over seeds; the largest loss is that of any single seed, the median PSNR and "
            "its 1% quantile are over the images of all seeds."
        ]
    failures = [table for test in results.test if (table := _failures_table(results, test))]
    if sound := none_fails(results, results.test):
        text.append(sound)
    if failures:
        text.append("Failing faces are named beside every mean, which holds them with their scores, and listed below.")
    return Page("image-by-image", "Image by image", tuple(text), (*tables, *failures)) if tables or failures else None


def _compares(results: Results, base: RowResult, test: FaceSet) -> bool:
    """Tell whether a row has the main metric on the same faces as the baseline."""
    scores = [Measure(results, test, _MAIN).scores(row) for row in (base, *results.rows) if test.truth]
    return sum(values is not None for values in scores) > 2 and scores[0] is not None


def _images_table(results: Results, base: RowResult, test: FaceSet) -> Table:
    measure = Measure(results, test, _MAIN)
    spec = measure.spec

    def column(heading: Column, cell: Callable[[RowResult, np.ndarray], Cell]) -> Field[RowResult]:
        gained = {id(row): _image_gains(measure, row, base) for row in results.rows}
        return each(heading, lambda row: Cell() if (own := gained[id(row)]) is None else cell(row, own))

    def over_base(heading: Column, cell: Callable[[RowResult, np.ndarray], Cell]) -> Field[RowResult]:
        return column(heading, lambda row, gained: Cell(text="") if row is base else cell(row, gained))

    def lost_on(row: RowResult, gained: np.ndarray) -> Cell:
        run = row.scored_runs(test, results.protocol)[0]
        names = sorted(run.values(test, results.protocol, _MAIN))  # the order of the scores
        name = names[int(gained.min(axis=0).argmin())]
        return Cell(name, name) if gained.min() < 0 else Cell()

    def quantile(share: float) -> Callable[[RowResult, np.ndarray], Cell]:
        def cell(row: RowResult, _: np.ndarray) -> Cell:
            scores = measure.scores(row)
            assert scores is not None  # or there were no gains
            finite = bool(np.isfinite(scores).all())
            drawn = np.quantile(scores, share, method="linear" if finite else "lower")
            return remarked(number_cell(float(drawn), spec.decimals), *measure.failing(row))

        return cell

    return make_table(
        f"images{suffix(results, test)}",
        f"{spec.title} image by image",
        f"Against {base.label} on {on(test)}, protocol {results.protocol}.",
        results.rows,
        [
            labels(),
            over_base(
                Column("better", f"Better than {base.label}", "% of images", dataset=test.dataset),
                lambda _, gained: number_cell(100 * float((gained.mean(axis=0) > 0).mean()), 1),
            ),
            over_base(
                Column("median_gain", "Median gain", spec.unit, dataset=test.dataset),
                lambda _, gained: signed_cell(float(np.median(gained.mean(axis=0))), spec.decimals),
            ),
            over_base(
                Column("largest_loss", "Largest loss", spec.unit, dataset=test.dataset),
                lambda _, gained: signed_cell(float(gained.min()), spec.decimals) if gained.min() < 0 else Cell(),
            ),
            over_base(Column("largest_loss_on", "On", align="left"), lost_on),
            column(Column("median", f"Median {spec.title}", spec.unit, dataset=test.dataset), quantile(0.5)),
            column(Column("quantile_1", f"{spec.title}, 1% quantile", spec.unit, dataset=test.dataset), quantile(0.01)),
        ],
    )


def _failures_table(results: Results, test: FaceSet) -> Table | None:
    """Build the list of faces that runs fail on, the worst of each run first; None where they fail on none."""
    reference, every = reference_row(results), list[_Case]()
    for row in results.rows:
        for run in row.scored_runs(test, results.protocol):
            every += [(row, run, failure) for failure in failures_of(results, run, test)[:_LISTED]]
    if not every:
        return None
    unit, label = get_metric(_MAIN).unit, reference.label if reference else "Reference"
    columns: list[Field[_Case]] = [
        each(Column("model", "Model", align="left"), lambda one: Cell(one[0].label, one[0].label)),
        each(Column("seed", "Seed"), lambda one: number_cell(one[1].seed, 0)),
        each(Column("face", "Face", align="left"), lambda one: Cell(one[2].face, one[2].face)),
        each(Column("psnr", "PSNR", unit, dataset=test.dataset), lambda one: number_cell(one[2].psnr, 1)),
        each(Column("reference", label, unit, dataset=test.dataset), lambda one: number_cell(one[2].reference, 1)),
        each(Column("broken", "NaN or infinity", align="center"), lambda one: check_cell(one[2].broken)),
    ]
    counts = [text for row in results.rows for text in failing(results, row, test)]
    return make_table(
        f"failures{suffix(results, test)}",
        "Failing faces",
        f"NaN or infinity, or more than {LIMIT:g} dB below {label}, on {on(test)}, protocol {results.protocol}; "
        f"the worst {_LISTED} of a run at most.",
        every,
        columns,
        counts,
    )


def _image_gains(measure: Measure, row: RowResult, base: RowResult) -> np.ndarray | None:
    """Return how far each seed of a row lies above the baseline's mean on each image, [seeds, images]."""
    ours, theirs = measure.scores(row), measure.scores(base)
    if ours is None or theirs is None:
        return None
    with np.errstate(invalid="ignore"):  # both infinite: no gain
        return np.asarray(np.nan_to_num(ours - theirs.mean(axis=0), nan=0.0))
