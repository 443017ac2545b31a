"""What the machine can do and how busy it is."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_cores() -> float | None:
    """Return how many cores were busy on average in the last minute; None where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread for each operation."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Let Python not search for circles among objects: of a million that are kept, that takes as long as making them.

    Not for what holds pictures or networks in circles: they would stay.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
