"""Timing side by side: what disturbs a machine then disturbs all that is compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from bench.core.machine import busy_cores, cores
from bench.core.provenance import describe_device, environment

QUIET = 0.25  # busy cores before a measurement, by the load average of the last minute
_LEAST_ROUNDS = 3


def alternate(
    runs: Mapping[str, Callable[[], Any]], seconds: float, device: torch.device | str = "cpu", *, warm: bool = False
) -> dict[str, float]:
    """Call functions in turn, round after round for about `seconds`, at least three rounds: name -> median seconds.

    A first round is not counted, unless the functions are `warm`.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in () if warm else runs.values():
        run()
    end = time.perf_counter() + seconds
    while len(next(iter(times.values()))) < _LEAST_ROUNDS or time.perf_counter() < end:
        for name, run in runs.items():
            times[name].append(seconds_of(run, device))
    return {name: statistics.median(values) for name, values in times.items()}


def seconds_of(run: Callable[[], Any], device: torch.device | str) -> float:
    """Return how long a call takes until the device has done its work."""
    wait(device)
    start = time.perf_counter()
    run()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device | str) -> None:
    """Wait until the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def machine(device: torch.device) -> dict[str, Any]:
    """Return what a measurement says of the machine; call it before the work, whose own load would count."""
    load = busy_cores()
    return {
        "device": describe_device(device),
        "threads": torch.get_num_threads(),
        "cores": cores(),
        "load_before": load,
        "quiet": None if load is None else load <= QUIET,
        "environment": environment(),
    }


def note_of(result: Mapping[str, Any]) -> list[str]:
    """Return the line that warns of a measurement on a machine that was not quiet, if it was not."""
    load = result["load_before"]
    if load is None or load <= QUIET:
        return []
    return [f"the machine was not quiet (load {load:.1f} on {result['cores']} cores): measure again"]


def made_up_faces(count: int, size: int = 128) -> np.ndarray:
    """Return pictures with detail at several sizes, uint8 [count, size, size, 3], about as hard to decode as faces."""
    draw = torch.Generator().manual_seed(0)
    layers = []
    for side, strength in ((4, 40.0), (16, 25.0), (64, 8.0), (size, 3.0)):
        layer = torch.randn(count, 3, side, side, generator=draw) * strength
        layers.append(torch.nn.functional.interpolate(layer, (size, size), mode="bilinear"))
    levels = torch.stack(layers).sum(0) + 128
    return levels.clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
