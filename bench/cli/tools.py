"""`fsr bench`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from bench.cli.common import Command, add_device, show
from bench.core.errors import UserError

# What is measured, and the options that it has.
_KINDS: dict[str, tuple[str, ...]] = {
    "metrics": ("faces", "reference_faces"),
    "cost": ("dtype", "option", "training", "device"),
    "train": ("batch", "width", "precision", "seconds", "ladder", "device"),
    "data": ("batch", "seconds", "device"),
    "attention": ("seconds", "device"),
}


def _bench(options: argparse.Namespace) -> int:
    own = _KINDS[options.what]
    for name in sorted({name for names in _KINDS.values() for name in names} - set(own)):
        if getattr(options, name) not in (None, [], False, "auto"):
            raise UserError(f"--{name.replace('_', '-')} is not an option of `fsr bench {options.what}`")
    if options.method and options.what != "cost":
        raise UserError(f"{options.method[0]}: `fsr bench {options.what}` takes no methods; `fsr bench cost` does")
    if options.what == "cost":
        return _cost(options)
    return _metrics(options) if options.what == "metrics" else _training(options)


def _metrics(options: argparse.Namespace) -> int:
    from bench.speed.metrics import measure_metrics, metrics_text

    found = measure_metrics(1000 if options.faces is None else options.faces, options.reference_faces)
    show(options, found, lambda: metrics_text(found))
    return 0


def _cost(options: argparse.Namespace) -> int:
    from bench.core.provenance import choose_device
    from bench.speed.cost import cost_text, measure_cost, parse_options

    found = measure_cost(
        options.method,
        choose_device(options.device),
        dtype=options.dtype or "float32",
        options=parse_options(options.option),
        training=options.training,
    )
    show(options, found, lambda: cost_text(found))
    return int(any(one["error"] for one in found["methods"]))


def _training(options: argparse.Namespace) -> int:
    from bench.core.provenance import choose_device

    # `--precision auto` is the default: what the device computes in.
    given = {name: getattr(options, name) for name in _KINDS[options.what] if name != "device"}
    given = {name: value for name, value in given.items() if value not in (None, "auto")}
    if given.get("seconds", 1) <= 0:
        raise UserError(f"--seconds {given['seconds']:g}: expected more than 0")
    measure, text = _measures(options.what)
    found = measure(choose_device(options.device), **given)
    show(options, found, lambda: text(found))
    return 0


def _measures(what: str) -> tuple[Callable[..., dict[str, Any]], Callable[[dict[str, Any]], str]]:
    if what == "train":
        from bench.speed.train import measure_train, train_text

        return measure_train, train_text
    if what == "data":
        from bench.speed.data import data_text, measure_data

        return measure_data, data_text
    from bench.speed.attention import attention_text, measure_attention

    return measure_attention, attention_text


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        choices=tuple(_KINDS),
        help="metrics: PSNR, SSIM and NIQE beside pyiqa's; cost: parameters, multiply-adds, latency, memory of "
        "methods; train: a step of SPARNet beside its published way to train; data: batches beside PIL's; attention: "
        "pyramid attention beside the published loop",
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
    parser.add_argument("--batch", type=int, help="train, data: faces of a batch (default: 8 and 16)")
    parser.add_argument("--width", type=float, help="train: of the network (default: 1)")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), help="train: default all that the device has")
    parser.add_argument("--ladder", action="store_true", help="train: time each step from the published way to ours")
    parser.add_argument("--seconds", type=float, help="train, data, attention: how long to measure (about)")
    add_device(parser)


COMMANDS = (
    Command(
        "bench", "measure the speed of training, data, attention and metrics, or what methods cost", _bench, _add_bench
    ),
)
