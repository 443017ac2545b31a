"""What is known of a method before it is built."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from bench.core.errors import UserError, suggest
from bench.core.limits import Rule

Size = Literal["parameters", "multiply-adds"]  # by which networks can be matched
_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")  # also a folder's name


@dataclass(frozen=True)
class MethodSpec:
    """The arguments of `@register`, for a method or one of its variants.

    `options` are constructor arguments that differ from the class's defaults (how a variant differs from its
    method); `needs` names what training is given beyond the image pair ("landmarks", "vgg16"); `teacher` is the id of
    the method that is trained first to teach it; `licence` is that of the reference code, which this project does not
    copy; `published_parameters` is the count its authors state.
    """

    id: str
    title: str
    year: int
    paper: str = ""
    venue: str = ""
    licence: str = ""
    published_parameters: int | None = None
    tags: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    teacher: str = ""
    scales: tuple[int, ...] = (8,)
    trainable: bool = True
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    source: str = ""

    @property
    def usual_scale(self) -> int:
        """The scale at which methods are compared: 8, or the first that this one supports."""
        return 8 if 8 in self.scales else self.scales[0]


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_number(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _are(holds: Callable[[Any], bool], values: Any) -> bool:
    return isinstance(values, list | tuple) and all(map(holds, values))


_TEXT = Rule(_is_line, "a line of text")
_TEXTS = Rule(partial(_are, _is_line), "a list of lines of text")
_RULES = {
    "title": Rule(lambda value: _is_line(value) and bool(value.strip()), "a line of text that is not empty"),
    "year": Rule(lambda value: _is_number(value, 1900, 2200), "a year, as 2020"),
    "paper": _TEXT,
    "venue": _TEXT,
    "licence": _TEXT,
    "published_parameters": Rule(lambda value: value is None or _is_number(value, 0, 10**12), "a count, or None"),
    "tags": _TEXTS,
    "needs": _TEXTS,
    "scales": Rule(
        lambda value: bool(value) and _are(lambda each: _is_number(each, 2, 64), value),
        "a list of whole numbers from 2 to 64, one at least",
    ),
    "trainable": Rule(lambda value: type(value) is bool, "True or False"),
    "options": Rule(lambda value: isinstance(value, Mapping) and _are(_is_line, [*value]), "a dict of options"),
}
_VARIANTS = Rule(
    lambda value: isinstance(value, Mapping) and all(isinstance(own, Mapping) for own in value.values()),
    "a dict: another id -> a dict of the fields that differ",
)
_FIELDS = {f.name for f in dataclasses.fields(MethodSpec)} - {"id", "source"}


def make_specs(method: str, about: Mapping[str, Any], source: str) -> list[MethodSpec]:
    """Return the specs of a method and of its `variants`.

    Raises UserError for a field that is unknown or missing, or whose value is of another kind.
    """
    _VARIANTS.check(about.get("variants", {}), f"@register({method!r}) in {source}: variants")
    common = {key: value for key, value in about.items() if key != "variants"}
    variants: Mapping[str, Mapping[str, Any]] = about.get("variants", {})
    return [_make_spec(key, {**common, **own}, source) for key, own in {method: {}, **variants}.items()]


def _make_spec(method: str, about: Mapping[str, Any], source: str) -> MethodSpec:
    where = f"@register('{method}') in {source}"
    for key in about:
        if key not in _FIELDS:
            raise UserError(f"{where}: unknown field '{key}': {suggest(key, _FIELDS)}")
    for key in ("title", "year"):
        if key not in about:
            raise UserError(f"{where}: '{key}' is missing")
    for key, value in about.items():
        if key in _RULES:
            _RULES[key].check(value, f"{where}: {key}")
    if not isinstance(method, str) or not _ID.fullmatch(method):
        raise UserError(f"{where}: expected small letters, digits, '.', '_' and '-'")
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in about.items()}
    values["options"] = MappingProxyType(dict(values.get("options", {})))
    return MethodSpec(id=method, source=source, **values)
