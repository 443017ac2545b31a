"""How much memory a forward pass or a training step needs at its peak.

What is counted are the bytes that torch's allocator has given out at one moment: weights, buffers, input, output,
everything in between and, in training, gradients and the optimiser's state. On CUDA that is `max_memory_allocated`, on
a CPU the allocations that torch's profiler records, which repeat to the byte. The resident memory of a process, which
also holds what libraries take past the allocator and what the C library keeps for later, grew by 1.2 to 2.3 times as
much for networks of this suite, and by up to a fifth more or less from process to process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench.models.latency import Dtype, forward

if TYPE_CHECKING:
    from torch import Tensor, nn

MIB = 2**20


def peak_memory(model: nn.Module, lr: Tensor, dtype: Dtype = "float32") -> float:
    """Return the peak memory in MiB of a forward pass of `lr` [B, 3, h, w] as scoring runs it (see `forward`)."""
    held = size_of([*model.parameters(), *model.buffers(), lr])
    with forward(model, lr, dtype) as run:
        run()  # what a first pass makes and keeps is not the second's
        return (held + extra_memory(run, lr.device)) / MIB


def training_memory(
    method: str, options: Mapping[str, Any], batch: int, device: torch.device, dtype: Dtype = "float32"
) -> float:
    """Return the peak memory in MiB of a training step with `batch` faces, by Adam and the method's own objective.

    The second step is measured, when the optimiser has its state.
    """
    import numpy as np

    from bench.runs.config import RunConfig, Training
    from bench.runs.train import Trainee, batches_of

    training = Training(iterations=2, batch=batch, precision="bf16" if dtype == "bfloat16" else "fp32")
    config = RunConfig(method, options, int(options.get("scale", 8)), 0, "sparnet", training)
    faces = np.random.default_rng(0).integers(0, 256, (batch, 128, 128, 3), np.uint8)
    trainee, batches = Trainee(config, device), batches_of(config, faces, device)
    trainee.step(*batches[0])
    trainee.optimiser.zero_grad(
        set_to_none=True
    )  # a step begins with it; the profiler misses what is older than itself
    given = batches[1]
    states = [value for state in trainee.optimiser.state.values() for value in state.values()]
    held = size_of([*trainee.model.parameters(), *trainee.model.buffers(), *_tensors([*states, *given])])
    return (held + extra_memory(lambda: trainee.step(*given), device)) / MIB


def reset_peak_memory(device: torch.device) -> None:
    """Begin to watch the memory of this process anew, for `peak_memory_of_process`."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):  # not Linux, or not allowed
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_of_process(device: torch.device) -> float:
    """Return the most memory in MiB that this process has had since `reset_peak_memory`.

    On CUDA what torch's allocator has given out, on a CPU what is resident, libraries included (0 where the system does
    not tell).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def memory_there_is(device: torch.device) -> float:
    """Return the memory in MiB that runs on `device` can share: of the GPU, or what is free on this machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / MIB
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 1024
    return 0.0


def size_of(tensors: Iterable[Tensor]) -> int:
    """Return how many bytes tensors hold, memory that they share once."""
    storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
    return sum(storages.values())


def extra_memory(run: Callable[[], Any], device: torch.device) -> int:
    """Return how many bytes more than before are allocated at the peak of `run()`."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    return _extra_on_cpu(run)


def _extra_on_cpu(run: Callable[[], Any]) -> int:
    """Return the highest sum of allocations less releases, in the order in which the profiler saw them."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's library writes its own log to standard error
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as recorded:
        run()
    assert recorded.profiler is not None and recorded.profiler.kineto_results is not None
    events = [one for one in recorded.profiler.kineto_results.events() if one.name() == "[memory]"]
    own = [one for one in events if one.device_type().name == "CPU"]
    total = peak = 0
    for event in sorted(own, key=lambda one: one.start_ns()):
        total += event.nbytes()
        peak = max(peak, total)
    return peak


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    return [one for one in values if isinstance(one, torch.Tensor)]
