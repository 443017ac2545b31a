"""`fsr bench`."""

from __future__ import annotations

import argparse

from bench.commands.common import Command, add_device, show
from bench.errors import UserError

_OF_COST = ("dtype", "option", "training", "device")
_OF_METRICS = ("faces", "reference_faces")


def _bench(options: argparse.Namespace) -> int:
    other = _OF_METRICS if options.what == "cost" else _OF_COST
    for name in other:
        if getattr(options, name) not in (None, [], False, "auto"):
            raise UserError(f"--{name.replace('_', '-')} is not an option of `fsr bench {options.what}`")
    return _cost(options) if options.what == "cost" else _metrics(options)


def _metrics(options: argparse.Namespace) -> int:
    from bench.speed import measure_metrics, metrics_text

    if options.method:
        raise UserError(f"{options.method[0]}: `fsr bench metrics` takes no methods; `fsr bench cost` does")
    found = measure_metrics(1000 if options.faces is None else options.faces, options.reference_faces)
    show(options, found, lambda: metrics_text(found))
    return 0


def _cost(options: argparse.Namespace) -> int:
    from bench.cost_table import cost_text, measure_cost, parse_options
    from bench.provenance import choose_device

    found = measure_cost(
        options.method,
        choose_device(options.device),
        dtype=options.dtype or "float32",
        options=parse_options(options.option),
        training=options.training,
    )
    show(options, found, lambda: cost_text(found))
    return int(any(one["error"] for one in found["methods"]))


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        choices=("metrics", "cost"),
        help="metrics: PSNR, SSIM and NIQE beside pyiqa's; cost: parameters, multiply-adds, latency, memory of methods",
    )
    parser.add_argument("method", nargs="*", help="cost: methods' ids, see `fsr methods` (default: all)")
    parser.add_argument("--faces", type=int, help="metrics: faces that are scored (default: 1000)")
    parser.add_argument(
        "--reference-faces",
        type=int,
        metavar="N",
        help="metrics: time pyiqa on so many of them (default: all, minutes)",
    )
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="cost: default float32; bfloat16 by autocast")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="cost: an option of the methods that have it, e.g. width=0.125 (again for more)",
    )
    parser.add_argument("--training", action="store_true", help="cost: the memory of a training step too")
    add_device(parser)


COMMANDS = (Command("bench", "measure the speed of metrics, or what methods cost", _bench, _add_bench),)
