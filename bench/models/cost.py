"""What a network costs: parameters, multiply-adds, seconds."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry

from bench.core.provenance import describe_device
from bench.models import registry
from bench.models.meta import Mode, meta_device, on_meta

HR_SIZE = 128  # networks are measured for pictures of this size
Dtype = Literal["float32", "bfloat16"]
_LEAST_PASSES = 5
_convolution = torch.ops.aten.convolution.default


@dataclass(frozen=True)
class MultiplyAdds:
    """Multiply-adds of one output image: as the method is published, and as executed here."""

    published: int
    executed: int


@dataclass(frozen=True)
class Latency:
    """Seconds of a forward pass of `batch` images: the median and interquartile range of so many `passes`."""

    median: float
    iqr: float
    passes: int
    batch: int
    threads: int
    device: str
    dtype: Dtype

    @property
    def images_per_second(self) -> float:
        """The throughput: images of a batch over the median."""
        return self.batch / self.median


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_multiply_adds(model: nn.Module, lr: Tensor) -> MultiplyAdds:
    """Count the multiply-adds of convolutions and matrix products for the input `lr` [1, 3, h, w].

    A layer that computes its published formula in a cheaper exact way gives the difference by a method
    `saved_multiply_adds(shape of its input)`; the published count adds it, so that it compares with the literature.
    """
    saved: list[int] = []

    def note(layer: Any, inputs: tuple[Tensor, ...], _: object) -> None:
        saved.append(layer.saved_multiply_adds(inputs[0].shape))

    hooks = [part.register_forward_hook(note) for part in model.modules() if hasattr(part, "saved_multiply_adds")]
    try:
        with forward(model, lr) as run, _Counter() as counter:
            run()
    finally:
        for hook in hooks:
            hook.remove()
    executed = counter.operations // 2
    return MultiplyAdds(published=executed + sum(saved), executed=executed)


def count_values(model: nn.Module, scale: int) -> int:
    """Return how many values the operations of `model`, built on the meta device, put out for one output image.

    0 for a network that reads values.
    """
    counter = _Values()
    with contextlib.suppress(Exception), meta_device():
        lr = torch.rand(1, 3, HR_SIZE // scale, HR_SIZE // scale)
        with forward(model, lr) as run, counter:
            run()
        return counter.values
    return 0


def count_method(method: str, options: Mapping[str, Any]) -> tuple[int, MultiplyAdds]:
    """Return the parameters of a method with these options, and the multiply-adds of one 128x128 output image."""
    size = HR_SIZE // int(options.get("scale", 8))

    def count() -> tuple[int, MultiplyAdds]:
        model = registry.build(method, options)
        return count_parameters(model), count_multiply_adds(model, torch.rand(1, 3, size, size))

    return on_meta(count)


def latency(model: nn.Module, lr: Tensor, dtype: Dtype = "float32", least_seconds: float = 1.0) -> Latency:
    """Time forward passes of the batch `lr` [B, 3, h, w] in evaluation mode, on the device of `lr`.

    After two passes to warm up (kernels are chosen, memory is fetched) passes are repeated for `least_seconds`, at
    least five times, with as many threads as torch is set to. See `forward` for `dtype`.
    """
    with forward(model, lr, dtype) as run:

        def seconds() -> float:
            start = time.perf_counter()
            run()
            if lr.device.type == "cuda":
                torch.cuda.synchronize(lr.device)
            return time.perf_counter() - start

        for _ in range(2):
            seconds()
        times = [seconds() for _ in range(_LEAST_PASSES)]
        while sum(times) < least_seconds:
            times.append(seconds())
    first, median, third = statistics.quantiles(times, n=4)
    device = describe_device(lr.device)
    return Latency(median, third - first, len(times), len(lr), torch.get_num_threads(), device, dtype)


def seconds_per_image(model: nn.Module, lr: Tensor, least_seconds: float | None = None) -> float:
    """Return the median wall time of a forward pass of one image [1, 3, h, w]; see `latency`.

    Measured for `least_seconds`, by default `$FSR_TIMING_SECONDS` or 1.
    """
    if least_seconds is None:
        least_seconds = float(os.environ.get("FSR_TIMING_SECONDS", "1"))
    return latency(model, lr, least_seconds=least_seconds).median


@contextlib.contextmanager
def forward(model: nn.Module, lr: Tensor, dtype: Dtype = "float32") -> Iterator[Callable[[], Any]]:
    """Give a function that runs `model` on `lr` as scoring does: evaluation mode, no gradients.

    "bfloat16" is torch's autocast, as in training: weights stay float32, and so does what a method keeps in float32.
    """

    @torch.no_grad()
    def run() -> Any:
        if dtype == "float32":
            return model(lr)
        with torch.autocast(lr.device.type, torch.bfloat16):
            return model(lr)

    training = model.training
    model.eval()
    try:
        yield run
    finally:
        model.train(training)


class _Counter(Mode):  # type: ignore[no-untyped-call]
    """Add up floating-point operations by torch's own formulas, without its slow report by module."""

    operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is _convolution:  # nearly all there are: torch's formula takes longer than the rest on meta
            x, weight, turned = args[0], args[1], args[6]
            self.operations += 2 * (x if turned else out).numel() * math.prod(weight.shape[1:])
        elif formula := flop_registry.get(func._overloadpacket):
            self.operations += formula(*args, **(kwargs or {}), out_val=out)
        return out


class _Values(Mode):  # type: ignore[no-untyped-call]
    """Add up the sizes of new tensors: what operations put out, not what they show anew or change in place."""

    values = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view and not func._schema.name.endswith("_"):
            parts = out if isinstance(out, tuple | list) else (out,)
            self.values += sum(part.numel() for part in parts if isinstance(part, Tensor))
        return out
