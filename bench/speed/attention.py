"""How fast pyramid attention is beside the published loop over images: `fsr bench attention`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from tabulate import tabulate

from bench.models.memory import MIB, extra_memory
from bench.speed.reference_attention import attend
from bench.speed.timing import alternate, machine, medians, note_of

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS = 128
SHAPES = ((16, 16), (32, 4))  # side of the features, batch
GOALS = {"cpu": {16: 2.5, 32: 1.3}, "cuda": {16: 5.0, 32: 5.0}}  # the loop's time over ours, forward and backward


def measure_attention(
    device: torch.device | str = "cpu",
    *,
    seconds: float = 5.0,
    shapes: Sequence[tuple[int, int]] | None = None,
    channels: int = CHANNELS,
) -> dict[str, Any]:
    """Time our layer and the published loop in turn, forward and forward with backward, and compare their memory.

    `shapes` are pairs of side and batch; each takes about twice `seconds`. Returns ratio (the smallest of the shapes':
    the loop's median seconds of forward and backward over ours), max_difference, and a part a shape: seconds, memory
    in MiB beyond weights and input, goal.
    """
    device = torch.device(device)
    found = machine(device)
    parts = [_measure(side, batch, channels, device, seconds) for side, batch in shapes or SHAPES]
    return {
        "ratio": min(part["ratio"] for part in parts),
        "max_difference": max(part["max_difference"] for part in parts),
        "within_goal": all(part["within_goal"] for part in parts),
        "channels": channels,
        "parts": parts,
        **found,
    }


def attention_text(found: Mapping[str, Any]) -> str:
    """Return the measurement as a table for a terminal."""
    head = ["features", "batch", "ms", "loop, ms", "ratio", "goal", "forward ms", "loop, ms", "MiB", "loop, MiB"]
    body = [
        [
            f"{found['channels']}x{part['size']}x{part['size']}",
            str(part["batch"]),
            *(f"{part[key] * 1e3:.1f}" for key in ("seconds", "loop_seconds")),
            f"{part['ratio']:.2f}",
            "-" if part["goal"] is None else f"{part['goal']:g}",
            *(f"{part[key] * 1e3:.1f}" for key in ("forward_seconds", "loop_forward_seconds")),
            *(f"{part[key]:.0f}" for key in ("memory_mib", "loop_memory_mib")),
        ]
        for part in found["parts"]
    ]
    return "\n".join(
        [
            f"pyramid attention on {found['device']}, float32: forward and backward, forward alone, memory",
            tabulate(body, head, tablefmt="simple", disable_numparse=True),
            f"largest difference of the two: {found['max_difference']:.1e}",
            *note_of(found),
        ]
    )


def _measure(side: int, batch: int, channels: int, device: torch.device, seconds: float) -> dict[str, Any]:
    from methods.layers.pyramid_attention import PyramidAttention

    torch.manual_seed(0)
    layer = PyramidAttention(channels).to(device)
    x = torch.randn(batch, channels, side, side, device=device, requires_grad=True)
    weight = torch.randn_like(x)
    forms: dict[str, Callable[[Tensor], Tensor]] = {"ours": layer, "loop": lambda given: attend(layer, given)}

    def train(name: str) -> None:
        (forms[name](x) * weight).sum().backward()  # type: ignore[no-untyped-call]

    def infer(name: str) -> Tensor:
        with torch.no_grad():
            return forms[name](x)

    both = medians(alternate({name: partial(train, name) for name in forms}, seconds, device))
    forward = medians(alternate({name: partial(infer, name) for name in forms}, seconds, device))
    memory = {name: extra_memory(partial(train, name), device) / MIB for name in forms}
    goal = GOALS.get(device.type, {}).get(side) if channels == CHANNELS else None
    ratio = both["loop"] / both["ours"]
    return {
        "size": side,
        "batch": batch,
        "seconds": both["ours"],
        "loop_seconds": both["loop"],
        "ratio": ratio,
        "forward_seconds": forward["ours"],
        "loop_forward_seconds": forward["loop"],
        "memory_mib": memory["ours"],
        "loop_memory_mib": memory["loop"],
        "max_difference": float((infer("ours") - infer("loop")).abs().max()),
        "goal": goal,
        "within_goal": (goal is None or ratio >= goal) and memory["ours"] <= memory["loop"],
    }
