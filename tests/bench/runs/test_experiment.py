"""Rows of an experiment: their own seeds and settings, one of them now, one more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.cli.test_cli import error_of, results, run_json
from tests.bench.conftest import EXPERIMENT


def test_rows_with_seeds_and_settings_of_their_own(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(job[0])
    rows = '[[rows]]\nmethod = "tiny"\nlabel = "Turned"\nseeds = [3, 1]\ntraining = { augment = { rot90 = true } }\n'
    path.write_text(EXPERIMENT + rows)
    plan = run_json(["plan", *job], capsys)
    assert [(run["method"], run["seed"]) for run in plan["runs"]] == [
        *[("bicubic", 0), ("tiny", 0), ("tiny", 0), ("tiny", 3)],
        ("tiny", 1),
    ]
    once = run_json(["plan", *job, "--set", "seeds=[5]"], capsys)
    assert [run["seed"] for run in once["runs"]] == [0, 5, 5, 5], "what is said now goes before what a row says"
    result = run_json(["run", *job], capsys)
    about = json.loads((results() / "experiment.json").read_text())
    assert about["seeds"] == [0, 1, 3] and about["rows"][-1]["training"] == {"augment": {"rot90": True}}
    told = [
        json.loads((results() / run["run"] / "run.json").read_text())["config"]["training"] for run in result["runs"]
    ]
    turned = [training["augment"] for training in told if training and training["augment"]["rot90"]]
    assert turned == [{"flip": True, "scale": [1.0, 1.3], "rot90": True}] * 2
    report = (path.parent / "reports" / results().name / "index.md").read_text()
    assert "seeds 0, 1, 3 (1 seed for Narrow and Tiny; 2 seeds for Turned)" in report
    assert "Narrow: built with width 0.5." in report and "Turned: trained with augment rot90 True." in report


def test_what_differs_under_a_profile_is_for_that_profile(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(job[0])
    own = "[rows.profiles.short]\noptions = { width = 0.25 }\ntraining = { learning_rate = 3e-4 }\n"
    other = "[rows.profiles.cpu]\ntraining = { learning_rate = 7e-4 }\n"
    path.write_text(EXPERIMENT + own + other)
    run_json(["run", *job], capsys)
    records = [json.loads((folder / "run.json").read_text()) for folder in results().glob("tiny-*")]
    assert sorted(record["config"]["training"]["learning_rate"] for record in records) == [2e-4, 3e-4]
    report = (path.parent / "reports" / results().name / "index.md").read_text()
    assert "Tiny: built with width 0.25 and trained with learning_rate 0.0003." in report and "0.0007" not in report
    path.write_text(EXPERIMENT + "[rows.profiles.short]\ntraining = { batch = 9 }\n")
    assert "training.batch: rows of an experiment have equal budgets" in error_of(["plan", *job], capsys)


def test_an_experiment_has_a_budget_of_its_own_under_a_profile(
    job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(job[0])
    own = "[profiles.short.training]\niterations = 3\n[profiles.short.options]\nwidth = 0.25\n"
    path.write_text(EXPERIMENT + own + "[profiles.cpu.training]\nbatch = 7\n")
    run_json(["run", *job], capsys)
    configs = [json.loads((folder / "run.json").read_text())["config"] for folder in results().glob("tiny-*")]
    assert [(config["training"]["iterations"], config["training"]["batch"]) for config in configs] == [(3, 2), (3, 2)]
    assert sorted(config["options"]["width"] for config in configs) == [0.25, 0.5], "a row's own go before"
    plan = run_json(["plan", *job, "--set", "training.iterations=2"], capsys)
    assert {run["iterations"] for run in plan["runs"] if run["method"] == "tiny"} == {2}
    path.write_text(EXPERIMENT + "[profiles.short.training]\nrate = 1\n")
    assert "training: unknown key 'rate'" in error_of(["plan", *job], capsys)


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ("[rows.profiles.quik]\noptions = { width = 0.25 }\n", "row tiny: profiles.quik"),
        ("[profiles.quik.training]\niterations = 3\n", "profiles.quik"),
    ],
)
def test_settings_for_a_profile_that_is_none_are_refused(
    job: list[str], table: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(job[0])
    path.write_text(EXPERIMENT + table)
    line = error_of(["plan", *job], capsys)
    assert f"small.toml: {where}: no such profile: did you mean 'quick'?" in line and "quik.toml beside" in line
    path.with_name("quik.toml").write_text("note = 'my own, for another day'")
    assert run_json(["plan", *job], capsys)["runs"], "a profile of one's own beside the experiment is known"


def test_one_row_now_and_the_others_later(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    first = run_json(["run", *job, "--only", "Narrow", "--plan"], capsys)
    assert (
        [run["run"].split("-")[0] for run in first["runs"]]
        == ["tiny"]
        == [run["method"] for run in first["plan"]["runs"]]
    )
    assert len(json.loads((results() / "experiment.json").read_text())["rows"]) == 3
    then = run_json(["run", *job, "--only", "tiny", "--only", "bicubic"], capsys)
    assert [run["status"] for run in then["runs"]] == ["finished", "cached", "finished"]
    assert "did you mean 'tiny'?" in error_of(["run", *job, "--only", "tinny"], capsys)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("seeds = [1, 1]", "[1, 1] given, expected different values"),
        ("training = { iterations = 9 }", "training.iterations: rows of an experiment have equal budgets"),
        ("training = { rate = 1 }", "row tiny: training: unknown key 'rate'"),
        ("options = { scale = 4 }", "row tiny: option 'scale' is 4, the experiment's scale 8: leave it out"),
        (
            '[[rows]]\nmethod = "bicubic"\nlabel = "B"\ntraining = { optimizer = "adam" }',
            "row B: training: method 'bicubic' is not trained; leave its settings out",
        ),
    ],
)
def test_settings_that_a_row_cannot_have(
    job: list[str], capsys: pytest.CaptureFixture[str], wrong: str, message: str
) -> None:
    Path(job[0]).write_text(f"{EXPERIMENT}{wrong}\n")
    assert message in error_of(["plan", *job], capsys)


def test_a_profile_cannot_change_the_scale(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "option 'scale' is 4, the experiment's scale 8" in error_of(
        ["plan", *job, "--set", "options.scale=4"], capsys
    )


def test_one_more_row_and_other_settings(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["options.width=0.125", "training.iterations=1", "seeds=[0, 1]"]
    more = ["--add", "sparnet", *(word for change in changes for word in ("--set", change))]
    plan = run_json(["plan", *job, *more], capsys)
    assert [(run["method"], run["seed"]) for run in plan["runs"]] == [
        ("bicubic", 0),
        *[(method, seed) for seed in (0, 1) for method in ("tiny", "tiny", "sparnet")],
    ]
    assert not results().exists()
