"""How many runs should share a device: measured, for small batches leave a large GPU idle."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError, reason
from bench.core.parallel import place_sockets
from bench.core.text_table import text_table
from bench.models import registry
from bench.models.plugins import Plugin

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench.runs.config import RunConfig

log = logging.getLogger("fsr")
_WORTH = 1.05  # more neighbours must bring at least so much
_FACES = 64  # enough for a batch


def best_count(measure: Callable[[int], tuple[float, float]], available: float) -> int:
    """Return how many runs side by side are best: of 1, 2, 4 and 8, as long as they fit into `available` MiB.

    `measure(count)` gives iterations a second and memory (MiB) of all together. More neighbours are taken only where
    they bring more. Raises UserError when not even one run goes on.
    """
    best, best_rate, lines = 1, 0.0, []
    for count in (1, 2, 4, 8):
        try:
            rate, memory = measure(count)
        except Exception as error:
            if count == 1:
                raise UserError(f"--gpus-per-run auto: a single run does not go on ({reason(error)})") from None
            lines.append([count, reason(error)])
            break
        lines.append([count, f"{rate:.1f}", f"{memory:.0f}"])
        if memory > available:
            break
        if rate > _WORTH * best_rate:
            best, best_rate = count, rate
    table = text_table(["runs side by side", "iterations/s", "MiB together"], lines, align="r")
    log.info("%s\nchosen: %d", table, best)
    return best


def measure(
    config: RunConfig, faces: np.ndarray, device: torch.device, count: int, seconds: float = 5.0
) -> tuple[float, float]:
    """Train `config` in `count` processes at once; return iterations a second and memory (MiB) of all together."""
    place_sockets()
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(count, context) as pool:
        task = (config, faces[:_FACES], str(device), seconds, registry.plugins(), manager.Barrier(count))
        futures = [pool.submit(_train, *task) for _ in range(count)]
        errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise min(errors, key=lambda error: isinstance(error, BrokenBarrierError))  # that one only follows another
    rates, memory = zip(*(future.result() for future in futures), strict=True)
    return sum(rates), sum(memory)


def _train(
    config: RunConfig, faces: np.ndarray, device: str, seconds: float, plugins: tuple[Plugin, ...], start: Any
) -> tuple[float, float]:
    """Train beside others, all from the same moment; return iterations a second and memory. Nothing is written."""
    import torch

    from bench.models.memory import peak_memory_of_process, reset_peak_memory
    from bench.runs.trainee import Trainee, batches_of

    try:
        torch.set_num_threads(1)
        for plugin in plugins:
            registry.add_plugin(plugin)
        place = torch.device(device)
        reset_peak_memory(place)
        trainee, batches = Trainee(config, place), batches_of(config, faces, place)
        trainee.step(*batches[0])
        trainee.check()
    except BaseException:
        start.abort()
        raise
    start.wait(timeout=120)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        trainee.step(*batches[trainee.iteration])
    trainee.check()  # waits for the device
    return (trainee.iteration - 1) / (time.perf_counter() - began), peak_memory_of_process(place)
