"""How fast pyramid attention is beside the published loop over images: `fsr bench attention`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from bench.core.text_table import text_table
from bench.models.memory import MIB, extra_memory
from bench.speed.defaults import defaults
from bench.speed.timing import alternate, machine, note_of
from methods.layers.pyramid_attention import PyramidAttention

if TYPE_CHECKING:
    from torch import Tensor


def measure_attention(
    device: torch.device | str = "cpu", *, seconds: float = 5.0, shapes: Sequence[Sequence[int]] = (), channels: int = 0
) -> dict[str, Any]:
    """Time our layer and the published loop in turn, forward and forward with backward, and compare their memory.

    `shapes` are pairs of side and batch; each takes about twice `seconds`. Returns ratio (the smallest of the shapes':
    the loop's median seconds of forward and backward over ours), max_difference, and a part a shape: seconds, memory
    in MiB beyond weights and input, goal.
    """
    device, own = torch.device(device), defaults("attention")
    result, channels = machine(device), channels or own["channels"]
    parts = [_measure(side, batch, channels, device, seconds) for side, batch in shapes or own["shapes"]]
    goals = own["goal"].get(device.type, {}) if channels == own["channels"] else {}
    for part in parts:
        part["goal"] = goals.get(str(part["size"]))
        fast = part["goal"] is None or part["ratio"] >= part["goal"]
        part["within_goal"] = fast and part["memory_mib"] <= part["loop_memory_mib"]
    return {
        "ratio": min(part["ratio"] for part in parts),
        "max_difference": max(part["max_difference"] for part in parts),
        "within_goal": all(part["within_goal"] for part in parts),
        "channels": channels,
        "parts": parts,
        **result,
    }


def attention_text(result: Mapping[str, Any]) -> str:
    """Return the measurement as a table for a terminal."""
    head = ["features", "batch", "ms", "loop, ms", "ratio", "goal", "forward ms", "loop, ms", "MiB", "loop, MiB"]
    times = (("seconds", "loop_seconds"), ("forward_seconds", "loop_forward_seconds"))
    body = []
    for part in result["parts"]:
        both, forward = ([f"{part[key] * 1e3:.1f}" for key in keys] for keys in times)
        goal = "-" if part["goal"] is None else f"{part['goal']:g}"
        memory = [f"{part[key]:.0f}" for key in ("memory_mib", "loop_memory_mib")]
        shape = [f"{result['channels']}x{part['size']}x{part['size']}", str(part["batch"])]
        body.append([*shape, *both, f"{part['ratio']:.2f}", goal, *forward, *memory])
    lines = [
        f"pyramid attention on {result['device']}, float32: forward and backward, forward alone, memory",
        text_table(head, body),
        f"largest difference of the two: {result['max_difference']:.1e}",
    ]
    return "\n".join([*lines, *note_of(result)])


def attend(layer: PyramidAttention, x: Tensor) -> Tensor:
    """Compute what `layer` computes of [B, C, H, W], as published (Mei et al. 2020, PANet).

    The 3x3 patches of all levels become the kernels of a convolution, which correlates them with the query, and of a
    transposed convolution, which adds them up. Kernels differ from image to image, hence the loop.
    """
    return torch.cat([_attend_image(layer, image) for image in torch.split(x, 1)])


def _attend_image(layer: PyramidAttention, image: Tensor) -> Tensor:
    keys, values = [], []
    for scale in layer.scales:
        level = image
        if scale != 1:
            level = F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False)
        keys.append(_patches(layer.match(level)))
        values.append(_patches(layer.assembly(level)))
    kernels = torch.cat(keys)  # [L, C/2, 3, 3]
    norms = kernels.square().sum(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-4)
    scores = F.conv2d(layer.query(image), kernels / norms, padding=1) * layer.softmax_scale  # [1, L, H, W]
    if layer.scope == "joint":
        attention = scores.softmax(dim=1)
    else:
        levels = torch.split(scores, [len(level) for level in keys], dim=1)
        attention = torch.cat([level.softmax(dim=1) for level in levels], dim=1) / len(levels)
    return image + F.conv_transpose2d(attention, torch.cat(values), padding=1) / 4


def _patches(level: Tensor) -> Tensor:
    """Return the 3x3 patches of [1, C, h, w], zeros outside, as kernels [hw, C, 3, 3]."""
    return F.unfold(level, 3, padding=1)[0].t().reshape(-1, level.shape[1], 3, 3)


def _measure(side: int, batch: int, channels: int, device: torch.device, seconds: float) -> dict[str, Any]:
    torch.manual_seed(0)
    layer = PyramidAttention(channels).to(device)
    x = torch.randn(batch, channels, side, side, device=device, requires_grad=True)
    weight = torch.randn_like(x)
    forms: dict[str, Callable[[Tensor], Tensor]] = {"ours": layer, "loop": partial(attend, layer)}

    def train(name: str) -> None:
        (forms[name](x) * weight).sum().backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def infer(name: str) -> Tensor:
        return forms[name](x)

    both, forward = (alternate({name: partial(run, name) for name in forms}, seconds, device) for run in (train, infer))
    memory = {name: extra_memory(partial(train, name), device) / MIB for name in forms}
    return {
        "size": side,
        "batch": batch,
        "seconds": both["ours"],
        "loop_seconds": both["loop"],
        "ratio": both["loop"] / both["ours"],
        "forward_seconds": forward["ours"],
        "loop_forward_seconds": forward["loop"],
        "memory_mib": memory["ours"],
        "loop_memory_mib": memory["loop"],
        "max_difference": float((infer("ours") - infer("loop")).abs().max()),
    }
