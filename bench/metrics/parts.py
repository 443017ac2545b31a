"""Work on few pictures at a time: their float64 copies stay in a core's cache, and cores work side by side."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from bench.core.machine import one_thread

if TYPE_CHECKING:
    from torch import Tensor

_LOCK = threading.RLock()  # torch's number of threads is one for the whole process
_side_by_side = 0  # parts, while every operation has one thread; else 0


@contextlib.contextmanager
def small_operations() -> Iterator[None]:
    """Let torch use one thread an operation, and in_parts as many as it had.

    Threads that share an operation wait for each other at its end, most of all on a machine that is busy.
    """
    global _side_by_side
    import torch

    with _LOCK:
        before, _side_by_side = _side_by_side, _side_by_side or torch.get_num_threads()
        try:
            with one_thread():
                yield
        finally:
            _side_by_side = before


def in_parts(score: Callable[..., Tensor], sides: Sequence[Any], count: int) -> Tensor:
    """Return score(*part) of every `count` rows of `sides`, concatenated; the parts run in torch's number of threads.

    `sides` are arrays or tensors of equal length. Each part has one thread.
    """
    import torch

    parts = [[side[start : start + count] for side in sides] for start in range(0, len(sides[0]), max(1, count))]
    with small_operations():
        if (threads := min(_side_by_side, len(parts))) < 2:
            return torch.cat([score(*part) for part in parts])
        with ThreadPoolExecutor(threads) as pool:
            return torch.cat(list(pool.map(lambda part: score(*part), parts)))
