"""How fast metrics are, beside pyiqa's, and how far the two are apart: `fsr bench metrics`."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.core.errors import UserError
from bench.core.text_table import text_table
from bench.data.degrade import degrade, upsample
from bench.metrics import pyiqa
from bench.metrics.catalogue import get_metric
from bench.metrics.niqe import pristine
from bench.metrics.parts import in_parts
from bench.metrics.protocol import DEFAULT_PROTOCOL, get_protocol
from bench.metrics.spec import Batch, Described
from bench.runs.evaluate import to_tensor
from bench.speed.timing import machine, note_of

if TYPE_CHECKING:
    from torch import Tensor

GOAL = 6.0  # seconds for 1,000 faces of 128x128 under PSNR, SSIM and NIQE, on two cores
METRICS = ("psnr", "ssim", "niqe")
_COLUMNS = {"seconds": ".2f", "pyiqa_seconds": ".2f", "ratio": ".1f", "max_difference": ".1e"}
_BATCH = 50
_Pairs = tuple[np.ndarray, np.ndarray]


def measure_metrics(faces: int = 1000, reference_faces: int | None = None) -> dict[str, Any]:
    """Time PSNR, SSIM (protocol sparnet) and NIQE (one block) on generated faces, in turn with pyiqa's.

    pyiqa gets the luma that the protocol compares and NIQE's published parameters, so that both compute one quantity;
    it is timed on the first `reference_faces` (default: all), which its seconds are scaled from and which the
    differences are over. Returns ratio (pyiqa's seconds over ours), max_difference, and the parts. Raises UserError
    without pyiqa.
    """
    if not pyiqa.is_installed():
        raise UserError(f"pyiqa is not installed: {pyiqa.INSTALL}")
    if faces < 1 or (reference_faces is not None and reference_faces < 1):
        raise UserError("faces: expected at least 1")
    before, pairs, compared = machine(torch.device("cpu")), _pairs(faces), min(reference_faces or faces, faces)
    parts = {name: _measure(name, pairs, compared) for name in METRICS}
    ours, theirs = (sum(part[key] for part in parts.values()) for key in ("seconds", "pyiqa_seconds"))
    return {
        "faces": faces,
        "reference_faces": compared,
        "seconds": ours,
        "pyiqa_seconds": theirs,
        "ratio": theirs / ours,
        "max_difference": max(part["max_difference"] for part in parts.values()),
        "goal_seconds": GOAL * faces / 1000,
        "within_goal": ours <= GOAL * faces / 1000,
        "parts": parts,
        **before,
    }


def metrics_text(found: Mapping[str, Any]) -> str:
    """Return the measurement as a table for a terminal."""
    body = [
        [name, *(f"{part[key]:{digits}}" for key, digits in _COLUMNS.items())]
        for name, part in {**found["parts"], "together": found}.items()
    ]
    head = ["metric", "s", "pyiqa, s", "ratio", "largest difference"]
    scaled = found["reference_faces"] < found["faces"]
    note = f"; pyiqa timed on {found['reference_faces']:,} of them and scaled" if scaled else ""
    word = "within" if found["within_goal"] else "over"
    return "\n".join(
        [
            f"{found['faces']:,} faces of 128x128 on {found['device']}, {found['threads']} threads{note}",
            text_table(head, body),
            f"{word} the goal of {found['goal_seconds']:g} s",
            *note_of(found),
        ]
    )


def _pairs(count: int) -> _Pairs:
    """Return pictures with detail at several sizes and what bicubic x8 makes of them: uint8 [count, 128, 128, 3]."""
    draw = torch.Generator().manual_seed(0)
    hr = np.empty((count, 128, 128, 3), np.uint8)
    for place in range(count):
        layers = [torch.randn(1, 3, size, size, generator=draw) * 35 for size in (4, 16, 64, 128)]
        enlarged = [torch.nn.functional.interpolate(layer, (128, 128), mode="bilinear") for layer in layers]
        hr[place] = (torch.stack(enlarged).sum(0)[0] + 128).clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return _without_ties(upsample(degrade(hr, 8), 8)), hr


def _without_ties(pictures: np.ndarray) -> np.ndarray:
    """Change the blue of pixels whose luma lies half-way between levels: pyiqa's float32 rounds those by chance."""
    tie = pictures.astype(int) @ [299, 587, 114] % 1000 == 500
    pictures[..., 2] ^= tie.astype(np.uint8)
    return pictures


def _measure(name: str, pairs: _Pairs, compared: int) -> dict[str, float]:
    ours, theirs = _ours(name), _theirs(name)
    warm = (pairs[0][:4], pairs[1][:4])
    ours(*warm)
    theirs(*warm)
    values, seconds = _timed(ours, pairs)
    reference, pyiqa_seconds = _timed(theirs, (pairs[0][:compared], pairs[1][:compared]))
    pyiqa_seconds *= len(pairs[0]) / compared
    return {
        "seconds": seconds,
        "pyiqa_seconds": pyiqa_seconds,
        "ratio": pyiqa_seconds / seconds,
        "max_difference": float(np.abs(values[:compared] - reference).max()),
    }


def _timed(score: Callable[[np.ndarray, np.ndarray], np.ndarray], pairs: _Pairs) -> tuple[np.ndarray, float]:
    start = time.perf_counter()
    parts = [score(pairs[0][at : at + _BATCH], pairs[1][at : at + _BATCH]) for at in range(0, len(pairs[0]), _BATCH)]
    return np.concatenate(parts), time.perf_counter() - start


def _ours(name: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    metric, rule = get_metric(name), get_protocol(DEFAULT_PROTOCOL)
    rule = dataclasses.replace(rule, window=dataclasses.replace(rule.window, clip=True))  # as pyiqa always does
    if isinstance(metric, Described):
        return lambda sr, _: metric.compare(metric.description.describe(sr))
    return lambda sr, hr: metric.compute(Batch(to_tensor(sr), to_tensor(hr), None, rule)).numpy()


def _theirs(name: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    from pyiqa import create_metric
    from scipy.io import savemat

    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        if name == "niqe":
            known, path = pristine(), Path(folder) / "parameters.mat"
            savemat(path, {"mu_prisparam": known.mean[None], "cov_prisparam": known.covariance})
            network = create_metric("niqe", device="cpu", pretrained_model_path=str(path))
            return lambda sr, _: network(to_tensor(sr)).reshape(-1).numpy()
        options = {"eps": 0.0} if name == "psnr" else {}
        network = create_metric(name, device="cpu", test_y_channel=False, **options)
    return lambda sr, hr: network(_compared(sr), _compared(hr)).numpy()


def _compared(pictures: np.ndarray) -> Tensor:
    """Return the luma that the protocol compares, float64 [B, 1, H, W] in [0, 1], made as fast as for our metrics."""
    rule = get_protocol(DEFAULT_PROTOCOL)
    return in_parts(lambda part: rule.compared(part, rule.psnr) / 255, (to_tensor(pictures),), 4)
