"""Costs of many networks: some are measured, the others lie between them in the order of their sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.schedule import costs
from tests.bench.cli.test_cli import run_json
from tests.bench.conftest import EXPERIMENT


def test_of_many_networks_some_are_measured_and_others_lie_between(
    job: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[float] = []

    def measure(config: Any, *_: Any) -> costs.Cost:
        measured.append(config.options["width"])
        return costs.Cost(config.options["width"], 1.0, 2 * config.options["width"])

    monkeypatch.setattr(costs, "_measure", measure)
    rows = "".join(f'[[rows]]\nmethod = "tiny"\nlabel = "{i}"\noptions = {{ width = {i}.0 }}\n' for i in range(2, 62))
    Path(job[0]).write_text(EXPERIMENT + rows)
    plan = run_json(["plan", *job], capsys)
    wide = [run for run in plan["runs"] if run["label"].isdecimal()]
    assert len(measured) == 12 and plan["interpolated"] == 62 - 12
    assert min(measured) == 0.5 and max(measured) == 61
    for run in wide:  # parameters of this network grow with its width on a line
        assert run["seconds_per_iteration"] == pytest.approx(int(run["label"]), rel=1e-3), json.dumps(run)
        assert run["memory"] == pytest.approx(2 * int(run["label"]), abs=0.1)


def test_few_networks_are_all_measured(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    plan = run_json(["plan", *job], capsys)
    assert plan["interpolated"] == 0
    assert all(run["seconds_per_iteration"] > 0 for run in plan["runs"] if run["method"] == "tiny")
