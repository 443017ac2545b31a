"""What is done with metrics themselves: `fsr metrics`, `fsr fetch` and `fsr fit-niqe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bench.cli import complete
from bench.cli.common import Json, Plugins, argument, check_out_file, option, show
from bench.core.errors import UserError
from bench.core.limits import within
from bench.core.text_table import text_table


def metrics(*, json: Json = False, plugin: Plugins) -> int:
    from bench.metrics.catalogue import describe_metrics

    records = describe_metrics()
    show(json, records, lambda: metrics_text(records))
    return 0


def metrics_text(metrics: Sequence[Mapping[str, Any]]) -> str:
    """Return the metrics as two tables for a terminal: ours, then pyiqa's."""
    from bench.metrics import catalogue, pyiqa

    ours: list[list[str]] = []
    theirs: list[list[str]] = []
    for metric in metrics:
        better = "higher" if metric["higher_is_better"] else "lower"
        row = [metric["name"], metric["unit"], better, " ".join(metric["needs"]).upper() or "-"]
        source, caution, weights = (metric[key].rstrip(".") for key in ("source", "caution", "weights"))
        if metric["name"].startswith(catalogue.PYIQA):
            theirs.append([*row, "; ".join(filter(None, (weights, caution)))])
        else:
            ours.append([*row, ". ".join(filter(None, (source, caution))) + "."])
    head, widths = ["metric", "unit", "better", "needs"], [None] * 4 + [80]
    text = text_table([*head, ""], ours, widths=widths)
    if not theirs:
        return f"{text}\n\npyiqa has more metrics: {pyiqa.INSTALL} ({pyiqa.LICENCE})"
    note = (
        f"pyiqa's metrics ({pyiqa.LICENCE}, used where asked for alone), by these names or without `pyiqa:`\n"
        "offline: needs no weights; cached: has run here; download: gets its weights when it first scores"
    )
    return f"{text}\n\n{note}\n{text_table([*head, 'weights'], theirs, widths=widths)}"


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

    fetched = fetch_weights(what, source)
    lines = [
        f"{'written' if file['written'] else 'already there'}: {file['path']} "
        f"({file['bytes'] / 1e6:.2f} MB, sha256 {file['sha256'][:12]})"
        for file in fetched["files"]
    ]
    show(json, fetched, lambda: "\n".join([*lines, f"licence: {fetched['licence']}"]))
    return 0


def fit_niqe(
    *,
    out: Annotated[Path, option("FILE.json", "where the parameters are written")],
    pictures: Annotated[Path | None, option("DIR|TAR", "pristine pictures, a folder or archive")] = None,
    data: Annotated[str | None, option("NAME", "or a prepared data set", complete=complete.data_sets)] = None,
    split: Annotated[str | None, typer.Option(help="of the data set: train (default), val or test")] = None,
    faces: Annotated[int | None, option("N", "at most so many faces of the data set", rule=within(1, 10**9))] = None,
    block: Annotated[int, option("N", "side of the blocks in pixels, 96 as published", rule=within(2, 10_000))] = 96,
    stride: Annotated[
        int | None,
        option(
            "N",
            "pixels from block to block (default: 32, as niqe-pooled and niqe-tiled lay them, so that faces are "
            "seen whole; published: --block)",
            rule=within(2, 10_000),
        ),
    ] = None,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.metrics.niqe_fit import fit_faces, fit_files

    shape = {"block": block, "stride": min(block, 32) if stride is None else stride}
    if (pictures is None) == (data is None):
        raise UserError("give either --pictures or --data")
    check_out_file(out)
    if pictures is not None:
        if split or faces is not None:
            raise UserError("--split and --faces choose from --data, not from --pictures")
        fitted = fit_files(pictures, out, **shape)
    else:
        assert data is not None
        fitted = fit_faces(data, split or "train", faces, out, **shape)
    show(json, fitted, lambda: _fit_text(fitted))
    return 0


def _fit_text(fitted: Mapping[str, Any]) -> str:
    left = f" ({fitted['too_small']} smaller than a block were left out)" if fitted["too_small"] else ""
    return (
        f"{fitted['path']}: {fitted['blocks']:,} sharp blocks of {fitted['block']}x{fitted['block']}, "
        f"{fitted['stride']} pixels apart, of {fitted['pictures']:,} pictures{left}\n"
        f"parameter hash {fitted['pristine']}\n"
        f"score with: --metric {fitted['metrics'][0]}"
    )
