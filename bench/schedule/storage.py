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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError, reason
from bench.core.files import write_bytes
from bench.core.names import listed
from bench.runs.digests import damage
from bench.runs.records import read_run_record

if TYPE_CHECKING:
    from bench.runs.store import Run

log = logging.getLogger("fsr")


@dataclass(frozen=True)
class Storage:
    """A folder named by a URL that fsspec knows, e.g. s3://bucket/results."""

    url: str

    def check(self) -> None:
        """Raise UserError unless an object can be written there and removed."""
        try:
            objects = self._objects("")
            _put(objects, ".fsr-check", b"fsr")
            del objects[".fsr-check"]
        except Exception as error:  # each protocol has its own; a package may be missing too
            raise UserError(f"--storage {self.url}: cannot be written ({reason(error)})") from None

    def pull(self, run: Run, states: bool = True) -> None:
        """Fetch a run's files; training states only with `states`."""
        objects = self._objects(f"{run.experiment.name}/{run.config.name}")
        for name in sorted(objects, key=_rank):
            if states or not name.startswith("state"):
                write_bytes(run.folder / name, objects[name])
        with contextlib.suppress(UserError):  # a damaged record is told where the run goes on
            record = read_run_record(run.folder)
            for name in damage(run.folder, record.digests, ["scores"]) if record else ():
                (run.folder / name).unlink()  # a push that was cut short: they are scored again

    def push(self, run: Run, sent: dict[str, int]) -> None:
        """Copy a run's files that have changed since they were `sent`, which is updated, and remove what is gone."""
        objects = self._objects(f"{run.experiment.name}/{run.config.name}")
        names = [path.relative_to(run.folder).as_posix() for path in listed(run.folder, "**/*") if path.is_file()]
        for name in sorted(names, key=_rank):
            with contextlib.suppress(FileNotFoundError):  # a state is replaced, or dropped, in between
                changed = (run.folder / name).stat().st_mtime_ns
                if sent.get(name) != changed:
                    _put(objects, name, (run.folder / name).read_bytes())
                    sent[name] = changed
        for name in objects:
            if not (run.folder / name).exists():
                del objects[name]

    @contextlib.contextmanager
    def mirrored(self, run: Run) -> Iterator[None]:
        """Fetch a run, copy what changes as often as states are saved while the context lasts, and all at the end."""
        from bench.runs.train import CHECKPOINT_SECONDS

        self.pull(run)
        sent: dict[str, int] = {}
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

    def _objects(self, folder: str) -> Any:
        """Return the objects under a folder there: name -> bytes."""
        import fsspec

        objects = fsspec.get_mapper(f"{self.url.rstrip('/')}/{folder}")
        objects.fs.invalidate_cache()  # others write there
        return objects


def _put(objects: Any, name: str, content: bytes) -> None:
    if "local" in objects.fs.protocol:
        write_bytes(Path(objects.root) / name, content)  # others replace an object whole by themselves
    else:
        objects[name] = content


def _rank(name: str) -> int:
    """Return where a file comes in order: run.json and then the scores say that the others are there."""
    return 1 if name == "run.json" else 2 if name.startswith("scores") else 0
