"""Results in object storage, or anywhere else that fsspec reaches, for clusters whose nodes share no folder.

A run is worked on in a local folder; its files are copied to <URL>/<experiment>/<run>/ as they change and fetched from
there where the run goes on. Each object is replaced whole, and the files that make a run count as trained and scored
come last, so whatever is there at any moment can be gone on from.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError, reason
from bench.core.files import write_bytes

if TYPE_CHECKING:
    from bench.runs.store import Run

log = logging.getLogger("fsr")
_LAST = ("run.json", "scores.csv")  # they tell that the other files are there
_STATES = ("state.pt", "state.previous.pt")


@dataclass(frozen=True)
class Storage:
    """A folder named by a URL that fsspec knows, e.g. s3://bucket/results; it travels to workers as the URL alone."""

    url: str

    @cached_property
    def _place(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise UserError("--storage needs Ray's packages: pip install 'fsr-bench[ray]'") from None
        try:
            found, path = url_to_fs(self.url)
        except (ImportError, ValueError) as error:  # the protocol's package is missing, or there is no such protocol
            raise UserError(f"--storage {self.url}: {reason(error)}") from None
        return found, path.rstrip("/")

    def check(self) -> None:
        """Raise UserError unless an object can be written, read and removed there."""
        fs, root = self._place
        path = f"{root}/.fsr-check"
        try:
            self._put(path, b"fsr")
            read = fs.cat_file(path)
            fs.rm_file(path)
        except Exception as error:  # each protocol has its own
            raise UserError(f"--storage {self.url}: cannot be written ({reason(error)})") from None
        if read != b"fsr":
            raise UserError(f"--storage {self.url}: what was written reads differently")

    def for_ray(self) -> dict[str, Any]:
        """Return what makes Ray Tune keep its own notes there too."""
        import pyarrow.fs

        fs, root = self._place
        handler = pyarrow.fs.FSSpecHandler(fs)
        return {"storage_path": f"{root}/.ray", "storage_filesystem": pyarrow.fs.PyFileSystem(handler)}

    def pull(self, run: Run, states: bool = True) -> None:
        """Fetch a run's files that differ in size or are not here; training states only with `states`."""
        fs, _ = self._place
        for name in self._names(run):
            here = run.folder / name
            if states or name not in _STATES:
                content = fs.cat_file(f"{self._folder(run)}/{name}")
                if not here.exists() or here.read_bytes() != content:
                    write_bytes(here, content)

    def push(self, run: Run, sent: dict[str, tuple[int, int]]) -> None:
        """Copy a run's files that have changed since they were `sent`, which is updated, and remove what is gone."""
        fs, _ = self._place
        files = [path for path in run.folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        files.sort(key=lambda path: _LAST.index(path.name) if path.name in _LAST else -1)
        for path in files:
            with contextlib.suppress(FileNotFoundError):  # a state is replaced, or dropped, in between
                name, stat = path.relative_to(run.folder).as_posix(), path.stat()
                if sent.get(name) != (stat.st_mtime_ns, stat.st_size):
                    self._put(f"{self._folder(run)}/{name}", path.read_bytes())
                    sent[name] = (stat.st_mtime_ns, stat.st_size)
        for name in self._names(run):
            if not (run.folder / name).exists():
                fs.rm_file(f"{self._folder(run)}/{name}")
                sent.pop(name, None)

    @contextlib.contextmanager
    def mirrored(self, run: Run) -> Iterator[None]:
        """Fetch a run, copy what changes as often as states are saved while the context lasts, and all at the end."""
        from bench.runs.train import CHECKPOINT_SECONDS

        self.pull(run)
        sent: dict[str, tuple[int, int]] = {}
        ended = threading.Event()

        def copy() -> None:
            while not ended.wait(max(CHECKPOINT_SECONDS, 0.1)):
                try:
                    self.push(run, sent)
                except Exception as error:  # of the network; the next time, or the last, may fare better
                    log.warning("%s: not copied to %s (%s)", run.config.name, self.url, reason(error))

        thread = threading.Thread(target=copy, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.push(run, sent)

    def _folder(self, run: Run) -> str:
        return f"{self._place[1]}/{run.experiment.name}/{run.config.name}"

    def _names(self, run: Run) -> list[str]:
        """Return the names of a run's files there, those that make it count last."""
        fs, folder = self._place[0], self._folder(run)
        fs.invalidate_cache()  # others write there
        root = fs._strip_protocol(folder)
        names = [path[len(root) :].lstrip("/") for path in fs.find(folder)] if fs.exists(folder) else []
        return sorted(names, key=lambda name: _LAST.index(name) if name in _LAST else -1)

    def _put(self, path: str, content: bytes) -> None:
        from fsspec.implementations.local import LocalFileSystem

        fs, _ = self._place
        if isinstance(fs, LocalFileSystem):
            write_bytes(Path(path), content)  # other file systems' objects are replaced whole by themselves
        else:
            fs.pipe_file(path, content)
