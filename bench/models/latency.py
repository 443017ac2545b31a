"""How long a forward pass takes: torch's benchmark timer, which warms up and waits for the device."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from bench.core.provenance import describe_device

if TYPE_CHECKING:
    from torch import Tensor, nn

Dtype = Literal["float32", "bfloat16"]
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")
_LEAST_PASSES = 5


@dataclass(frozen=True)
class Latency:
    """Seconds of a forward pass: the median and interquartile range of `runs` timed blocks of `passes` passes each.

    Blocks are of one pass unless a pass is so short that reading the clock would count.
    """

    median: float
    iqr: float
    runs: int
    passes: int
    batch: int
    threads: int
    device: str
    dtype: str

    @property
    def images_per_second(self) -> float:
        """The throughput: images of a batch over the median."""
        return self.batch / self.median


def latency(model: nn.Module, lr: Tensor, dtype: Dtype = "float32", least_seconds: float = 1.0) -> Latency:
    """Time forward passes of the batch `lr` [B, 3, h, w] in evaluation mode, on the device of `lr`.

    After a warm-up passes are repeated for `least_seconds`, or for about five passes where those take longer, with as
    many threads as torch is set to. See `forward` for `dtype`.
    """
    threads = torch.get_num_threads()
    with forward(model, lr, dtype) as run, _current(lr.device):
        timer = _make_timer(run, threads)
        # Two passes to warm up (kernels are chosen, memory is fetched), the quicker of which tells how long to measure.
        pilot = min(timer.timeit(1).mean for _ in range(2))
        found = timer.blocked_autorange(min_run_time=max(least_seconds, _LEAST_PASSES * pilot))
    device = describe_device(lr.device)
    return Latency(found.median, found.iqr, len(found.times), found.number_per_run, len(lr), threads, device, dtype)


@contextlib.contextmanager
def forward(model: nn.Module, lr: Tensor, dtype: Dtype = "float32") -> Iterator[Callable[[], Any]]:
    """Give a function that runs `model` on `lr` as scoring does: evaluation mode, no gradients.

    "bfloat16" is torch's autocast, as in training: weights stay float32, and so does what a method keeps in float32.
    """
    cast = torch.autocast(lr.device.type, torch.bfloat16, enabled=dtype == "bfloat16")

    @torch.no_grad()
    def run() -> Any:
        with cast:
            return model(lr)

    training = model.training
    model.eval()
    try:
        yield run
    finally:
        model.train(training)


def _make_timer(run: Callable[[], Any], threads: int) -> Any:
    """Return torch's benchmark timer of `run`."""
    # Its import looks for a compiler and warns of a CUDA toolkit without a GPU, which is nobody's concern here.
    log = logging.getLogger("torch.utils.cpp_extension")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        from torch.utils.benchmark import Timer
    finally:
        log.setLevel(level)
    return Timer("run()", globals={"run": run}, num_threads=threads)


def _current(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Make a CUDA device the current one: the timer waits for that one alone."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
