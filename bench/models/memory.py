"""How much memory a forward pass needs at its peak, how much a process has had, and how much there is.

What is counted are the bytes that torch's allocator has given out at one moment: weights, buffers, input, output,
everything in between and, in training, gradients and the optimiser's state. On CUDA that is `max_memory_allocated`, on
a CPU the allocations that torch's profiler records, which repeat to the byte. The resident memory of a process, which
also holds what libraries take past the allocator and what the C library keeps for later, grew by 1.2 to 2.3 times as
much for networks of this suite, and by up to a fifth more or less from process to process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.profiler import profile

from bench.models.cost import HR_SIZE, Dtype, forward

if TYPE_CHECKING:
    from torch import Tensor, nn

MIB = 2**20
_KEPT = 0.65
MOST_A_FACE = 256  # MiB that a face takes in the training of a large network


def peak_memory(model: nn.Module, lr: Tensor, dtype: Dtype = "float32") -> float:
    """Return the peak memory in MiB of a forward pass of `lr` [B, 3, h, w] as scoring runs it (see `cost.forward`)."""
    held = size_of([*model.parameters(), *model.buffers(), lr])
    with forward(model, lr, dtype) as run:
        run()  # what a first pass makes and keeps is not the second's
        return (held + extra_memory(run, lr.device)) / MIB


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


def memory_there_is(device: torch.device, *, free: bool = True) -> float:
    """Return the memory in MiB that runs on `device` can share: of the GPU, or of this machine (`free`: at present).

    0 where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / MIB
    name = "MemAvailable:" if free else "MemTotal:"
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    return 0.0


def least_training_memory(parameters: int, values: int, batch: int, faces: int, *, half: bool) -> float:
    """Return a bound in MiB that training cannot stay below: of a network with `values` put out for a face (0: few).

    It holds `faces` as bytes; a batch as bytes and twice as floats; of each weight also its gradient and two averages
    of Adam; and of each face of the batch part of what operations put out (in 16 bits with `half`), for the way back:
    networks of this suite keep 0.69 to 0.96 of it at the peak.
    """
    kept = _KEPT * (2 if half else 4) * batch * values
    return (3 * HR_SIZE**2 * (faces + 9 * batch) + 16 * parameters + kept) / MIB


def size_of(tensors: Iterable[Tensor]) -> int:
    """Return how many bytes tensors hold, memory that they share once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
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
    with profile(profile_memory=True) as recorded:  # torch.profiler would build a tree of all events, for seconds
        run()
    assert recorded.kineto_results is not None
    events = [event for event in recorded.kineto_results.events() if event.name() == "[memory]"]
    own = [event for event in events if event.device_type().name == "CPU"]
    total = peak = 0
    for event in sorted(own, key=lambda event: event.start_ns()):
        total += event.nbytes()
        peak = max(peak, total)
    return peak
