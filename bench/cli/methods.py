"""`fsr methods`."""

from __future__ import annotations

import gc

from bench.cli.common import Json, Plugins, show


def methods(*, json: Json = False, plugin: Plugins) -> int:
    from bench.models.listing import describe_methods, methods_text

    gc.freeze()  # what torch's import left need not be looked through again and again while networks are built
    records = describe_methods()
    show(json, records, lambda: methods_text(records))
    return 0
