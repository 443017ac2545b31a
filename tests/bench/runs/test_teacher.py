"""A teacher is a run of its own, trained first and shared by all students of its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli.main import main
from bench.core import paths
from bench.runs.records import RunState, read_experiment_record, read_run_record
from tests.bench.conftest import PUPIL

EXPERIMENT = """
title = "Pupils"
kind = "ablation"
[[rows]]
method = "bicubic"
[[rows]]
method = "pupil"
seeds = [0, 1]
[[rows]]
method = "pupil"
label = "Narrow"
options = { width = 0.5 }
"""


@pytest.fixture
def command(job: list[str], tmp_path: Path) -> list[str]:
    (tmp_path / "pupils.toml").write_text(EXPERIMENT)
    return ["run", str(tmp_path / "pupils.toml"), *job[1:], "--plugin", str(PUPIL)]


def teachers() -> dict[str, Path]:
    return {path.name: path for path in (paths.results() / "pupils-short-mine").glob("tiny-*")}


def test_students_of_one_configuration_share_a_teacher(command: list[str], tmp_path: Path) -> None:
    assert main(command) == 0
    experiment = read_experiment_record(paths.results() / "pupils-short-mine")
    students = [read_run_record(tmp_path / "results" / experiment.name / name) for name in experiment.run_names]
    taught = [student.config.given["teacher"] for student in students if student and student.config.training]
    assert len(taught) == 3 and len(set(taught)) == 2
    records = {name.rpartition("-")[2]: read_run_record(path) for name, path in teachers().items()}
    assert records.keys() == set(taught)
    for teacher in filter(None, records.values()):
        assert teacher.status is RunState.FINISHED and teacher.trained and teacher.scored is None
        assert teacher.config.seed == 0 and teacher.config.training is not None
        assert teacher.config.training.iterations == 6
    curve = (tmp_path / "results" / experiment.name / experiment.rows[1].runs[0] / "curve.csv").read_text()
    assert curve.splitlines()[0] == "iteration,loss,psnr,learning_rate,loss_pixel,loss_soft"
    weights = {name: (path / "weights.safetensors").read_bytes() for name, path in teachers().items()}
    before = {name: (path / "run.json").stat().st_mtime_ns for name, path in teachers().items()}
    assert main([*command, "--set", "seeds=[2]"]) == 0  # another seed has the teachers that are there
    assert {name: (path / "run.json").stat().st_mtime_ns for name, path in teachers().items()} == before
    assert {name: (path / "weights.safetensors").read_bytes() for name, path in teachers().items()} == weights


def test_a_damaged_teacher_is_not_taken(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 0
    for path in teachers().values():
        content = bytearray((path / "weights.safetensors").read_bytes())
        content[-1] ^= 4
        (path / "weights.safetensors").write_bytes(content)
    assert main([*command, "--set", "seeds=[2]"]) == 2
    assert "weights.safetensors: damaged or edited" in capsys.readouterr().err
