"""The places that methods come from: the package `methods`, entry points of installed packages, plug-in files."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError, reason
from bench.core.names import listed
from bench.models.spec import MethodSpec, make_specs

GROUP = "fsrbench.methods"


class ImportFailedError(UserError):
    """A source cannot be imported; the others can."""


@dataclass(frozen=True)
class Source:
    """A module that registers methods; `path` is None where it has no Python file."""

    name: str
    path: Path | None
    module: str
    plugin: bool = False

    def load(self) -> None:
        """Import it, which runs its `@register` lines; raise ImportFailedError when that fails."""
        try:
            if self.plugin:
                self._load_file()
            else:
                importlib.import_module(self.module)
        except UserError:
            raise
        except Exception as error:
            raise ImportFailedError(f"{self.name}: cannot be imported: {reason(error)}") from error

    def read(self) -> list[MethodSpec]:
        """Return the specs whose `@register` arguments are all literals, from the text alone; none if some are not."""
        if self.path is None:
            return []
        tree = ast.parse(self.path.read_bytes(), filename=str(self.path))
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        calls = [call for node in classes for call in node.decorator_list if _is_register(call)]
        try:
            arguments = [_literals(call) for call in calls if isinstance(call, ast.Call)]
        except ValueError:
            return []
        return [spec for method, about in arguments for spec in make_specs(method, about, self.name)]

    def _load_file(self) -> None:
        if self.module in sys.modules:
            return
        assert self.path is not None
        spec = importlib.util.spec_from_file_location(self.module, self.path)
        if spec is None or spec.loader is None:
            raise UserError(f"{self.path}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.module] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[self.module]
            raise


def find_sources(plugins: Sequence[Path]) -> list[Source]:
    """Return every source: modules of `methods`, then entry points, then the files `plugins`."""
    import importlib.metadata  # slow, and help and the commands' names need no methods

    package = importlib.util.find_spec("methods")
    roots = list(package.submodule_search_locations or ()) if package else []
    files = [path for root in roots for path in listed(Path(root), "[!_]*.py")]
    sources = [Source(f"methods.{path.stem}", path, f"methods.{path.stem}") for path in files]
    for entry in importlib.metadata.entry_points(group=GROUP):
        sources.append(Source(entry.name, _file_of(entry.module), entry.module))
    names = [path.name for path in plugins]
    for path in plugins:
        name = path.name if names.count(path.name) == 1 else str(path)
        sources.append(Source(name, path, _plugin_module(path), plugin=True))
    return sources


def _plugin_module(path: Path) -> str:
    """Name a plug-in by its path and content: files of one name in two folders are two modules."""
    content = path.read_bytes() if path.is_file() else b""
    return "fsrbench_plugin_" + hashlib.sha256(str(path.resolve()).encode() + b"\0" + content).hexdigest()[:16]


def _file_of(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _is_register(call: ast.expr) -> bool:
    if not isinstance(call, ast.Call):
        return False
    name = call.func
    return getattr(name, "id" if isinstance(name, ast.Name) else "attr", "") == "register"


def _literals(call: ast.Call) -> tuple[str, dict[str, object]]:
    (method,) = (ast.literal_eval(argument) for argument in call.args)
    return method, {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords}
