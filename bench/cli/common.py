"""What the commands share: options of the same meaning, and the way results are shown."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bench.cli import complete
from bench.core import paths
from bench.core.errors import UserError, suggest
from bench.core.limits import Rule, within
from bench.core.modes import in_the_way
from bench.data.cards import MARGIN

_NAMED = 8  # files
Complete = Callable[[], list[str]] | None


def _add_plugins(context: typer.Context, plugins: list[Path]) -> list[Path]:
    from bench.models import registry

    for plugin in () if context.resilient_parsing else plugins:
        registry.add_plugin(plugin)
    return plugins


def _checked(rule: Rule) -> Callable[[typer.CallbackParam, Any], Any]:
    def check(param: typer.CallbackParam, value: Any) -> Any:
        for item in value if isinstance(value, list | tuple) else [value]:
            if item is not None:
                rule.check(item, param.opts[0])
        return value

    return check


def option(
    metavar: str | None, about: str, *names: str, complete: Complete = None, rule: Rule | None = None, **more: Any
) -> Any:
    """Return an option of one value that keeps to `rule`, with the names that a shell completes it by."""
    if rule is not None:
        more["callback"] = _checked(rule)
    return typer.Option(*names, metavar=metavar, help=about, autocompletion=complete, **more)


def several(metavar: str, about: str, *names: str, complete: Complete = None, **more: Any) -> Any:
    """Return an option that may be given again; one whose `metavar` ends in "..." takes several values at once too."""
    return option(metavar, about, *names, complete=complete, default_factory=list, show_default=False, **more)


def argument(metavar: str, about: str, complete: Complete = None, *, any_number: bool = False) -> Any:
    """Return an argument of one value, or of as many as are given."""
    more: dict[str, Any] = {"default_factory": list, "show_default": False} if any_number else {}
    return typer.Argument(metavar=metavar, help=about, autocompletion=complete, **more)


Json = Annotated[bool, typer.Option("--json", help="print one JSON document on standard output")]
Plugins = Annotated[
    list[Path], several("FILE.py", "take methods from this file too", "--plugin", callback=_add_plugins, is_eager=True)
]
Device = Annotated[str, option("NAME", "auto (CUDA where there is one), cpu, cuda or cuda:N")]
Split = Literal["train", "val", "test"]
Jobs = Annotated[int | None, option("N", "runs side by side (default: one a core, on a GPU one)", rule=within(1, 1024))]
Executor = Literal["serial", "ray"]
SHARE = Rule(
    lambda share: share == "auto" or 0 < share < 1 or share in range(1, 65), "a part of one, as 0.25, or a whole number"
)
Address = Annotated[str, option("HOST:PORT", "of a Ray cluster, or auto (default: none)", show_default=False)]
Profile = Annotated[str, option("NAME", f"{', '.join(complete.profiles())} or a TOML file", complete=complete.profiles)]
Data = Annotated[
    str | None, option("NAME", "a prepared data set (default: generated faces)", complete=complete.data_sets)
]
Settings = Annotated[
    list[str], several("KEY=VALUE", "change the profile, e.g. training.iterations=50 (again for more)", "--set")
]
ChangedCode = Annotated[
    bool, typer.Option("--changed-code", help="take weights though their method's code makes another network of them")
]
Margin = Annotated[
    float | None, option("X", "side of the crop over the longer side of the box (default: the card's)", rule=MARGIN)
]


def shares(options: Callable[..., None]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Put the parameters of `options` before those of a command, which gets their values as `**given`."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        shared, own = (
            inspect.signature(function, eval_str=True).parameters.values() for function in (options, command)
        )
        named = [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
        vars(command)["__signature__"] = inspect.Signature([*shared, *named])
        return command

    return decorate


def show(as_json: bool, value: Any, text: Callable[[], str]) -> None:
    """Print the result: as one JSON document, else as text."""
    print(json.dumps(value, indent=2, allow_nan=False) if as_json else text())


def check_out_folder(out: Path) -> None:
    """Raise UserError where a folder that is to be written to, or what it lies in, is there and no folder."""
    if problem := in_the_way(out):
        raise UserError(f"--out {out}: {problem}")


def check_out_file(out: Path) -> None:
    """Raise UserError where a file that is to be written is there and no file, or what it lies in is no folder."""
    if out.exists() and not out.is_file():
        raise UserError(f"--out {out}: a folder or device; expected the name of a file")
    check_out_folder(out.parent)


def written(files: Sequence[Path]) -> str:
    """Return the line that tells which files were written; of many only the page to begin with."""
    if len(files) <= _NAMED:
        return "written: " + ", ".join(map(str, files))
    first = next((file for file in files if file.name == "index.md"), files[0])
    return f"written: {first} and {len(files) - 1} more files beside it"


def results_folder(name: str) -> Path:
    """Return the folder under results/ of an experiment; raise UserError with the nearest name where there is none."""
    known = complete.results()
    if name not in known and _is_of_an_experiment(name):
        where = (paths.results() / name).absolute()
        raise UserError(
            f"{name}: nothing in {where}: its faces are still being made, or it was started in another folder"
        )
    if name not in known:
        raise UserError(f"no results of '{name}' in {paths.results()}: {suggest(name, known)}")
    return paths.results() / name


def _is_of_an_experiment(name: str) -> bool:
    """Tell whether results of this name would be an experiment's: ablation, ablation-full, ablation-full-celeba."""
    first, *others = name.split("-")
    parts = {*complete.profiles(), *complete.data_sets(), *complete.cards()}
    return first in complete.experiments() and parts.issuperset(others)
