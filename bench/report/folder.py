"""A report's folder: its files are replaced together, or none of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from bench.core.files import held, write_bytes
from bench.core.stop import Stop

STAMP = ".drawn.json"  # beside a report: what it was drawn from, and the files that were written
_NEW = ".new"  # what a report is written into before any file of the old one goes
_NOTHING = re.compile(r"(?!)")


def replace_files(folder: Path, contents: Mapping[str, bytes | None], own: re.Pattern[str] = _NOTHING) -> list[Path]:
    """Write files by name into `folder`, which may hold other people's too, and return those that were written.

    What is None, and what an earlier report left whose name `own` matches, is removed. Everything is written before
    anything is replaced: raises OSError (disk full, read-only folder) with the old report whole, and a signal is obeyed
    before or after. Should the machine die between two files, the stamp is gone and the report is drawn again.
    """
    kept = {name: content for name, content in contents.items() if content is not None}
    new = folder / _NEW
    with held(folder):
        shutil.rmtree(new, ignore_errors=True)
        try:
            new.mkdir()
            new.chmod(folder.stat().st_mode & 0o7777)
            for name, content in kept.items():
                write_bytes(new / name, content)
            with Stop() as stop:
                (folder / STAMP).unlink(missing_ok=True)
                for name in kept:
                    (new / name).replace(folder / name)
                for path in folder.iterdir():
                    if path.name not in kept and (path.name in contents or own.fullmatch(path.name)):
                        path.unlink()
            stop.check("the report is drawn")
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return [folder / name for name in kept]
