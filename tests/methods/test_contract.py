"""What every method must do, run over the whole registry and over the tests' own plug-in.

The next method is held to all of this without a line of test.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from bench.models import registry, weights

registry.add_plugin(Path(__file__).parents[1] / "tiny_method.py")
METHODS = registry.names()
TRAINABLE = [name for name in METHODS if registry.get(name).trainable]
SIZE = 128


def build(method: str, scale: int = 8) -> nn.Module:
    """Build a method, narrow where it can be, with weights that are the same each time."""
    torch.manual_seed(0)
    small = {"width": 0.125} if "width" in registry.options(method) else {}
    return registry.build(method, {"scale": scale, **small})


def pictures(count: int = 2, scale: int = 8) -> torch.Tensor:
    """Return pictures whose values are whole grey levels, as all LR pictures are."""
    draw = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, 3, SIZE // scale, SIZE // scale), generator=draw).float() / 255


@pytest.mark.parametrize("method", METHODS)
def test_it_multiplies_each_side_by_its_scale(method: str) -> None:
    for scale in registry.get(method).scales:
        if scale in (4, 8):
            with torch.no_grad():
                sr = build(method, scale).eval()(pictures(2, scale))
            assert sr.shape == (2, 3, SIZE, SIZE), scale
            assert sr.dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
def test_black_white_and_noise_give_numbers_near_the_range(method: str) -> None:
    model = build(method).eval()
    noise = pictures(1)
    with torch.no_grad():
        sr = model(torch.cat([torch.zeros_like(noise), torch.ones_like(noise), noise]))
    assert torch.isfinite(sr).all()
    assert sr.min() > -1 and sr.max() < 2


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_and_input_give_the_same_picture(method: str) -> None:
    lr = pictures()
    with torch.no_grad():
        one, other = build(method).eval()(lr), build(method).eval()(lr)
    assert torch.equal(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_of_one_equals_its_row_of_a_batch(method: str) -> None:
    model, lr = build(method).eval(), pictures(3)
    with torch.no_grad():
        assert torch.allclose(model(lr[1:2]), model(lr)[1:2], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_memory_layout_does_not_matter(method: str) -> None:
    model, lr = build(method).eval(), pictures()
    with torch.no_grad():
        plain = model(lr)
        model = model.to(memory_format=torch.channels_last)
        assert torch.allclose(model(lr.contiguous(memory_format=torch.channels_last)), plain, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_is_close_to_float32(method: str) -> None:
    model, lr = build(method).eval(), pictures()
    with torch.no_grad():
        plain = model(lr)
        with torch.autocast("cpu", torch.bfloat16):
            short = model(lr).float()
    assert (short - plain).abs().mean() < 0.01
    assert (short - plain).abs().max() < 0.1


@pytest.mark.parametrize("method", METHODS)
def test_weights_survive_a_safetensors_file(method: str, tmp_path: Path) -> None:
    model, lr = build(method), pictures()
    weights.save(tmp_path / "w.safetensors", model.state_dict())
    torch.manual_seed(7)
    other = build(method)
    for tensor in other.state_dict().values():
        tensor.zero_()
    weights.load_into(other, tmp_path / "w.safetensors")
    with torch.no_grad():
        assert torch.equal(model.eval()(lr), other.eval()(lr))


@pytest.mark.parametrize("method", TRAINABLE)
def test_the_gradient_reaches_every_parameter(method: str) -> None:
    model = build(method).train()
    lr, hr = pictures(), torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    own = getattr(model, "training_loss", None)
    loss = own(lr, hr) if own else nn.functional.l1_loss(model(lr), hr)
    loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("method", METHODS)
def test_it_says_who_it_is(method: str) -> None:
    spec = registry.get(method)
    assert spec.title and 1980 < spec.year < 2100 and spec.scales
    assert method == "tiny" or spec.paper or method == "bicubic"
