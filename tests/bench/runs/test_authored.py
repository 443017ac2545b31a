"""Rows of authors' checkpoints: imported once under our names, scored like any run, told as not trained here."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.cli.main import main
from bench.core import paths
from bench.core.errors import UserError
from bench.models import registry, weights
from bench.models.checkpoint import Checkpoint
from bench.runs.authored import checkpoint_of, checkpoint_row
from bench.runs.experiment import Row
from bench.runs.networks import open_run
from bench.runs.records import RunState, read_experiment_record, read_run_record
from tests.bench.conftest import EXPERIMENT, PUPIL, TINY

IN_TOML = """
[[rows]]
method = "tiny"
label = "From the file"
checkpoint = "theirs/net.pth"
"""


@pytest.fixture
def theirs(tmp_path: Path, tiny: None) -> Path:
    """A checkpoint of full width, whatever the profile narrows."""
    torch.manual_seed(3)
    (tmp_path / "theirs").mkdir()
    path = tmp_path / "theirs" / "net.pth"
    torch.save({"state_dict": registry.build("tiny").state_dict()}, path)
    return path


@pytest.fixture
def command(job: list[str], tmp_path: Path) -> list[str]:
    (tmp_path / "small.toml").write_text(EXPERIMENT + IN_TOML)
    return ["run", *job, "--set", "options.width=0.5", "--json"]


def folder_of(label: str) -> Path:
    experiment = paths.results() / "small-short-mine"
    row = next(row for row in read_experiment_record(experiment).rows if row.label == label)
    (name,) = row.runs
    return experiment / name


def states(out: str) -> dict[str, str]:
    return {run["run"].rpartition("-s0-")[0] + run["run"][-4:]: run["status"] for run in json.loads(out)["runs"]}


def test_a_checkpoint_is_a_row_and_its_file_need_not_stay(
    command: list[str], theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    capsys.readouterr()
    folder, digest = folder_of("From the file"), hashlib.sha256(theirs.read_bytes()).hexdigest()
    record = read_run_record(folder)
    assert record is not None and record.status is RunState.FINISHED and record.probe and record.code
    assert record.authors == Checkpoint("net.pth", digest, 9, 0)
    assert record.config.training is None and record.config.given == {"checkpoint": digest}
    assert record.config.options["width"] == 1.0 and record.config.seed == 0
    own, original = weights.load(folder / "weights.safetensors")[0], torch.load(theirs)["state_dict"]
    assert own.keys() == original.keys() and all(torch.equal(own[name], original[name]) for name in own)
    score = ["score", "tiny", "--data", "mine", "--metric", "psnr", "--json", "--plugin", str(TINY)]
    assert main([*score, "--checkpoint", str(theirs)]) == 0
    by_file = json.loads(capsys.readouterr().out)
    theirs.unlink()
    assert main([*score, "--weights", str(folder)]) == 0
    by_run = json.loads(capsys.readouterr().out)
    assert by_run["metrics"] == by_file["metrics"] and by_run["images"] == by_file["images"]
    assert by_run["label"] == "Tiny (authors' weights)" and by_run["authors_weights"]["sha256"] == digest
    assert open_run(folder).load(torch.device("cpu"))(torch.rand(1, 3, 16, 16)).shape == (1, 3, 128, 128)
    assert main(["verify", "small-short-mine", "--plugin", str(TINY)]) == 0
    assert "damaged" not in capsys.readouterr().out.replace("none damaged", "")
    assert main(command) == 0
    assert set(states(capsys.readouterr().out).values()) == {"cached"}


def test_what_is_lost_of_an_import_is_made_again(
    command: list[str], theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    folder = folder_of("From the file")
    before = (folder / "weights.safetensors").read_bytes()
    scores = next((folder / "scores").iterdir())
    content = scores.read_bytes()
    scores.unlink()
    file = theirs.read_bytes()
    theirs.unlink()
    assert main(command) == 0, "the scores alone need no file"
    assert scores.read_bytes() == content
    (folder / "weights.safetensors").unlink()
    capsys.readouterr()
    assert main(command) == 2
    assert f"{theirs}: no such file" in capsys.readouterr().err
    theirs.write_bytes(file)
    assert main(command) == 0
    assert (folder / "weights.safetensors").read_bytes() == before and scores.read_bytes() == content


def test_the_row_stands_apart_with_whose_weights_it_has(
    command: list[str], theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--only", "bicubic", "--only", "From the file"]) == 0
    report, digest = paths.reports() / "small-short-mine", hashlib.sha256(theirs.read_bytes()).hexdigest()
    markdown = (report / "table1.md").read_text(encoding="utf-8")
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert "From the file" in lines[-1] and "elsewhere" in lines[-2] and "**" not in lines[-1] + lines[-2][1:]
    assert "<ins>" not in lines[-1]
    about = f"From the file: authors' weights (net.pth, SHA-256 {digest[:12]}); the faces that they were trained on"
    assert about in markdown
    with (report / "table1.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["foreign"]) for row in rows] == [False, False, False, True] and rows[-1]["psnr"]


@pytest.mark.parametrize("words", [["run"], ["plan"], ["run", "--only", "bicubic"]], ids=" ".join)
def test_a_bad_file_is_told_before_anything_runs(
    command: list[str], theirs: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    torch.save(registry.build("tiny", {"width": 0.5}).state_dict(), theirs)
    assert main([words[0], *command[1:], *words[1:]]) == 2
    message = capsys.readouterr().err
    assert f"{theirs}: no checkpoint of 'tiny': 'body.0.weight' is (8, 3, 3, 3), expected (16, 3, 3, 3)" in message
    assert "of another width or another variant" in message
    assert not (paths.results() / "small-short-mine" / "experiment.json").exists()


def test_a_plan_reads_the_checkpoint_and_imports_nothing(command: list[str], theirs: Path) -> None:
    assert main(["plan", *command[1:], "--only", "From the file"]) == 0
    assert not list((paths.results() / "small-short-mine").glob("*"))


def test_a_narrow_checkpoint_takes_the_option_in_its_row(
    command: list[str], theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(registry.build("tiny", {"width": 0.5}).state_dict(), theirs)
    (tmp_path / "small.toml").write_text(EXPERIMENT + IN_TOML + "options = { width = 0.5 }\n")
    assert main([*command, "--only", "From the file"]) == 0
    record = read_run_record(folder_of("From the file"))
    assert record is not None and record.config.options["width"] == 0.5


def test_a_student_s_checkpoint_needs_no_teacher(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.add_plugin(PUPIL)
    path = tmp_path / "pupil.pth"
    torch.save(registry.build("pupil").state_dict(), path)
    arguments = [*job, "--plugin", str(PUPIL), "--checkpoint", f"pupil:{path}", "--only", "pupil", "--json"]
    assert main(["plan", *arguments]) == 0
    (planned,) = json.loads(capsys.readouterr().out)["runs"]
    assert (planned["state"], planned["iterations"]) == ("not run", 0)
    assert planned["label"] == f"{registry.get('pupil').title} (authors)"
    assert main(["run", *arguments]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["status"] == "finished"
    assert sorted(path.name.partition("-s0")[0] for path in (paths.results() / "small-short-mine").glob("*-s0-*")) == [
        "pupil"
    ]


@pytest.mark.parametrize("key", [{"seeds": (0, 1)}, {"training": {"clip": 1.0}}, {"match": "bicubic"}])
def test_what_is_about_training_is_refused_beside_a_checkpoint(key: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(key))}: not together with checkpoint"):
        Row("tiny", checkpoint="net.pth", **key)


def test_the_option_names_label_method_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    row = checkpoint_row("A b (authors)=tiny:x=1/net.pth")
    assert (row.label, row.method, row.checkpoint) == ("A b (authors)", "tiny", str(tmp_path / "x=1/net.pth"))
    row = checkpoint_row("tiny:/a=b.pth")
    assert (row.label, row.method, row.checkpoint) == ("", "tiny", "/a=b.pth")
    for text in ("net.pth", "Mine=net.pth", "Mine=tiny:", "=", "tiny="):
        with pytest.raises(UserError, match=r"--checkpoint .*: expected LABEL=METHOD:FILE"):
            checkpoint_row(text)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("tiny:a=tiny:b/net=v1:last.pth", ""),
        ("Mine (lr=1e-4), x: y=tiny:a=tiny:b/net=v1:last.pth", "Mine (lr=1e-4), x: y"),
        ("lr=tiny: a=tiny:b/net=v1:last.pth ", "lr"),
    ],
)
def test_label_and_file_may_hold_equals_signs_and_colons(
    text: str, label: str, tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a=tiny:b" / "net=v1:last.pth"
    file.parent.mkdir()
    file.touch()
    row = checkpoint_row(text)
    assert (row.label, row.method, row.checkpoint) == (label, "tiny", str(file))


def test_what_is_no_file_is_said(tiny: None, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    row = checkpoint_row(f"X=tiny:{tmp_path}/theirs")
    with pytest.raises(UserError, match="theirs: a folder; expected a file of weights"):
        checkpoint_of(row, tmp_path)
    with pytest.raises(UserError, match="null: no regular file; expected"):
        checkpoint_of(checkpoint_row("X=tiny:/dev/null"), tmp_path)
