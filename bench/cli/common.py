"""What the commands share: options of the same meaning, and the way results are shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bench.cli import complete

_NAMED = 8  # files


def _add_plugins(context: typer.Context, plugins: list[Path]) -> list[Path]:
    from bench.models import registry

    for plugin in () if context.resilient_parsing else plugins:
        registry.add_plugin(plugin)
    return plugins


def several(metavar: str, about: str, *names: str, **more: Any) -> Any:
    """Return an option that may be given again; one whose `metavar` ends in "..." takes several values at once too."""
    return typer.Option(*names, metavar=metavar, help=about, default_factory=list, show_default=False, **more)


Json = Annotated[bool, typer.Option("--json", help="print one JSON document on standard output")]
Plugins = Annotated[
    list[Path], several("FILE.py", "take methods from this file too", "--plugin", callback=_add_plugins, is_eager=True)
]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto (CUDA where there is one), cpu, cuda or cuda:N")]
Split = Literal["train", "val", "test"]
Jobs = Annotated[int, typer.Option(metavar="N", help="runs side by side (0: one a core, on a GPU one)")]
Executor = Literal["serial", "ray"]
Address = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="of a Ray cluster, or auto (default: none)", show_default=False)
]
Profile = Annotated[
    str, typer.Option(metavar="NAME", help="quick, full, paper or a TOML file", autocompletion=complete.profiles)
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="a prepared data set (default: generated faces)", autocompletion=complete.data_sets
    ),
]
Settings = Annotated[
    list[str], several("KEY=VALUE", "change the profile, e.g. training.iterations=50 (again for more)", "--set")
]


def show(as_json: bool, value: Any, text: Callable[[], str]) -> None:
    """Print the result: as one JSON document, else as text."""
    print(json.dumps(value, indent=2, allow_nan=False) if as_json else text())


def written(files: Sequence[Path]) -> str:
    """Return the line that tells which files were written; of many only the page to begin with."""
    if len(files) <= _NAMED:
        return "written: " + ", ".join(map(str, files))
    first = next((file for file in files if file.name == "index.md"), files[0])
    return f"written: {first} and {len(files) - 1} more files beside it"
