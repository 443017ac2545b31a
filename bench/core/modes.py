"""Who may read and write what we make: whoever the umask lets, and whoever may write in the folder it comes to lie in.

A folder that a group shares stays shared so, whatever each one's umask says, and nothing in a private one is public.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def make_folder(path: Path) -> None:
    """Make the folder `path` and those above it that are missing; raise OSError where that cannot be."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        share(folder)
    path.mkdir(exist_ok=True)  # tells of a file in its place


def in_the_way(folder: Path) -> str:
    """Return what keeps `folder` from being one and what to do, as the end of a message; "" where nothing does."""
    there = next((path for path in (folder, *folder.parents) if path.exists() or path.is_symlink()), None)
    if there is None or there.is_dir():
        return ""
    if there.exists():
        return f"{there} is no folder; give another"
    return f"{there} is a link to {there.readlink()}, which is not there; make that folder or remove the link"


def open_new(path: Path) -> int:
    """Make the file `path` and return its descriptor, open for writing; raise FileExistsError where it exists."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    share(path)
    return handle


def share(path: Path) -> None:
    """Give a new file or folder the mode that its folder asks for; another user's, which cannot be, is left alone."""
    folder, own = path.parent.stat().st_mode, path.stat().st_mode
    shared = 0 if folder & stat.S_ISVTX else folder & 0o022  # a sticky folder, as /tmp, is no team's
    if stat.S_ISDIR(own):
        mode = own | shared | shared << 1 | shared >> 1
    else:
        mode = own & (folder | 0o700) | shared | shared << 1
    if stat.S_IMODE(mode) != stat.S_IMODE(own):
        with contextlib.suppress(PermissionError):
            path.chmod(stat.S_IMODE(mode))
