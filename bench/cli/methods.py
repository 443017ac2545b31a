"""`fsr methods`."""

from __future__ import annotations

from bench.cli.common import Json, Plugins, show


def methods(*, json: Json = False, plugin: Plugins) -> int:
    from bench.models.listing import describe_methods, methods_text

    found = describe_methods()
    show(json, found, lambda: methods_text(found))
    return 0
