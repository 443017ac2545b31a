"""Values that were computed before, found again by the content of the pictures.

A key is a hash of the metric, its parameters, the protocol, the bytes of the pictures and the code of this package, so
a value that would come out otherwise is never found. One SQLite file; processes side by side may share it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.core.errors import reason
from bench.core.modes import make_folder, open_new
from bench.core.names import listed
from bench.core.schema import canonical_json

log = logging.getLogger("fsr")


class ScoreCache:
    """Float64 vectors by key in the file `path`; with None, or a file that is of no use, it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._file: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            make_folder(path.parent)
            with contextlib.suppress(FileExistsError):
                os.close(open_new(path))
            self._file = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            self._give_up(path, error)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the vectors of those keys that are known."""
        known: dict[bytes, np.ndarray] = {}
        if self._file is None:
            return known
        try:
            for key in keys:
                for (value,) in self._file.execute("SELECT value FROM scores WHERE key = ?", [key]):
                    known[key] = np.frombuffer(value, np.float64)
        except sqlite3.Error as error:
            self._give_up(None, error)
        return known

    def add(self, values: Mapping[bytes, np.ndarray]) -> None:
        """Keep vectors; those of known keys are replaced."""
        if self._file is None or not values:
            return
        rows = [(key, np.ascontiguousarray(value, np.float64).tobytes()) for key, value in values.items()]
        try:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            self._give_up(None, error)

    def _give_up(self, path: Path | None, error: Exception) -> None:
        """Go on without a cache: it saves time, no result depends on it."""
        log.warning("scores are not kept: %s%s", f"{path}: " if path else "", reason(error))
        if self._file is not None:
            self._file.close()
        self._file = None


def key_of(what: Mapping[str, object], pictures: Iterable[bytes]) -> bytes:
    """Return the key of a value: what is computed, and the contents (see `content`) of the pictures it is made of."""
    digest = hashlib.blake2b(canonical_json({"code": _code(), **what}).encode(), digest_size=16)
    for picture in pictures:
        digest.update(picture)
    return digest.digest()


def content(picture: np.ndarray) -> bytes:
    """Return a hash of a picture's shape, type and bytes."""
    head = f"{picture.shape}{picture.dtype}".encode()
    return hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=16, key=head).digest()


@functools.cache
def _code() -> str:
    """Return a hash of the code and data that metrics are made of."""
    bench = Path(__file__).parents[1]
    files = [path for path in listed(bench, "metrics/*") if path.is_file()]
    files += [bench / "data" / name for name in ("degrade.py", "imresize.py", "realworld.py", "detect.py")]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
