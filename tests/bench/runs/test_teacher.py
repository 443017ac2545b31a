"""A teacher is a run of its own, trained first and shared by all students of its configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from bench.cli.main import main
from bench.core import paths
from bench.models import registry, weights
from bench.runs.job import load_job, open_faces, teacher_of
from bench.runs.records import RunState, read_experiment_record, read_run_record
from tests.bench.conftest import PUPIL, RIVAL, TINY

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


# A class that teaches itself: the teacher is a variant, which sets an option, and both ask for landmarks.
PAIR = """
import torch.nn.functional as F
from torch import nn
from bench import register

@register("pair", title="Pair", year=2024, needs=["landmarks"], teacher="pair-teacher",
          variants={"pair-teacher": {"teacher": "", "options": {"sees": True, "blocks": 2}}})
class Pair(nn.Module):
    def __init__(self, scale: int = 8, *, width: float = 1.0, blocks: int = 1, sees: bool = False) -> None:
        super().__init__()
        self.sees = sees
        self.body = nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr):
        return self.body(lr)

    def objective(self):
        return Terms(self.sees)

class Terms:
    def __init__(self, sees):
        self.sees = sees

    def terms(self, network, batch):
        assert batch.landmarks.shape == (2, 68, 2) and (batch.teacher is None) == self.sees
        return {"pixel": F.l1_loss(network(batch.lr), batch.hr)}
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
    page = (tmp_path / "reports" / experiment.name / "index.md").read_text()
    assert "Pupil: taught by tiny, which was trained before it for 6 iterations too." in page
    weights = {name: (path / "weights.safetensors").read_bytes() for name, path in teachers().items()}
    before = {name: (path / "run.json").stat().st_mtime_ns for name, path in teachers().items()}
    assert main([*command, "--set", "seeds=[2]"]) == 0  # another seed has the teachers that are there
    assert {name: (path / "run.json").stat().st_mtime_ns for name, path in teachers().items()} == before
    assert {name: (path / "weights.safetensors").read_bytes() for name, path in teachers().items()} == weights


def test_a_teacher_has_what_was_asked_for_and_not_what_sets_a_variant_apart(tmp_path: Path, command: list[str]) -> None:
    rows = 'title = "Pupils"\nkind = "ablation"\n' + "".join(
        f'[[rows]]\nmethod = "{method}"\nlabel = "{label}"\n{options}\n'
        for method, label, options in (
            ("pupil", "Whole", ""),
            ("pupil-small", "Small", ""),
            ("pupil-small", "Half", "options = { width = 0.5 }"),
        )
    )
    (tmp_path / "pupils.toml").write_text(rows)
    for plugin in (TINY, PUPIL):
        registry.add_plugin(plugin)
    job = load_job(str(tmp_path / "pupils.toml"), str(tmp_path / "short.toml"), "mine")
    teachers = [teacher_of(job, row, open_faces(job)) for row in job.experiment.rows]
    assert [teacher.config.options["width"] for teacher in teachers if teacher] == [1.0, 1.0, 0.5]
    profile = dataclasses.replace(job.profile, options={"width": 0.75})
    teachers = [
        teacher_of(dataclasses.replace(job, profile=profile), row, open_faces(job)) for row in job.experiment.rows
    ]
    assert [teacher.config.options["width"] for teacher in teachers if teacher] == [0.75, 0.75, 0.5]


def test_a_student_may_begin_as_its_teacher_which_has_landmarks(tmp_path: Path, command: list[str]) -> None:
    pytest.importorskip("dlib")
    (tmp_path / "heirs.toml").write_text('title = "Heirs"\nkind = "ablation"\n[[rows]]\nmethod = "heir"\n')
    command[1] = str(tmp_path / "heirs.toml")
    assert main([*command, "--plugin", str(RIVAL), "--set", "training.learning_rate=1e-30"]) == 0  # too small to move
    (student,), (teacher,) = ((paths.results() / "heirs-short-mine").glob(f"{name}-*") for name in ("heir", "rival"))
    taught, record = read_run_record(student), read_run_record(teacher)
    assert taught is not None and record is not None and record.objective is not None
    assert "landmarks" in record.config.given and "landmarks" not in taught.config.given
    assert record.objective.without_landmarks == 6  # pictures of no face: all were searched
    network = registry.build("rival")
    weights.load_into(network, teacher / "weights.safetensors")
    expected = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    weights.load_into(network, student / "weights.safetensors")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


def test_a_damaged_teacher_is_not_taken(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 0
    for path in teachers().values():
        content = bytearray((path / "weights.safetensors").read_bytes())
        content[-1] ^= 4
        (path / "weights.safetensors").write_bytes(content)
    assert main([*command, "--set", "seeds=[2]"]) == 2
    assert "weights.safetensors: damaged or edited" in capsys.readouterr().err


def test_a_teacher_has_the_landmarks_that_it_needs_and_keeps_the_options_that_make_it_one(
    job: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("dlib")
    (tmp_path / "pair.py").write_text(PAIR)
    (tmp_path / "pairs.toml").write_text(
        'title = "Pairs"\nkind = "ablation"\n[[rows]]\nmethod = "pair"\noptions = { width = 0.5, blocks = 3 }\n'
    )
    assert main(["run", str(tmp_path / "pairs.toml"), *job[1:], "--plugin", str(tmp_path / "pair.py")]) == 0
    folder = paths.results() / "pairs-short-mine"
    student, teacher = (read_run_record(next(folder.glob(f"{name}-s0-*"))) for name in ("pair", "pair-teacher"))
    assert student and teacher and student.status is RunState.FINISHED
    assert student.config.options == {"scale": 8, "width": 0.5, "blocks": 3, "sees": False}
    assert teacher.config.options == {"scale": 8, "width": 0.5, "blocks": 2, "sees": True}
    assert student.config.given == {**teacher.config.given, "teacher": teacher.config.id}
    assert teacher.config.given.keys() == {"landmarks"}
    assert [record.objective.without_landmarks for record in (student, teacher)] == [6, 6], "smooth noise has no face"


BAD = """
from torch import nn
from bench import register

class Base(nn.Module):
    def __init__(self, scale: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr):
        return self.body(lr)

@register("broken", title="Broken", year=2024)
class Broken(Base):
    def training_loss(self, lr, hr):
        return self(lr).mean() * float("nan")

@register("of-broken", title="Of broken", year=2024, teacher="broken")
class OfBroken(Base):
    pass

@register("own", title="Own", year=2024, teacher="own")
class Own(Base):
    pass

@register("of-none", title="Of none", year=2024, teacher="borken")
class OfNone(Base):
    pass

@register("of-bicubic", title="Of Bicubic", year=2024, teacher="bicubic")
class OfBicubic(Base):
    pass
"""


def test_a_teacher_that_cannot_be_trained_is_refused_and_one_that_fails_is_named(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.py").write_text(BAD)
    command = ["run", *job, "--plugin", str(tmp_path / "bad.py"), "--add"]
    for method, problem in (
        ("own", "its teacher 'own' has a teacher itself"),
        ("of-none", "its teacher 'borken' is no method: did you mean 'broken'?"),
        ("of-bicubic", "its teacher 'bicubic' is not trained"),
    ):
        assert main([*command, method]) == 2
        assert f"method '{method}': {problem}" in capsys.readouterr().err
    assert main([*command, "of-broken", "--only", "of-broken"]) == 1
    (folder,) = (paths.results() / "small-short-mine").glob("broken-s0-*")
    record = read_run_record(folder)
    assert record is not None and record.status is RunState.FAILED and "NaN or infinite" in (record.error or "")
    assert f"NaN or infinite at or before iteration 3 (of the teacher, {folder.name})" in capsys.readouterr().err
