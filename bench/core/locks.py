"""One lock for whatever two processes must not do at once; the system lets go of it when its process dies."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bench.core.errors import UserError

log = logging.getLogger("fsr")
_POLL = 0.2  # seconds between two looks at a lock that another process holds


@contextlib.contextmanager
def lock(path: Path, wait: bool = True, notice: str = "") -> Iterator[bool]:
    """Hold the lock file `path`, which is made; give whether it is held.

    Another process that holds it is waited for with `wait`, `notice` being logged once, else False is given. A folder
    that a group shares stays so: the file may be written by whoever may write in its folder. Raises UserError where
    the file cannot be made or locked.
    """
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = FileLock(path, mode=shared_mode(path.parent))
            try:
                stack.enter_context(file.acquire(timeout=0))
                held = True
            except Timeout:
                held = False
            if wait and not held:
                if notice:
                    log.info("%s", notice)
                stack.enter_context(file.acquire(poll_interval=_POLL))
                held = True
        except (OSError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or error
            raise UserError(f"{path.parent}: cannot be locked ({why}); expected a folder that may be written") from None
        yield held


def is_locked(path: Path) -> bool:
    """Tell whether a process on this machine, or on one that shares the folder and its locks, holds `path`.

    Where this process may only read, it cannot be known, and False is returned.
    """
    if not path.exists():
        return False
    try:
        with lock(path, wait=False) as held:
            return not held
    except UserError:
        return False


def shared_mode(folder: Path) -> int:
    """Return the mode of a new file in `folder`: whoever may read or write there may do so with the file."""
    return folder.stat().st_mode & 0o666 | 0o600
