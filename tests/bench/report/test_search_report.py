"""The report of a search: the table of its trials, what tells the best from the rest, and both pictures."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from bench.report.search import LEAST, build_search_report, importance, trials_table, trials_text
from bench.runs.config import DataRef
from bench.runs.records import LAYOUT, RunState
from bench.schedule.search.asha import Asha
from bench.schedule.search.space import Range, Space
from bench.schedule.search.trials import SearchRecord, TrialRecord

RATE = "training.learning_rate"
SPACE = {
    RATE: Range(loguniform=(1e-5, 1e-1)),
    "training.schedule": Range(choice=("constant", "linear", "cosine")),
    "training.betas": Range(choice=([0.8, 0.9], [0.9, 0.99])),
    "options.deep_blocks": Range(randint=(4, 12)),
}


def peaked(trial: dict[str, Any]) -> float:
    """PSNR with a peak at a rate of 1e-3 and nothing else."""
    return 26 - (math.log10(float(trial[RATE])) + 3) ** 2


def make(
    psnr: Callable[[dict[str, Any]], float], count: int = 30, stop_below: float = -math.inf
) -> tuple[SearchRecord, optuna.Study]:
    """Make up a search whose trials reach `psnr`; those below `stop_below` were stopped early."""
    space, trials = Space(count, ranges=SPACE), list[TrialRecord]()
    study = space.study()
    for number in range(1, count + 1):
        drawn = space.draw(study, [])
        assert drawn is not None
        trial, values = drawn
        stopped = psnr(values) < stop_below
        study.tell(trial, None if stopped else psnr(values), state=TrialState.PRUNED if stopped else None)
        state, at = (RunState.STOPPED, 20) if stopped else (RunState.FINISHED, 220)
        trials.append(TrialRecord(number, f"run-{number}", values, state, at, psnr(values), 1000 * number))
    record = SearchRecord(
        layout=LAYOUT,
        name="search-net",
        title="Search: Net",
        method="net",
        protocol="sparnet",
        profile="quick",
        iterations=220,
        batch=16,
        seed=0,
        asha=Asha(20, 3) if stop_below > -math.inf else None,
        space=space,
        train=DataRef("mine", "train", 120, "a" * 64),
        val=DataRef("mine", "val", 8, "b" * 64),
        trials=tuple(sorted(trials, key=lambda trial: (trial.state is RunState.STOPPED, -(trial.psnr or 0)))),
    )
    return record, study


def test_importance_is_that_of_what_decides_where_enough_have_finished() -> None:
    shares = importance(*make(peaked))
    assert next(iter(shares)) == RATE and shares[RATE] > 0.7
    assert set(shares) == set(SPACE) and sum(shares.values()) == pytest.approx(1)
    assert not importance(*make(peaked, LEAST - 1)) and importance(*make(peaked, LEAST))
    assert not importance(*make(lambda _: 25.0)), "all alike"


def test_the_table_says_what_became_of_each_trial() -> None:
    record, _ = make(peaked, 12, stop_below=25.0)
    lost = dataclasses.replace(record.trials[-1], state=RunState.DIVERGED, psnr=None, iterations=0)
    record = dataclasses.replace(record, trials=(*record.trials[:-1], lost))
    table = trials_table(record)
    states = [row.cells[3].text for row in table.rows]
    assert states[0] == "finished" and "stopped at 20" in states and states[-1] == "diverged"
    assert table.rows[-1].cells[1].value is None and "8 validation faces" in table.caption
    assert "12 trials: " in trials_text(record) and "1 diverged" in trials_text(record)


def test_the_report_has_its_page_table_and_pictures(tmp_path: Path) -> None:
    record, study = make(peaked, 20, stop_below=23.0)
    files = build_search_report(record, study, tmp_path)
    pictures = [f"{name}.{kind}" for name in ("parallel", "importance") for kind in ("png", "pdf")]
    assert [file.name for file in files] == ["index.md", "trials.md", "trials.csv", *pictures]
    page = (tmp_path / "index.md").read_text()
    for words in ("same budget of 220 iterations (batch 16)", "ASHA stopped the worse trials early", "(parallel.png)"):
        assert words in page
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20 and float(rows[0]["psnr"]) == record.finished[0].psnr
    assert rows[0]["training.betas"] in ("[0.8, 0.9]", "[0.9, 0.99]") and rows[0]["protocol"] == "sparnet"
    build_search_report(*make(peaked, 1), tmp_path)
    assert not any((tmp_path / picture).exists() for picture in pictures), "what there is not is removed"
    assert f"it takes {LEAST} finished trials" in (tmp_path / "index.md").read_text()
