"""Scores of one method on one face set, a row an image."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from bench.data.degrade import DEFAULT, degrade
from bench.errors import UserError
from bench.files import write_bytes
from bench.metrics.protocol import get_protocol
from bench.metrics.psnr import psnr
from bench.metrics.ssim import ssim

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.data.store import FaceStore
    from bench.runs import Run

BATCH = 16
METRICS = {"psnr": psnr, "ssim": ssim}


def low_resolution(hr: np.ndarray, scale: int, degradation: str = DEFAULT, seed: int = 0) -> np.ndarray:
    """Return the faces uint8 [N, H, W, 3] degraded, by default by PIL bicubic: uint8 [N, H/scale, W/scale, 3]."""
    return degrade(np.ascontiguousarray(hr), scale, degradation, seed)


def to_tensor(faces: np.ndarray, device: torch.device) -> Tensor:
    """Turn uint8 [N, H, W, 3] into float32 [N, 3, H, W] in [0, 1], channels last in memory."""
    return torch.from_numpy(np.array(faces)).to(device).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def super_resolve(model: nn.Module, lr: np.ndarray, device: torch.device) -> Iterator[Tensor]:
    """Yield the model's pictures for uint8 [N, h, w, 3], batch by batch: float [b, 3, H, W] on the device, unclamped.

    Always in float32 and in evaluation mode, whatever the training was.
    """
    model.eval()
    for start in range(0, len(lr), BATCH):
        yield model(to_tensor(lr[start : start + BATCH], device)).float()


def score_pictures(sr: Tensor, hr: np.ndarray, protocol: str) -> dict[str, list[float]]:
    """Score SR [b, 3, H, W] (float, [0, 1]) against HR uint8 [b, H, W, 3]: metric -> one value an image.

    Raises UserError when SR holds NaN or has another size.
    """
    rule = get_protocol(protocol)
    if not bool(torch.isfinite(sr).all()):
        raise UserError("the network's output holds NaN or infinity")
    truth = torch.from_numpy(np.array(hr)).to(sr.device).permute(0, 3, 1, 2)
    if sr.shape != truth.shape:
        raise UserError(f"the network's output has shape {list(sr.shape)}, expected {list(truth.shape)}")
    x, y = rule.to_luma(rule.to_uint8(sr)), rule.to_luma(truth)
    return {name: metric(x, y).tolist() for name, metric in METRICS.items()}


def psnr_of(model: nn.Module, hr: np.ndarray, protocol: str, scale: int, device: torch.device) -> float:
    """Return the mean PSNR in dB of the model over uint8 [N, H, W, 3]; NaN when its output is not finite."""
    rule, values = get_protocol(protocol), []
    lr, start = low_resolution(hr, scale), 0
    for sr in super_resolve(model, lr, device):
        if not bool(torch.isfinite(sr).all()):
            return math.nan
        truth = torch.from_numpy(np.array(hr[start : start + len(sr)])).to(device).permute(0, 3, 1, 2)
        values += psnr(rule.to_luma(rule.to_uint8(sr)), rule.to_luma(truth)).tolist()
        start += len(sr)
    return float(np.mean(values))


def evaluate(
    run: Run,
    model: nn.Module,
    store: FaceStore,
    count: int,
    device: torch.device,
    samples: int = 0,
    degradation: str = DEFAULT,
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Score `model` on the first `count` faces of `store`.

    Returns score rows (design: run, method, seed, dataset, fingerprint, image, metric, protocol, value) and the first
    `samples` super-resolved faces as uint8 [samples, H, W, 3]. Raises UserError for a real-world set, which has no
    ground truth.
    """
    if not store.has_truth:
        raise UserError(
            f"{store.dataset} has no ground truth: {' and '.join(METRICS)} cannot be had; it takes no-reference metrics"
        )
    config, rows, kept, start = run.config, [], [], 0
    hr, fingerprint = store.faces[:count], store.fingerprint_of(count)
    rule = get_protocol(config.protocol)
    for sr in super_resolve(model, low_resolution(hr, config.scale, degradation), device):
        scores = score_pictures(sr, hr[start : start + len(sr)], config.protocol)
        for offset in range(len(sr)):
            for metric, values in scores.items():
                rows.append(
                    {
                        "run": config.name,
                        "method": config.method,
                        "seed": config.seed,
                        "dataset": store.dataset,
                        "fingerprint": fingerprint,
                        "image": store.names[start + offset],
                        "metric": metric,
                        "protocol": config.protocol,
                        "value": values[offset],
                    }
                )
        if start < samples:
            kept.append(rule.to_uint8(sr).permute(0, 2, 3, 1).cpu().numpy())
        start += len(sr)
    pictures = np.concatenate(kept)[:samples] if kept else np.empty((0, *hr.shape[1:]), np.uint8)
    return rows, pictures


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write uint8 [H, W, 3] as a PNG file, in one step."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    write_bytes(path, out.getvalue())
