"""Networks without weights: torch's meta device, on which a tensor has a shape and no values."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.utils._python_dispatch import TorchDispatchMode

from bench.core.errors import UserError

_T = TypeVar("_T")
_aten = torch.ops.aten
_DRAWN: tuple[Any, ...] = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.Linear)
_MOST_PARTS = 20_000


class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode of torch that does without its compiler, whose import takes a second."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


@contextlib.contextmanager
def meta_device() -> Iterator[None]:
    """Build and run networks for their shapes alone: no memory, no arithmetic, no gradients.

    What reads values raises NotImplementedError. torch infers many shapes with its compiler's Python code: the import
    and a millisecond an operation are more than `fsr methods` may take, so common operations have a rule here.
    torch.device("meta") as a context would send every call of Python code through a function, four times as many.
    """
    parts = itertools.count()

    def count(*_: Any) -> None:
        if next(parts) > _MOST_PARTS:
            raise UserError(f"a network of more than {_MOST_PARTS:,} layers is asked for; lower its options")

    hook = register_module_module_registration_hook(count)
    try:
        with torch.no_grad(), _undrawn(), _Meta():
            yield
    finally:
        hook.remove()


@contextlib.contextmanager
def _undrawn() -> Iterator[None]:
    """Let torch's layers draw no first weights: there is nothing to draw them into."""
    drawers = [(layer, layer.reset_parameters) for layer in _DRAWN]
    for layer in _DRAWN:
        layer.reset_parameters = lambda self: None
    try:
        yield
    finally:
        for layer, drawer in drawers:
            layer.reset_parameters = drawer


def on_meta(call: Callable[[], _T]) -> _T:
    """Return `call()` on the meta device, or on the CPU where what it builds and runs reads values."""
    try:
        with meta_device():
            return call()
    except UserError:
        raise
    except Exception:
        return call()


class _Meta(Mode):  # type: ignore[no-untyped-call]
    """Make every new tensor on the meta device, and infer shapes by the rules below."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        first = args[0] if args else None
        if func is _aten.lift_fresh.default:  # torch.tensor(...)
            return _new(args[0], args[0].shape)
        if "device" in given and not isinstance(first, Tensor):
            given["device"] = "meta"
        rule = _RULES.get(func)
        if rule is None or not getattr(first, "is_meta", True):
            return func(*args, **given)
        return rule(*args, **given)


def _new(x: Tensor, size: Sequence[int]) -> Tensor:
    return torch.empty(size, dtype=x.dtype, device="meta")  # faster than x.new_empty


def _in_place(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def _into(*_: Any, out: Tensor) -> Tensor:
    return out


def _same(x: Tensor, *_: Any) -> Tensor:
    return _new(x, x.shape)


def _broadcast(x: Tensor, other: Any, *_: Any, **__: Any) -> Tensor:
    if not isinstance(other, Tensor) or other.shape == x.shape:
        return _new(x, x.shape)
    sides = itertools.zip_longest(reversed(x.shape), reversed(other.shape), fillvalue=1)
    return _new(x, [b if a == 1 else a for a, b in sides][::-1])


def _reduce(x: Tensor, dims: list[int], keep: bool = False, *_: Any, **__: Any) -> Tensor:
    gone = {dim % x.dim() for dim in dims or range(x.dim())}
    return _new(x, [1 if dim in gone else n for dim, n in enumerate(x.shape) if keep or dim not in gone])


def _norm(x: Tensor, _: Any, dims: list[int], keep: bool = False, **__: Any) -> Tensor:
    return _reduce(x, dims, keep)


def _size_of(x: Tensor) -> Tensor:  # of complex numbers, too
    return torch.empty(x.shape, dtype=x.dtype.to_real(), device="meta")


def _concatenate(parts: list[Tensor], dim: int = 0) -> Tensor:
    size = list(parts[0].shape)
    size[dim] = sum(part.shape[dim] for part in parts)
    return _new(parts[0], size)


def _multiply(x: Tensor, other: Tensor) -> Tensor:
    return _new(x, [*x.shape[:-1], other.shape[-1]])


def _multiply_and_add(_: Tensor, x: Tensor, other: Tensor, **__: Any) -> Tensor:
    return _multiply(x, other)


def _convolve(
    x: Tensor, weight: Tensor, _: Any, stride: Any, padding: Any, dilation: Any, turned: bool, extra: Any, groups: int
) -> Tensor:
    sides = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, extra, strict=True)
    if turned:  # a transposed convolution
        size = [(n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, s, p, d, e in sides]
        return _new(x, [len(x), weight.shape[1] * groups, *size])
    return _new(x, [len(x), len(weight), *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d, _ in sides)])


def _pool(x: Tensor, kernel: list[int], stride: Any = (), padding: Any = (0, 0), ceil: bool = False, *_: Any) -> Tensor:
    sides = zip(x.shape[-2:], kernel, stride or kernel, padding, strict=True)
    size = [(n + 2 * p - k + (s - 1 if ceil else 0)) // s + 1 for n, k, s, p in sides]
    return _new(x, [*x.shape[:-2], *size])


def _pool_with_places(
    x: Tensor, kernel: list[int], stride: Any = (), padding: Any = (0, 0), dilation: Any = (1, 1), ceil: bool = False
) -> tuple[Tensor, Tensor]:
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    largest = _pool(x, reach, stride or kernel, padding, ceil)
    return largest, torch.empty(largest.shape, dtype=torch.int64, device="meta")


def _normalise(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _new(x, x.shape), _new(x, [0]), _new(x, [0])


def _pad(x: Tensor, padding: list[int]) -> Tensor:
    left, right, top, bottom = padding
    return _new(x, [*x.shape[:-2], x.shape[-2] + top + bottom, x.shape[-1] + left + right])


def _resize(x: Tensor, size: list[int], *_: Any) -> Tensor:
    return _new(x, [*x.shape[:2], *size])


def _to_pixels(x: Tensor, factor: int) -> Tensor:
    batch, channels, height, width = x.shape
    return _new(x, [batch, channels // factor**2, height * factor, width * factor])


def _to_channels(x: Tensor, factor: int) -> Tensor:
    batch, channels, height, width = x.shape
    return _new(x, [batch, channels * factor**2, height // factor, width // factor])


def _rules() -> dict[Any, Callable[..., Any]]:
    names: dict[Callable[..., Any], str] = {
        _in_place: "normal_ uniform_ zero_ fill_.Scalar add_.Tensor mul_.Tensor leaky_relu_ relu_",
        _into: "mul.out",
        _same: "leaky_relu relu _prelu_kernel sigmoid round clamp clamp_min sqrt reciprocal _softmax pow.Tensor_Scalar "
        "__rshift__.Scalar tanh cos sin gelu roll",
        _broadcast: "add.Tensor sub.Tensor mul.Tensor div.Tensor",
        _reduce: "mean.dim sum.dim_IntList amax",
        _norm: "linalg_vector_norm",
        _size_of: "abs",
        _concatenate: "cat",
        _multiply: "mm bmm",
        _multiply_and_add: "addmm baddbmm",
        _convolve: "convolution",
        _normalise: "native_batch_norm native_layer_norm",
        _pool: "avg_pool2d",
        _pool_with_places: "max_pool2d_with_indices",
        _pad: "reflection_pad2d",
        _to_pixels: "pixel_shuffle",
        _to_channels: "pixel_unshuffle",
        _resize: "upsample_nearest2d upsample_bilinear2d upsample_bicubic2d _upsample_bicubic2d_aa",
    }
    rules: dict[Any, Callable[..., Any]] = {}
    for rule, operations in names.items():
        for operation in operations.split():
            name, _, overload = operation.partition(".")
            rules[getattr(getattr(_aten, name), overload or "default")] = rule
    return rules


_RULES = _rules()
