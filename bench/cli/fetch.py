"""`fsr fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.cli.common import Json, Plugins, show

What = Annotated[
    Literal["lpips", "facenet"],
    typer.Argument(
        metavar="WHAT",
        help="lpips: AlexNet, VGG16 and their heads; facenet: of a file, see --from",
    ),
]
File = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="take this file instead of downloading: the archive of the package, or facenet-pytorch's weights",
    ),
]


def fetch(what: What, *, source: File = None, json: Json = False, plugin: Plugins) -> int:
    from bench.metrics.fetch import fetch as fetch_weights
    from bench.metrics.fetch import fetch_text

    found = fetch_weights(what, source)
    show(json, found, lambda: fetch_text(found))
    return 0
