"""`fsr fit-niqe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import complete
from bench.cli.common import Json, Plugins, show
from bench.core.errors import UserError


def fit_niqe(
    *,
    out: Annotated[Path, typer.Option(metavar="FILE.json", help="where the parameters are written")],
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR|TAR", help="pristine pictures, a folder or archive")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="or a prepared data set", autocompletion=complete.data_sets),
    ] = None,
    split: Annotated[str | None, typer.Option(help="of the data set: train (default), val or test")] = None,
    faces: Annotated[int | None, typer.Option(metavar="N", help="at most so many faces of the data set")] = None,
    block: Annotated[int, typer.Option(metavar="N", help="side of the blocks in pixels, 96 as published")] = 96,
    stride: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="pixels from block to block (default: 32, as niqe-pooled and niqe-tiled lay them, so that faces are "
            "seen whole; published: --block)",
        ),
    ] = None,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.metrics.refit import refit_faces, refit_pictures, refit_text

    shape = {"block": block, "stride": min(block, 32) if stride is None else stride}
    if (pictures is None) == (data is None):
        raise UserError("give either --pictures or --data")
    if pictures is not None:
        if split or faces is not None:
            raise UserError("--split and --faces choose from --data, not from --pictures")
        found = refit_pictures(pictures, out, **shape)
    else:
        assert data is not None
        found = refit_faces(data, split or "train", faces, out, **shape)
    show(json, found, lambda: refit_text(found))
    return 0
