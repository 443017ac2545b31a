"""What a network costs in numbers that no machine changes: parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry

from bench.core.errors import UserError
from bench.models import registry
from bench.models.meta import Mode, meta_device

HR_SIZE = 128  # networks are counted for one picture of this size


@dataclass(frozen=True)
class MultiplyAdds:
    """Multiply-adds of one output image: as the method is published, and as executed here."""

    published: int
    executed: int


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def count_multiply_adds(model: nn.Module, lr: Tensor) -> MultiplyAdds:
    """Count the multiply-adds of convolutions and matrix products for the input `lr` [1, 3, h, w].

    A layer that computes its published formula in a cheaper exact way gives the difference by a method
    `saved_multiply_adds(shape of its input)`; the published count adds it, so that it compares with the literature.
    """
    saved: list[int] = []

    def note(layer: Any, inputs: tuple[Tensor, ...], _: object) -> None:
        saved.append(layer.saved_multiply_adds(inputs[0].shape))

    hooks = [part.register_forward_hook(note) for part in model.modules() if hasattr(part, "saved_multiply_adds")]
    training = model.training
    model.eval()
    try:
        with _Counter() as counter:
            model(lr)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    executed = counter.operations // 2
    return MultiplyAdds(published=executed + sum(saved), executed=executed)


def count_method(method: str, options: Mapping[str, Any]) -> tuple[int, MultiplyAdds]:
    """Return the parameters of a method with these options, and the multiply-adds of one 128x128 output image.

    Counted on the meta device, or on the CPU where a method cannot run there.
    """
    size = HR_SIZE // int(options.get("scale", 8))

    def count() -> tuple[int, MultiplyAdds]:
        model = registry.build(method, options)
        return count_parameters(model), count_multiply_adds(model, torch.rand(1, 3, size, size))

    try:
        with meta_device():
            return count()
    except UserError:
        raise
    except Exception:
        return count()


class _Counter(Mode):
    """Add up floating-point operations by torch's own formulas, without its report by module."""

    operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.operations += formula(*args, **(kwargs or {}), out_val=out)
        return out
