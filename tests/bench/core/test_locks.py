"""One lock: it excludes, it is shared as its folder is, and it never outlives its process."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.core.files import write_text
from bench.core.locks import is_locked, lock
from bench.core.modes import make_folder

_HOLD = "import sys; from pathlib import Path; from bench.core.locks import lock\n"
_HOLD += "with lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


def test_a_lock_excludes_until_its_process_dies(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.lock"
    assert not is_locked(path)
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert is_locked(path)
        with lock(path, wait=False) as held:
            assert not held
        other.kill()
    with lock(path, wait=False) as held:
        assert held
    assert not is_locked(path)


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize(
    ("folder", "umask_", "file", "below"),
    [
        (0o755, 0o022, 0o644, 0o755),
        (0o2775, 0o022, 0o664, 0o2775),  # a team's, whatever its members' umasks
        (0o2770, 0o077, 0o660, 0o2770),
        (0o777, 0o022, 0o666, 0o777),
        (0o1777, 0o022, 0o644, 0o755),  # /tmp is no team's
        (0o755, 0o077, 0o600, 0o700),
        (0o700, 0o022, 0o600, 0o755),
    ],
)
def test_modes_follow_folder_and_umask(
    tmp_path: Path, umask: Callable[[int], int], folder: int, umask_: int, file: int, below: int
) -> None:
    tmp_path.chmod(folder)
    umask(umask_)
    with lock(tmp_path / "a.lock"):
        write_text(tmp_path / "state.json", "{}")
        make_folder(tmp_path / "new" / "deep")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.lock", "state.json", "new", "new/deep")]
    assert modes == [file, file, below, below]


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # not pytest's, which others may not enter
        Path(folder).chmod(0o777)
        yield Path(folder)


def another_user(does: Callable[[], bool]) -> bool:
    """Return what `does` gives to another user than root, in a process of its own."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(4242)
                os.setuid(4242)
            os._exit(not does())
        finally:
            os._exit(9)
    return os.waitpid(child, 0)[1] == 0


def locks(path: Path) -> bool:
    with lock(path, wait=False) as held:
        return held


def test_a_lock_that_may_only_be_read_locks_all_the_same(shared_folder: Path) -> None:
    path = shared_folder / "run.lock"
    path.touch()
    path.chmod(0o444)
    assert another_user(lambda: locks(path) and not is_locked(path))
    with lock(path):
        assert another_user(lambda: is_locked(path) and not locks(path))


def test_a_folder_that_may_only_be_read_does_not_stop_reading(shared_folder: Path) -> None:
    def is_refused() -> bool:
        with pytest.raises(UserError, match=r"cannot be locked \(Permission denied\); expected"):
            locks(shared_folder / "run.lock")
        return not is_locked(shared_folder / "run.lock")

    shared_folder.chmod(0o555)
    assert another_user(is_refused)
    shared_folder.chmod(0o777)
    (shared_folder / "run.lock").touch(0o600)
    if os.geteuid() == 0:
        assert another_user(is_refused)
