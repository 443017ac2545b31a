"""Plug-ins on their way to worker processes: what a worker imports is what was named, path and content."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.models import registry


@dataclass(frozen=True)
class Plugin:
    """A plug-in file as it was when the command read it."""

    path: Path
    text: str

    def add(self) -> None:
        """Take its methods: from its path where that still holds the same text, else from a copy of this process."""
        try:
            here = self.path.read_text(encoding="utf-8") == self.text
        except (OSError, UnicodeDecodeError):  # another machine, or another file
            here = False
        registry.add_plugin(self.path if here else _copy(self))


def named_plugins() -> tuple[Plugin, ...]:
    """Return the plug-ins of this process, to be added in others."""
    return tuple(Plugin(path, path.read_text(encoding="utf-8")) for path in registry.plugins())


@functools.cache
def _copy(plugin: Plugin) -> Path:
    """Write a plug-in into a folder of its own, once a process."""
    path = Path(tempfile.mkdtemp(prefix="fsr-plugin-")) / plugin.path.name
    path.write_text(plugin.text, encoding="utf-8")
    return path
