"""`fsr score` and `fsr metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import complete
from bench.cli.common import Data, Device, Json, Plugins, several, show
from bench.core.errors import UserError


def metrics(*, json: Json = False, plugin: Plugins) -> int:
    from bench.metrics.catalogue import describe_metrics, metrics_text

    found = describe_metrics()
    show(json, found, lambda: metrics_text(found))
    return 0


def score(
    method: Annotated[
        str | None,
        typer.Argument(metavar="METHOD", help="its id, see `fsr methods`", autocompletion=complete.methods),
    ] = None,
    *,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="weights.safetensors of a run (its options are read beside it)"),
    ] = None,
    data: Data = None,
    split: Annotated[str | None, typer.Option(metavar="NAME", help="train, val or test (default)")] = None,
    faces: Annotated[int | None, typer.Option(metavar="N", help="at most so many faces")] = None,
    degradation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="how LR is made: pil-bicubic (default), matlab-bicubic, torch-antialias, area, no-antialias, "
            "real-world",
            autocompletion=complete.degradations,
        ),
    ] = None,
    scale: Annotated[
        int | None, typer.Option(metavar="N", help="of a method that is not trained: 2, 4, 8 (default) or 16")
    ] = None,
    sr: Annotated[
        Path | None, typer.Option(metavar="DIR", help="score these pictures (a folder or archive) instead")
    ] = None,
    hr: Annotated[Path | None, typer.Option(metavar="DIR", help="their originals, of the same names")] = None,
    lr: Annotated[Path | None, typer.Option(metavar="DIR", help="what they were made from, of the same names")] = None,
    metric: Annotated[
        list[str],
        several(
            "NAME",
            "a metric (again for more), `all`, or pyiqa:<name> (default: psnr, ssim, niqe-pooled)",
            autocompletion=complete.metrics,
        ),
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="a protocol (default: that of reported tables), a TOML file, or all",
            autocompletion=complete.protocols,
        ),
    ] = None,
    device: Device = "auto",
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.analysis.score import score_method, score_pairs
    from bench.cli.score_text import score_text
    from bench.core.provenance import choose_device
    from bench.data.cards import default_dataset
    from bench.data.degrade import DEFAULT as DEFAULT_DEGRADATION
    from bench.metrics.catalogue import DEFAULT

    rules: dict[str, Any] = {"metrics": metric or DEFAULT} | ({"protocol": protocol} if protocol else {})
    of_a_method = {
        "weights": weights, "data": data, "split": split, "faces": faces, "degradation": degradation, "scale": scale
    }  # fmt: skip
    if sr:
        given = [f"--{name}" for name, value in of_a_method.items() if value is not None]
        if method or given:
            raise UserError(f"{method or given[0]}: not together with --sr, which scores pictures as they are")
        result = score_pairs(sr, hr, lr, **rules)
    elif hr or lr or not method:
        raise UserError("give a method (see `fsr methods`), or pictures: --sr FOLDER --hr FOLDER")
    else:
        result = score_method(
            method,
            weights,
            data or default_dataset(),
            split or "test",
            faces,
            choose_device(device),
            degradation=degradation or DEFAULT_DEGRADATION,
            scale=scale,
            **rules,
        )
    show(json, result, lambda: score_text(result))
    return 0
