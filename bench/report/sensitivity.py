"""Protocol sensitivity: the same pictures under every preset, and what is left of a gain."""

from __future__ import annotations

import numpy as np

from bench.analysis.claims import gain, scores_of
from bench.analysis.results import FaceSet, Results, RowResult
from bench.metrics.catalogue import get_metric
from bench.metrics.protocol import PROTOCOLS
from bench.report.subpage import Page, on, suffix
from bench.report.table import Cell, Column, Row, Table, gain_cell, number_cell


def sensitivity_page(results: Results) -> Page | None:
    """Build the page; None when runs are scored under fewer than two protocols."""
    tables, text = [], []
    for test in results.test:
        for metric in (name for name in results.metrics if get_metric(name).colour):
            protocols = _protocols(results, test, metric)
            if len(protocols) < 2:
                continue
            tables.append(_values(results, test, metric, protocols))
            if results.base is not None:
                tables.append(_gains(results, results.base, test, metric, protocols))
            text.append(_in_words(results, test, metric, protocols))
    if not tables:
        return None
    head = (
        "A protocol is how pixels become a score: colour space, rounding, border, SSIM window. The pictures are the "
        "same in every column, so whatever differs along a row is convention.",
        *(one for one in text if one),
    )
    return Page("sensitivity", "Protocol sensitivity", head, tuple(tables))


def _protocols(results: Results, test: FaceSet, metric: str) -> list[str]:
    """Return the protocols under which any row is scored, the experiment's own first."""
    known = {
        protocol
        for row in results.rows
        for run in row.runs
        for dataset, fingerprint, protocol, name in run.scores
        if (dataset, fingerprint, name) == (test.dataset, test.fingerprint, metric)
    }
    return sorted(known, key=lambda name: (name != results.protocol, list(PROTOCOLS).index(name), name))


def _values(results: Results, test: FaceSet, metric: str, protocols: list[str]) -> Table:
    spec = get_metric(metric)

    def cell(row: RowResult, protocol: str) -> Cell:
        found = scores_of(results, row, test, metric, protocol)
        return Cell() if found is None else number_cell(float(found.mean()), spec.decimals)

    rows = tuple(
        Row((Cell(row.label, row.label), *(cell(row, protocol) for protocol in protocols)), row.method)
        for row in results.rows
    )
    return Table(
        f"sensitivity-{metric}{suffix(results, test)}",
        f"{spec.title} under every protocol",
        f"Means on {on(test)}{f', {spec.unit}' if spec.unit else ''}.",
        (Column("model", "Model", align="left"), *(_column(name, test) for name in protocols)),
        rows,
        tuple(f"{name}: {PROTOCOLS[name].source}." for name in protocols if metric == "psnr" and name in PROTOCOLS),
    )


def _gains(results: Results, base: RowResult, test: FaceSet, metric: str, protocols: list[str]) -> Table:
    spec = get_metric(metric)
    rows = tuple(
        Row(
            (
                Cell(row.label, row.label),
                *(gain_cell(gain(results, row, base, test, metric, name), spec.decimals) for name in protocols),
            ),
            row.method,
        )
        for row in results.rows
        if row is not base
    )
    return Table(
        f"sensitivity-{metric}-gain{suffix(results, test)}",
        f"{spec.title}: difference from {base.label} under every protocol",
        f"Paired by image, with 95% intervals, on {on(test)}{f', {spec.unit}' if spec.unit else ''}.",
        (Column("model", "Model", align="left"), *(_column(name, test) for name in protocols)),
        rows,
    )


def _column(protocol: str, test: FaceSet) -> Column:
    return Column(protocol, protocol, align="left", dataset=test.dataset)


def _in_words(results: Results, test: FaceSet, metric: str, protocols: list[str]) -> str:
    """Say how far values and gains move between protocols: the largest move of any row."""
    spec = get_metric(metric)
    values, gains = [], []
    for row in results.rows:
        found = [scores_of(results, row, test, metric, name) for name in protocols]
        told = [gain(results, row, results.base, test, metric, name) for name in protocols]
        values.append([one.mean() for one in found if one is not None])
        gains.append([one.mean for one in told if one is not None])
    if not results.base or not any(gains):
        return ""
    moves = (max((float(np.ptp(one)) for one in some if one), default=0.0) for some in (values, gains))
    value, difference = (f"{move:.{spec.decimals}f} {spec.unit}".rstrip() for move in moves)
    return (
        f"{spec.title} on {test.dataset}: between protocols a row's value moves by up to {value}, its difference from "
        f"{results.base.label} by up to {difference}."
    )
