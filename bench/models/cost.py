"""What a network costs: parameters, multiply-adds, seconds an image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.models.latency import latency

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class MultiplyAdds:
    """Multiply-adds of one output image: as the method is published, and as executed here."""

    published: int
    executed: int


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def count_multiply_adds(model: nn.Module, lr: Tensor) -> MultiplyAdds:
    """Count the multiply-adds of convolutions and matrix products for the input `lr` [1, 3, h, w].

    A layer that computes its published formula in a cheaper exact way tells the difference by a method
    `saved_multiply_adds(shape of its input)`; the published count adds it, so that it compares with the literature.
    """
    saved: list[int] = []

    def note(layer: Any, inputs: tuple[Tensor, ...], _: object) -> None:
        saved.append(layer.saved_multiply_adds(inputs[0].shape))

    hooks = [part.register_forward_hook(note) for part in model.modules() if hasattr(part, "saved_multiply_adds")]
    training = model.training
    model.eval()
    try:
        with FlopCounterMode(display=False) as counter:
            model(lr)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    executed = counter.get_total_flops() // 2
    return MultiplyAdds(published=executed + sum(saved), executed=executed)


def seconds_per_image(model: nn.Module, lr: Tensor, least_seconds: float | None = None) -> float:
    """Return the median wall time of a forward pass of one image [1, 3, h, w]; `latency` measures it.

    Measured for `least_seconds`, by default `$FSR_TIMING_SECONDS` or 1.
    """
    if least_seconds is None:
        least_seconds = float(os.environ.get("FSR_TIMING_SECONDS", "1"))
    return latency(model, lr, least_seconds=least_seconds).median
