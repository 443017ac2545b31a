"""The command line on a small experiment: two methods, six faces, a few iterations."""

from __future__ import annotations

import dataclasses
import errno
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
from bench.core import files, paths
from bench.data.degrade import degrade
from bench.data.store import FaceRow, open_split, write_store
from bench.metrics.protocol import PROTOCOLS
from bench.models import registry
from bench.models.weights import save
from bench.runs.config import RunConfig
from bench.runs.records import RunRecord, RunState
from bench.runs.scores import read_scores
from tests.bench.conftest import EXPERIMENT, TINY, smooth_faces


def run_json(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that bad input gives, at most after the word that a network is loaded, and check the code."""
    capsys.readouterr()
    code = main(arguments)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    lines = [line for line in err.strip().splitlines() if not line.startswith("loading and checking ")]
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
    assert {run["state"] for run in first["plan"]["runs"]} == {"trained", "not run"}
    report = paths.reports() / "small-short-mine"
    table = (report / "table1.md").read_text()
    for word in ("Bicubic", "Narrow", "Tiny", "sparnet", "mine"):
        assert word in table
    before = contents(paths.results())
    again = run_json(["run", *job], capsys)
    assert [run["status"] for run in again["runs"]] == ["cached"] * 3 and again["plan"] is None
    assert contents(paths.results()) == before

    run = results() / first["runs"][2]["run"]
    weights = ["--weights", str(run / "weights.safetensors")]
    scored = run_json(["score", "tiny", *weights, "--data", "mine", "--plugin", str(TINY)], capsys)
    assert_same_scores(run, scored)
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished" and record["parameters"] > 0 and record["multiply_adds"] > 0
    assert record["environment"]["torch"] and record["environment"]["commit"]

    drawn = {path.name: path.read_bytes() for path in report.iterdir() if path.suffix in (".md", ".tex", ".csv")}
    shutil.rmtree(paths.reports())
    shutil.rmtree(paths.prepared())
    run_json(["report"], capsys)
    assert {name: (report / name).read_bytes() for name in drawn} == drawn
    (run / "run.json").write_text((run / "run.json").read_text().replace('"layout": 2', '"layout": 0'))
    assert "results layout 0, this version reads layout 2" in error_of(["report"], capsys)


def test_an_option_of_the_profile_that_no_row_has_is_passed_over_where_some_method_has_it(
    job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_json(["plan", *job, "--set", "options.deep_blocks=2"], capsys)["runs"]
    assert "no method has the option 'depe_blocks'" in error_of(
        ["plan", *job, "--set", "options.depe_blocks=2"], capsys
    )


def test_seeds_and_the_folder_of_the_report_are_options(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = run_json(["plan", *job, "--seeds", "3"], capsys)
    assert len(planned["runs"]) == 2 * 3 + 1  # interpolation is no training
    drafts = tmp_path / "drafts"
    result = run_json(["run", *job, "--only", "bicubic", "--out", str(drafts)], capsys)
    assert (drafts / "small-short-mine" / "table1.md").exists() and not paths.reports().exists()
    assert all(Path(file).is_relative_to(drafts) for file in result["report"])


def assert_same_scores(run: Path, scored: Any) -> None:
    """Check that `fsr score` gives what the run's file of scores holds, of one protocol."""
    (sheet,) = read_scores(run).values()
    assert sheet.images == ("test-0", "test-1", "test-2")
    assert {protocol for _, protocol in sheet.scored} == set(PROTOCOLS)
    assert {(one["image"], one["metric"], one["value"]) for one in scored["images"]} == {
        (image, metric, value)
        for metric, protocol in sheet.scored
        if protocol == "sparnet"
        for image, value in sheet.values(metric, protocol).items()
    }


def test_ctrl_c_saves_and_the_same_command_goes_on(job: list[str]) -> None:
    command = [sys.executable, "-m", "bench.cli.main", "run", *job, "--set", "training.iterations=300"]
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


def test_rows_fail_alone(job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One diverges, one cannot be built, one has a damaged checkpoint, which is bad input; the first two are none."""
    Path(job[0]).write_text(EXPERIMENT.replace("{ width = 0.5 }", "{ explode = true }"))
    head = "from bench import register\n@register('unbuildable', title='Unbuildable', year=2026)\nclass It:\n"
    (tmp_path / "unbuildable.py").write_text(head + "    def __init__(self, scale: int = 8) -> None:\n        1 / 0\n")
    job += ["--plugin", str(tmp_path / "unbuildable.py"), "--add", "unbuildable"]
    result = run_json(["run", *job, "--only", "Narrow", "--only", "unbuildable"], capsys, code=1)
    assert [run["status"] for run in result["runs"]] == ["failed", "failed"]
    assert "NaN or infinite" in result["runs"][0]["error"] and "division by zero" in result["runs"][1]["error"]
    (weights,) = (run["run"] for run in run_json(["plan", *job, "--only", "Tiny"], capsys)["runs"])
    state = results() / weights / "state.pt"
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_bytes(b"junk")
    result = run_json(["run", *job, "--only", "Tiny", "--only", "bicubic"], capsys, code=2)
    assert [run["status"] for run in result["runs"]] == ["finished", "failed"]
    assert "not a whole checkpoint" in result["runs"][1]["error"] and state.read_bytes() == b"junk"
    assert "failed" in (paths.reports() / "small-short-mine" / "table1.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "ablation", "--add", "sparnte"], "unknown method 'sparnte': did you mean 'sparnet'"),
        (["run", "ablation", "--set", "training.iteration=3"], "unknown key 'iteration': did you mean 'iterations'"),
        (["run", "ablation", "--set", "training.iterations=-3"], "iterations: -3 given, expected 1 to"),
        (["run", "ablation", "--set", "options.width=0"], "width must be more than 0"),
        (["run", "ablation", "--set", "options.widht=1"], "no method has the option 'widht': did you mean 'width'"),
        (["run", "ablation", "--set", "seeds=[]"], "seeds: [] given, expected at least one"),
        (["run", "ablation", "--seeds", "0"], "--seeds: 0 given, expected 1 to"),
        (["run", "ablation", "--seeds", "2", "--set", "seeds=[1]"], "--seeds 2: not together with --set seeds=..."),
        (["run", "ablation", "--out", "/dev/null"], "--out /dev/null: /dev/null is no folder; give another"),
        (["run", "ablation", "--set", "generate.train=0"], "train: 0 given, expected 1 to"),
        (["run", "ablation", "--data", "celeba"], "run `fsr prepare celeba --source"),
        (["run", "ablation", "--device", "gpu"], "--device gpu: not a device"),
        (
            ["score", "bicubic", "--device", "meta"],
            "--device meta: not a device; expected auto, cpu",
        ),
        (["score", "bicubic", "--device", "vulkan"], "--device vulkan: not a device"),
        (["score", "bicubic", "--device", "xpu"], "--device xpu: not a device"),
        (["score", "bicubic", "--device", "cuda:-1"], "--device cuda:-1: not a device"),
        (["run", "ablation", "--data", "mine", "--device", "cuda:99"], "CUDA devices are there"),
        (["prepare", "celebb"], "unknown data set 'celebb': did you mean 'celeba'"),
        (["prepare", "celeba", "--source", "none.tar"], "none.tar: no such file or folder"),
        (["prepare", "synthfaces", "--train", "-1"], "--train: -1 given, expected 1 to"),
        (["score", "sparnet"], "give --weights"),
        (["score", "bicubic", "--data", "mnie"], "no data set 'mnie'"),
        (["score", "bicubic", "--data", "mine", "--faces", "0"], "--faces: 0 given, expected 1 to"),
        (["report", "ablatio"], "no results"),
        (["report"], "no results yet"),
        (["report", "--out", "/dev/null"], "--out /dev/null: /dev/null is no folder; give another"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, job: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in error_of(arguments, capsys)


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


def test_a_full_disk_is_one_line(
    job: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(files, "open_new", refuse)
    capsys.readouterr()
    assert main(["run", *job]) == 1
    err = capsys.readouterr().err.strip().splitlines()
    assert f"{os.strerror(errno.ENOSPC)}; make room, then give the same command again" in err[-1]
    assert "Traceback" not in "".join(err)


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


@pytest.mark.parametrize(("degradation", "scale"), [("pil-bicubic", 8), ("area", 4), ("real-world", 8)])
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
    record = dataclasses.replace(RunRecord.new(RunConfig("tiny", options, 8, 0, "sparnet")), status=RunState.FINISHED)
    (results() / "run.json").write_text(json.dumps(dataclasses.asdict(record)))
    command = ["score", "tiny", "--weights", str(weights), "--data", "mine", "--plugin", str(TINY)]
    capsys.readouterr()
    assert main(command) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"loading and checking Tiny ({weights})" and told[1].startswith("score Tiny: 3 of 3, ")
    assert main([*command, "--json"]) == 0 and capsys.readouterr().err == ""
    assert f"--scale 4: {weights} was trained for scale 8" in error_of([*command, "--scale", "4"], capsys)
    plain, area = (run_json([*command, *more], capsys) for more in (["--scale", "8"], ["--degradation", "area"]))
    assert plain == run_json(command, capsys)
    assert area["images"] != plain["images"] and area["degradation"] == "area"
    for named in (weights.parent, weights.parent / "run.json"):  # the folder is enough, and says the method
        found = run_json(["score", "--weights", str(named), *command[4:]], capsys)
        assert found == {**plain, "weights": str(named)}
    torch.save({"params": registry.build("tiny", options).state_dict()}, weights.parent / "net.pth")
    (weights.parent / "run.json").unlink()
    message = error_of(["score", "--weights", str(weights.parent / "net.pth"), *command[4:]], capsys)
    assert "net.pth: no run.json beside it tells its method: name it before --weights" in message
    checkpoint = run_json(["score", "tiny", "--weights", str(weights.parent / "net.pth"), *command[4:]], capsys)
    assert len(checkpoint["images"]) == len(plain["images"])


def test_a_real_world_set_is_scored_without_reference(job: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = paths.prepared() / "web" / "test"
    rows = [FaceRow(name, sha256=name) for name in "ab"]
    write_store(path, rows, enumerate(smooth_faces(2, 0, 16)), {"kind": "real-world"}, size=16)
    found = run_json(["score", "bicubic", "--data", "web"], capsys)
    assert set(found["metrics"]) == {"niqe-pooled"} and found["degradation"] is None
    assert found["unavailable"] == {"psnr": "needs ground truth", "ssim": "needs ground truth"}
    message = error_of(["score", "bicubic", "--data", "web", "--metric", "psnr"], capsys)
    assert "web: no metric can be had: psnr needs ground truth" in message
