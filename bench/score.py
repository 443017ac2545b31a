"""Score one method with one weights file on one data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import registry, weights
from bench.config import RunConfig
from bench.data.degrade import DEFAULT
from bench.data.store import open_split
from bench.errors import UserError
from bench.evaluate import evaluate
from bench.files import read_json
from bench.runs import Run, check_layout

if TYPE_CHECKING:
    import torch

UNITS = {"psnr": "dB", "ssim": ""}


def score_method(
    method: str,
    path: Path | None,
    dataset: str,
    split: str,
    faces: int | None,
    device: torch.device,
    *,
    degradation: str = DEFAULT,
    scale: int | None = None,
) -> dict[str, Any]:
    """Return mean scores and a row an image of `method` on the first `faces` faces of a prepared set.

    The options of the network are read from run.json beside the weights; `scale` is for methods without. LR is made by
    `degradation` (see bench.data.degrade). Raises UserError when a trained method comes without weights, the weights
    are another network's or for another scale, or the set has no ground truth.
    """
    spec = registry.get(method)
    if spec.trainable and path is None:
        raise UserError(f"method '{method}' is trained: give --weights results/<experiment>/<run>/weights.safetensors")
    config = _config_beside(path, method) if path else {}
    options = config.get("options") or registry.options(method, {"scale": scale} if scale else {})
    if scale and options.get("scale", scale) != scale:
        raise UserError(f"--scale {scale}: {path} was trained for scale {options['scale']}")
    if scale and scale not in spec.scales:
        raise UserError(f"--scale {scale}: method '{method}' supports {list(spec.scales)}")
    store = open_split(dataset, split)
    store.verify()
    if faces is not None and faces < 1:
        raise UserError(f"--faces {faces}: expected at least 1")
    count = min(faces or len(store), len(store))
    model = registry.build(method, options)
    if path is not None:
        weights.load_into(model, path)
    run = Run(Path(), RunConfig(method, options, int(options.get("scale", 8)), int(config.get("seed", 0)), "sparnet"))
    rows, _ = evaluate(run, model.to(device), store, count, device, degradation=degradation)
    metrics = [
        {
            "metric": metric,
            "unit": unit,
            "mean": float(np.mean([row["value"] for row in rows if row["metric"] == metric])),
            "n": count,
        }
        for metric, unit in UNITS.items()
    ]
    return {
        "method": method,
        "weights": str(path) if path else None,
        "dataset": dataset,
        "split": split,
        "fingerprint": store.fingerprint_of(count),
        "protocol": run.config.protocol,
        "scale": run.config.scale,
        "degradation": degradation,
        "metrics": metrics,
        "images": [{key: row[key] for key in ("image", "metric", "value")} for row in rows],
    }


def _config_beside(path: Path, method: str) -> dict[str, Any]:
    """Return the config in run.json beside a weights file; an empty one where there is no run.json."""
    record_path = path.parent / "run.json"
    if not record_path.exists():
        return {}
    record = read_json(record_path)
    check_layout(record, record_path)
    config = dict(record["config"])
    if config["method"] != method:
        raise UserError(f"{path}: weights of '{config['method']}', not of '{method}'")
    return config
