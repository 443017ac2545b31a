"""How many runs should share a device: measured, for small batches leave a large GPU idle."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError, reason
from bench.models import registry

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench.runs.config import RunConfig

COUNTS = (1, 2, 4, 8)
_SECONDS = 5.0
_WORTH = 1.05  # more neighbours must bring at least so much
_FACES = 64  # enough for a batch


@dataclass(frozen=True)
class Packed:
    """What `count` runs side by side did: iterations a second of all together, and the memory (MiB) of all together.

    `error` tells why they could not.
    """

    count: int
    iterations_per_second: float
    memory: float
    error: str = ""


def measure(
    config: RunConfig, faces: np.ndarray, device: torch.device, count: int, seconds: float = _SECONDS
) -> Packed:
    """Train `config` in `count` processes at once for some seconds and add up; nothing is written."""
    context = multiprocessing.get_context("spawn")
    ready, told = context.Barrier(count), context.Queue()
    task = (config, faces[:_FACES], str(device), seconds, registry.plugins(), ready, told)
    workers = [context.Process(target=_train, args=task, daemon=True) for _ in range(count)]
    for worker in workers:
        worker.start()
    found = [told.get() for _ in workers]
    for worker in workers:
        worker.join()
    errors = [one for one in found if isinstance(one, str)]
    if errors:
        return Packed(count, 0.0, 0.0, errors[0])
    return Packed(count, sum(rate for rate, _ in found), sum(memory for _, memory in found))


def choose(tried: Sequence[Packed], there_is: float) -> int:
    """Return how many runs side by side are best, of those that did go on and fit into `there_is` MiB of memory.

    More neighbours are taken only where they bring more. Raises UserError when not even one run goes on.
    """
    if tried[0].error:
        raise UserError(f"--gpus-per-run auto: a single run does not go on ({tried[0].error})")
    best = tried[0]
    for one in tried[1:]:
        if one.error or one.memory > there_is:
            break
        if one.iterations_per_second > _WORTH * best.iterations_per_second:
            best = one
    return best.count


def best_count(config: RunConfig, faces: np.ndarray, device: torch.device) -> tuple[int, list[Packed]]:
    """Measure 1, 2, 4 and 8 runs side by side, until they no longer fit; return the best number and what was tried."""
    from bench.models.memory import memory_there_is

    there_is, tried = memory_there_is(device), []
    for count in COUNTS:
        tried.append(measure(config, faces, device, count))
        if tried[-1].error or tried[-1].memory * 2 > there_is:
            break
    return choose(tried, there_is), tried


def packing_text(tried: Sequence[Packed], best: int) -> str:
    """Return what was measured, a line a number of runs."""
    lines = ["runs side by side  iterations/s  MiB together"]
    for one in tried:
        figures = one.error or f"{one.iterations_per_second:12.1f}  {one.memory:12.0f}"
        lines.append(f"{one.count:>17}  {figures}{'  <- chosen' if one.count == best else ''}")
    return "\n".join(lines)


def _train(
    config: RunConfig, faces: np.ndarray, device: str, seconds: float, plugins: tuple[Path, ...], ready: Any, told: Any
) -> None:
    """Train for some seconds beside others, all from the same moment; tell iterations a second and memory."""
    import torch

    from bench.models.memory import peak_memory_of_process, reset_peak_memory
    from bench.runs.train import Trainee, batches_of

    try:
        torch.set_num_threads(1)
        for plugin in plugins:
            registry.add_plugin(plugin)
        where = torch.device(device)
        reset_peak_memory(where)
        trainee, batches = Trainee(config, where), batches_of(config, faces, where)
        trainee.step(*batches[0])
        trainee.check()
        ready.wait(timeout=120)
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            trainee.step(*batches[trainee.iteration])
        trainee.check()  # waits for the device
        told.put(((trainee.iteration - 1) / (time.perf_counter() - began), peak_memory_of_process(where)))
    except Exception as error:
        ready.abort()
        told.put(reason(error))
