"""One lock: it excludes, it is shared as its folder is, and it never outlives its process."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bench.core import locks
from bench.core.errors import UserError
from bench.core.locks import is_locked, lock

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


@pytest.mark.parametrize("mode", [0o775, 0o755, 0o777])
def test_a_lock_is_shared_as_its_folder_is(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with lock(tmp_path / "a.lock"):
        assert stat.S_IMODE((tmp_path / "a.lock").stat().st_mode) == mode & 0o666


def test_a_folder_that_may_only_be_read_does_not_stop_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.lock"
    path.touch()

    def refuse(folder: Path) -> int:
        raise PermissionError(13, "Permission denied", str(folder))  # as for another user than root

    monkeypatch.setattr(locks, "shared_mode", refuse)
    assert not is_locked(path)
    with pytest.raises(UserError, match=r"cannot be locked \(Permission denied\)"), lock(path):
        pass
