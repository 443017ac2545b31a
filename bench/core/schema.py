"""Read and check what users and earlier runs wrote: TOML and JSON into typed classes, options into signatures.

The annotations of a class or of a constructor are the schema, with the rules of bench.core.limits that stand in them.
pydantic says whether a value is of a type; where it is not installed (a machine that trains and no more), all are.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import json
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from bench.core.errors import UserError, check_known, suggest
from bench.core.files import text_of
from bench.core.limits import check_plain, shown
from bench.core.names import listed

_T = TypeVar("_T")
_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "nothing"}


def canonical_json(value: object) -> str:
    """Write `value` as JSON with sorted keys and no spaces, so that equal configs give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raise UserError that names the file and line when it is damaged."""
    try:
        return tomllib.loads(text_of(path.read_bytes()))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:  # besides its own errors, of numbers and tables without end
        raise UserError(f"{path}: not valid TOML: {error}") from None


def find_file(name: str, folder: Path, what: str) -> Path:
    """Return the TOML file that `name` means: a path, or a name in `folder`."""
    if name.endswith(".toml"):
        return Path(name)
    check_known(what, name, (path.stem for path in listed(folder, "*.toml")))
    return folder / f"{name}.toml"


def override_setting(settings: dict[str, Any], override: str) -> None:
    """Set one `key.key=value` in nested tables; the value is TOML, or a text as it stands."""
    key, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"--set {override}: expected key=value, e.g. training.iterations=50")
    try:
        value = tomllib.loads(f"value = {text}")["value"] if text.isprintable() else text
    except (ValueError, RecursionError):
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
    if not isinstance(given, Mapping):
        raise UserError(f"{where}: {shown(given)} given, expected a table")
    hints = _hints(cls)  # type: ignore[arg-type]
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in fields:
            raise UserError(f"{where}: unknown key '{key}': {suggest(key, fields)}")
        values[key] = check_value(value, hints[key], f"{where}: {key}")
    for key, field in fields.items():
        if key not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise UserError(f"{where}: key '{key}' is missing")
    try:
        return cls(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def resolve_options(cls: type, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return all keyword options of `cls`'s constructor: its defaults with `given` on top.

    Raises UserError, beginning with `where`, for an unknown name, a missing one or a value of the wrong type.
    """
    hints = _hints(cls.__init__)  # type: ignore[misc]
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
    """Return `value` as type `hint`, which may hold dataclasses, else raise UserError that begins with `where`.

    An int is taken for a float and a list for a tuple, as TOML and JSON write them; nothing else is converted.
    """
    cls = _class_in(hint)
    if cls is None:
        check_plain(value, where)
        if not _validator(hint)(value):
            raise UserError(f"{where}: {shown(value)} given, expected {describe(hint)}")
        if _has_rules(hint):
            _check_rules(value, hint, where)
        return _converted(value, hint)
    if typing.get_origin(hint) is Annotated:
        built = check_value(value, hint.__origin__, where)
        for rule in hint.__metadata__:
            rule.check(built, where)
        return built
    if type(None) in typing.get_args(hint):
        return None if value is None else check_value(value, typing.get_args(hint)[0], where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"{where}: {shown(value)} given, expected a list of tables")
        return tuple(from_dict(cls, item, f"{where}[{index}]") for index, item in enumerate(value))
    if isinstance(value, Mapping) and _is_table(hint):
        return {key: from_dict(cls, item, f"{where}.{key}") for key, item in value.items()}
    return from_dict(cls, value, where)


def _check_rules(value: Any, hint: Any, where: str) -> None:
    """Raise UserError where a value of the right type breaks a rule of its annotation, or one of its items does."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if value is None:
        return
    if origin is Annotated:
        _check_rules(value, hint.__origin__, where)
        for rule in hint.__metadata__:
            rule.check(value, where)
    elif origin in (Union, types.UnionType):
        for choice in arguments:
            if _validator(choice)(value):
                _check_rules(value, choice, where)
    elif origin is tuple and isinstance(value, list | tuple):
        each = itertools.repeat(arguments[0]) if arguments[1:] == (...,) else arguments
        for index, (item, inner) in enumerate(zip(value, each, strict=False)):
            _check_rules(item, inner, f"{where}[{index}]")
    elif arguments and _is_table(hint) and isinstance(value, Mapping):
        for key, item in value.items():
            _check_rules(key, arguments[0], where)
            _check_rules(item, arguments[1], f"{where}.{key}")


@functools.cache
def _has_rules(hint: Any) -> bool:
    """Tell whether a type's annotation, or that of a part, has rules."""
    return typing.get_origin(hint) is Annotated or any(map(_has_rules, typing.get_args(hint)))


@functools.cache
def _hints(typed: Any) -> dict[str, Any]:
    """Return the annotations of a class or function, rules included."""
    return typing.get_type_hints(typed, include_extras=True)


@functools.cache
def _class_in(hint: Any) -> type | None:
    """Return the dataclass that a type is or holds."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    return next(filter(None, map(_class_in, typing.get_args(hint))), None)


def describe(hint: Any) -> str:
    """Name a type the way a reader of an error message would."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return describe(arguments[0])
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(choice) for choice in arguments)
    if origin is tuple and arguments[1:] != (...,):
        return f"a list of {len(arguments)}, each {describe(arguments[0])}"
    if origin in (tuple, list):
        return f"a list of {describe(arguments[0])}"
    return "a table" if _is_table(hint) else _NAMES.get(hint, str(hint))


def _is_table(hint: Any) -> bool:
    origin = typing.get_origin(hint) or hint
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _converted(value: Any, hint: Any) -> Any:
    """Return a value that fits `hint` in the one type that a config's hash is made from."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _converted(value, arguments[0])
    if hint is float and isinstance(value, int):
        return float(value)
    if origin is tuple and isinstance(value, list | tuple):  # of a fixed length: as written, as ids have it
        return tuple(_converted(item, arguments[0]) for item in value) if arguments[1:] == (...,) else tuple(value)
    return dict(value) if _is_table(hint) else value


@functools.cache
def _validator(hint: Any) -> Callable[[Any], bool]:
    """Return what says whether a plain value fits a type; without pydantic everything does."""
    if typing.get_origin(hint) is Literal:  # of which pydantic takes true for 1
        choices = [(type(choice), choice) for choice in typing.get_args(hint)]
        return lambda value: (type(value), value) in choices
    try:
        from pydantic import ConfigDict, TypeAdapter, ValidationError
    except ImportError:
        return lambda value: True
    adapter: Any = TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))

    def fits(value: Any) -> bool:
        try:
            # As JSON, in which a list is a tuple and 1 a float, but true no number and "1" none either.
            adapter.validate_json(json.dumps(value, default=lambda odd: [str(odd)]))
        except ValidationError:
            return False
        return True

    return fits
