"""Killed by nothing: SIGKILL at any moment, a full disk, two commands at once, a move to another machine."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.bench.schedule.small import NAME, finish, leftovers, make, outcome, start, wait_for_state


def kill_in_training(root: Path, draw: random.Random) -> bool:
    """Start the command and kill its whole process group at a random moment after it began to train; tell whether."""
    before = changed(root)
    process = start(root, "--jobs", draw.choice("12"))
    while process.poll() is None and changed(root) == before:
        time.sleep(0.01)
    try:
        _, said = process.communicate(timeout=draw.uniform(0, 0.4))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    assert process.returncode == 0, said
    return False


def changed(root: Path) -> float:
    """Return when a run's state or record was last written: what is written before tells of nothing that is kept."""
    times = [0.0]
    folder = root / "results" / NAME
    for path in (*folder.glob("*/run.json"), *folder.glob("*/state.pt")):
        with contextlib.suppress(FileNotFoundError):  # replaced in between
            times.append(path.stat().st_mtime)
    return max(times)


def leave_half_written(root: Path) -> None:
    """Put beside every file but a complete run's what a process killed while it wrote that file leaves."""
    folder = root / "results" / NAME
    complete = [path.parents[1] for path in folder.glob("*/scores/*.csv")]  # written last
    for path in [path for path in folder.rglob("*") if path.suffix in {".json", ".png", ".pt"}]:
        if not set(path.parents) & set(complete):
            path.with_name(f".{path.name}.half.tmp").write_bytes(b"half")


def test_killed_and_moved_it_is_ended_by_two_commands_with_the_same_bytes(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    here, there = make(tmp_path / "here"), tmp_path / "there"
    assert kill_in_training(here, random.Random(0))
    leave_half_written(here)
    here.rename(there)
    before = {path.parents[1].name for path in (there / "results" / NAME).glob("*/scores/*.csv")}
    both = [start(there, "--jobs", "1", "--json") for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert outcome(there) == undisturbed
    assert leftovers(there) == []
    runs = [run for out, _ in said for run in json.loads(out)["runs"]]
    trained = [run["run"] for run in runs if run["status"] == "finished"]
    assert len(trained) == len(set(trained)) == 5 - len(before), "every run is done by one of the two, once"


@pytest.mark.slow
def test_killed_thirty_times_it_ends_with_the_same_bytes(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    draw, kills = random.Random(0), 0
    for number in itertools.count():  # an experiment is soon done: several of them make up thirty kills
        root = make(tmp_path / str(number))
        while kill_in_training(root, draw):
            kills += 1
        assert outcome(root) == undisturbed
        assert leftovers(root) == []
        if kills >= 30:
            return


def test_asked_to_stop_it_saves_and_says_so(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    root = make(tmp_path)
    process = start(root, "--jobs", "1")
    wait_for_state(process, root / "results" / NAME)
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "is saved at iteration" in said and "the same command goes on from there" in said
    finish(root, "--jobs", "1")
    assert outcome(root) == undisturbed


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    root = make(tmp_path)
    process = start_with_file_limit(root, 16_000)  # bytes: run.json fits, a training state does not
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert said.strip().splitlines()[-1].startswith("fsr: ") and "File too large" in said and "Traceback" not in said
    finish(root, "--jobs", "1")
    assert outcome(root) == undisturbed
    assert leftovers(root) == []


def start_with_file_limit(root: Path, most: int) -> subprocess.Popen[str]:
    """Start the command where no file can grow beyond `most` bytes: to a program that is what a full disk is."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        return start(root, "--jobs", "1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
