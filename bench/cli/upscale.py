"""`fsr upscale`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from bench.cli.common import Command, add_device, show, written
from bench.core.errors import UserError

log = logging.getLogger("fsr")


def _upscale(options: argparse.Namespace) -> int:
    from bench.core.provenance import choose_device
    from bench.runs.upscale import (
        check_faces,
        choose_network,
        find_photos,
        make_recipe,
        unreadable,
        upscale,
        upscale_text,
    )

    for name in ("margin", "min_face"):
        if options.no_detect and getattr(options, name) is not None:
            raise UserError(f"--{name.replace('_', '-')}: not together with --no-detect, which looks for no face")
    device = choose_device(options.device)
    recipe = make_recipe(detect=not options.no_detect, margin=options.margin, min_face=options.min_face)
    photos, network = find_photos(options.photo, options.out), choose_network(options.run_folder)
    result = upscale(
        photos,
        network,
        recipe,
        options.out,
        device,
        size=options.size,
        everything=options.all,
        quiet=options.json or len(photos) == 1,
    )
    check_faces(result)
    files = [Path(file) for photo in result["photos"] for face in photo["faces"] for file in face["files"].values()]
    show(options, result, lambda: f"{upscale_text(result)}\n{written(files)}")
    if problem := unreadable(result):
        log.error("fsr: %s", problem)
    return 2 if problem else 0


def _add_upscale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", type=Path, nargs="+", metavar="PHOTO", help="photos, or folders of photos")
    parser.add_argument("--out", type=Path, default=Path("upscaled"), metavar="DIR", help="default: upscaled")
    parser.add_argument(
        "--run", dest="run_folder", type=Path, metavar="FOLDER", help="a finished run (default: the best committed one)"
    )
    parser.add_argument(
        "--size",
        type=int,
        default=16,
        metavar="N",
        help="side of the network's input in pixels (default: 16, which the networks were trained for)",
    )
    parser.add_argument("--all", action="store_true", help="write the network's input and the crop as well")
    parser.add_argument(
        "--margin", type=float, help="side of the crop over the longer side of the box (default: celeba's)"
    )
    parser.add_argument(
        "--min-face", type=int, metavar="N", help="side of the smallest face in pixels (default: celeba's)"
    )
    parser.add_argument(
        "--no-detect",
        action="store_true",
        help="a photo is one face: take its middle square, one of NxN pixels as it is",
    )
    add_device(parser)


COMMANDS = (Command("upscale", "super-resolve the faces of photos by a trained network", _upscale, _add_upscale),)
