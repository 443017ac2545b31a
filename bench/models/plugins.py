"""Plug-ins: a file with methods of one's own, and what it imports from beside it.

A plug-in is its path and its content as read once, and so is its module: files of one name are told apart, what is
edited later changes nothing, and other processes and machines import what was named. Its helper modules belong to it
alone: `import layers` in two plug-ins may mean two files.
"""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.core.errors import UserError
from bench.core.names import listed

_OURS = ("bench", "methods")


@dataclass(frozen=True)
class Plugin:
    """A plug-in: the absolute path of its file, and content by path from its folder, its own file first."""

    path: Path
    files: tuple[tuple[str, bytes], ...]

    @classmethod
    def read(cls, path: Path) -> Plugin:
        """Read a plug-in and its helper modules; raise UserError when there is no such file."""
        if not path.is_file():
            raise UserError(f"--plugin {path}: no such file")
        path = path.resolve()
        files = {path.name: path.read_bytes()}
        left = [path.name]
        while left:
            file = left.pop()
            beside = [name for top in _imported(files[file], "/" in file) for name in _find(path.parent, top)]
            left += [name for name in dict.fromkeys(beside) if name not in files]
            files |= {name: (path.parent / name).read_bytes() for name in left}
        return cls(path, tuple(files.items()))

    @functools.cached_property
    def module(self) -> str:
        """The name of its module."""
        return "fsrbench_plugin_" + hashlib.sha256(repr((str(self.path), self.files)).encode()).hexdigest()[:16]

    @property
    def content(self) -> bytes:
        """What its own file holds."""
        return self.files[0][1]

    def load(self) -> None:
        """Import it, which runs its `@register` lines; raise whatever that raises."""
        if self.module not in sys.modules:
            if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
                sys.meta_path.insert(0, _Finder())
            _known[self.module] = self
            importlib.import_module(self.module)


_known: dict[str, Plugin] = {}  # by the name of its module


class _Finder(importlib.abc.MetaPathFinder):
    """Finds plug-ins, and in each of them its helpers."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        root, _, rest = fullname.partition(".")
        if root not in _known:
            return None
        plugin, stem = _known[root], rest.replace(".", "/")
        files = dict(plugin.files)
        for file in (f"{stem}/__init__.py", f"{stem}.py") if rest else (plugin.path.name,):
            if file in files:
                package = not rest or file.endswith("/__init__.py")
                return importlib.util.spec_from_loader(fullname, _Loader(plugin, file), is_package=package)
        if any(file.startswith(f"{stem}/") for file in files):
            return importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        return None


class _Loader(importlib.abc.SourceLoader):
    """Loads a file of a plug-in from what was read."""

    def __init__(self, plugin: Plugin, file: str) -> None:
        self.plugin, self.file = plugin, file

    def get_filename(self, fullname: str) -> str:
        return str(self.plugin.path.parent / self.file)

    def get_data(self, path: Any) -> bytes:
        return dict(self.plugin.files)[self.file]

    def exec_module(self, module: ModuleType) -> None:
        text, path = self.get_source(module.__name__) or "", self.get_filename(module.__name__)
        linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)  # for tracebacks and code_of
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": functools.partial(_import, self.plugin)}
        super().exec_module(module)


def _import(
    plugin: Plugin,
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """Import as Python does for a script: what lies beside it comes first."""
    top = name.partition(".")[0]
    if level == 0 and any(file == f"{top}.py" or file.startswith(f"{top}/") for file, _ in plugin.files[1:]):
        globals, level = {"__name__": plugin.module, "__package__": plugin.module}, 1
    return builtins.__import__(name, globals, locals, fromlist or (), level)


def _imported(content: bytes, deep: bool) -> Iterator[str]:
    """Yield the first parts of the names that a file imports; relative ones of a `deep` file lie in its package."""
    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError):  # its import will tell
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not (deep and node.level):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (name.partition(".")[0] for name in names)


def _find(folder: Path, top: str) -> list[str]:
    """Return the files beside a plug-in that `import top` may run."""
    if top in _OURS or top in sys.stdlib_module_names:
        return []
    package, files = (folder / top / "__init__.py").is_file(), []
    if not package and (folder / f"{top}.py").is_file():
        files = [folder / f"{top}.py"]
    elif package or ((folder / top).is_dir() and importlib.util.find_spec(top) is None):
        files = listed(folder, f"{top}/**/*.py")
    return [file.relative_to(folder).as_posix() for file in files]
