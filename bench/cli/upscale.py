"""`fsr upscale`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import (
    ChangedCode,
    Device,
    Json,
    Margin,
    Plugins,
    argument,
    check_out_folder,
    option,
    show,
    written,
)
from bench.core.errors import UserError
from bench.core.limits import within
from bench.data.cards import MIN_FACE

log = logging.getLogger("fsr")


def upscale(
    photo: Annotated[list[Path], argument("PHOTO", "photos, or folders of photos")],
    *,
    out: Annotated[Path, option("DIR", "where the faces are written")] = Path("upscaled"),
    run: Annotated[Path | None, option("FOLDER", "a finished run (default: the best committed one)")] = None,
    size: Annotated[
        int, option("N", "side of the network's input in pixels; networks were trained for 16", rule=within(8, 256))
    ] = 16,
    everything: Annotated[bool, typer.Option("--all", help="write the network's input and the crop as well")] = False,
    margin: Margin = None,
    min_face: Annotated[
        int | None,
        option("N", "least longer side of a face's box in pixels (default: the card's, 40)", rule=MIN_FACE),
    ] = None,
    min_probability: Annotated[
        float | None, option("P", "how sure of a face to be, 0 to 1 (default: 0.95)", rule=within(0, 1))
    ] = None,
    max_overlap: Annotated[
        float | None,
        option(
            "X",
            "how much of the smaller box two faces may share, else the likelier is taken (default: 0.4)",
            rule=within(0, 1),
        ),
    ] = None,
    no_detect: Annotated[
        bool,
        typer.Option("--no-detect", help="a photo is one face: take its middle square, one of NxN pixels as it is"),
    ] = False,
    changed_code: ChangedCode = False,
    device: Device = "auto",
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.cli.upscale_text import check_faces, check_readable, failures, upscale_text, warnings
    from bench.core.provenance import choose_device
    from bench.runs import upscale as upscaling
    from bench.runs.photos import find_photos

    how = {
        "--margin": margin, "--min-face": min_face, "--min-probability": min_probability, "--max-overlap": max_overlap
    }  # fmt: skip
    for name, value in how.items():
        if no_detect and value is not None:
            raise UserError(f"{name}: not together with --no-detect, which looks for no face")
    check_out_folder(out)
    chosen = choose_device(device)
    recipe = upscaling.make_recipe(
        detect=not no_detect, margin=margin, min_face=min_face, min_probability=min_probability
    )
    photos = find_photos(photo, out)
    check_readable(photos)
    network = upscaling.choose_network(run)
    network = network.with_changed_code() if changed_code else network
    result = upscaling.upscale(
        photos,
        network,
        recipe,
        out,
        chosen,
        size=size,
        most_overlap=upscaling.MOST_OVERLAP if max_overlap is None else max_overlap,
        everything=everything,
        quiet=json,
    )
    check_faces(result)
    files = [Path(file) for found in result["photos"] for face in found["faces"] for file in face["files"].values()]
    show(json, result, lambda: f"{upscale_text(result)}\n{written(files)}" if files else upscale_text(result))
    for line in warnings(result):
        log.warning("fsr: %s", line)
    for line in failures(result):
        log.error("fsr: %s", line)
    return 1 if failures(result) else 0
