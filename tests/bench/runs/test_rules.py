"""Scores belong to what a preset said when they were made, not to its name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bench.analysis.results import read_results
from bench.core.files import read_json
from bench.metrics.protocol import FIRST_RELEASED, PROTOCOLS
from bench.report.tables import ablation_table
from bench.runs.store import Run
from tests.bench.report.fabricate import FINGERPRINT, config_of, fabricate, rows_of_table_1

ROWS = rows_of_table_1()[:3]


def edit(monkeypatch: pytest.MonkeyPatch, name: str = "sparnet") -> None:
    """Edit a preset: a border of 4 pixels, under the same name."""
    monkeypatch.setitem(PROTOCOLS, name, dataclasses.replace(PROTOCOLS[name], border=4))


def statuses(folder: Path) -> dict[str, str]:
    return {row.cells[0].value: row.status for row in ablation_table(read_results(folder)).rows}  # type: ignore[misc]


def test_presets_say_what_they_said_when_they_were_first_released() -> None:
    """Whoever edits one leaves FIRST_RELEASED as it is: runs of before record nothing else."""
    assert {name: rule.digest for name, rule in PROTOCOLS.items()} == dict(FIRST_RELEASED)


def test_scores_of_an_edited_preset_are_left_out_and_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fabricate(tmp_path, rows=ROWS, images=("a", "b"), protocols=("sparnet", "rgb"))
    run = Run(folder, config_of("sparnet"))
    (before,) = run.scores().values()
    assert statuses(folder) == {"Bicubic": "finished", "SPARNet": "finished", "Model 1": "finished"}
    edit(monkeypatch)
    assert set(statuses(folder).values()) == {"not scored"}
    (sheet,) = run.scores().values()
    assert set(sheet.scored) == {("psnr", "rgb"), ("ssim", "rgb")}, "another preset's stay"
    problem = next(row.problem for row in ablation_table(read_results(folder)).rows if row.method == "sparnet")
    assert "was scored when protocol sparnet said something else; run the experiment again" in problem

    run.add_scores([before])
    rules = read_json(folder / run.config.name / "run.json")["rules"]
    assert rules == {FINGERPRINT[:12]: {"sparnet": PROTOCOLS["sparnet"].digest}}
    assert statuses(folder) == {"Bicubic": "not scored", "SPARNet": "finished", "Model 1": "not scored"}
    monkeypatch.undo()
    assert statuses(folder) == {"Bicubic": "finished", "SPARNet": "not scored", "Model 1": "finished"}, (
        "and edited back"
    )
    run.add_scores([before])
    assert "rules" not in read_json(folder / run.config.name / "run.json")
    assert set(statuses(folder).values()) == {"finished"}
