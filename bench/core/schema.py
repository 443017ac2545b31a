"""Read and check what users and earlier runs wrote: TOML and JSON into typed classes, options into signatures.

The annotations of a class or of a constructor are the schema.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from bench.core.errors import UserError, suggest

_T = TypeVar("_T")


def canonical_json(value: object) -> str:
    """Write `value` as JSON with sorted keys and no spaces, so that equal configs give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raise UserError that names the file and line when it is damaged."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None


def find_file(name: str, folder: Path, what: str) -> Path:
    """Return the TOML file that `name` means: a path, or a name in `folder`."""
    if name.endswith(".toml"):
        return Path(name)
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in known:
        raise UserError(f"unknown {what} '{name}': {suggest(name, known)}")
    return folder / f"{name}.toml"


def override_setting(settings: dict[str, Any], override: str) -> None:
    """Set one `key.key=value` in nested tables; the value is TOML, or a text as it stands."""
    key, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"--set {override}: expected key=value, e.g. training.iterations=50")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, last = key.split(".")
    for table in tables:
        settings = settings.setdefault(table, {})
        if not isinstance(settings, dict):
            raise UserError(f"--set {override}: '{table}' is not a table")
    settings[last] = value


def from_dict(cls: type[_T], given: Mapping[str, Any], where: str) -> _T:
    """Build the dataclass `cls` from plain values, nested dataclasses included.

    Raises UserError, beginning with `where`, for an unknown key (with the nearest known one), a missing key or a value
    of the wrong type or range.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in fields:
            raise UserError(f"{where}: unknown key '{key}': {suggest(key, fields)}")
        values[key] = _convert(value, hints[key], f"{where}: {key}")
    for key, one in fields.items():
        if key not in values and one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise UserError(f"{where}: key '{key}' is missing")
    try:
        return cls(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Convert a plain value to `hint`, which may be a dataclass, a tuple of dataclasses or a mapping."""
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: {value!r} given, expected a table")
        return from_dict(hint, value, where)
    if arguments and dataclasses.is_dataclass(arguments[0]) and isinstance(arguments[0], type):
        if type(None) in arguments:
            return None if value is None else _convert(value, arguments[0], where)
        if not isinstance(value, list | tuple):
            raise UserError(f"{where}: {value!r} given, expected a list of tables")
        return tuple(_convert(item, arguments[0], f"{where}[{index}]") for index, item in enumerate(value))
    if typing.get_origin(hint) in (Mapping, dict) or typing.get_origin(hint) is typing.get_origin(Mapping[str, Any]):
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: {value!r} given, expected a table")
        return dict(value)
    return check_value(value, hint, where)


def resolve_options(cls: type, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return all keyword options of `cls`'s constructor: its defaults with `given` on top.

    Raises UserError, beginning with `where`, for an unknown name, a missing one or a value of the wrong type.
    """
    hints = typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    parameters = {name: p for name, p in inspect.signature(cls).parameters.items() if p.kind is not p.VAR_KEYWORD}
    for name in given:
        if name not in parameters:
            raise UserError(f"{where}: unknown option '{name}': {suggest(name, parameters)}")
    resolved = {}
    for name, parameter in parameters.items():
        if name in given:
            resolved[name] = check_value(given[name], hints.get(name, Any), f"{where}, option '{name}'")
        elif parameter.default is not parameter.empty:
            resolved[name] = parameter.default
        else:
            raise UserError(f"{where}: option '{name}' has no default and must be given")
    return resolved


def check_value(value: Any, hint: Any, where: str) -> Any:
    """Return `value` as type `hint` (bool, int, float, str, Literal, tuple or a union of them), else raise UserError.

    An int is taken for a float and a list for a tuple, as TOML and JSON write them.
    """
    if _fits(value, hint):
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if hint is float:
            return float(value)
        if origin is tuple and arguments[1:] == (...,):
            return tuple(check_value(item, arguments[0], where) for item in value)
        return value
    raise UserError(f"{where}: {value!r} given, expected {describe(hint)}")


def describe(hint: Any) -> str:
    """Name a type the way a reader of an error message would."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(choice) for choice in arguments)
    if origin is tuple:
        return f"a list of {describe(arguments[0])}"
    if hint is type(None):
        return "nothing"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}.get(hint, str(hint))


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return any(_fits(value, choice) for choice in arguments)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        if arguments[1:] == (...,):
            return all(_fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
