"""One lock for whatever two processes must not do at once; the system lets go of it when its process dies."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bench.core.errors import UserError
from bench.core.modes import make_folder, open_new

log = logging.getLogger("fsr")
_POLL = 0.2  # seconds between two looks at a lock that another process holds


@contextlib.contextmanager
def lock(path: Path, wait: bool = True, notice: str = "") -> Iterator[bool]:
    """Hold the lock file `path`, which is made; give whether it is held.

    Another process that holds it is waited for with `wait`, `notice` being logged once, else False is given. A folder
    that a group shares stays so, and a file of another user that may only be read locks all the same. Raises UserError
    where the file cannot be made or locked.
    """
    with contextlib.ExitStack() as stack:
        try:
            make_folder(path.parent)
            with contextlib.suppress(FileExistsError):
                os.close(open_new(path))
            held = _acquire(path, stack)
            if wait and not held:
                if notice:
                    log.info("%s", notice)
                while not held:
                    time.sleep(_POLL)
                    held = _acquire(path, stack)
        except (OSError, NotImplementedError) as error:
            raise UserError(_refusal(path, error)) from None
        yield held


def is_locked(path: Path) -> bool:
    """Tell whether a process on this machine, or on one that shares the folder and its locks, holds `path`.

    Where this process may not read it, it cannot be known, and False is returned.
    """
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError, NotImplementedError):
        return path.exists() and not _acquire(path, stack)
    return False


def _acquire(path: Path, stack: contextlib.ExitStack) -> bool:
    """Try to lock the file for as long as `stack` lasts; tell whether that is so."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode) | 0o600  # or older versions of filelock change it
        stack.enter_context(FileLock(path, mode=mode).acquire(timeout=0))
        return True
    except Timeout:
        return False
    except PermissionError:
        file = stack.enter_context(path.open("rb"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _refusal(path: Path, error: Exception) -> str:
    why = getattr(error, "strerror", None) or error
    if path.exists():
        return f"{path}: cannot be locked ({why}); expected a file that may be read: ask its owner for chmod a+rw"
    return f"{path.parent}: cannot be locked ({why}); expected a folder that may be written"
