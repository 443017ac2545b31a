"""The report of a search: its trials as a table, their importance, and Optuna's pictures of both."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib import pyplot

from bench.core.text_table import text_table
from bench.report import csv_file, markdown
from bench.report.folder import replace_files
from bench.report.style import figure_bytes, settings
from bench.report.table import Cell, Column, Provenance, Row, Table, number_cell
from bench.runs.records import RunState
from bench.schedule.search.trials import SearchRecord, TrialRecord

if TYPE_CHECKING:
    from optuna import Study

LEAST = 6  # finished trials: with fewer importance is not computed
_SHOWN = 10  # trials in the terminal
_INCHES = (6.4, 3.6)


def build_search_report(record: SearchRecord, study: Study, out_dir: Path) -> list[Path]:
    """Write index.md, the trials as .md and .csv, and both pictures as .png and .pdf; return the files.

    A picture with too little to show is not written, and what an earlier report left of it is removed. Raises OSError
    when a file cannot be written.
    """
    from optuna.visualization import matplotlib as plots

    shares, table = importance(record, study), trials_table(record)
    contents: dict[str, bytes | None] = {
        "index.md": _page(record, table, shares).encode(),
        "trials.md": markdown.render(table).encode(),
        "trials.csv": csv_file.render(table).encode(),
    }
    pictures = {"parallel": plots.plot_parallel_coordinate, "importance": plots.plot_param_importances}
    enough = {"parallel": len(record.finished) > 1, "importance": bool(shares)}
    for name, plot in pictures.items():
        contents |= _picture(name, plot, study) if enough[name] else dict.fromkeys((f"{name}.png", f"{name}.pdf"))
    return replace_files(out_dir, contents)


def importance(record: SearchRecord, study: Study) -> dict[str, float]:
    """Return each key's share of what tells the best tenth of the finished trials from the rest, the largest first.

    That is PED-ANOVA (Watanabe et al., IJCAI 2023), Optuna's default. Empty where too few have finished or all are
    alike.
    """
    import optuna

    if len(record.finished) < LEAST or len({trial.psnr for trial in record.finished}) == 1:
        return {}
    return dict(optuna.importance.get_param_importances(study))


def _picture(name: str, plot: Any, study: Study) -> dict[str, bytes]:
    """Return Optuna's plot of a study as .png and .pdf, in this suite's type sizes."""
    with settings(), matplotlib.rc_context({"backend": "agg", "text.parse_math": True}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "experimental"
        figure = plot(study, target_name="PSNR (dB)").get_figure(root=True)
        assert figure is not None
        figure.set_size_inches(_INCHES)
        axes = figure.axes[0]
        axes.set_title("")
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_fontsize("medium")
        axes.tick_params(axis="x", labelrotation=0)
        figure.tight_layout()
        contents = {f"{name}.{kind}": figure_bytes(figure, kind) for kind in ("png", "pdf")}
        pyplot.close(figure)
    return contents


def trials_text(record: SearchRecord) -> str:
    """Return the best trials as a table for a terminal."""
    counts = ", ".join(f"{count} {state}" for state, count in Counter(trial.state for trial in record.trials).items())
    head = f"{record.name}: {len(record.trials)} trials: {counts}; PSNR on {record.val.faces} validation faces"
    table = trials_table(record)
    body = [[cell.text for cell in row.cells] for row in table.rows[:_SHOWN]]
    return head + "\n" + text_table([column.heading for column in table.columns], body)


def trials_table(record: SearchRecord) -> Table:
    """Return all trials, the best first."""
    columns = (
        Column("trial", "Trial"),
        Column("psnr", "PSNR", "dB", dataset=record.val.dataset),
        Column("iterations", "Iterations"),
        Column("state", "State", align="left"),
        Column("parameters", "Parameters", "M"),
        *(Column(key, key.partition(".")[2], align="left") for key in record.space.ranges),
    )
    rows = tuple(_row(record, trial) for trial in record.trials)
    drawn = "at random" if record.space.sampler == "random" else f"by {record.space.sampler.upper()}"
    caption = (
        f"{len(rows)} trials of {record.method}, drawn {drawn} (seed {record.space.seed}), the best first. "
        f"PSNR on {record.val.faces:,} validation faces of {record.val.dataset} ({record.val.fingerprint[:8]}), "
        f"protocol {record.protocol}, at a trial's last iteration; test faces were not looked at."
    )
    notes = [f"Trial {trial.number} failed: {trial.error}" for trial in record.trials if trial.state is RunState.FAILED]
    return Table("trials", record.title, caption, columns, rows, tuple(notes))


def _row(record: SearchRecord, trial: TrialRecord) -> Row:
    source = Provenance((trial.run,), record.val.dataset, record.val.fingerprint, record.val.faces, 1, record.protocol)
    stopped = f" at {trial.iterations:,}" if trial.state is RunState.STOPPED else ""
    cells = (
        number_cell(trial.number, 0),
        number_cell(trial.psnr, 3, provenance=source),
        number_cell(trial.iterations, 0),
        Cell(str(trial.state), trial.state + stopped),
        number_cell(trial.parameters / 1e6, 3),
        *(_value_cell(trial.values[key]) for key in record.space.ranges),
    )
    return Row(cells, record.method, str(trial.state), trial.error)


def _value_cell(value: Any) -> Cell:
    """Return a value as a reader writes it: 4 digits of a number, a list in brackets."""
    if isinstance(value, float):
        return Cell(value, f"{value:.4g}")
    text = value if isinstance(value, str) else json.dumps(value)
    return Cell(value if isinstance(value, bool | int) else text, text)


def _page(record: SearchRecord, table: Table, shares: Mapping[str, float]) -> str:
    """Return index.md."""
    finished = len(record.finished)
    parts = [f"# {markdown.escape(record.title)}", _about(record), markdown.render(table).rstrip()]
    parts.append("As files: [CSV](trials.csv), [Markdown](trials.md).")
    if finished > 1:
        parts += ["## Trials", "![Values of each finished trial and its PSNR](parallel.png)", "[PDF](parallel.pdf)"]
    if not shares:
        parts.append(f"No importance: it takes {LEAST} finished trials that differ, and {finished} finished.")
        return "\n\n".join(parts) + "\n"
    about = (
        "Each key's share of what tells the best tenth of the finished trials from the rest, by itself (PED-ANOVA, "
        f"Watanabe et al., IJCAI 2023); of {finished} trials, each trained once, so that only large shares mean "
        "something. After early stopping the finished trials are the good ones, which hides what made the others bad. "
        "[PDF](importance.pdf)"
    )
    grid = "\n".join(
        ["| Key | Importance |", "|---|--:|", *(f"| {key} | {share:.2f} |" for key, share in shares.items())]
    )
    return "\n\n".join([*parts, "## Importance", "![Importance of each key](importance.png)", about, grid]) + "\n"


def _about(record: SearchRecord) -> str:
    rule = record.asha
    stops = (
        f"ASHA stopped the worse trials early: from iteration {rule.grace_period} on, and again after each "
        f"{rule.reduction_factor}-fold, the best 1/{rule.reduction_factor} of those that came as far went on"
        if rule
        else "Every trial was trained to its end"
    )
    batch = "drawn" if "training.batch" in record.space.ranges else str(record.batch)
    return (
        f"{record.method} under profile {markdown.escape(record.profile)}: every trial has the same budget of "
        f"{record.iterations:,} iterations (batch {batch}) on {record.train.faces:,} faces of "
        f"{markdown.escape(record.train.dataset)}, seed {record.seed}. {stops}. Settings are chosen on validation "
        "faces and each trial is trained once, so close PSNRs are no ranking: train the best again with several seeds, "
        "and test that.\n\n"
        "This is a search, not an ablation: rows of an ablation have equal budgets and are never stopped early."
    )
