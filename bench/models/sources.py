"""The places that methods come from: the package `methods`, entry points of installed packages, plug-in files."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError, reason
from bench.core.names import listed
from bench.core.stop import contained
from bench.models.plugins import Plugin
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
    plugin: Plugin | None = None

    def load(self) -> None:
        """Import it, which runs its `@register` lines; raise ImportFailedError when that fails."""
        try:
            with contained():
                if self.plugin:
                    self.plugin.load()
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
        tree = ast.parse(self.plugin.content if self.plugin else self.path.read_bytes(), filename=str(self.path))
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        calls = [call for node in classes for call in node.decorator_list if _is_register(call)]
        try:
            arguments = [_literals(call) for call in calls if isinstance(call, ast.Call)]
        except ValueError:
            return []
        return [spec for method, about in arguments for spec in make_specs(method, about, self.name)]


def find_sources(plugins: Sequence[Plugin]) -> list[Source]:
    """Return every source: modules of `methods`, then entry points, then the files `plugins`."""
    import importlib.metadata  # slow, and help and the commands' names need no methods

    package = importlib.util.find_spec("methods")
    roots = list(package.submodule_search_locations or ()) if package else []
    files = [path for root in roots for path in listed(Path(root), "[!_]*.py")]
    sources = [Source(f"methods.{path.stem}", path, f"methods.{path.stem}") for path in files]
    for entry in importlib.metadata.entry_points(group=GROUP):
        sources.append(Source(entry.name, _file_of(entry.module), entry.module))
    names = [plugin.path.name for plugin in plugins]
    for plugin in plugins:
        name = plugin.path.name if names.count(plugin.path.name) == 1 else str(plugin.path)
        sources.append(Source(name, plugin.path, plugin.module, plugin))
    return sources


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
