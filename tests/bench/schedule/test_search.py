"""`fsr search` on six faces: trials to their ends, interrupted and stopped early; and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.cli.main import main
from bench.core import paths
from bench.core.locks import lock
from bench.data.store import open_split
from bench.models import cost, registry
from bench.runs import train
from bench.runs.config import Training
from bench.schedule.search.asha import Asha, choose_asha
from tests.bench.conftest import TINY
from tests.bench.schedule.small import make, wait_for_state

SPACE = """
trials = 3
training.learning_rate = { loguniform = [1e-6, 3e-2] }
training.schedule = { choice = ["constant", "cosine"] }
options.width = { choice = [0.25, 0.5] }
"""
PROFILE = """
note = "a few iterations"
generate = { train = 1, val = 1, test = 1 }
[training]
iterations = 12
batch = 2
validate_every = 3
"""
NAME = "search-tiny-short-mine"
ASHA = ["--scheduler", "asha", "--grace-period", "3", "--reduction-factor", "2"]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Make faces, a profile and a space in a new root; give the arguments of `fsr search`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as many as a trial of two side by side gets
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    monkeypatch.setattr(registry, "_plugins", [])
    monkeypatch.setattr(registry, "_catalogue", None)
    monkeypatch.setattr(cost, "seconds_per_image", lambda *_, **__: 0.001)  # measuring it takes a second a trial
    monkeypatch.setattr("bench.report.search._picture", lambda *_: {})  # drawing two of them takes as long
    make(tmp_path, PROFILE)
    (tmp_path / "space.toml").write_text(SPACE)
    files = ["--space", str(tmp_path / "space.toml"), "--profile", str(tmp_path / "short.toml")]
    yield ["search", "tiny", *files, "--data", "mine", "--plugin", str(TINY), "--jobs", "1"]
    torch.set_num_threads(threads)


def search_json(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that bad input gives, after checking the exit code."""
    capsys.readouterr()
    code = main(arguments)
    out, err = capsys.readouterr()
    lines = err.strip().splitlines()
    assert (code, out, len(lines)) == (2, "", 1) and lines[0].startswith("fsr: "), err
    return lines[0]


def results() -> Path:
    return paths.results() / NAME


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def outcome(folder: Path) -> dict[str, bytes]:
    ends = ("weights.safetensors", "curve.csv")
    return {name: content for name, content in contents(folder).items() if name.endswith(ends)}


def last_point(folder: Path) -> tuple[int, float]:
    """Return iteration and PSNR of the last line of a curve."""
    iteration, _, psnr, _ = (folder / "curve.csv").read_text().splitlines()[-1].split(",")
    return int(iteration), float(psnr)


def test_trials_are_runs_and_the_best_is_a_profile(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    result = search_json(job, capsys)
    assert sorted(trial["number"] for trial in result["trials"]) == [1, 2, 3]
    for trial in result["trials"]:
        folder = results() / trial["run"]
        record = json.loads((folder / "run.json").read_text())
        for key, value in trial["values"].items():
            table, _, name = key.partition(".")
            assert record["config"][table][name] == value
        assert (trial["state"], trial["parameters"]) == (record["status"], record["parameters"])
        assert (trial["iterations"], trial["psnr"]) == last_point(folder)
    best = result["trials"][0]
    assert best["psnr"] == max(trial["psnr"] for trial in result["trials"]) and best["number"] == result["best"]
    val, test = (open_split("mine", split).fingerprint for split in ("val", "test"))
    written = b"".join(contents(paths.results()).values())
    assert val.encode() in written and test.encode() not in written, "test faces are not looked at"
    before = contents(paths.root())
    assert search_json(job, capsys) == result
    assert contents(paths.root()) == before, "done trials are not repeated"

    (paths.root() / "one.toml").write_text('title = "One"\nkind = "ablation"\n[[rows]]\nmethod = "tiny"\n')
    run = ["run", str(paths.root() / "one.toml"), "--profile", result["profile"], *job[job.index("--data") :], "--json"]
    capsys.readouterr()
    assert main(run) == 0
    assert [made["run"] for made in json.loads(capsys.readouterr().out)["runs"]] == [best["run"]], "the same config"


def test_an_interrupted_search_goes_on_to_the_same_bytes(
    job: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    search_json(job, capsys)
    undisturbed = outcome(results())
    results().rename(paths.results() / "before")
    step, steps = train.Trainee.step, []

    def stop_in_the_second_trial(self: train.Trainee, *batch: torch.Tensor) -> torch.Tensor:
        steps.append(self.iteration)
        if len(steps) == 12 + 7:
            signal.raise_signal(signal.SIGTERM)
        return step(self, *batch)

    monkeypatch.setattr(train.Trainee, "step", stop_in_the_second_trial)
    assert main(job) == 128 + signal.SIGTERM
    assert "the same command goes on from there" in capsys.readouterr().err
    half = json.loads((results() / "search.json").read_text())["trials"]
    assert [(trial["number"], trial["state"], trial["iterations"]) for trial in half] == [
        (1, "finished", 12),
        (2, "interrupted", 6),
        (3, "not run", 0),
    ]
    result = search_json(job, capsys)
    assert [trial["state"] for trial in result["trials"]] == ["finished"] * 3
    assert len(steps) == 3 * 12, "no iteration was trained twice"
    assert outcome(results()) == undisturbed


def test_worse_trials_are_stopped_early_and_can_be_taken_to_their_ends(
    job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    result = search_json([*job, *ASHA, "--trials", "5"], capsys)
    assert {trial["state"] for trial in result["trials"]} == {"stopped", "finished"}
    for trial in result["trials"]:
        folder = results() / trial["run"]
        assert (trial["iterations"], trial["psnr"]) == last_point(folder)
        assert (trial["state"] == "stopped") == (trial["iterations"] < 12)
        assert (folder / "weights.safetensors").exists() == (trial["state"] == "finished")
        assert json.loads((folder / "run.json").read_text())["status"] == trial["state"]
    assert "stopped at 3" in (paths.reports() / NAME / "trials.md").read_text()
    before = contents(paths.root())
    assert search_json([*job, *ASHA, "--trials", "5"], capsys) == result
    assert contents(paths.root()) == before, "trials that were stopped are done"
    whole = search_json([*job, "--trials", "5"], capsys)
    assert [trial["state"] for trial in whole["trials"]] == ["finished"] * 5


def test_a_trial_goes_on_when_it_is_among_the_best_of_those_before_it() -> None:
    rule = Asha(2, 2)  # looks after 2, 4 and 8 iterations
    good, poor = [(2, 30.0), (4, 31.0)], [(2, 20.0)]
    assert not rule.stops([], poor), "the first has nothing to be compared with"
    assert rule.stops([good], poor)
    assert not rule.stops([poor, poor], [(2, 25.0)])
    assert not rule.stops([good], [(1, 20.0)]), "not before the grace period"
    assert rule.stops([good, poor], [(2, 30.5), (3, 30.6), (4, 30.9)])
    assert rule.stops([], [(2, float("nan"))])
    assert not rule.stops([[(2, 30.0)], poor, poor, poor], [(2, 20.5)]), "second of five: among the better half"


@pytest.mark.parametrize(
    ("iterations", "every", "given", "expected"),
    [
        (220, 20, {}, Asha(25, 3)),
        (100, 40, {}, Asha(40, 3)),
        (100, 40, {"grace_period": 7}, Asha(7, 3)),
    ],
)
def test_the_last_look_leaves_most_of_a_trial_to_save(
    iterations: int, every: int, given: dict[str, int], expected: Asha
) -> None:
    assert choose_asha(Training(iterations=iterations, validate_every=every), **given) == expected


def test_a_trial_that_diverges_is_an_outcome_and_not_repeated(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.toml").write_text("trials = 2\noptions.explode = { choice = [true, false] }")
    trials = search_json(job, capsys)["trials"]
    assert [(trial["values"]["options.explode"], trial["state"]) for trial in trials] == [
        (False, "finished"),
        (True, "diverged"),
    ]
    assert "NaN or infinite" in trials[1]["error"]
    before = contents(results())
    search_json(job, capsys)
    assert contents(results()) == before
    assert "diverged" in (paths.reports() / NAME / "trials.md").read_text()


@pytest.mark.parametrize(
    ("more", "space", "message"),
    [
        (["--space", "none.toml"], "", "none.toml: no such file"),
        (["--grace-period", "3"], "", "--grace-period and --reduction-factor go with --scheduler asha"),
        (["--scheduler", "asha", "--grace-period", "12"], "", "expected 1 up to, not including, the 12 iterations"),
        (["--scheduler", "asha", "--reduction-factor", "1"], "", "--reduction-factor: 1 given, expected 2 to 100"),
        (["--scheduler", "asha", "--set", "training.validate_every=12"], "", "leaves no point to stop at"),
        (["--set", "options.widht=1"], "", "method 'tiny' has no option 'widht': did you mean 'width'"),
        ([], "training.learning_rte = { choice = [1, 2] }", "did you mean 'learning_rate'"),
        ([], "options.widht = { choice = [1, 2] }", "unknown option 'widht': did you mean 'width'"),
        ([], "options.explode = { randint = [0, 1] }", "option 'explode': 0 given, expected true or false"),
        ([], "training.learning_rate = { uniform = [-1, 1] }", "learning_rate: -1 given, expected more than 0"),
        ([], "training.warmup = { choice = [0, 12] }", "training: warmup: 12 given"),
    ],
)
def test_mistakes_are_told_in_one_line_before_anything_is_trained(
    job: list[str], tmp_path: Path, more: list[str], space: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if space:
        (tmp_path / "space.toml").write_text(space)
    assert message in error_of([*job, *more], capsys)
    assert not results().exists()


def test_what_cannot_be_searched_is_refused(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock(results() / ".locks" / "search.lock"):
        assert "another process is at work on this search" in error_of([*job, *ASHA], capsys)
    (tmp_path / "space.toml").write_text("trials = 2\noptions.width = { choice = [0, 0.125] }")
    for method, message in (
        ("sparnet", "space.toml: method 'sparnet'"),
        ("ablation", "'ablation' is an experiment: its rows must have equal budgets"),
        ("bicubic", "method 'bicubic' is not trained"),
    ):
        job[1] = method
        assert message in error_of(job, capsys)
    job[1] = "tiny"
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "pip install 'fsr-bench[search]'" in error_of(job, capsys)


@pytest.mark.slow
def test_ray_stops_trials_early_and_a_killed_search_goes_on(
    job: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSR_CHECKPOINT_SECONDS", "0")
    command = [*job[:-1], "2", *ASHA, "--trials", "6", "--executor", "ray"]
    process = subprocess.Popen([sys.executable, "-m", "bench.cli.main", *command], start_new_session=True, text=True)
    wait_for_state(process, results())
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    result = search_json(command, capsys)
    states = [trial["state"] for trial in result["trials"]]
    assert set(states) == {"stopped", "finished"} and len(states) == 6
    serial = search_json([*job, "--trials", "6"], capsys)
    assert [trial["state"] for trial in serial["trials"]] == ["finished"] * 6
    values = {trial["number"]: trial["run"] for trial in result["trials"]}
    assert {trial["number"]: trial["run"] for trial in serial["trials"]} == values
