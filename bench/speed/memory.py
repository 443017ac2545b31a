"""How much memory a training step needs at its peak; models/memory.py says what is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.models.cost import HR_SIZE, Dtype
from bench.models.memory import MIB, extra_memory, size_of
from bench.runs.config import RunConfig, Training
from bench.runs.trainee import Trainee, batches_of


def training_memory(
    method: str, options: Mapping[str, Any], batch: int, device: torch.device, dtype: Dtype = "float32"
) -> float:
    """Return the peak memory in MiB of a training step with `batch` faces, by Adam and the method's own objective.

    The second step is measured, when the optimiser has its state.
    """
    training = Training(iterations=2, batch=batch, precision="bf16" if dtype == "bfloat16" else "fp32")
    config = RunConfig(method, options, int(options.get("scale", 8)), 0, "", training)
    faces = np.random.default_rng(0).integers(0, 256, (batch, HR_SIZE, HR_SIZE, 3), np.uint8)
    trainee, batches = Trainee(config, device), batches_of(config, faces, device)
    trainee.step(*batches[0])
    second = batches[1]
    return step_memory(trainee.model, trainee.optimiser, second, lambda: trainee.step(*second), device)


def step_memory(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Sequence[Tensor],
    step: Callable[[], Any],
    device: torch.device,
) -> float:
    """Return the peak memory in MiB of `step()`: weights, optimiser, batch, gradients and everything in between."""
    optimiser.zero_grad(set_to_none=True)  # a step begins with it; the profiler misses what is older than itself
    states = [value for state in optimiser.state.values() for value in state.values()]
    tensors = [value for value in (*states, *batch) if isinstance(value, Tensor)]
    held = size_of([*model.parameters(), *model.buffers(), *tensors])
    return (held + extra_memory(step, device)) / MIB
