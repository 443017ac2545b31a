"""Find, describe and build methods.

A method is a class with one `@register(...)` line. Methods are found in the `methods` package, in installed packages
that declare an entry point `fsrbench.methods` (its value names a module), and in files given by `--plugin`. There is
no central list. Where the arguments of `@register` are literals they are read from the source without running it, so
that listing and completion import no torch, and a method whose import is broken is listed beside the others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from bench.core.errors import UserError, reason, suggest
from bench.core.limits import shown
from bench.core.schema import resolve_options
from bench.core.stop import contained
from bench.models.plugins import Plugin
from bench.models.sources import ImportFailedError, Source, find_sources
from bench.models.spec import MethodSpec, make_specs

if TYPE_CHECKING:
    from torch import nn

_Class = TypeVar("_Class", bound=type)


@dataclass(frozen=True)
class Catalogue:
    """All methods found: their specs by id, where each comes from, and what could not be read."""

    specs: Mapping[str, MethodSpec]
    sources: Mapping[str, Source]
    broken: Mapping[str, str]


class _Entry(NamedTuple):
    """A registered class; `origin` is its file and name: a plug-in that has changed comes as another module."""

    cls: type
    spec: MethodSpec
    origin: tuple[str, str]


_entries: dict[str, _Entry] = {}
_computed: dict[str, list[str]] = {}  # the ids of modules that had to be imported to be read
_plugins: list[Plugin] = []
_catalogue: Catalogue | None = None


def register(method: str, **about: Any) -> Callable[[_Class], _Class]:
    """Register a class as method `method`.

    `about` holds the fields of `MethodSpec`, plus `variants`: a mapping from further ids to the fields in which they
    differ, e.g. `variants={"mine-wide": {"title": "Mine, wide", "options": {"width": 2.0}}}`.
    Raises UserError when an id is taken or a field is unknown.
    """

    def add(cls: _Class) -> _Class:
        file = getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__
        for spec in make_specs(method, about, cls.__module__):
            entry = _Entry(cls, spec, (file, cls.__qualname__))
            known = _entries.setdefault(spec.id, entry)
            if known.origin != entry.origin:
                raise UserError(f"method '{spec.id}' is registered twice: by {known.origin[0]} and {file}")
            _entries[spec.id] = entry
        return cls

    return add


def add_plugin(given: Path | Plugin) -> None:
    """Take methods from a Python file as well, read anew if it was given before; raise UserError when there is none."""
    global _catalogue
    plugin = Plugin.read(given) if isinstance(given, Path) else given
    _plugins[:] = [*(known for known in _plugins if known.path != plugin.path), plugin]
    _catalogue = None


def plugins() -> tuple[Plugin, ...]:
    """Return the plug-ins given by `add_plugin`, so that a worker process can be told of them."""
    return tuple(_plugins)


def catalogue() -> Catalogue:
    """Return every method that can be found; the result is kept until a plug-in is added."""
    global _catalogue
    if _catalogue is None:
        _catalogue = _build_catalogue()
    return _catalogue


def names() -> list[str]:
    """Return the ids of all methods, sorted."""
    return sorted(catalogue().specs)


def get(method: str) -> MethodSpec:
    """Return the spec of `method`; raise UserError with the nearest name when there is none."""
    known = catalogue()
    if method not in known.specs:
        broken = "".join(f"; {line}" for line in known.broken.values())
        raise UserError(f"unknown method '{method}': {suggest(method, known.specs)}{broken}")
    return known.specs[method]


def load(method: str) -> type[nn.Module]:
    """Import and return the class of `method`; raise UserError when its import fails."""
    get(method)
    source = catalogue().sources[method]
    if method not in _entries or (source.plugin and _entries[method].cls.__module__ != source.module):
        source.load()
    if method not in _entries:
        raise UserError(f"method '{method}': importing {source.name} did not register it")
    return _entries[method].cls


def options(method: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return every constructor option of `method`: class defaults, then the variant's, then `given`.

    Raises UserError for an unknown option or a value of the wrong type.
    """
    return resolve_options(load(method), {**get(method).options, **(given or {})}, f"method '{method}'")


def every_option() -> set[str]:
    """Return the names of all options that some method has; those that cannot be imported are passed over."""
    found: set[str] = set()
    for method in names():
        with contextlib.suppress(UserError):
            found.update(options(method))
    return found


def build(method: str, given: Mapping[str, Any] | None = None) -> nn.Module:
    """Build `method` with the options `given` on top of its defaults."""
    cls, chosen = load(method), options(method, given)
    with contained():
        return cls(**chosen)


def check(method: str, given: Mapping[str, Any]) -> nn.Module | None:
    """Build `method` and raise UserError for options that it refuses: by a ValueError, or where its defaults do.

    None for one that cannot be built by its defaults either: its run will tell, so that the other rows go on.
    """
    try:
        return build(method, given)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"method '{method}': {error}") from None
    except Exception as error:
        own = {name: value for name, value in given.items() if name != "scale" and value != options(method)[name]}
        reads_values = "meta" in str(error).lower()  # which a network that is checked for its shapes has not
        if own and not reads_values and _builds(method, {name: given[name] for name in given if name not in own}):
            raise UserError(f"method '{method}': cannot be built with {shown(own)}: {reason(error)}") from None
        return None


def _builds(method: str, given: Mapping[str, Any]) -> bool:
    try:
        build(method, given)
    except Exception:
        return False
    return True


def _build_catalogue() -> Catalogue:
    specs: dict[str, MethodSpec] = {}
    sources: dict[str, Source] = {}
    broken: dict[str, str] = {}
    for source in find_sources(_plugins):
        try:
            own = source.read() or _read_by_import(source)
        except (ImportFailedError, OSError, SyntaxError, ValueError) as error:
            broken[source.name] = str(error) if isinstance(error, UserError) else f"{source.name}: {reason(error)}"
            continue
        for spec in own:
            if spec.id in specs:
                raise UserError(f"method '{spec.id}' is registered twice: by {specs[spec.id].source} and {source.name}")
            specs[spec.id], sources[spec.id] = spec, source
    return Catalogue(MappingProxyType(specs), MappingProxyType(sources), MappingProxyType(broken))


def _read_by_import(source: Source) -> list[MethodSpec]:
    before = set(_entries)
    source.load()
    own = [key for key, entry in _entries.items() if key not in before or entry.cls.__module__ == source.module]
    ids = _computed.setdefault(source.module, own)
    return [dataclasses.replace(_entries[key].spec, source=source.name) for key in ids]
