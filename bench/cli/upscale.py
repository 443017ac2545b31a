"""`fsr upscale`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import Device, Json, Margin, Plugins, argument, option, show, written
from bench.core.errors import UserError

log = logging.getLogger("fsr")


def upscale(
    photo: Annotated[list[Path], argument("PHOTO", "photos, or folders of photos")],
    *,
    out: Annotated[Path, option("DIR", "where the faces are written")] = Path("upscaled"),
    run: Annotated[Path | None, option("FOLDER", "a finished run (default: the best committed one)")] = None,
    size: Annotated[int, option("N", "side of the network's input in pixels; networks were trained for 16")] = 16,
    everything: Annotated[bool, typer.Option("--all", help="write the network's input and the crop as well")] = False,
    margin: Margin = None,
    min_face: Annotated[int | None, option("N", "side of the smallest face in pixels (default: the card's)")] = None,
    no_detect: Annotated[
        bool,
        typer.Option("--no-detect", help="a photo is one face: take its middle square, one of NxN pixels as it is"),
    ] = False,
    device: Device = "auto",
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.cli.upscale_text import check_faces, unreadable, upscale_text
    from bench.core.provenance import choose_device
    from bench.runs import upscale as upscaling
    from bench.runs.photos import find_photos

    for name, value in (("--margin", margin), ("--min-face", min_face)):
        if no_detect and value is not None:
            raise UserError(f"{name}: not together with --no-detect, which looks for no face")
    chosen = choose_device(device)
    recipe = upscaling.make_recipe(detect=not no_detect, margin=margin, min_face=min_face)
    photos, network = find_photos(photo, out), upscaling.choose_network(run)
    quiet = json or len(photos) == 1
    result = upscaling.upscale(photos, network, recipe, out, chosen, size=size, everything=everything, quiet=quiet)
    check_faces(result)
    files = [Path(file) for found in result["photos"] for face in found["faces"] for file in face["files"].values()]
    show(json, result, lambda: f"{upscale_text(result)}\n{written(files)}")
    if problem := unreadable(result):
        log.error("fsr: %s", problem)
    return 2 if problem else 0
