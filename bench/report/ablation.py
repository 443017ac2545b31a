"""Table 1: the network with and without its modules, our numbers beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.errors import UserError
from bench.metrics.protocol import get_protocol
from bench.report.means import measured_cell, problems, row_status
from bench.report.published import Ledger, ledger
from bench.report.results import FaceSet, Results, RowResult
from bench.report.table import Cell, Column, Row, Table, check_cell, emphasise, number_cell

PUBLISHED = ("Table 1", "Table 2")  # Models 1-8 stand in Table 1, SPARNet and Bicubic in Table 2
PUBLISHED_ON = "helen"
SHORT = 8  # digits of a fingerprint that a caption shows


@dataclass(frozen=True)
class _Metric:
    key: str
    title: str
    unit: str
    decimals: int


METRICS = (_Metric("psnr", "PSNR", "dB", 3), _Metric("ssim", "SSIM", "", 4))


def ablation_table(results: Results) -> Table:
    """Build Table 1 (paper, section 4.3) from an experiment's results."""
    footnotes: list[str] = []
    rows: tuple[Row, ...] = tuple(_row(results, row, footnotes) for row in results.rows)
    columns = _columns(results)
    decimals = {metric.key: metric.decimals for metric in METRICS}
    for index, column in enumerate(columns):
        if column.dataset:
            rows = emphasise(rows, index, decimals[column.key])
    return Table("table1", results.title, caption(results), columns, rows, notes(results), tuple(footnotes))


def _columns(results: Results) -> tuple[Column, ...]:
    on = f"Published, {ledger().datasets[PUBLISHED_ON]}"
    # Left, so that the points stand in line whether or not a standard deviation follows.
    align: Literal["left", "right"] = "left" if len(results.seeds) > 1 else "right"
    return (
        Column("model", "Model", align="left"),
        *(Column(name, name, align="center") for name in results.modules),
        *(
            Column(metric.key, metric.title, metric.unit, _group(results, test), align, test.dataset)
            for test in results.test
            for metric in METRICS
        ),
        *(Column(f"published_{metric.key}", metric.title, metric.unit, on) for metric in METRICS),
        Column("parameters", "Params", "M"),
        Column("multiply_adds", "Mult-adds", "G"),
        Column("seconds_per_image", "Time", "s/image"),
    )


def _group(results: Results, test: FaceSet) -> str:
    return f"Measured, {test.dataset}" if len(results.test) > 1 else "Measured"


def _row(results: Results, row: RowResult, footnotes: list[str]) -> Row:
    status, troubles = row_status(row, results), problems(row, results)
    footnotes += [text for text in troubles if text not in footnotes]
    known = ledger()
    text = row.label if status in ("finished", "partial") else f"{row.label} ({status})"
    cells = (
        Cell(row.label, text),
        *(check_cell(row.modules.get(name)) for name in results.modules),
        *(
            measured_cell(results, row, test, metric.key, metric.decimals)
            for test in results.test
            for metric in METRICS
        ),
        *(_published(known, row.method, metric.key) for metric in METRICS),
        *_cost(row),
    )
    return Row(cells, row.method, status, " ".join(troubles), tuple(footnotes.index(text) for text in troubles))


def _published(known: Ledger, method: str, metric: str) -> Cell:
    found = known.find(method, metric, PUBLISHED_ON, PUBLISHED)
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
    return (
        f"Trained on {_faces(results.train)}, tested on {_list([_faces(t) for t in results.test])}. "
        f"Protocol {results.protocol}; {results.iterations:,} iterations of batch {results.batch}; "
        f"{'seed' if len(results.seeds) == 1 else 'seeds'} {seeds}; profile {results.profile}"
        + (f": {results.profile_note.rstrip('.')}. " if results.profile_note else ". ")
        + f"Device: {_list(devices(results)) or 'unknown'}."
    )


def notes(results: Results) -> tuple[str, ...]:
    """Return what a reader must know to compare the numbers."""
    on = ledger().datasets[PUBLISHED_ON]
    methods = {row.method for row in results.rows if row_status(row, results) in ("finished", "partial")}
    lines = [
        f"Measured: mean over images{_spread_note(results)}; best bold, second-best underlined. "
        f"{_protocol_note(results.protocol)}",
        f"Published: on {on} with the authors' training, so not comparable cell by cell. "
        "Models 1-8 are from the paper's Table 1, SPARNet and Bicubic from its Table 2.",
    ]
    for erratum in ledger().errata_of("Table 1"):
        if erratum.id == "same-network" and methods.issuperset(erratum.methods):
            lines.append(
                f"{erratum.text} Our two rows are two trainings of that network from different first weights: "
                "their difference shows run-to-run noise."
            )
    if len(devices(results)) > 1:
        lines.append("Rows were timed on different devices: their times are not comparable.")
    return tuple(lines)


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


def _list(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
