"""The two halves of pyramid attention against numerical derivatives, first and second."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from methods.layers.pyramid_attention import PyramidAttention, _Assemble, _Correlate, _diagonal_sum

SIZES, GRID = [(4, 3), (2, 2)], (4, 3)


def draw(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.rand(shape, generator=generator, dtype=torch.float64).requires_grad_()


def correlate(*inputs: Tensor) -> Tensor:
    return _Correlate.apply(*inputs, SIZES, GRID)


def assemble(*inputs: Tensor) -> Tensor:
    return _Assemble.apply(*inputs, SIZES, GRID)


def test_correlation() -> None:
    inputs = (draw(1, 2, 12), draw(1, 2, 16), draw(1, 16))
    assert gradcheck(correlate, inputs) and gradgradcheck(correlate, inputs, fast_mode=True)


def test_assembly() -> None:
    inputs = (draw(1, 16, 12), draw(1, 2, 16))
    assert gradcheck(assemble, inputs) and gradgradcheck(assemble, inputs, fast_mode=True)


def test_the_diagonal_sum_is_its_own_adjoint() -> None:
    x, y = draw(2, 4, 12), torch.rand(2, 4, 12, dtype=torch.float64)
    (_diagonal_sum(x, (2, 2), GRID) * y).sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad, _diagonal_sum(y, (2, 2), GRID))


def test_it_trains_under_autocast() -> None:
    layer, x = PyramidAttention(8), torch.randn(2, 8, 8, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    out.float().sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()
