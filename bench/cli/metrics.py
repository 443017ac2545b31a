"""What is done with metrics themselves: `fsr metrics`, `fsr fetch` and `fsr fit-niqe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.cli import complete
from bench.cli.common import Json, Plugins, argument, option, show
from bench.core.errors import UserError


def metrics(*, json: Json = False, plugin: Plugins) -> int:
    from bench.metrics.catalogue import describe_metrics, metrics_text

    records = describe_metrics()
    show(json, records, lambda: metrics_text(records))
    return 0


def fetch(
    what: Annotated[
        Literal["lpips", "facenet"],
        argument("WHAT", "lpips: AlexNet, VGG16 and their heads; facenet: of a file, see --from"),
    ],
    *,
    source: Annotated[
        Path | None,
        option(
            "FILE",
            "take this file instead of downloading: the archive of the package, or facenet-pytorch's weights",
            "--from",
        ),
    ] = None,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.metrics.fetch import fetch as fetch_weights
    from bench.metrics.fetch import fetch_text

    fetched = fetch_weights(what, source)
    show(json, fetched, lambda: fetch_text(fetched))
    return 0


def fit_niqe(
    *,
    out: Annotated[Path, option("FILE.json", "where the parameters are written")],
    pictures: Annotated[Path | None, option("DIR|TAR", "pristine pictures, a folder or archive")] = None,
    data: Annotated[str | None, option("NAME", "or a prepared data set", complete=complete.data_sets)] = None,
    split: Annotated[str | None, typer.Option(help="of the data set: train (default), val or test")] = None,
    faces: Annotated[int | None, option("N", "at most so many faces of the data set")] = None,
    block: Annotated[int, option("N", "side of the blocks in pixels, 96 as published")] = 96,
    stride: Annotated[
        int | None,
        option(
            "N",
            "pixels from block to block (default: 32, as niqe-pooled and niqe-tiled lay them, so that faces are "
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
        fitted = refit_pictures(pictures, out, **shape)
    else:
        assert data is not None
        fitted = refit_faces(data, split or "train", faces, out, **shape)
    show(json, fitted, lambda: refit_text(fitted))
    return 0
