"""`fsr score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from bench.cli import complete
from bench.cli.common import Data, Device, Json, Plugins, argument, option, several, show
from bench.core.errors import UserError


def score(
    method: Annotated[str | None, argument("METHOD", "its id, see `fsr methods`", complete.methods)] = None,
    *,
    weights: Annotated[
        Path | None, option("FILE", "weights.safetensors of a run (its options are read beside it)")
    ] = None,
    data: Data = None,
    split: Annotated[str | None, option("NAME", "train, val or test (default)")] = None,
    faces: Annotated[int | None, option("N", "at most so many faces")] = None,
    degradation: Annotated[
        str | None,
        option(
            "NAME",
            "how LR is made: pil-bicubic (default), matlab-bicubic, torch-antialias, area, no-antialias, real-world",
            complete=complete.degradations,
        ),
    ] = None,
    scale: Annotated[int | None, option("N", "of a method that is not trained: 2, 4, 8 (default) or 16")] = None,
    sr: Annotated[Path | None, option("DIR", "score these pictures (a folder or archive) instead")] = None,
    hr: Annotated[Path | None, option("DIR", "their originals, of the same names")] = None,
    lr: Annotated[Path | None, option("DIR", "what they were made from, of the same names")] = None,
    metric: Annotated[
        list[str],
        several(
            "NAME",
            "a metric (again for more), `all`, or pyiqa:<name> (default: psnr, ssim, niqe-pooled)",
            complete=complete.metrics,
        ),
    ],
    protocol: Annotated[
        str | None,
        option(
            "NAME", "a protocol (default: that of reported tables), a TOML file, or all", complete=complete.protocols
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
