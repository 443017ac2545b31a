from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bench.core import paths
from bench.core.errors import UserError
from bench.core.parallel import ordered_map


def double(value: int) -> int:
    time.sleep(0.02 if value % 3 == 0 else 0)
    return 2 * value


def refuse(value: int) -> int:
    if value == 5:
        raise UserError("five is refused")
    return value


def die(value: int) -> int:
    if value == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("jobs", [1, 3])
def test_results_come_in_order(jobs: int, threads: bool) -> None:
    assert list(ordered_map(double, range(20), jobs=jobs, threads=threads)) == [2 * value for value in range(20)]
    assert list(ordered_map(double, [], jobs=jobs, threads=threads)) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_few_items_are_taken_ahead(jobs: int) -> None:
    taken = []

    def items() -> object:
        for value in range(100):
            taken.append(value)
            yield value

    results = ordered_map(double, items(), jobs=jobs)  # type: ignore[arg-type]
    next(results)
    assert len(taken) <= 3 * jobs
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("jobs", "threads"), [(1, False), (2, False), (2, True)])
def test_errors_come_through(jobs: int, threads: bool) -> None:
    with pytest.raises(UserError, match="five is refused"):
        list(ordered_map(refuse, range(9), jobs=jobs, threads=threads))


def test_a_killed_process_is_an_error_and_not_a_wait() -> None:
    with pytest.raises(UserError, match="a worker process was killed"):
        list(ordered_map(die, range(9), jobs=2))


def test_sockets_find_room_however_long_the_path_of_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("job-" * 25)
    folder.mkdir()
    code = CHILD.replace("pid_and_sleep", "double").replace("1000", "9")
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(folder)}, capture_output=True)
    assert (done.stdout.split(), done.stderr) == ([str(2 * i).encode() for i in range(9)], b"")

    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    short = Path(f"/tmp/fsr-{other}")
    with pytest.raises(UserError, match=rf"TMPDIR={folder}: .* {short} is not this user's alone; set TMPDIR"):
        paths.socket_folder(32)
    short.rmdir()


CHILD = """
import os, sys, time
from bench.core.parallel import ordered_map
from tests.bench.core.test_parallel import pid_and_sleep
if __name__ == "__main__":
    for pid in ordered_map(pid_and_sleep, range(1000), jobs=2):
        print(pid, flush=True)
"""


def pid_and_sleep(value: int) -> int:
    time.sleep(0.1)
    return os.getpid()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
def test_processes_end_when_their_parent_is_killed() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    pids = {int(child.stdout.readline()) for _ in range(6)}
    child.kill()
    deadline = time.monotonic() + 10
    while any(_lives(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    lasting = [pid for pid in pids if _lives(pid)]
    child.wait()
    assert not lasting


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
