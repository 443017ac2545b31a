"""The report of a search: its trials as a table, what they show, and the two pictures. Made from search.json alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from bench.core.files import held, write_bytes
from bench.core.schema import canonical_json
from bench.report import csv_file, markdown
from bench.report.table import Cell, Column, Provenance, Row, Table, number_cell
from bench.schedule.search.importance import ENOUGH, LEAST, Importance, importances
from bench.schedule.search.record import SearchRecord, TrialRecord, read_record
from bench.schedule.search.space import Dimension

_SHOWN = 10  # trials in the terminal
_PICTURES = ("parallel", "importance")


def build_search_report(results_dir: Path, out_dir: Path) -> list[Path]:
    """Write index.md, trials and importance as .md and .csv, and both pictures as .png and .pdf; return the files.

    A picture with too little to show is not written, and what an earlier report left of it is removed. Raises UserError
    for a search.json that is missing or damaged and OSError when a file cannot be written.
    """
    from bench.report.curves import figure_bytes
    from bench.report.search_figures import draw_importance, draw_parallel

    record = read_record(results_dir)
    found = importances(record)
    tables = [trials_table(record)] + ([importance_table(record, found)] if found else [])
    figures = {"parallel": draw_parallel(record), "importance": draw_importance(found) if found else None}
    contents = {"index.md": _page(record, found, tables, figures).encode()}
    for table in tables:
        contents |= {f"{table.name}.md": markdown.render(table).encode()}
        contents |= {f"{table.name}.csv": csv_file.render(table).encode()}
    for name, figure in figures.items():
        if figure is not None:
            contents |= {f"{name}.{kind}": figure_bytes(figure, kind) for kind in ("png", "pdf")}
    return _write(out_dir, contents)


def trials_text(record: SearchRecord) -> str:
    """Return the best trials as a table for a terminal."""
    ranked = record.ranked()
    head = ["trial", "PSNR (dB)", "iterations", "state", "parameters", *(one.name for one in record.space)]
    body = [
        [
            str(trial.number),
            "-" if trial.psnr is None else f"{trial.psnr:.3f}",
            str(trial.iterations),
            trial.status,
            f"{trial.parameters:,}",
            *(show_value(trial.values[one.key]) for one in record.space),
        ]
        for trial in ranked[:_SHOWN]
    ]
    aligned = ("right", "right", "right", "left", "right", *(_align(one) for one in record.space))
    counts = ", ".join(f"{n} {status}" for status, n in _counts(record).items())
    lines = [
        f"{record.name}: {len(ranked)} trials: {counts}; PSNR on {record.val.faces} validation faces",
        tabulate(body, head, tablefmt="simple", disable_numparse=True, colalign=aligned),
    ]
    return "\n".join(lines)


def trials_table(record: SearchRecord) -> Table:
    """Return all trials, the best first."""
    columns = (
        Column("trial", "Trial"),
        *(Column(one.key, one.name, align=_align(one)) for one in record.space),
        Column("psnr", "PSNR", "dB", dataset=record.val.dataset),
        Column("iterations", "Iterations"),
        Column("state", "State", align="left"),
        Column("parameters", "Parameters", "M"),
    )
    rows = tuple(_row(record, trial) for trial in record.ranked())
    caption = (
        f"{len(rows)} trials of {record.method} at random (seed {record.space_seed}), the best first. PSNR on "
        f"{record.val.faces:,} validation faces of {record.val.dataset} ({record.val.fingerprint[:8]}), protocol "
        f"{record.protocol}, at a trial's last iteration; test faces were not looked at."
    )
    notes = [f"Trial {one.number} failed: {one.error}" for one in record.trials if one.status == "failed"]
    return Table("trials", record.title, caption, columns, rows, tuple(notes))


def importance_table(record: SearchRecord, found: Sequence[Importance]) -> Table:
    """Return what each dimension explains, the most first."""
    columns = (
        Column("parameter", "Hyper-parameter", align="left"),
        Column("share", "Share explained", dataset=record.val.dataset),
        Column("chance", "Chance, 95%"),
        Column("p", "p"),
        Column("trend", "Trend"),
    )
    rows = tuple(
        Row(
            (
                Cell(one.dimension.key, one.dimension.key),
                number_cell(one.share, 2),
                number_cell(one.chance, 2),
                number_cell(one.p, 3),
                Cell() if one.trend is None else Cell(one.trend, f"{one.trend:+.2f}"),
            ),
            record.method,
        )
        for one in found
    )
    caption = (
        f"Share of the variance of PSNR ranks over {found[0].trials} finished trials that a hyper-parameter explains "
        "by itself: the adjusted R squared of a fit on its choices, or on the ranks of its numbers and their squares. "
        "95% of permutations stay below Chance; p is theirs, corrected by Holm. Trend is Spearman's rank correlation."
    )
    return Table("importance", "Importance", caption, columns, rows, tuple(_cautions(record)))


def show_value(value: Any) -> str:
    """Return a value as a reader writes it: 4 digits of a number, a list in brackets."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) else canonical_json(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _align(dimension: Dimension) -> Any:
    return "right" if all(isinstance(value, int | float) for value in dimension.values) else "left"


def _row(record: SearchRecord, trial: TrialRecord) -> Row:
    source = Provenance((trial.run,), record.val.dataset, record.val.fingerprint, record.val.faces, 1, record.protocol)
    at = f" at {trial.iterations:,}" if trial.status == "stopped" else ""
    cells = (
        number_cell(trial.number, 0),
        *(Cell(_plain(trial.values[one.key]), show_value(trial.values[one.key])) for one in record.space),
        number_cell(trial.psnr, 3, provenance=source),
        number_cell(trial.iterations, 0),
        Cell(trial.status, trial.status + at),
        number_cell(trial.parameters / 1e6, 3),
    )
    return Row(cells, record.method, trial.status, trial.error)


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else canonical_json(value)


def _counts(record: SearchRecord) -> dict[str, int]:
    states = [trial.status for trial in record.ranked()]
    return {status: states.count(status) for status in dict.fromkeys(states)}


def _cautions(record: SearchRecord) -> list[str]:
    """Return what to know before believing an importance."""
    count, notes = len(record.finished()), []
    if count < ENOUGH:
        notes.append(f"{count} finished trials are few: only large shares can be told from chance.")
    if any(trial.status == "stopped" for trial in record.trials):
        notes.append(
            "Only finished trials count, and those that were stopped early were worse: what made them worse explains "
            "less here than it did. A search without early stopping tells it undistorted."
        )
    notes.append("Each trial is trained once, and what only matters together with another setting is not seen.")
    return notes


def _about(record: SearchRecord) -> str:
    rule = record.scheduler
    stops = (
        f"ASHA stopped the worse trials early: from iteration {rule.grace_period} on, and again after each "
        f"{rule.reduction_factor:g}-fold, the best 1/{rule.reduction_factor:g} of those that came as far went on"
        if rule.stops_early
        else "Every trial was trained to its end"
    )
    return (
        f"{record.method} under profile {markdown.escape(record.profile)} ({markdown.escape(record.profile_note)}), "
        f"{record.iterations:,} iterations on {record.train.faces:,} faces of {markdown.escape(record.train.dataset)}, "
        f"training seed {record.seed}. {stops}. Settings are chosen on validation faces and each trial is trained "
        "once, so close PSNRs are no ranking: train the best again with several seeds, and test that.\n\n"
        "This is a search, not an ablation: rows of an ablation have equal budgets and are never stopped early."
    )


def _page(record: SearchRecord, found: Sequence[Importance], tables: Sequence[Table], figures: dict[str, Any]) -> str:
    """Return index.md."""
    parts = [f"# {markdown.escape(record.title)}", _about(record), _table(tables[0])]
    if figures["parallel"] is not None:
        about = (
            "A line a trial, through the values that were drawn for it to its PSNR, which also gives the colour; "
            "the best in black. Pale lines were stopped early and end before. [PDF](parallel.pdf)"
        )
        parts += ["## Trials", f"![Values of each trial and its PSNR](parallel.png)\n\n{about}"]
    if found:
        about = (
            "Filled bars have p below 0.05 after Holm's correction; chance alone stays below the tick 95 times of 100. "
            "[PDF](importance.pdf)"
        )
        picture = f"![Share of the variance that each hyper-parameter explains](importance.png)\n\n{about}"
        parts += ["## Importance", picture, _table(tables[1])]
    else:
        why = f"it takes {LEAST} finished trials that differ, and {len(record.finished())} finished"
        parts.append(f"No importance: {why}.")
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    files = f"As files: [CSV]({table.name}.csv), [Markdown]({table.name}.md)."
    return f"{markdown.render(table).rstrip()}\n\n{files}"


def _write(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    pictures = [f"{one}.{kind}" for one in _PICTURES for kind in ("png", "pdf")]
    with held(folder):
        for name in (*pictures, "importance.md", "importance.csv"):
            if name not in contents:
                (folder / name).unlink(missing_ok=True)
        for name, content in contents.items():
            write_bytes(folder / name, content)
    return [folder / name for name in contents]
