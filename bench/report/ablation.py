"""Table 1: the network with and without its modules, our numbers beside the paper's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from bench.analysis.claims import covers_training, emphasis, gain
from bench.analysis.results import FaceSet, Results, RowResult
from bench.core.errors import UserError
from bench.metrics.catalogue import get_metric
from bench.metrics.protocol import get_protocol
from bench.papers.paper import NO_PAPER, Beside, Paper, paper_of
from bench.report.means import measured_cell, problems, row_status
from bench.report.table import Cell, Column, Row, Table, check_cell, emphasise, gain_cell, number_cell

SHORT = 8  # digits of a fingerprint that a caption shows
METRICS = ("psnr", "ssim", "niqe-pooled")  # the columns of Table 1; all others are in the table of gains


def ablation_table(results: Results) -> Table:
    """Build Table 1 (paper, section 4.3) from an experiment's results, of one test set: `shown_in_table_1`."""
    paper, beside = beside_of(results, "table1")
    results = dataclasses.replace(results, test=(shown_in_table_1(results),))
    footnotes: list[str] = []
    columns = tuple(_columns(results, paper, beside))
    rows: tuple[Row, ...] = tuple(_row(results, row, paper, beside, footnotes) for row in results.rows)
    places = [place for place, column in enumerate(columns) if column.dataset and column.key in METRICS]
    for place, (test, metric) in zip(places, _measured(results), strict=True):
        rows = emphasise(rows, place, emphasis(results, test, metric))
    return Table(
        "table1", results.title, caption(results), columns, rows, notes(results, paper, beside), tuple(footnotes)
    )


def shown_in_table_1(results: Results) -> FaceSet:
    """Return the paper's reference test set if it is among the experiment's, else the first."""
    reference = beside_of(results, "table1")[0].reference
    return next((test for test in results.test if test.dataset == reference), results.test[0])


def beside_of(results: Results, table: str) -> tuple[Paper, Beside]:
    """Return the paper of an experiment's methods and what it has to stand beside a table, which may be nothing."""
    paper = paper_of(row.method for row in results.rows)
    return paper, paper.beside.get(table, Beside())


def _measured(results: Results) -> list[tuple[FaceSet, str]]:
    """Return test set and metric of each measured column; without a truth only metrics that need none are shown."""
    return [
        (test, metric)
        for test in results.test
        for metric in METRICS
        if metric in results.metrics and (test.truth or not get_metric(metric).needs)
    ]


def _columns(results: Results, paper: Paper, beside: Beside) -> Iterator[Column]:
    # Left, so that the points stand in line whether or not a standard deviation follows.
    align: Literal["left", "right"] = "left" if len(results.seeds) > 1 else "right"
    yield Column("model", "Model", align="left")
    for name in results.modules:
        yield Column(name, name, align="center")
    for test, metric in _measured(results):
        spec = get_metric(metric)
        yield Column(metric, spec.title, spec.unit, "Measured", align, test.dataset)
        if metric == "psnr" and results.base:
            yield Column("psnr_gain", f"Gain over {results.base.label}", spec.unit, "Measured", align, test.dataset)
    for metric in beside.metrics:
        spec = get_metric(metric)
        yield Column(f"published_{metric}", spec.title, spec.unit, f"Published, {paper.datasets[paper.reference]}")
    yield Column("parameters", "Params", "M")
    yield Column("multiply_adds", "Mult-adds", "G")
    yield Column("seconds_per_image", "Time", "s/image")


def _row(results: Results, row: RowResult, paper: Paper, beside: Beside, footnotes: list[str]) -> Row:
    cells = (
        *(check_cell(row.modules.get(name)) for name in results.modules),
        *(cell for test, metric in _measured(results) for cell in _scores(results, row, test, metric)),
        *(published_cell(results, row, paper, beside, metric, paper.reference) for metric in beside.metrics),
        *_cost(row),
    )
    return labelled(results, row, cells, footnotes)


def labelled(results: Results, row: RowResult, cells: Sequence[Cell], footnotes: list[str]) -> Row:
    """Return a row of a table: its label and what it lacks before `cells`; `footnotes` get what is new to them."""
    status, troubles = row_status(row, results), problems(row, results)
    footnotes += [text for text in troubles if text not in footnotes]
    text = row.label if status in ("finished", "partial") else f"{row.label} ({status})"
    cells = (Cell(row.label, text), *cells)
    return Row(cells, row.method, status, " ".join(troubles), tuple(footnotes.index(text) for text in troubles))


def _scores(results: Results, row: RowResult, test: FaceSet, metric: str) -> Iterator[Cell]:
    """Yield a measured cell and, for PSNR, the gain over the baseline."""
    yield measured_cell(results, row, test, metric, get_metric(metric).decimals)
    if metric == "psnr" and results.base:
        found = gain(results, row, results.base, test, metric)
        yield Cell(text="") if row is results.base else gain_cell(found, get_metric(metric).decimals)


def published_cell(results: Results, row: RowResult, paper: Paper, beside: Beside, metric: str, dataset: str) -> Cell:
    """Return what is printed of a row's method; nothing is of a row that changes it."""
    plain = row is results.plain(row.method)
    found = paper.find(row.method, metric, dataset, beside.tables) if plain else None
    return number_cell(found.value, found.decimals) if found else Cell()


def _cost(row: RowResult) -> tuple[Cell, Cell, Cell]:
    """Return parameters, multiply-adds (both the same for every seed) and the mean time of the finished runs."""
    runs = [run for run in row.runs if run.status == "finished"]
    parameters = next((run.parameters for run in runs if run.parameters is not None), None)
    multiply_adds = next((run.multiply_adds for run in runs if run.multiply_adds is not None), None)
    times = [run.seconds_per_image for run in runs if run.seconds_per_image is not None]
    return (
        _scaled(parameters, 1e6, 3),
        _scaled(multiply_adds, 1e9, 3),
        number_cell(sum(times) / len(times) if times else None, 3),
    )


def _scaled(count: int | None, unit: float, decimals: int) -> Cell:
    """Return a count whose text is in millions or billions and whose value is the count itself."""
    shown = number_cell(None if count is None else count / unit, decimals)
    return Cell(count, shown.text)


def caption(results: Results) -> str:
    """Say what the table shows and how it was made: data, protocol, budget, seeds, profile, device."""
    seeds = ", ".join(map(str, results.seeds))
    if len({len(row.runs) for row in results.rows if any(run.trained for run in row.runs)}) > 1:
        seeds += " (some rows fewer)"
    return (
        f"Trained on {_faces(results.train)}, tested on {listed([_faces(t) for t in results.test])}. "
        f"Protocol {results.protocol}; {results.iterations:,} iterations of batch {results.batch}; "
        f"{'seed' if len(results.seeds) == 1 else 'seeds'} {seeds}; profile {results.profile}"
        + (f": {results.profile_note.rstrip('.')}. " if results.profile_note else ". ")
        + f"Device: {listed(devices(results)) or 'unknown'}."
    )


def notes(results: Results, paper: Paper = NO_PAPER, beside: Beside | None = None) -> tuple[str, ...]:
    """Return what a reader must know to compare the numbers."""
    methods = {row.method for row in results.rows if row_status(row, results) in ("finished", "partial")}
    lines = [
        measured_note(results),
        claim_note(results),
        *(paper.notes(beside, methods) if beside else ()),
        *own_notes(results),
    ]
    lines += [
        f"{get_metric(m).title}: {get_metric(m).caution}."
        for m in METRICS
        if m in results.metrics and get_metric(m).caution
    ]
    if len(devices(results)) > 1:
        lines.append("Rows were timed on different devices: their times are not comparable.")
    return tuple(lines)


def measured_note(results: Results) -> str:
    """Say what a measured number is the mean of, and under which protocol."""
    return f"Measured: mean over images{_spread_note(results)}. {_protocol_note(results.protocol)}"


def own_notes(results: Results) -> list[str]:
    """Say of each row with a widened network, or with options or settings of training of its own, what it is."""
    widened = [
        f"{row.label}: {row.method}, widened to the size of {_label(results, row.match)}."
        for row in results.rows
        if row.match
    ]
    changed = [
        f"{row.label}: {' and '.join(told)}."
        for row in results.rows
        if (
            told := [
                *([f"built with {_settings(row.options)}"] if row.options else []),
                *([f"trained with {_settings(row.training)}"] if row.training else []),
            ]
        )
    ]
    return widened + changed


def _settings(changes: Mapping[str, Any]) -> str:
    """Return settings in words, e.g. "learning_rate 1e-05, augment rot90 True"."""
    return ", ".join(
        f"{name} {_settings(value) if isinstance(value, Mapping) else value}" for name, value in changes.items()
    )


def claim_note(results: Results) -> str:
    """Say what bold and underlined mean, and what the intervals cover."""
    told = "95% intervals of paired differences"
    if all(covers_training(results, test) for test in results.test):
        return (
            "Bold: better than every other row. Underlined, where no row is: the best mean and those that cannot be "
            f"told from it. {told} are over images and seeds; a claim takes one without 0 and Wilcoxon's p below 0.05 "
            "after Holm's correction."
        )
    return (
        "Nothing is bold, for one training a row says nothing about other trainings of it. Underlined: the best mean "
        f"and those that cannot be told from it, by {told} over images and Wilcoxon's test with Holm's correction."
    )


def _label(results: Results, method: str) -> str:
    return next((row.label for row in results.rows if row.method == method), method)


def devices(results: Results) -> list[str]:
    """Return the devices that the finished rows were timed on, each once."""
    found = [run.device for row in results.rows for run in row.runs if run.status == "finished" and run.device]
    return list(dict.fromkeys(found))


def _spread_note(results: Results) -> str:
    return ", then over seeds, ± the standard deviation over seeds" if len(results.seeds) > 1 else ""


def _protocol_note(name: str) -> str:
    try:
        return f"Protocol {name}: {get_protocol(name).source}."
    except UserError:
        return f"Protocol {name}."


def _faces(faces: FaceSet) -> str:
    return f"{faces.dataset} ({faces.faces:,} faces, {faces.fingerprint[:SHORT]})"


def listed(names: Sequence[str]) -> str:
    """Return names as in a sentence: "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
