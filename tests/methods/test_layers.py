"""Layers against plain computations that share no code with them."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch.utils.flop_counter import FlopCounterMode

from bench.models import registry
from bench.speed.attention import attend
from methods.layers.cross_conv import ESEM, CrossConv
from methods.layers.eca import ECA, eca_kernel
from methods.layers.feature_enhancement import FEM
from methods.layers.pyramid_attention import PyramidAttention
from methods.layers.resample import upsample_8bit
from tests.bench.conftest import REAL, needs_photos


@pytest.mark.parametrize("scope", ["joint", "per-level"])
@pytest.mark.parametrize(("channels", "height", "width"), [(16, 16, 16), (8, 12, 20)])
def test_pyramid_attention_equals_the_published_loop(scope: str, channels: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    layer = PyramidAttention(channels, scope=scope)  # type: ignore[arg-type]
    x = torch.randn(3, channels, height, width, requires_grad=True)
    got, expected = layer(x), attend(layer, x)
    assert (got - expected).abs().max() < 1e-5
    weight = torch.randn_like(got)
    (one,), (other,) = torch.autograd.grad((got * weight).sum(), x), torch.autograd.grad((expected * weight).sum(), x)
    assert (one - other).abs().max() < 1e-4 * other.abs().max()


def test_pyramid_attention_has_798_keys_at_16x16() -> None:
    sizes = PyramidAttention(8).sizes(16, 16)
    assert sizes == [(16, 16), (14, 14), (12, 12), (11, 11), (9, 9)]
    assert sum(h * w for h, w in sizes) == 798


def test_saved_multiply_adds_are_the_published_form_s() -> None:
    layer, x = PyramidAttention(16), torch.randn(1, 16, 16, 16)
    with FlopCounterMode(display=False) as executed:
        layer(x)
    with FlopCounterMode(display=False) as published:
        attend(layer, x)
    difference = (published.get_total_flops() - executed.get_total_flops()) // 2
    # torch counts a transposed convolution's output, which is one pixel smaller than its kernel's reach on each side.
    assert layer.saved_multiply_adds(x.shape) == pytest.approx(difference, rel=1e-3)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("public", {8: 3, 32: 3, 48: 3, 64: 3, 96: 3, 128: 5, 256: 5}),
        ("nearest", {8: 1, 32: 3, 64: 3, 128: 3, 256: 5}),
        ("ceil", {8: 3, 32: 3, 64: 5, 128: 5, 256: 5}),
    ],
)
def test_eca_kernels(rule: str, expected: dict[int, int]) -> None:
    assert {channels: eca_kernel(channels, rule) for channels in expected} == expected  # type: ignore[arg-type]


def test_eca_against_numpy() -> None:
    layer, x = ECA(8), torch.randn(2, 8, 5, 4)
    weight = layer.conv.weight.detach().numpy().reshape(3)
    mean = np.pad(x.numpy().mean(axis=(2, 3)), ((0, 0), (1, 1)))
    logits = sum(weight[i] * mean[:, i : i + 8] for i in range(3))
    expected = x.numpy() / (1 + np.exp(-logits))[:, :, None, None]
    assert np.abs(layer(x).detach().numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("size", [3, 5])
def test_cross_convolution_is_a_convolution_with_a_plus_shaped_kernel(size: int) -> None:
    layer, x = CrossConv(4, size), torch.randn(2, 4, 9, 7)
    plus = torch.zeros(4, 4, size, size)
    plus[:, :, size // 2, :] += layer.row.weight[:, :, 0, :].detach()
    plus[:, :, :, size // 2] += layer.column.weight[:, :, :, 0].detach()
    assert torch.allclose(layer(x), F.conv2d(x, plus, layer.row.bias, padding=size // 2), atol=1e-5)


def test_esem_passes_each_quarter_through_one_block_more() -> None:
    """Equation 5: the first quarter reaches the fusion through no CCB, the last through three."""
    layer, seen = ESEM(16), []
    layer.fuse.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 16, 6, 6)
    layer(x)
    (joined,) = seen
    assert torch.equal(joined[:, :4], x[:, :4])
    first = layer.blocks[0](x[:, 4:])
    second = layer.blocks[1](first[:, 4:])
    third = layer.blocks[2](second[:, 4:])
    assert torch.equal(joined[:, 4:], torch.cat([first[:, :4], second[:, :4], third], dim=1))


def test_fem_against_equations_10_and_11() -> None:
    torch.manual_seed(0)
    layer = FEM(8, [(4, 1), (8, 0), (12, -1)])
    x, f1, f2, f3 = (torch.randn(2, c, s, s) for c, s in ((8, 8), (4, 16), (8, 8), (12, 4)))
    half = (f1[:, :, ::2, ::2] + f1[:, :, 1::2, ::2] + f1[:, :, ::2, 1::2] + f1[:, :, 1::2, 1::2]) / 4
    double = f3.repeat_interleave(2, 2).repeat_interleave(2, 3)
    aligned = [layer.refine[0].align.channels(half), f2, layer.refine[2].align.channels(double)]
    refined = [block.project(x - one) + x for block, one in zip(layer.refine, aligned, strict=True)]
    expected = x + layer.eca(layer.merge(torch.cat(refined, 1)))
    assert torch.allclose(layer(x, [f1, f2, f3]), expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 5, 16, 31])
@pytest.mark.parametrize("scale", [2, 3, 8, 16])
def test_bicubic_is_pils_to_the_last_bit(scale: int, size: int) -> None:
    draw = np.random.default_rng(scale * size)
    small = draw.integers(0, 256, (24, size, size, 3), dtype=np.uint8)
    small[8:16] = np.where(small[8:16] > 127, 255, 0)  # PIL clips between its two passes
    small[16:] = small[16:] // 4 + 90
    side = size * scale
    expected = np.stack([np.asarray(Image.fromarray(face).resize((side, side), Image.BICUBIC)) for face in small])
    lr = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255
    for sr in (upsample_8bit(lr, scale), registry.build("bicubic", {"scale": scale})(lr)):
        assert np.array_equal((sr * 255).round().byte().permute(0, 2, 3, 1).numpy(), expected)


@needs_photos
@pytest.mark.photos
def test_bicubic_is_pils_on_faces() -> None:
    with tarfile.open(REAL / "helen_test.tar") as archive:
        files = [archive.extractfile(member) for member in archive.getmembers()[:60]]
        photos = [Image.open(file).convert("RGB") for file in files if file]
    small = [ImageOps.fit(photo, (16, 16), Image.Resampling.BICUBIC) for photo in photos]
    expected = np.stack([np.asarray(face.resize((128, 128), Image.Resampling.BICUBIC)) for face in small])
    lr = torch.from_numpy(np.stack([np.asarray(face) for face in small])).permute(0, 3, 1, 2).float() / 255
    assert np.array_equal((upsample_8bit(lr, 8) * 255).round().byte().permute(0, 2, 3, 1).numpy(), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_bicubic_is_the_same_on_cuda() -> None:
    lr = torch.randint(0, 256, (64, 3, 16, 16)) / 255
    assert torch.equal(upsample_8bit(lr.cuda(), 8).cpu(), upsample_8bit(lr, 8))
