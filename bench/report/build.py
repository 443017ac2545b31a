"""Build an experiment's report where it is not up to date already.

Importing this and finding a report up to date takes neither pandas nor matplotlib.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path

from bench.analysis.results import read_results
from bench.core.files import write_json
from bench.core.machine import uncollected
from bench.core.names import listed
from bench.report.folder import STAMP
from bench.runs.records import RUN_FILE
from bench.runs.store import is_held

_READ = ("experiment.json", "*/run.json", "*/curve.*", "*/scores*", "*/scores/*", "samples/*", "*/samples/*")
_CODE = ("report", "papers", "analysis", "metrics", "runs")  # rooms that decide what a report says
_SOURCES = (".py", ".toml", ".html", ".css", ".js")
_LIBRARIES = ("numpy", "scipy", "pandas", "matplotlib", "seaborn", "tabulate", "jinja2", "pillow", "itables")


@dataclass(frozen=True)
class Report:
    """The files of a report, and what is wrong with each damaged run, which it leaves out."""

    files: list[Path]
    damaged: tuple[str, ...] = ()


def build_report(results_dir: Path, out_dir: Path, failures: bool = False, timing: bool = False) -> Report:
    """Draw the report of the experiment in `results_dir` into `out_dir`.

    `failures` adds a column of failing faces to measured means, `timing` one of seconds an image to the first tables.
    Reads `results_dir` only. A report of the same results, by the same code, whose files nobody has touched since, is
    left as it is, unless a run is damaged. Raises what `bench.report.draw.draw_report` does, and UserError for an
    experiment.json that is missing, damaged or of another layout.
    """
    digest = f"{_digest(results_dir)} {failures} {timing}"
    if (files := _drawn(out_dir, digest)) is not None:
        return Report(files)
    from bench.report.draw import draw_report

    with uncollected():
        results = read_results(results_dir)
    files = draw_report(results, out_dir, failures, timing)
    if not results.damaged:
        write_json(out_dir / STAMP, {"digest": digest, "files": {file.name: _state(file) for file in files}})
    return Report(files, results.damaged)


def _drawn(out_dir: Path, digest: str) -> list[Path] | None:
    """Return the files of a report that was drawn from what has this digest; None where it has to be drawn."""
    try:
        stamp = json.loads((out_dir / STAMP).read_text(encoding="utf-8"))
        files = {out_dir / name: state for name, state in stamp["files"].items()}
        same = stamp["digest"] == digest and all(_state(file) == state for file, state in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return list(files) if same and files else None


def _digest(results_dir: Path) -> str:
    """Return a hash of what a report is drawn from: records by their content, other files by size and time."""
    digest = hashlib.sha256(_code().encode())
    for path in sorted({path for pattern in _READ for path in listed(results_dir, pattern)}):
        content = path.read_bytes() if path.suffix == ".json" else repr(_state(path)).encode()
        digest.update(f"{path.relative_to(results_dir)} {len(content)} ".encode() + content)
        if path.name == RUN_FILE and is_held(results_dir, path.parent.name):  # it goes on, where others have stopped
            digest.update(b"held")
    return digest.hexdigest()


@functools.cache
def _code() -> str:
    """Return a hash of the code and data of the rooms that decide what a report says, with the libraries' versions."""
    versions = [f"{name} {_version(name)}" for name in _LIBRARIES]
    digest = hashlib.sha256(" ".join(versions).encode())
    rooms = [Path(__file__).parents[1] / room for room in _CODE]
    for path in sorted(path for room in rooms for path in listed(room, "**/*") if path.suffix in _SOURCES):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _state(path: Path) -> list[int]:
    """Return a file's size and the time of its last change; raise OSError where there is none."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
