"""The command line on a small experiment: two methods, six faces, a few iterations."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.cli.main import main
from bench.core import paths
from bench.data.degrade import DEGRADATIONS, degrade
from bench.data.store import FaceRow, open_split, write_store
from bench.metrics.protocol import PROTOCOLS
from bench.models import registry
from bench.models.weights import save
from tests.bench.conftest import EXPERIMENT, TINY, smooth_faces


def run_json(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> Any:
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
    assert code == 2, err
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("fsr: "), err
    return lines[0]


def results(name: str = "small-short-mine") -> Path:
    return paths.results() / name


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_run_trains_scores_reports_and_then_has_nothing_to_do(
    job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first = run_json(["run", *job, "--plan"], capsys)
    assert [run["status"] for run in first["runs"]] == ["finished"] * 3
    assert {run["state"] for run in first["plan"]["runs"]} == {"score", "to do"}
    table = (paths.reports() / "small-short-mine" / "table1.md").read_text()
    for word in ("Bicubic", "Narrow", "Tiny", "sparnet", "mine"):
        assert word in table
    before = contents(paths.results())
    again = run_json(["run", *job], capsys)
    assert [run["status"] for run in again["runs"]] == ["cached"] * 3
    assert again["plan"] is None
    assert contents(paths.results()) == before


def test_score_rows_say_what_they_are(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run = run_json(["run", *job], capsys)["runs"][2]["run"]
    with (results() / run / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * (2 * len(PROTOCOLS) + 1), "NIQE does not depend on the protocol's colour"
    assert {(row["method"], row["dataset"], row["run"]) for row in rows} == {("tiny", "mine", run)}
    assert {row["protocol"] for row in rows} == set(PROTOCOLS)
    assert {row["image"] for row in rows} == {"test-0", "test-1", "test-2"}
    weights = str(results() / run / "weights.safetensors")
    scored = run_json(["score", "tiny", "--weights", weights, "--data", "mine", "--plugin", str(TINY)], capsys)
    assert {(one["image"], one["metric"], one["value"]) for one in scored["images"]} == {
        (row["image"], row["metric"], float(row["value"])) for row in rows if row["protocol"] == "sparnet"
    }
    record = json.loads((results() / run / "run.json").read_text())
    assert record["status"] == "finished" and record["parameters"] > 0 and record["multiply_adds"] > 0
    assert record["environment"]["torch"] and record["environment"]["commit"]


def test_side_by_side_gives_the_same_scores(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as many as each of two runs gets on two cores
    try:
        for jobs, folder in (("1", "one"), ("2", "two")):
            run_json(["run", *job[:-1], jobs], capsys)
            results().rename(paths.results() / folder)
    finally:
        torch.set_num_threads(threads)
    for path in (paths.results() / "one").glob("*/scores.csv"):
        other = paths.results() / "two" / path.parent.name
        assert (other / "scores.csv").read_bytes() == path.read_bytes()
        if path.with_name("weights.safetensors").exists():
            assert (other / "weights.safetensors").read_bytes() == path.with_name("weights.safetensors").read_bytes()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_saves_and_the_same_command_goes_on(job: list[str], jobs: str) -> None:
    command = [sys.executable, "-m", "bench.cli.main", "run", *job[:-1], jobs, "--set", "training.iterations=300"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 60
    while not list(paths.results().glob("*/tiny*/run.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "the same command goes on from there" in err and "Traceback" not in err
    assert list(paths.results().glob("*/tiny*/state.pt"))
    plan = subprocess.run([*command[:3], "plan", *command[4:], "--json"], capture_output=True, text=True, check=True)
    resumed = [run for run in json.loads(plan.stdout)["runs"] if run["state"] == "resume"]
    assert resumed and all(0 < run["iterations"] < 300 for run in resumed)


def test_a_row_that_diverges_fails_alone(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(job[0])
    path.write_text(EXPERIMENT.replace("{ width = 0.5 }", "{ explode = true }"))
    result = run_json(["run", *job], capsys, code=1)
    assert [run["status"] for run in result["runs"]] == ["finished", "failed", "finished"]
    assert "NaN or infinite" in result["runs"][1]["error"]
    table = (paths.reports() / "small-short-mine" / "table1.md").read_text()
    assert "failed" in table


def test_a_method_that_cannot_be_built_fails_alone(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "from bench import register\n@register('unbuildable', title='Unbuildable', year=2026)\nclass It:\n"
    (tmp_path / "unbuildable.py").write_text(head + "    def __init__(self, scale: int = 8) -> None:\n        1 / 0\n")
    result = run_json(
        ["run", *job, "--plugin", str(tmp_path / "unbuildable.py"), "--add", "unbuildable"], capsys, code=1
    )
    assert [run["status"] for run in result["runs"]] == ["finished", "finished", "finished", "failed"]
    assert "division by zero" in result["runs"][3]["error"]


def test_a_damaged_checkpoint_fails_its_row_with_code_2(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    plan = run_json(["plan", *job], capsys)
    state = results() / plan["runs"][1]["run"] / "state.pt"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"junk")
    result = run_json(["run", *job], capsys, code=2)
    assert [run["status"] for run in result["runs"]] == ["finished", "failed", "finished"]
    assert "not a whole checkpoint" in result["runs"][1]["error"]
    assert state.read_bytes() == b"junk"


def test_report_is_redrawn_from_results_alone(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run_json(["run", *job], capsys)
    report = paths.reports() / "small-short-mine"
    before = {path.name: path.read_bytes() for path in report.iterdir() if path.suffix in (".md", ".tex", ".csv")}
    shutil.rmtree(paths.reports())
    shutil.rmtree(paths.prepared())
    run_json(["report"], capsys)
    assert {name: (report / name).read_bytes() for name in before} == before
    (paths.results() / "reference").mkdir()
    results().rename(paths.results() / "reference" / "mine")
    run_json(["report", "reference/mine"], capsys)
    assert (paths.reports() / "reference" / "mine" / "table1.csv").read_bytes() == before["table1.csv"]
    assert "no results yet" in error_of(["report"], capsys)


def test_methods_lists_everything_as_json(capsys: pytest.CaptureFixture[str], job: list[str]) -> None:
    found = {one["id"]: one for one in run_json(["methods", "--plugin", str(TINY)], capsys)}
    assert found["sparnet"]["parameters"] == 10_518_867
    assert found["msfnet-8"]["multiply_adds"] / 1e9 == pytest.approx(13.440, abs=5e-4)
    assert found["tiny"]["scales"] == [2, 4, 8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "unknown command 'rnu': did you mean 'run'"),
        (["run", "ablatoin"], "unknown experiment 'ablatoin': did you mean 'ablation'"),
        (["run", "none.toml"], "none.toml: no such file"),
        (["run", "ablation", "--profile", "quik"], "unknown profile 'quik': did you mean 'quick'"),
        (["run", "ablation", "--add", "sparnte"], "unknown method 'sparnte': did you mean 'sparnet'"),
        (["run", "ablation", "--set", "training.iteration=3"], "unknown key 'iteration': did you mean 'iterations'"),
        (["run", "ablation", "--set", "training.iterations=-3"], "training.iterations: -3 given, expected more than 0"),
        (["run", "ablation", "--set", "options.width=0"], "method 'sparnet': width must be more than 0"),
        (["run", "ablation", "--set", "options.widht=1"], "no method has the option 'widht': did you mean 'width'"),
        (["run", "ablation", "--set", "seeds=[]"], "seeds: none given"),
        (["run", "ablation", "--set", "generate.train=0"], "train: 0 faces given, expected at least 1"),
        (["run", "ablation", "--set", "width"], "expected key=value"),
        (["run", "ablation", "--data", "celeba"], "run `fsr prepare celeba --source"),
        (["run", "ablation", "--device", "gpu"], "--device gpu: not a device"),
        (["run", "ablation", "--data", "mine", "--device", "cuda:99"], "CUDA devices are there"),
        (["prepare", "celebb"], "unknown data set 'celebb': did you mean 'celeba'"),
        (["prepare", "celeba", "--source", "none.tar"], "none.tar: no such file or folder"),
        (["prepare", "synthfaces", "--train", "-1"], "--train -1: expected at least 1"),
        (["score", "sparnet"], "give --weights"),
        (["score", "bicubic", "--data", "mnie"], "no data set 'mnie'"),
        (["score", "bicubic", "--data", "mine", "--faces", "0"], "--faces 0: expected at least 1"),
        (["report", "ablatio"], "no results"),
        (["methods", "--plugin", "none.py"], "--plugin none.py: no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in error_of(arguments, capsys)


def test_an_unknown_option_gets_the_nearest(job: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli.main", "run", "ablation", "--prfile", "x"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == "fsr: unknown option '--prfile': did you mean '--profile'?\n"


def test_train_and_test_may_not_share_a_photo(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    rows = [FaceRow("a", sha256="same"), FaceRow("b", sha256="other")]
    for split in ("train", "test"):
        own = rows[: 2 if split == "train" else 1]
        write_store(paths.prepared() / "mine" / split, own, enumerate(smooth_faces(len(own), 0)), {})
    assert "photos are in" in error_of(["plan", *job], capsys)


def test_faces_that_changed_are_refused(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = paths.prepared() / "mine" / "test" / "faces.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "the faces have changed" in error_of(["run", *job], capsys)


def test_results_of_an_older_layout_are_refused(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run = run_json(["run", *job], capsys)["runs"][1]["run"]
    path = results() / run / "run.json"
    path.write_text(path.read_text().replace('"layout": 1', '"layout": 0'))
    assert "results layout 0, this version reads layout 1" in error_of(["run", *job], capsys)


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_that_cannot_be_written_is_one_line(
    job: list[str], trouble: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import tempfile

    number = errno.ENOSPC if trouble == "full" else errno.EROFS

    def refuse(**where: Any) -> None:
        raise OSError(number, os.strerror(number), str(where["dir"]))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    capsys.readouterr()
    assert main(["run", *job]) == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert os.strerror(number) in err[-1] and "Traceback" not in "".join(err)


def bicubic_means(dataset: str, degradation: str, scale: int) -> dict[str, float]:
    """Score bicubic enlargement of a set's test faces with other code than the command's."""
    from skimage.metrics import structural_similarity

    faces = np.asarray(open_split(dataset, "test").faces)
    scores: dict[str, list[float]] = {"psnr": [], "ssim": []}
    for face, small in zip(faces, degrade(faces, scale, degradation), strict=True):
        large = np.asarray(Image.fromarray(small).resize((128, 128), Image.Resampling.BICUBIC))
        weights = np.array([65481, 128553, 24966])
        x, y = (((one.astype(np.int64) @ weights + 16 * 255000) // 255000).astype(float) for one in (large, face))
        scores["psnr"].append(10 * np.log10(255**2 / ((x - y) ** 2).mean()))
        how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        scores["ssim"].append(structural_similarity(x, y, **how))
    return {name: float(np.mean(values)) for name, values in scores.items()}


@pytest.mark.parametrize(
    ("degradation", "scale"), [("pil-bicubic", 8), ("pil-bicubic", 4), ("area", 8), ("real-world", 8), ("area", 2)]
)
def test_score_degrades_as_asked(
    job: list[str], degradation: str, scale: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["score", "bicubic", "--data", "mine", "--degradation", degradation, "--scale", str(scale)]
    found = run_json(command, capsys)
    assert (found["degradation"], found["scale"], found["protocol"]) == (degradation, scale, "sparnet")
    assert found["fingerprint"] == open_split("mine", "test").fingerprint
    means = {name: found["metrics"][name]["mean"] for name in ("psnr", "ssim")}
    assert means == {
        name: pytest.approx(mean, abs=2e-3) for name, mean in bicubic_means("mine", degradation, scale).items()
    }
    assert run_json(command, capsys) == found, "what is drawn at random is drawn again"
    if (degradation, scale) == ("pil-bicubic", 8):
        assert run_json(["score", "bicubic", "--data", "mine"], capsys) == found, "the default"


def test_degradations_differ(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        name: run_json(["score", "bicubic", "--data", "mine", "--degradation", name], capsys)["metrics"]["psnr"]["mean"]
        for name in DEGRADATIONS
    }
    assert len(set(found.values())) == len(found) == 6


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--degradation", "aera"], "unknown degradation 'aera': did you mean 'area'"),
        (["--scale", "3"], "--scale 3: method 'bicubic' supports [2, 4, 8, 16]"),
        (["--split", "tset"], "unknown split 'tset': did you mean 'test'"),
    ],
)
def test_score_says_what_it_cannot_do(
    job: list[str], more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in error_of(["score", "bicubic", "--data", "mine", *more], capsys)


def test_a_trained_methods_scale_is_that_of_its_weights(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    registry.add_plugin(TINY)
    weights, options = results() / "weights.safetensors", registry.options("tiny", {"scale": 8})
    save(weights, registry.build("tiny", options).state_dict())
    record = {"layout": 1, "config": {"method": "tiny", "options": options, "seed": 0}}
    (results() / "run.json").write_text(json.dumps(record))
    command = ["score", "tiny", "--weights", str(weights), "--data", "mine", "--plugin", str(TINY)]
    assert f"--scale 4: {weights} was trained for scale 8" in error_of([*command, "--scale", "4"], capsys)
    plain, area = (run_json([*command, *more], capsys) for more in (["--scale", "8"], ["--degradation", "area"]))
    assert plain == run_json(command, capsys)
    assert area["images"] != plain["images"] and area["degradation"] == "area"


def test_a_real_world_set_is_scored_without_reference(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = paths.prepared() / "web" / "test"
    rows = [FaceRow(name, sha256=name) for name in "ab"]
    write_store(path, rows, enumerate(smooth_faces(2, 0, 16)), {"kind": "real-world"}, size=16)
    found = run_json(["score", "bicubic", "--data", "web"], capsys)
    assert set(found["metrics"]) == {"niqe-pooled"} and found["degradation"] is None
    assert found["unavailable"] == {"psnr": "needs ground truth", "ssim": "needs ground truth"}
    message = error_of(["score", "bicubic", "--data", "web", "--metric", "psnr"], capsys)
    assert "web: no metric can be had: psnr needs ground truth" in message
