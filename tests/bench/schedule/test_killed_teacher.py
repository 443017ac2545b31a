"""A teacher that is killed, waited for by two commands, or finds no room: its students end with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.bench.conftest import PUPIL
from tests.bench.schedule.small import NAME, finish, leftovers, make, outcome, start

pytestmark = pytest.mark.slow
ROWS = """
title = "Pupils"
kind = "ablation"
[[rows]]
method = "pupil"
seeds = [0, 1]
[[rows]]
method = "pupil"
label = "Narrow"
options = { width = 0.5 }
"""
ARGUMENTS = ("--plugin", str(PUPIL), "--jobs", "2")


def make_pupils(root: Path) -> Path:
    """Write what `make` writes, with students of two configurations for rows; return the root."""
    make(root)
    (root / "small.toml").write_text(ROWS)
    return root


@pytest.fixture(scope="module")
def undisturbed_pupils(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = make_pupils(tmp_path_factory.mktemp("pupils"))
    finish(root, *ARGUMENTS)
    files = outcome(root)
    assert len(files) == 2 * (4 + 2) + 4, "weights and curves of four students and two teachers, scores of the students"
    return files


def kill_in_a_teacher(process: subprocess.Popen[str], root: Path) -> None:
    """Kill the whole process group once a teacher has saved a state, and no student has one."""
    while not list((root / "results" / NAME).glob("tiny-*/state.pt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list((root / "results" / NAME).glob("*/weights.safetensors")), "it was at the teacher"


def test_killed_in_its_training_it_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, undisturbed_pupils: dict[str, bytes]
) -> None:
    root = make_pupils(tmp_path)
    kill_in_a_teacher(start(root, *ARGUMENTS), root)
    said = finish(root, *ARGUMENTS)
    assert "Traceback" not in said
    assert outcome(root) == undisturbed_pupils and leftovers(root) == []


def test_two_commands_share_it(tmp_path: Path, undisturbed_pupils: dict[str, bytes]) -> None:
    root = make_pupils(tmp_path)
    both = [start(root, *ARGUMENTS, "--json") for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert outcome(root) == undisturbed_pupils and leftovers(root) == []
    runs = [run for out, _ in said for run in json.loads(out)["runs"]]
    trained = [run["run"] for run in runs if run["status"] == "finished"]
    assert len(trained) == len(set(trained)) == 4, "every student is trained once"
