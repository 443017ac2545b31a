"""Where things lie: prepared faces, results and reports, under one root folder."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from pathlib import Path

from bench.core.errors import UserError

_SOCKET = 107 if sys.platform == "linux" else 103  # bytes that a socket's path may have


def root() -> Path:
    """Return the working root: `$FSR_ROOT`, else the current folder."""
    return Path(os.environ.get("FSR_ROOT", "."))


def socket_folder(room: int) -> Path:
    """Return a folder for sockets, whose paths add `room` bytes to it: the temporary one, or a short one of this user.

    Raises UserError where neither will do.
    """
    temporary, longest = Path(tempfile.gettempdir()), _SOCKET - room
    if len(os.fsencode(temporary)) <= longest:
        return temporary
    short = Path(f"/tmp/fsr-{os.geteuid()}")
    try:
        short.mkdir(mode=0o700, exist_ok=True)
        about = short.lstat()
        if stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077:
            return short
        why = "is not this user's alone"
    except OSError as error:
        why = f"cannot be made: {error.strerror}"
    raise UserError(
        f"TMPDIR={temporary}: {len(os.fsencode(temporary))} bytes, and paths of sockets leave room for {longest}; "
        f"{short} {why}; set TMPDIR to a folder with a shorter path"
    )


def prepared() -> Path:
    """Return the folder of face stores, one `<dataset>/<split>` each."""
    return root() / "datasets" / "prepared"


def results() -> Path:
    """Return the folder of experiments' results."""
    return root() / "results"


def reports() -> Path:
    """Return the folder of rendered tables and figures."""
    return root() / "reports"


def cache() -> Path:
    """Return the folder of what can be had again: scores by content, converted weights.

    `$FSR_CACHE`, else `fsr-bench` in the user's cache folder; it may be deleted at any time. A user without a home has
    the root for one, as containers do it: where nothing can be written, nothing is kept.
    """
    if given := os.environ.get("FSR_CACHE"):
        return Path(given)
    with contextlib.suppress(RuntimeError):  # no HOME, and no such user
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fsr-bench"
    return Path("/.cache/fsr-bench")


def check_name(what: str, name: str) -> str:
    """Return `name` where it is a name, which any folder may hold; raise UserError for a path, or what hides a file."""
    if not name.isprintable() or not name.strip() or name.startswith(".") or "/" in name or "\\" in name:
        raise UserError(f"{what} {name!r}: expected a name, not a path: no '/' or '\\' in it and no '.' before it")
    return name
