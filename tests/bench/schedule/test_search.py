"""`fsr search` on six faces: trials to their ends, interrupted, stopped early by Ray; and what it refuses."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.cli.main import main
from bench.core import paths
from bench.data.store import FaceRow, open_split, write_store
from bench.models import cost, registry
from bench.runs import train
from bench.runs.records import LAYOUT
from tests.bench.conftest import TINY, smooth_faces

SPACE = """
trials = 4
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


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower with two threads, and as many as a trial of two side by side gets."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make faces, a profile and a space in a new root; return the arguments of `fsr search`."""
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    monkeypatch.setattr(registry, "_plugins", [])
    monkeypatch.setattr(registry, "_catalogue", None)
    monkeypatch.setattr(cost, "seconds_per_image", lambda *_, **__: 0.001)  # measuring it takes a second a trial
    for seed, (split, count) in enumerate((("train", 6), ("val", 2), ("test", 3))):
        rows = [FaceRow(f"{split}-{i}") for i in range(count)]
        write_store(paths.prepared() / "mine" / split, rows, enumerate(smooth_faces(count, seed)), {})
    (tmp_path / "short.toml").write_text(PROFILE)
    (tmp_path / "space.toml").write_text(SPACE)
    files = ["--space", str(tmp_path / "space.toml"), "--profile", str(tmp_path / "short.toml")]
    return ["search", "tiny", *files, "--data", "mine", "--plugin", str(TINY), "--jobs", "1"]


def search_json(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that bad input gives, after checking the exit code."""
    capsys.readouterr()
    try:
        code = main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    lines = err.strip().splitlines()
    assert (code, out, len(lines)) == (2, "", 1) and lines[0].startswith("fsr: "), err
    return lines[0]


def results() -> Path:
    return paths.results() / NAME


def run_of(trial: dict[str, Any]) -> tuple[Path, dict[str, Any], list[list[str]]]:
    """Return a trial's folder, its run.json and the lines of its curve."""
    folder = results() / trial["run"]
    curve = [line.split(",") for line in (folder / "curve.csv").read_text().splitlines()[1:]]
    return folder, json.loads((folder / "run.json").read_text()), curve


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def outcome(folder: Path) -> dict[str, bytes]:
    return {n: b for n, b in contents(folder).items() if n.endswith(("weights.safetensors", "curve.csv"))}


def test_every_trial_is_a_run_trained_with_its_values(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = search_json(job, capsys)
    assert [trial["status"] for trial in found["trials"]] == ["finished"] * 4
    for trial in found["trials"]:
        folder, record, curve = run_of(trial)
        training, options = record["config"]["training"], record["config"]["options"]
        assert training["learning_rate"] == trial["values"]["training.learning_rate"]
        assert training["schedule"] == trial["values"]["training.schedule"]
        assert options["width"] == trial["values"]["options.width"]
        assert record["status"] == "finished" and record["parameters"] == trial["parameters"]
        assert (trial["iterations"], trial["psnr"]) == (12, float(curve[-1][2]))
        assert (folder / "weights.safetensors").exists()
    best = max(found["trials"], key=lambda trial: trial["psnr"])
    assert found["best"] == best["number"]
    before = contents(paths.root())
    assert search_json(job, capsys) == found
    assert contents(paths.root()) == before, "done trials are not repeated"


def test_test_faces_are_not_looked_at(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = search_json([*job, "--trials", "2"], capsys)
    val, test = (open_split("mine", split).fingerprint for split in ("val", "test"))
    assert found["val"]["fingerprint"] == val
    written = b"".join(contents(paths.results()).values())
    assert val.encode() in written and test.encode() not in written


def test_more_trials_go_on_from_those_that_are_there(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    few = search_json([*job, "--trials", "1"], capsys)["trials"]
    before = contents(results() / few[0]["run"])
    more = search_json([*job, "--trials", "2"], capsys)["trials"]
    assert more[:1] == few and more[1]["number"] == 2
    assert contents(results() / few[0]["run"]) == before


def test_an_interrupted_search_goes_on_to_the_same_bytes(
    job: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    search_json([*job, "--trials", "3"], capsys)
    undisturbed = outcome(results())
    results().rename(paths.results() / "before")
    step, steps = train.Trainee.step, []

    def stop_in_the_second_trial(self: train.Trainee, lr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        steps.append(self.iteration)
        if len(steps) == 12 + 7:
            signal.raise_signal(signal.SIGTERM)
        return step(self, lr, hr)

    monkeypatch.setattr(train.Trainee, "step", stop_in_the_second_trial)
    assert main([*job, "--trials", "3"]) == 128 + signal.SIGTERM
    assert "the same command goes on from there" in capsys.readouterr().err
    half = json.loads((results() / "search.json").read_text())["trials"]
    assert [(trial["status"], trial["iterations"]) for trial in half] == [
        ("finished", 12),
        ("interrupted", 6),
        ("to do", 0),
    ]
    found = search_json([*job, "--trials", "3"], capsys)
    assert [trial["status"] for trial in found["trials"]] == ["finished"] * 3
    assert len(steps) == 3 * 12, "no iteration was trained twice"
    assert outcome(results()) == undisturbed


def test_a_trial_stopped_early_is_taken_to_its_end_without_early_stopping(
    job: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.schedule.search import record

    found = search_json([*job, "--trials", "1"], capsys)["trials"][0]
    folder, _, _ = run_of(found)
    undisturbed = outcome(results())
    (folder / "weights.safetensors").unlink()
    seen: list[str] = []
    resume = record.resume_stopped

    def stop_then_resume(run: Any) -> None:
        record.mark_stopped(run)
        seen.append(record.progress(run).status)
        resume(run)

    monkeypatch.setattr(record, "resume_stopped", stop_then_resume)
    again = search_json([*job, "--trials", "1"], capsys)["trials"][0]
    assert seen == ["stopped"] and again["status"] == "finished"
    assert run_of(again)[1]["stopped_at"] is None
    assert outcome(results()) == undisturbed


def test_a_trial_that_diverges_is_an_outcome_and_not_repeated(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.toml").write_text("trials = 2\noptions.explode = { choice = [true, false] }")
    found = search_json(job, capsys)["trials"]
    assert {trial["values"]["options.explode"]: trial["status"] for trial in found} == {
        True: "diverged",
        False: "finished",
    }
    assert any("NaN or infinite" in trial["error"] for trial in found)
    before = contents(results())
    search_json(job, capsys)
    assert contents(results()) == before
    table = (paths.reports() / NAME / "trials.md").read_text()
    assert "diverged" in table


def test_the_terminal_shows_the_best_first_and_how_to_use_it(
    job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(job) == 0
    lines = capsys.readouterr().out.splitlines()
    record = json.loads((results() / "search.json").read_text())
    best = max(record["trials"], key=lambda trial: trial["psnr"])
    assert lines[0] == f"{NAME}: 4 trials: 4 finished; PSNR on 2 validation faces"
    assert lines[3].split()[:4] == [str(best["number"]), f"{best['psnr']:.3f}", "12", "finished"]
    assert f"--set training.learning_rate={best['values']['training.learning_rate']}" in lines[-2]
    assert """--set 'training.schedule="c""" in lines[-2]


def test_the_space_names_the_folder(job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "space.toml").rename(tmp_path / "rates.toml")
    job[job.index("--space") + 1] = str(tmp_path / "rates.toml")
    found = search_json([*job, "--trials", "1", "--set", "training.iterations=1"], capsys)
    assert found["name"] == "search-tiny-rates-short-mine"
    assert (paths.results() / found["name"] / "search.json").exists()
    assert (paths.reports() / found["name"] / "index.md").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--space", "none.toml"], "none.toml: no such file"),
        (["--scheduler", "ahsa"], "--scheduler: unknown value 'ahsa': did you mean 'asha'"),
        (["--scheduler", "asha", "--executor", "serial"], "--scheduler asha: is Ray Tune's"),
        (["--grace-period", "3"], "--grace-period 3: goes with --scheduler asha"),
        (["--scheduler", "asha", "--grace-period", "12"], "expected 1 up to, not including, the 12 iterations"),
        (["--scheduler", "asha", "--reduction-factor", "1"], "--reduction-factor 1: expected more than 1"),
        (["--scheduler", "asha", "--set", "training.validate_every=12"], "leaves no point to stop at"),
        (["--trials", "0"], "trials: 0 given, expected at least 1"),
        (["--set", "options.widht=1"], "method 'tiny' has no option 'widht': did you mean 'width'"),
        (["--max-failures", "-1"], "--max-failures -1: expected at least 0"),
        (["--executor", "serial", "--gpus-per-run", "1"], "--address, --storage and --gpus-per-run are Ray's"),
    ],
)
def test_mistakes_are_told_in_one_line(
    job: list[str], more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in error_of([*job, *more], capsys)
    assert not results().exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.learning_rate = { uniform = [-1, 1] }", "learning_rate: -1.0 given, expected more than 0"),
        ("training.warmup = { choice = [0, 12] }", "training.warmup: 12 given"),
        ("training.betas = { choice = [[0.9, 0.99], [0.9]] }", "training.betas: choice: [0.9] given"),
    ],
)
def test_values_that_the_profile_refuses_are_told_before_anything_is_trained(
    job: list[str], tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.toml").write_text(text)
    assert message in error_of(job, capsys)
    assert not results().exists()


def test_values_that_the_network_refuses_are_told_with_their_trial(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.toml").write_text("trials = 2\noptions.width = { choice = [0, 0.125] }")
    job[1] = "sparnet"
    assert "width must be more than 0" in (told := error_of(job, capsys))
    assert "space.toml, trial " in told


def test_early_stopping_of_an_ablation_is_refused(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    told = error_of(["run", "ablation", "--scheduler", "asha"], capsys)
    assert "early stopping" in told and "ablation rows must have equal budgets; use fsr search" in told
    job[1] = "ablation"
    told = error_of([*job, "--scheduler", "asha"], capsys)
    assert "'ablation' is an experiment: its rows must have equal budgets" in told
    job[1] = "bicubic"
    assert "method 'bicubic' is not trained" in error_of(job, capsys)


def test_without_ray_early_stopping_says_what_to_install(
    job: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    told = error_of([*job, "--scheduler", "asha"], capsys)
    assert "pip install 'fsr-bench[ray]'" in told
    found = search_json([*job, "--trials", "1"], capsys)
    assert found["trials"][0]["status"] == "finished"


def test_results_of_another_layout_are_refused(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from bench.core.errors import UserError
    from bench.report.search import build_search_report

    search_json([*job, "--trials", "1"], capsys)
    path = results() / "search.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"layout": LAYOUT + 1}))
    with pytest.raises(UserError, match=f"results layout {LAYOUT + 1}, this version reads layout {LAYOUT}"):
        build_search_report(results(), paths.reports() / NAME)
