"""Trials that Ray Tune's ASHA stops early: what it decides, and that run folders stay whole."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.core import paths
from bench.core.files import read_json
from bench.models import registry
from bench.runs.config import DataRef, RunConfig, Training
from bench.runs.experiment import Row, RowRun
from bench.runs.store import Run
from bench.schedule.search.record import progress
from bench.schedule.search.scheduler import Scheduler, choose_scheduler
from tests.bench.conftest import TINY
from tests.bench.schedule.test_search import contents, error_of, job, one_thread, results, run_of, search_json

__all__ = ["job", "one_thread"]  # fixtures
pytest.importorskip("ray")
RULE = Scheduler("asha", 2, 2.0)  # looks after 2, 4 and 8 iterations of 10


@pytest.fixture
def row_runs(tmp_path: Path, tiny: None) -> list[RowRun]:
    """Four runs of 10 iterations that differ in their learning rates."""
    data = DataRef("mine", "train", 3, "0" * 64)
    options = registry.options("tiny", {"width": 0.25})
    rates = (1e-1, 1e-2, 1e-3, 1e-4)
    trainings = [Training(iterations=10, learning_rate=rate, validate_every=2) for rate in rates]
    configs = [RunConfig("tiny", options, 8, 0, "sparnet", training, data, data) for training in trainings]
    return [RowRun(Row("tiny"), f"Trial {i}", Run(tmp_path / "s", one)) for i, one in enumerate(configs, 1)]


def write_curve(row_run: RowRun, psnr: float, until: int) -> None:
    """Leave a run as training does at a report: its record and its curve."""
    row_run.run.write(status="running")
    points = [{"iteration": at, "loss": 0.1, "psnr": psnr, "learning_rate": 1e-3} for at in range(2, until + 1, 2)]
    row_run.run.write_curve(points)


def report(asha: Any, index: int, iteration: int, psnr: float) -> str:
    trial = SimpleNamespace(trial_id=f"id-{index}", config={"index": index})
    if trial.trial_id not in asha._trial_info:
        asha.on_trial_add(None, trial)
    return str(asha.on_trial_result(None, trial, {"iteration": iteration, "psnr": psnr}))


def test_the_worse_of_two_is_stopped_and_recorded(row_runs: list[RowRun]) -> None:
    from bench.schedule.search.asha import _Asha

    asha = _Asha(RULE, row_runs, [0, 1, 2, 3])
    write_curve(row_runs[1], 20.0, 2)
    assert report(asha, 0, 2, 30.0) == "CONTINUE", "the first has nothing to be compared with"
    assert report(asha, 1, 2, 20.0) == "STOP"
    record = row_runs[1].run.record()
    assert (record["status"], record["stopped_at"]) == ("stopped", 2)
    assert progress(row_runs[1].run).psnr == 20.0
    assert report(asha, 2, 2, 31.0) == "CONTINUE"


def test_a_trial_that_has_its_weights_is_not_called_stopped(row_runs: list[RowRun]) -> None:
    from bench.schedule.search.asha import _Asha

    asha = _Asha(RULE, row_runs, [0, 1, 2, 3])
    report(asha, 0, 8, 30.0)
    write_curve(row_runs[1], 20.0, 10)
    row_runs[1].run.weights.write_bytes(b"")
    row_runs[1].run.write(trained="now", status="finished")
    report(asha, 1, 10, 20.0)
    assert progress(row_runs[1].run).status == "finished"


def test_trials_of_an_earlier_process_are_compared_with(row_runs: list[RowRun]) -> None:
    from bench.schedule.search.asha import _Asha

    write_curve(row_runs[0], 30.0, 10)
    write_curve(row_runs[2], 20.0, 2)
    assert report(_Asha(RULE, row_runs, [0, 1, 2, 3]), 2, 2, 20.0) == "CONTINUE", "alone, it would go on"
    assert report(_Asha(RULE, row_runs, [2, 3]), 2, 2, 20.0) == "STOP"


def test_a_psnr_that_is_not_a_number_is_the_worst(row_runs: list[RowRun]) -> None:
    from bench.schedule.search.asha import _Asha, _report

    asha = _Asha(RULE, row_runs, [0, 1, 2, 3])
    write_curve(row_runs[1], 20.0, 2)
    report(asha, 0, 2, 5.0)
    assert report(asha, 1, 2, _report(2, float("nan"))["psnr"]) == "STOP"


def test_ray_stops_trials_early_and_their_folders_stay_whole(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.toml").write_text("trials = 5\ntraining.learning_rate = { loguniform = [1e-6, 3e-2] }")
    asha = ["--scheduler", "asha", "--grace-period", "3", "--reduction-factor", "2"]
    found = search_json([*job[:-1], "2", *asha], capsys)
    states = [trial["status"] for trial in found["trials"]]
    assert "stopped" in states and "finished" in states and set(states) == {"stopped", "finished"}
    for trial in found["trials"]:
        folder, record, curve = run_of(trial)
        assert (trial["iterations"], trial["psnr"]) == (int(curve[-1][0]), float(curve[-1][2]))
        assert record["status"] == trial["status"]
        assert not list(folder.glob(".*.tmp"))
        if trial["status"] == "stopped":
            assert record["stopped_at"] == trial["iterations"] < 12
            assert not (folder / "weights.safetensors").exists()
        else:
            assert trial["iterations"] == 12 and (folder / "weights.safetensors").exists()
    assert not (results() / ".ray").exists()
    table = (paths.reports() / results().name / "trials.md").read_text()
    assert "stopped at 3" in table
    before = contents(paths.root())
    assert search_json([*job[:-1], "2", *asha], capsys) == found
    assert contents(paths.root()) == before, "trials that were stopped are done"


def test_a_search_that_another_process_is_at_work_on_is_left_to_it(
    job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from filelock import FileLock

    (results() / ".locks").mkdir(parents=True)
    with FileLock(results() / ".locks" / "search.lock"):
        assert "another process is at work on this search" in error_of([*job, "--scheduler", "asha"], capsys)


CRASH = """
    def training_loss(self, lr, hr):
        import os, signal
        from pathlib import Path

        self.steps = getattr(self, "steps", 0) + 1
        marker = Path(os.environ["FSR_CACHE"]) / "crashed"
        if self.steps == 5 and not marker.exists():
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return (self(lr) - hr).abs().mean()
"""


@pytest.mark.slow
def test_a_trial_whose_worker_dies_starts_again(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSR_CACHE", str(tmp_path / "cache"))
    (tmp_path / "crashing.py").write_text(TINY.read_text().replace('"tiny"', '"crashing"') + CRASH)
    job[1] = "crashing"
    job[job.index("--plugin") + 1] = str(tmp_path / "crashing.py")
    found = search_json([*job, "--trials", "2", "--scheduler", "asha", "--grace-period", "3"], capsys)
    assert (tmp_path / "cache" / "crashed").exists()
    assert {trial["status"] for trial in found["trials"]} <= {"finished", "stopped"}


@pytest.mark.slow
def test_more_gpus_than_there_are_fail_at_once(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there are GPUs here")
    from bench.cli.main import main

    assert main([*job, "--scheduler", "asha", "--grace-period", "3", "--gpus-per-run", "0.5"]) == 2
    assert "no node has that; the cluster has 1: " in capsys.readouterr().err
    assert read_json(results() / "search.json")["trials"][0]["status"] == "to do"


def test_the_last_look_leaves_most_of_a_trial_to_save() -> None:
    def training(iterations: int, every: int) -> Training:
        return Training(iterations=iterations, validate_every=every)

    assert choose_scheduler("asha", training(220, 20)) == Scheduler("asha", 25, 3.0)
    assert choose_scheduler("asha", training(30000, 500), reduction_factor=2) == Scheduler("asha", 7500, 2)
    assert choose_scheduler("asha", training(100, 40)).grace_period == 40
    assert choose_scheduler("asha", training(100, 40), grace_period=7).grace_period == 7
    assert choose_scheduler("none", training(100, 100)) == Scheduler()
