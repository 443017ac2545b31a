"""What is told of runs while they go on, and their curves as TensorBoard logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.runs.digests import digests_of
from bench.runs.records import RunState
from bench.runs.status import status_of, status_text
from bench.runs.tensorboard import write_logs
from tests.bench.cli.test_cli import error_of
from tests.bench.report.fabricate import change, fabricate, rows_of_table_1, run_name
from tests.bench.runs.train_child import make_run


def test_an_experiment_whose_faces_are_still_made_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    for name in ("ablation", "ablation-full", "photos-cpu-celeba"):
        assert error_of(["status", name], capsys).startswith(f"fsr: {name}: nothing in ")
    for name in ("ablatoin", "ablation-ful", "mine"):
        assert error_of(["status", name], capsys).startswith(f"fsr: no results of '{name}' in ")


def test_states_of_runs(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "mine", rows=rows_of_table_1()[:5])
    progress = {"iteration": 50, "psnr": 24.5, "seconds_per_iteration": 2.0, "node": "far", "at": "now"}
    change(folder / run_name("msfnet-1") / "run.json", status="running", progress=progress)
    change(folder / run_name("msfnet-2") / "run.json", status="failed", error="out of luck")
    (folder / run_name("msfnet-3") / "run.json").unlink()
    found = {run.run: run for run in status_of(folder)}
    assert [run.state for run in found.values()] == ["finished", "finished", "interrupted", "failed", "not run"]
    stopped = found[run_name("msfnet-1")]
    assert (stopped.iteration, stopped.iterations, stopped.psnr, stopped.node) == (50, 200, 24.5, "far")
    assert stopped.seconds_left == 300
    text = status_text({"mine": list(found.values())})
    assert "50/200" in text and "5.0" in text and f"{run_name('msfnet-2')}: out of luck" in text


def test_what_is_missing_of_a_finished_run_is_told(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "mine", rows=rows_of_table_1()[1:2])
    run = folder / run_name("sparnet")
    (sheet,) = (run / "scores").iterdir()
    (run / "weights.safetensors").write_bytes(b"w")
    change(run / "run.json", digests=digests_of(run))

    def status() -> tuple[str, str]:
        (found,) = status_of(folder)
        return found.state, found.error

    assert status() == ("finished", "")
    sheet.rename(sheet.with_suffix(".csv.xz"))
    state, error = status()
    assert state == "damaged" and f"{sheet}.xz: not written by this run" in error
    assert "1 runs, 1 damaged" in status_text({"mine": status_of(folder)})
    sheet.with_suffix(".csv.xz").unlink()
    assert status()[0] == "trained" and f"{sheet}: no such file" in status()[1]
    change(run / "run.json", digests={})
    assert status() == ("trained", f"{sheet}: no such file; run the experiment again")
    change(run / "run.json", digests={"weights.safetensors": "0" * 64})
    (run / "weights.safetensors").unlink()
    assert status()[0] == "not run" and "weights.safetensors: no such file" in status()[1]


def test_a_run_that_a_process_holds_is_running(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.write(status=RunState.RUNNING)
    rows = [{"label": "Tiny", "method": "tiny", "runs": [run.config.name]}]
    fabricate(tmp_path, rows=[])
    change(tmp_path / "experiment.json", rows=rows)
    assert [one.state for one in status_of(tmp_path)] == ["interrupted"]
    with run.claim() as mine:
        assert mine and [one.state for one in status_of(tmp_path)] == ["running"]
        with run.claim() as another:
            assert not another
    assert [one.state for one in status_of(tmp_path)] == ["interrupted"]


def test_curves_as_tensorboard_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    folder = fabricate(tmp_path / "results" / "mine", rows=rows_of_table_1()[:3])
    for _ in range(2):  # written anew, not twice
        assert main(["status", "mine", "--tensorboard", str(tmp_path / "logs"), "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)["mine"]) == 3
    logs = write_logs(folder, tmp_path / "logs" / "mine")
    assert [path.name for path in logs] == [run_name("sparnet"), run_name("msfnet-1")], "Bicubic is not trained"
    for path in logs:
        (events,) = path.glob("events*")
        content = events.read_bytes()
        assert content.count(b"psnr") == content.count(b"learning_rate") == 10
