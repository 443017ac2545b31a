"""A comparison with all that its rows may be, by Ray: a student, landmarks, draws, a checkpoint, pictures alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from bench.models import registry
from bench.runs.records import RunState, read_run_record
from tests.bench.conftest import PUPIL, RIVAL, smooth_faces
from tests.bench.schedule.small import NAME, finish, leftovers, make, outcome, start
from tests.bench.schedule.test_ray_tune import new_cluster

DRAWING = PUPIL.with_name("drawing_method.py")
ROWS = """
title = "Everything"
kind = "comparison"
baseline = "bicubic"
[[rows]]
method = "bicubic"
[[rows]]
method = "pupil"
[[rows]]
method = "rival"
seeds = [0]
[[rows]]
method = "drawing"
samples = 2
[[rows]]
label = "Theirs"
pictures = "theirs"
[[rows]]
method = "tiny"
label = "Tiny (authors)"
checkpoint = "net.pth"
"""
ARGUMENTS = [part for plugin in (PUPIL, RIVAL, DRAWING) for part in ("--plugin", str(plugin))]


def make_comparison(root: Path) -> Path:
    """Write what `make` writes, the rows above, a checkpoint and pictures of the test faces; return the root."""
    make(root)
    (root / "small.toml").write_text(ROWS)
    torch.manual_seed(3)
    torch.save({"state_dict": registry.build("tiny").state_dict()}, root / "net.pth")
    (root / "theirs").mkdir()
    for place, face in enumerate(smooth_faces(3, 9)):
        Image.fromarray(face).save(root / "theirs" / f"test-{place}.png")
    return root


@pytest.fixture
def serial(tmp_path: Path, tiny: None) -> dict[str, bytes]:
    pytest.importorskip("dlib")
    root = make_comparison(tmp_path / "serial")
    finish(root, *ARGUMENTS, "--jobs", "1")
    files = outcome(root)
    assert len(files) == 16, "scores of seven runs, weights of three and their teacher and of a checkpoint, four curves"
    return files


def test_the_same_bytes_as_without_ray(tmp_path: Path, serial: dict[str, bytes]) -> None:
    root = make_comparison(tmp_path / "ray")
    said = finish(root, *ARGUMENTS, "--executor", "ray", "--jobs", "2")
    assert "Traceback" not in said and leftovers(root) == []
    assert outcome(root) == serial


@pytest.mark.slow
def test_a_storage_has_teachers_and_what_lies_here_alone(tmp_path: Path, serial: dict[str, bytes]) -> None:
    """Nodes see neither pictures nor checkpoints; a teacher is trained once, and no node writes into our folder."""
    root, url = make_comparison(tmp_path / "ray"), f"file://{tmp_path}/storage"
    with new_cluster() as cluster:
        arguments = [*ARGUMENTS, "--executor", "ray", "--address", cluster.address, "--storage", url, "--jobs", "2"]
        finish(root, *arguments)
        assert outcome(root) == serial and leftovers(root) == []
        (teacher,) = (tmp_path / "storage" / NAME).glob("tiny-s0-*/curve.csv")
        record = read_run_record(teacher.parent)
        assert record and record.status is RunState.FINISHED and record.scored is None
        process = start(make_comparison(tmp_path / "other"), *arguments, "--json")  # with nothing but the storage
        out, _ = process.communicate(timeout=120)
    assert {run["status"] for run in json.loads(out)["runs"]} == {"cached"}
    assert outcome(tmp_path / "other") == serial
