"""Image by image: how often a row beats the baseline, by how much in the middle, and where it breaks down."""

from __future__ import annotations

import numpy as np

from bench.analysis.claims import scores_of
from bench.analysis.results import FaceSet, Results, RowResult
from bench.metrics.catalogue import get_metric
from bench.report.subpage import Page, on, suffix
from bench.report.table import Cell, Column, Row, Table, number_cell

_METRIC = "psnr"


def images_page(results: Results) -> Page | None:
    """Build the page; None without a baseline or where no other row has PSNR on the same faces."""
    base = results.base
    tables = [_table(results, base, test) for test in results.test if test.truth] if base else []
    tables = [table for table in tables if any(cell.value is not None for row in table.rows for cell in row.cells[1:])]
    if base is None or not tables:
        return None
    text = (
        f"A mean hides a network that fails on a few faces. A row's gain on an image is its PSNR less {base.label}'s, "
        "both means over trainings; the largest loss is that of any single training."
    )
    return Page("image-by-image", "Image by image", (text,), tuple(tables))


def _table(results: Results, base: RowResult, test: FaceSet) -> Table:
    spec = get_metric(_METRIC)
    columns = (
        Column("model", "Model", align="left"),
        Column("better", f"Better than {base.label}", "% of images", dataset=test.dataset),
        Column("median_gain", "Median gain", spec.unit, dataset=test.dataset),
        Column("largest_loss", "Largest loss", spec.unit, dataset=test.dataset),
        Column("largest_loss_on", "On", align="left"),
    )
    return Table(
        f"images{suffix(results, test)}",
        f"{spec.title} image by image",
        f"Against {base.label} on {on(test)}, protocol {results.protocol}.",
        columns,
        tuple(_row(results, row, base, test) for row in results.rows if row is not base),
    )


def _row(results: Results, row: RowResult, base: RowResult, test: FaceSet) -> Row:
    ours, theirs = (scores_of(results, one, test, _METRIC) for one in (row, base))
    label = Cell(row.label, row.label)
    if ours is None or theirs is None:
        return Row((label, *[Cell()] * 4), row.method)
    with np.errstate(invalid="ignore"):  # both infinite: no gain
        each = np.nan_to_num(ours - theirs.mean(axis=0), nan=0.0)
    gains = each.mean(axis=0)
    worst = float(each.min())
    decimals = get_metric(_METRIC).decimals
    image = _images(results, row, test)[int(each.min(axis=0).argmin())]
    cells = (
        number_cell(100 * float((gains > 0).mean()), 1),
        _signed(float(np.median(gains)), decimals),
        _signed(worst, decimals) if worst < 0 else Cell(),
        Cell(image, image) if worst < 0 else Cell(),
    )
    return Row((label, *cells), row.method)


def _images(results: Results, row: RowResult, test: FaceSet) -> list[str]:
    """Return the names of the images in the order of `scores_of`."""
    return sorted(row.scored_runs(test, results.protocol)[0].values(test, results.protocol, _METRIC))


def _signed(value: float, decimals: int) -> Cell:
    return Cell(value, f"{value:+.{decimals}f}")
