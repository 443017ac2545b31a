"""How fast training batches are made, beside a face at a time by PIL: `fsr bench data`."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bench.core.machine import one_thread
from bench.core.text_table import text_table
from bench.data.augment import Augment
from bench.data.batches import Batches, cut_faces, degrade_batch, draw_cuts
from bench.speed.defaults import check_batch, defaults
from bench.speed.published import PublishedFaces, write_files
from bench.speed.timing import alternate, machine, made_up_faces, note_of
from methods.layers.resample import upsample_8bit

_FACES = 256


def measure_data(device: torch.device | str = "cpu", *, batch: int = 16, seconds: float = 5.0) -> dict[str, Any]:
    """Time our batches and PIL's pipeline in turn for about `seconds`, on one core, ours on `device`.

    Both decode or look up a face, mirror it, cut and resize a random window and shrink it; PIL's also enlarges the
    small picture, which our networks do by themselves: `ratio_enlarged` counts that to our time as well. Returns
    ratio (of images a second), images_per_second, and the microseconds an image of our parts.
    """

    check_batch(batch)
    device, own = torch.device(device), defaults("data")
    faces, scale = made_up_faces(_FACES), own["scale"]
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        result = machine(device)
        theirs = PublishedFaces(write_files(faces, Path(folder)), scale=scale)
        ours = Batches(faces, batch=batch, scale=scale, seed=0, augment=Augment(), device=device)
        count, lr = max(1, 64 // batch), ours[0][0]
        runs = {
            "ours": lambda: deque((ours[k] for k in range(count)), maxlen=1),  # as a step keeps one batch alone
            "pil": lambda: [torch.stack(images) for images in zip(*(theirs[i] for i in range(batch)), strict=True)],
            "enlarge": lambda: upsample_8bit(lr, scale),
        }
        times = alternate(runs, seconds, device)
        parts = _parts(ours, batch, seconds / 4)
    mine, pil, enlarge = times["ours"] / count / batch, times["pil"] / batch, times["enlarge"] / batch
    goal = own["goal"].get(device.type)
    return {
        "ratio": pil / mine,
        "ratio_enlarged": pil / (mine + enlarge),
        "images_per_second": {"ours": 1 / mine, "pil": 1 / pil, "ours, enlarged": 1 / (mine + enlarge)},
        "microseconds": {**parts, "together": mine * 1e6, "enlarge": enlarge * 1e6},
        "batch": batch,
        "goal": goal,
        "within_goal": None if goal is None else pil / mine >= goal,
        **result,
    }


def data_text(result: Mapping[str, Any]) -> str:
    """Return the measurement as a table for a terminal."""
    rates = [[name, f"{rate:,.0f}"] for name, rate in result["images_per_second"].items()]
    goal = "" if result["goal"] is None else f" (goal: {result['goal']:g})"
    lines = [
        f"batches of {result['batch']} faces on {result['device']}",
        text_table(["", "images/s"], rates, align="lr"),
        f"ratio {result['ratio']:.1f}{goal}, {result['ratio_enlarged']:.1f} with the network's own enlargement",
        "microseconds an image: " + ", ".join(f"{name} {value:.1f}" for name, value in result["microseconds"].items()),
    ]
    return "\n".join([*lines, *note_of(result)])


def _parts(ours: Batches, batch: int, seconds: float) -> dict[str, float]:
    """Return microseconds an image of the parts of a batch."""
    chosen, draw = list(range(batch)), torch.Generator().manual_seed(0)
    cuts = draw_cuts(ours.augment, ours.faces.shape[-1], batch, draw)
    hr = cut_faces(ours.faces, chosen, cuts)
    runs = {
        "draw": lambda: draw_cuts(ours.augment, ours.faces.shape[-1], batch, draw),
        "cut": lambda: cut_faces(ours.faces, chosen, cuts),
        "degrade": lambda: degrade_batch(hr, ours.scale),
        "to float": lambda: hr.float() / 255,
    }
    return {name: value / batch * 1e6 for name, value in alternate(runs, seconds, ours.device).items()}
