"""`fsr score` and `fsr metrics`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli.common import Command, add_device, show
from bench.core.errors import UserError

_OF_A_METHOD = ("weights", "data", "split", "faces", "degradation", "scale")


def _score(options: argparse.Namespace) -> int:
    from bench.metrics.catalogue import DEFAULT
    from bench.runs.score import score_method, score_pairs, score_text

    metrics = options.metric or DEFAULT
    if options.sr:
        given = [f"--{name}" for name in _OF_A_METHOD if getattr(options, name) is not None]
        if options.method or given:
            raise UserError(f"{options.method or given[0]}: not together with --sr, which scores pictures as they are")
        result = score_pairs(options.sr, options.hr, options.lr, metrics=metrics, protocol=options.protocol)
    elif options.hr or options.lr or not options.method:
        raise UserError("give a method (see `fsr methods`), or pictures: --sr FOLDER --hr FOLDER")
    else:
        from bench.core.provenance import choose_device
        from bench.data.degrade import DEFAULT as PIL

        result = score_method(
            options.method,
            options.weights,
            options.data or "synthfaces",
            options.split or "test",
            options.faces,
            choose_device(options.device),
            metrics=metrics,
            protocol=options.protocol,
            degradation=options.degradation or PIL,
            scale=options.scale,
        )
    show(options, result, lambda: score_text(result))
    return 0


def _metrics(options: argparse.Namespace) -> int:
    from bench.metrics.catalogue import describe_metrics, metrics_text

    found = describe_metrics()
    show(options, found, lambda: metrics_text(found))
    return 0


def _add_score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", nargs="?", help="a method's id, see `fsr methods`")
    parser.add_argument("--weights", type=Path, help="weights.safetensors of a run (its options are read beside it)")
    parser.add_argument("--data", help="a prepared data set (default: synthfaces)")
    parser.add_argument("--split", help="train, val or test (default)")
    parser.add_argument("--faces", type=int, help="at most so many faces")
    parser.add_argument(
        "--degradation",
        metavar="NAME",
        help="how LR is made: pil-bicubic (default), matlab-bicubic, torch-antialias, area, no-antialias, real-world",
    )
    parser.add_argument("--scale", type=int, help="of a method that is not trained: 2, 4, 8 (default) or 16")
    parser.add_argument("--sr", type=Path, metavar="DIR", help="score these pictures (a folder or archive) instead")
    parser.add_argument("--hr", type=Path, metavar="DIR", help="their originals, of the same names")
    parser.add_argument("--lr", type=Path, metavar="DIR", help="what they were made from, of the same names")
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="a metric (again for more), `all`, or pyiqa:<name> (default: psnr, ssim, niqe-pooled)",
    )
    parser.add_argument(
        "--protocol",
        default="sparnet",
        metavar="NAME",
        help="sparnet (default), dic, sfmnet, mmagic, rgb, pyiqa, skimage, a TOML file, or all",
    )
    add_device(parser)


COMMANDS = (
    Command("metrics", "list the metrics", _metrics),
    Command("score", "score a method on a data set, or anybody's pictures, with intervals", _score, _add_score),
)
