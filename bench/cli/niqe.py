"""`fsr fit-niqe`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli.common import Command, show
from bench.core.errors import UserError


def _fit_niqe(options: argparse.Namespace) -> int:
    from bench.metrics.refit import refit_faces, refit_pictures, refit_text

    shape = {"block": options.block, "stride": min(options.block, 32) if options.stride is None else options.stride}
    if options.pictures:
        if options.split or options.faces is not None:
            raise UserError("--split and --faces choose from --data, not from --pictures")
        found = refit_pictures(options.pictures, options.out, **shape)
    else:
        found = refit_faces(options.data, options.split or "train", options.faces, options.out, **shape)
    show(options, found, lambda: refit_text(found))
    return 0


def _add_fit_niqe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json", help="where the parameters are written")
    pristine = parser.add_mutually_exclusive_group(required=True)
    pristine.add_argument("--pictures", type=Path, metavar="DIR|TAR", help="pristine pictures, a folder or archive")
    pristine.add_argument("--data", metavar="NAME", help="a prepared data set")
    parser.add_argument("--split", help="of the data set: train (default), val or test")
    parser.add_argument("--faces", type=int, metavar="N", help="at most so many faces of the data set")
    parser.add_argument(
        "--block", type=int, default=96, help="side of the blocks in pixels (default: 96, as published)"
    )
    parser.add_argument(
        "--stride",
        type=int,
        metavar="N",
        help="pixels from block to block (default: 32, as niqe-pooled and niqe-tiled lay them, so that faces are seen "
        "whole; published: --block)",
    )


COMMANDS = (Command("fit-niqe", "fit NIQE's pristine Gaussian to pictures of one's own", _fit_niqe, _add_fit_niqe),)
