"""Check values against the annotated signature of a class: the constructor is the schema."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

from bench.errors import UserError, suggest


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
