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
_PATIENCE = 10  # seconds that another process may hold the file
_AT_ONCE = 500  # keys of a query
_SUM = 8  # bytes of a checksum, at the end of a value
_unreadable, _unwritable, _renewed = set[Path](), set[Path](), set[Path]()  # in this process, so each is told once


class ScoreCache:
    """Float64 vectors by key in the file `path`; with None, or a file that is of no use, it keeps nothing.

    It saves time and no result depends on it: a value whose checksum is not that of key and value is not found, and
    what cannot be read or written is told in one line, once in a process, and gone on without.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: sqlite3.Connection | None = None
        if path is not None and path not in _unreadable:
            self._open(path)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the vectors of those keys that are known."""
        known: dict[bytes, np.ndarray] = {}
        if self._file is None or self._path is None:
            return known
        try:
            for start in range(0, len(keys), _AT_ONCE):
                part = keys[start : start + _AT_ONCE]
                query = f"SELECT key, value FROM scores WHERE key IN ({','.join('?' * len(part))})"
                for key, kept in self._file.execute(query, part):
                    if isinstance(kept, bytes) and kept[-_SUM:] == _checksum(key, kept[:-_SUM]):
                        known[key] = np.frombuffer(kept[:-_SUM], np.float64)
        except sqlite3.Error as error:
            self._give_up(self._path, error)
        return known

    def add(self, values: Mapping[bytes, np.ndarray]) -> None:
        """Keep vectors; those of known keys are replaced."""
        if self._file is None or self._path is None or self._path in _unwritable:
            return
        texts = {key: np.ascontiguousarray(value, np.float64).tobytes() for key, value in values.items()}
        rows = [(key, text + _checksum(key, text)) for key, text in texts.items()]
        try:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            self._give_up(self._path, error, writing=True)

    def _open(self, path: Path) -> None:
        try:
            make_folder(path.parent)
            with contextlib.suppress(FileExistsError):
                os.close(open_new(path))
            self._file = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
            self._file.execute("PRAGMA synchronous = OFF")  # what a power cut damages is computed anew
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            self._give_up(path, error)

    def _give_up(self, path: Path, error: Exception, *, writing: bool = False) -> None:
        """Go on with a new file in place of a damaged one, else without the cache or, `writing`, with reading alone."""
        damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        if self._file is not None:
            with contextlib.suppress(sqlite3.Error):
                self._file.rollback()
            if damaged or not writing:
                self._file.close()
                self._file = None
        if damaged and path not in _renewed:
            _renewed.add(path)
            log.warning("%s: damaged (%s): begun anew", path, reason(error))
            with contextlib.suppress(OSError):
                for name in (path.name, f"{path.name}-journal"):
                    path.with_name(name).unlink(missing_ok=True)
            self._open(path)
        elif path not in _unreadable | _unwritable:
            log.warning("scores are not kept: %s: %s (FSR_CACHE names another folder)", path, reason(error))
            (_unwritable if writing else _unreadable).add(path)


def _checksum(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(value, key=key, digest_size=_SUM).digest()


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
