"""The report of a search: what explains PSNR and what chance does, the tables, and both pictures."""

from __future__ import annotations

import csv
import dataclasses
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bench.core.files import write_json
from bench.report.search import build_search_report, importance_table, trials_table, trials_text
from bench.report.search_figures import draw_importance, draw_parallel
from bench.runs.config import DataRef
from bench.runs.records import LAYOUT
from bench.schedule.search.importance import LEAST, design, importances, r_squared
from bench.schedule.search.record import SearchRecord, Status, TrialRecord, read_record
from bench.schedule.search.scheduler import Scheduler
from bench.schedule.search.space import Dimension, Space

RATE = Dimension("training.learning_rate", "loguniform", (1e-5, 1e-1))
SCHEDULE = Dimension("training.schedule", "choice", ("constant", "linear", "cosine"))
BETAS = Dimension("training.betas", "choice", ([0.8, 0.9], [0.9, 0.99]))
DEPTH = Dimension("options.deep_blocks", "randint", (4, 12))
SPACE = (RATE, SCHEDULE, BETAS, DEPTH)


def peaked(trial: dict[str, object]) -> float:
    """PSNR with a peak at a rate of 1e-3 and nothing else."""
    return 26 - (math.log10(float(str(trial[RATE.key]))) + 3) ** 2


def make(
    psnr: Callable[[dict[str, object]], float], count: int = 30, stop_below: float = -math.inf, noise: float = 0.05
) -> SearchRecord:
    """Make up a search whose trials reach `psnr` and some noise; those below `stop_below` were stopped early."""
    draw, trials = random.Random(0), []
    for number, values in enumerate(Space(SPACE, count).draw(), 1):
        reached = psnr(values) + draw.gauss(0, noise)
        status: Status = "stopped" if reached < stop_below else "finished"
        at = 20 if status == "stopped" else 220
        trials.append(TrialRecord(number, f"sparnet-s0-{number:012x}", values, status, at, reached, 1000 * number))
    return SearchRecord(
        layout=LAYOUT,
        name="search-sparnet",
        title="Search: SPARNet",
        method="sparnet",
        scale=8,
        protocol="sparnet",
        profile="quick",
        profile_note="a smoke test",
        iterations=220,
        seed=0,
        scheduler=Scheduler("asha", 20, 3.0) if stop_below > -math.inf else Scheduler(),
        space_seed=0,
        space=SPACE,
        train=DataRef("mine", "train", 120, "a" * 64),
        val=DataRef("mine", "val", 8, "b" * 64),
        trials=tuple(trials),
    )


def with_trial(record: SearchRecord, number: int, **changes: object) -> SearchRecord:
    trials = [dataclasses.replace(one, **changes) if one.number == number else one for one in record.trials]  # type: ignore[arg-type]
    return dataclasses.replace(record, trials=tuple(trials))


def test_what_decides_psnr_is_found_and_the_rest_is_chance() -> None:
    first, *others = importances(make(peaked))
    assert first.dimension is RATE and first.share > 0.7 and first.p < 0.01 and first.share > first.chance
    assert all(one.p > 0.05 and one.share < one.chance for one in others)


def test_a_choice_and_a_trend_are_found() -> None:
    def score(values: dict[str, object]) -> float:
        return (values[SCHEDULE.key] == "cosine") * 1.0 + float(str(values[DEPTH.key])) / 5

    found = {one.dimension.key: one for one in importances(make(score))}
    assert found[SCHEDULE.key].p < 0.05 and found[SCHEDULE.key].trend is None
    assert found[DEPTH.key].p < 0.05 and (found[DEPTH.key].trend or 0) > 0.4


def test_without_any_effect_shares_are_what_chance_gives() -> None:
    sure, shares = 0, []
    for repeat in range(40):
        draw = random.Random(repeat)
        found = importances(make(lambda _, draw=draw: draw.random(), noise=0))  # type: ignore[misc]
        sure += any(one.p < 0.05 for one in found)
        shares += [one.share for one in found]
    assert sure <= 6, "of 40 searches about two find something, for p is corrected"
    assert np.mean(shares) < 0.06


def test_the_share_of_a_choice_is_that_of_kruskal_and_wallis() -> None:
    record = make(peaked, 24)
    values = [trial.values[SCHEDULE.key] for trial in record.trials]
    ranks = stats.rankdata([trial.psnr for trial in record.trials])
    groups = [ranks[[value == one for value in values]] for one in SCHEDULE.values]
    expected = stats.kruskal(*groups).statistic / (len(ranks) - 1)
    assert r_squared(design(SCHEDULE, values), ranks) == pytest.approx(expected)


def test_the_share_of_a_number_is_that_of_a_parabola() -> None:
    record = make(peaked, 24)
    values = [float(trial.values[RATE.key]) for trial in record.trials]
    ranks, x = stats.rankdata([trial.psnr for trial in record.trials]), stats.rankdata(values)
    left = ranks - np.polyval(np.polyfit(x, ranks, 2), x)
    assert r_squared(design(RATE, values), ranks) == pytest.approx(1 - left.var() / ranks.var())


def test_only_finished_trials_count() -> None:
    record = make(peaked)
    worst = min(record.trials, key=lambda trial: trial.psnr or 0).number
    changed = with_trial(record, worst, status="stopped", psnr=99.0)
    assert {one.trials for one in importances(changed)} == {29}
    assert not importances(make(peaked, LEAST - 1)) and importances(make(peaked, LEAST + 3))
    assert not importances(make(lambda _: 25.0, noise=0)), "all alike: nothing to explain"


def test_cautions_name_few_trials_and_early_stopping() -> None:
    many, few = make(peaked), make(peaked, 12, stop_below=24.0)
    assert len(importance_table(many, importances(many)).notes) == 1
    notes = " ".join(importance_table(few, importances(few)).notes)
    assert "are few" in notes and "stopped early" in notes


def test_tables_show_finished_trials_by_psnr_and_others_below() -> None:
    record = with_trial(make(peaked, 12, stop_below=24.0), 3, status="diverged", psnr=None, iterations=0)
    table = trials_table(record)
    psnrs = [row.cells[5].value for row in table.rows if row.status == "finished"]
    assert psnrs == sorted(psnrs, reverse=True)  # type: ignore[type-var]
    states = [row.status for row in table.rows]
    assert states == sorted(states, key=["finished", "stopped", "diverged"].index) and len(set(states)) == 3
    assert "12 trials: " in trials_text(record) and "1 diverged" in trials_text(record)


def test_the_report_is_drawn_from_search_json_alone(tmp_path: Path) -> None:
    record = make(peaked, 20, stop_below=23.0)
    write_json(tmp_path / "search.json", dataclasses.asdict(record))
    assert read_record(tmp_path) == record
    files = build_search_report(tmp_path, tmp_path / "out")
    kinds = ("md", "csv", "png", "pdf")
    assert {file.name for file in files} == {
        "index.md",
        *(f"{name}.{kind}" for name in ("trials", "importance") for kind in kinds[:2]),
        *(f"{name}.{kind}" for name in ("parallel", "importance") for kind in kinds[2:]),
    }
    before = {file: file.read_bytes() for file in files}
    assert {file: file.read_bytes() for file in build_search_report(tmp_path, tmp_path / "out")} == before
    page = (tmp_path / "out" / "index.md").read_text()
    for words in (
        "This is a search, not an ablation",
        "test faces were not looked at",
        "(parallel.png)",
        "stopped at 20",
    ):
        assert words in page
    with (tmp_path / "out" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    assert float(rows[0]["psnr"]) == max(trial.psnr or 0 for trial in record.finished())
    assert rows[0]["training.betas"] in ("[0.8,0.9]", "[0.9,0.99]") and rows[0]["protocol"] == "sparnet"
    few = make(peaked, 4)
    write_json(tmp_path / "search.json", dataclasses.asdict(few))
    build_search_report(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out" / "importance.png").exists(), "what there is not is removed"
    assert "it takes 6 finished trials" in (tmp_path / "out" / "index.md").read_text()


def test_the_parallel_picture_has_a_line_a_trial() -> None:
    record = make(peaked, 20, stop_below=24.0)
    figure = draw_parallel(record)
    assert figure is not None
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) >= len(SPACE)]  # type: ignore[arg-type]
    ends = [float(np.max(line.get_xdata())) for line in lines]  # type: ignore[arg-type]
    stopped = sum(trial.status == "stopped" for trial in record.trials)
    assert stopped > 2
    assert ends.count(len(SPACE)) == 20 - stopped and ends.count(len(SPACE) - 1) == stopped
    assert [line.get_color() for line in lines].count("black") == 1
    words = {text.get_text() for text in figure.axes[0].texts}
    assert {"cosine", "[0.8, 0.9]", "1e-5", "0.1", "learning rate\n(log)", "PSNR\n(dB)"} <= words


def test_a_line_meets_its_axes_at_its_values() -> None:
    record = make(peaked, 20)
    figure = draw_parallel(record)
    assert figure is not None
    best = record.ranked()[0]
    (line,) = (one for one in figure.axes[0].lines if one.get_color() == "black")
    heights = [float(height) for height in line.get_ydata()]  # type: ignore[union-attr]
    assert heights[0] == pytest.approx((math.log10(float(best.values[RATE.key])) + 5) / 4)
    choice = SCHEDULE.values.index(best.values[SCHEDULE.key])
    assert choice / 3 < heights[1] < (choice + 1) / 3
    assert heights[3] == pytest.approx((int(best.values[DEPTH.key]) - 4) / 8)
    assert heights[4] == pytest.approx(1.0)


def test_too_few_trials_have_no_picture() -> None:
    assert draw_parallel(make(peaked, 1)) is None
    assert draw_parallel(make(lambda _: 25.0, 2, noise=0)) is not None, "equal PSNRs are drawn"


def test_bars_are_filled_where_chance_is_unlikely() -> None:
    found = importances(make(peaked))
    bars = draw_importance(found).axes[0].patches
    assert [bar.get_width() for bar in bars] == [one.share for one in found]  # type: ignore[attr-defined]
    filled = [bar.get_facecolor()[:3] != (1.0, 1.0, 1.0) for bar in bars]
    assert filled == [one.p < 0.05 for one in found] and True in filled and False in filled
