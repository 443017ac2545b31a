"""Find, describe and build methods.

A method is a class with one `@register(...)` line. Methods are found in the `methods` package, in installed packages
that declare an entry point `fsrbench.methods` (its value names a module), and in files given by `--plugin`. There is
no central list. Where the arguments of `@register` are literals they are read from the source without running it, so
that listing and completion import no torch, and a method whose import is broken is listed beside the others.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from bench.core.errors import UserError, reason, suggest
from bench.core.schema import resolve_options

if TYPE_CHECKING:
    from torch import nn

GROUP = "fsrbench.methods"
_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")  # also a folder's name
_Class = TypeVar("_Class", bound=type)


@dataclass(frozen=True)
class MethodSpec:
    """What is known of a method before it is built.

    `options` are constructor arguments that differ from the class's defaults (how a variant differs from its
    method); `needs` names priors beyond the image pair ("landmarks", "parsing"); `licence` is that of the reference
    code, which this project does not copy; `published_parameters` is the count its authors state.
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
    scales: tuple[int, ...] = (8,)
    trainable: bool = True
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    source: str = ""


@dataclass(frozen=True)
class Source:
    """A place methods come from: a module name or a file."""

    name: str
    path: Path | None
    module: str | None

    def load(self) -> None:
        """Import it, which runs its `@register` lines."""
        if self.module is not None:
            importlib.import_module(self.module)
            return
        assert self.path is not None
        name = f"fsrbench_plugin_{self.path.stem}"
        if name in sys.modules and sys.modules[name].__file__ == str(self.path):
            return
        spec = importlib.util.spec_from_file_location(name, self.path)
        if spec is None or spec.loader is None:
            raise UserError(f"{self.path}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise


@dataclass(frozen=True)
class Catalogue:
    """All methods found: their specs by id, where each comes from, and what could not be read."""

    specs: Mapping[str, MethodSpec]
    sources: Mapping[str, Source]
    broken: Mapping[str, str]


_classes: dict[str, type] = {}
_specs: dict[str, MethodSpec] = {}
_plugins: list[Path] = []
_catalogue: Catalogue | None = None


def register(method: str, **about: Any) -> Callable[[_Class], _Class]:
    """Register a class as method `method`.

    `about` holds the fields of `MethodSpec`, plus `variants`: a mapping from further ids to the fields in which they
    differ, e.g. `variants={"sparnet-3d": {"title": "SPARNet-3D", "options": {"attention": "3d"}}}`.
    Raises UserError when an id is taken or a field is unknown.
    """

    def add(cls: _Class) -> _Class:
        for spec in _expand(method, about, cls.__module__):
            known = _classes.get(spec.id)
            if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                raise UserError(f"method '{spec.id}' is registered twice: by {known.__module__} and {cls.__module__}")
            _classes[spec.id], _specs[spec.id] = cls, spec
        return cls

    return add


def add_plugin(path: Path) -> None:
    """Take methods from the Python file `path` as well; raise UserError when there is none."""
    global _catalogue
    if not path.is_file():
        raise UserError(f"--plugin {path}: no such file")
    if path.resolve() not in _plugins:
        _plugins.append(path.resolve())
    _catalogue = None


def plugins() -> tuple[Path, ...]:
    """Return the files given by `add_plugin`, so that a worker process can be told of them."""
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
    found = catalogue()
    if method not in found.specs:
        raise UserError(f"unknown method '{method}': {suggest(method, found.specs)}")
    return found.specs[method]


def load(method: str) -> type[nn.Module]:
    """Import and return the class of `method`; raise UserError when its import fails."""
    get(method)
    if method not in _classes:
        source = catalogue().sources[method]
        try:
            source.load()
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"method '{method}' ({source.name}) cannot be imported: {reason(error)}") from error
    if method not in _classes:
        raise UserError(f"method '{method}': importing {catalogue().sources[method].name} did not register it")
    return _classes[method]


def options(method: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return every constructor option of `method`: class defaults, then the variant's, then `given`.

    Raises UserError for an unknown option or a value of the wrong type.
    """
    return resolve_options(load(method), {**get(method).options, **(given or {})}, f"method '{method}'")


def build(method: str, given: Mapping[str, Any] | None = None) -> nn.Module:
    """Build `method` with the options `given` on top of its defaults."""
    return load(method)(**options(method, given))


def check(method: str, given: Mapping[str, Any]) -> None:
    """Raise UserError for options that the constructor of `method` refuses (ValueError).

    Whatever else is wrong with it is told when its run fails, so that the other rows go on.
    """
    try:
        build(method, given)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"method '{method}': {error}") from None
    except Exception:
        return


def _build_catalogue() -> Catalogue:
    specs: dict[str, MethodSpec] = {}
    sources: dict[str, Source] = {}
    broken: dict[str, str] = {}
    for source in _find_sources():
        try:
            found = _read(source)
        except UserError:
            raise
        except Exception as error:
            broken[source.name] = reason(error)
            continue
        for spec in found:
            if spec.id in specs:
                raise UserError(f"method '{spec.id}' is registered twice: by {specs[spec.id].source} and {source.name}")
            specs[spec.id], sources[spec.id] = spec, source
    return Catalogue(MappingProxyType(specs), MappingProxyType(sources), MappingProxyType(broken))


def _find_sources() -> list[Source]:
    package = importlib.util.find_spec("methods")
    roots = list(package.submodule_search_locations or ()) if package else []
    files = sorted(path for root in roots for path in Path(root).glob("[!_]*.py"))
    found = [Source(f"methods.{path.stem}", path, f"methods.{path.stem}") for path in files]
    for entry in importlib.metadata.entry_points(group=GROUP):
        found.append(Source(entry.name, _file_of(entry.module), entry.module))
    return found + [Source(path.name, path, None) for path in _plugins]


def _file_of(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _read(source: Source) -> list[MethodSpec]:
    """Read a source's specs from its text, or, where they are computed, by importing it."""
    if source.path is not None:
        tree = ast.parse(source.path.read_bytes(), filename=str(source.path))
        calls = [call for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for call in _register_calls(node)]
        try:
            literal = [_literal_arguments(call) for call in calls]
        except ValueError:
            literal = []
        if literal:
            return [spec for method, about in literal for spec in _expand(method, about, source.name)]
    before = set(_specs)
    source.load()
    return [dataclasses.replace(spec, source=source.name) for key, spec in _specs.items() if key not in before]


def _register_calls(node: ast.ClassDef) -> list[ast.Call]:
    def is_register(call: ast.expr) -> bool:
        if not isinstance(call, ast.Call):
            return False
        name = call.func
        return (isinstance(name, ast.Name) and name.id == "register") or (
            isinstance(name, ast.Attribute) and name.attr == "register"
        )

    return [call for call in node.decorator_list if isinstance(call, ast.Call) and is_register(call)]


def _literal_arguments(call: ast.Call) -> tuple[str, dict[str, Any]]:
    (method,) = (ast.literal_eval(argument) for argument in call.args)
    return method, {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords}


def _expand(method: str, about: Mapping[str, Any], source: str) -> list[MethodSpec]:
    """Return the spec of a method and of its variants."""
    common = {key: value for key, value in about.items() if key != "variants"}
    variants: Mapping[str, Mapping[str, Any]] = about.get("variants", {})
    return [_spec(key, {**common, **own}, source) for key, own in {method: {}, **variants}.items()]


def _spec(method: str, about: Mapping[str, Any], source: str) -> MethodSpec:
    fields = {field.name for field in dataclasses.fields(MethodSpec)} - {"id", "source"}
    for key in about:
        if key not in fields:
            raise UserError(f"@register('{method}') in {source}: unknown field '{key}': {suggest(key, fields)}")
    for key in ("title", "year"):
        if key not in about:
            raise UserError(f"@register('{method}') in {source}: '{key}' is missing")
    if not _ID.fullmatch(method):
        raise UserError(f"@register('{method}') in {source}: expected small letters, digits, '.', '_' and '-'")
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in about.items()}
    values["options"] = MappingProxyType(dict(values.get("options", {})))
    return MethodSpec(id=method, source=source, **values)
