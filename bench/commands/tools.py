"""`fsr bench`."""

from __future__ import annotations

import argparse

from bench.commands.common import Command, show


def _bench(options: argparse.Namespace) -> int:
    from bench.speed import measure_metrics, metrics_text

    found = measure_metrics(options.faces, options.reference_faces)
    show(options, found, lambda: metrics_text(found))
    return 0


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("metrics",), help="metrics: PSNR, SSIM and NIQE beside pyiqa's")
    parser.add_argument("--faces", type=int, default=1000, help="faces that are scored (default: 1000)")
    parser.add_argument(
        "--reference-faces", type=int, metavar="N", help="time pyiqa on so many of them (default: all, minutes)"
    )


COMMANDS = (Command("bench", "measure the speed of metrics", _bench, _add_bench),)
