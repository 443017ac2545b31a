"""What the commands share: their shape, options of the same meaning, and the way results are shown."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.data.photoset import PhotoOptions


_NAMED = 8  # files


def nothing(parser: argparse.ArgumentParser) -> None:
    """Add no options."""


@dataclass(frozen=True)
class Command:
    """One command: its name, what it does in a few words, what runs it (returning the exit code), and its options."""

    name: str
    about: str
    run: Callable[[argparse.Namespace], int]
    add: Callable[[argparse.ArgumentParser], None] = nothing

    def fill(self, parser: argparse.ArgumentParser) -> None:
        """Give a parser this command's options and those that every command has."""
        self.add(parser)
        parser.add_argument("--json", action="store_true", help="print one JSON document on standard output")
        parser.add_argument(
            "--plugin",
            type=Path,
            action="append",
            default=[],
            metavar="FILE.py",
            help="take methods from this file too",
        )
        parser.set_defaults(run=self.run)


def show(options: argparse.Namespace, value: Any, text: Callable[[], str]) -> None:
    """Print the result: as one JSON document with --json, else as text."""
    print(json.dumps(value, indent=2, allow_nan=False) if options.json else text())


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument("--device", default="auto", help="auto (CUDA where there is one), cpu, cuda or cuda:N")


def add_source(parser: argparse.ArgumentParser, about: str) -> None:
    """Add --source, archives or folders of photos."""
    parser.add_argument("--source", type=Path, nargs="+", action="extend", default=[], metavar="TAR|DIR", help=about)


def photo_options(options: argparse.Namespace) -> PhotoOptions:
    """Return what is asked of photographs; `fsr run --source` has defaults alone."""
    from bench.core.machine import cores
    from bench.data.photoset import PhotoOptions
    from bench.data.scan import ScanOptions

    given = {
        one.name: getattr(options, one.name) for one in dataclasses.fields(PhotoOptions) if hasattr(options, one.name)
    }
    jobs = getattr(options, "processes", 0) or cores()
    return PhotoOptions(**{**given, "sources": options.source, "how": ScanOptions(jobs, options.device, options.json)})


def written(files: Sequence[Path]) -> str:
    """Return the line that tells which files were written; of many only the page to begin with."""
    if len(files) <= _NAMED:
        return "written: " + ", ".join(map(str, files))
    first = next((file for file in files if file.name == "index.md"), files[0])
    return f"written: {first} and {len(files) - 1} more files beside it"
