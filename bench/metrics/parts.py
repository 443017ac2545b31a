"""Work on few pictures at a time: their float64 copies stay in a core's cache, and cores work side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from bench.core.machine import one_thread

if TYPE_CHECKING:
    from torch import Tensor

_LOCK = threading.Lock()  # torch's number of threads is one for the whole process


def in_parts(score: Callable[..., Tensor], sides: Sequence[Any], count: int) -> Tensor:
    """Return score(*part) of every `count` rows of `sides`, concatenated; the parts run in torch's number of threads.

    `sides` are arrays or tensors of equal length. Each part has one thread, so that threads wait for each other once a
    call and not in every operation.
    """
    import torch

    parts = [[side[start : start + count] for side in sides] for start in range(0, len(sides[0]), max(1, count))]
    threads = min(torch.get_num_threads(), len(parts))
    if threads < 2:
        return torch.cat([score(*part) for part in parts])
    with _LOCK, one_thread(), ThreadPoolExecutor(threads) as pool:
        return torch.cat(list(pool.map(lambda part: score(*part), parts)))
