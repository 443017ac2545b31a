"""What networks cost: counts against closed forms, times and memory against modules of known cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.models.cost import MultiplyAdds, count_multiply_adds, count_parameters, latency, seconds_per_image
from bench.models.memory import MIB, peak_memory
from bench.models.meta import meta_device, on_meta
from methods.layers.pyramid_attention import PyramidAttention


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads wait for each other where something else is at work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Attention(nn.Module):
    """Self-attention of pixels: softmax(x x^T) x, written out or by torch's own function."""

    def __init__(self, written_out: bool) -> None:
        super().__init__()
        self.written_out = written_out

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(2).transpose(1, 2)[:, None]  # [B, 1, HW, C]
        if self.written_out:
            return (pixels @ pixels.transpose(-1, -2)).softmax(-1) @ pixels
        return F.scaled_dot_product_attention(pixels, pixels, pixels)


class Sleeper(nn.Module):
    def forward(self, lr: Tensor) -> Tensor:
        time.sleep(0.005)
        return lr


class Allocator(nn.Module):
    """Hold 8 MiB of weights; allocate 40 and 24 MiB an image at once, then 8 when 40 are free again."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8 * MIB // 4))

    def forward(self, lr: Tensor) -> Tensor:
        first, second = (torch.ones(len(lr), mib * MIB // 4) for mib in (40, 24))
        del first
        third = torch.ones(len(lr), 8 * MIB // 4)
        return lr + second.amax() + third.amax()


class Everything(nn.Module):
    """Most operations whose shapes are inferred by rules of our own; returns the shapes on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 0), dilation=(1, 2), padding_mode="reflect")
        self.up = nn.ConvTranspose2d(8, 6, 4, stride=3, padding=1, output_padding=2, groups=2)
        self.line = nn.Conv1d(1, 1, 3, padding=1)
        self.norm, self.act = nn.BatchNorm2d(8), nn.PReLU(8)
        self.dense = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> list[torch.Size]:
        a = self.act(self.norm(self.down(x)))
        b = F.leaky_relu(self.up(a), 0.2, inplace=True)
        b *= F.interpolate(F.max_pool2d(a[:, :6], 3, 2, 1, 2), size=b.shape[-2:], mode="bilinear", align_corners=True)
        b *= b.amax((2, 3), keepdim=True)
        c = F.avg_pool2d(F.pad(b, (1, 2, 3, 0), mode="reflect"), 3, 2, 1, ceil_mode=True)
        d = F.interpolate(c, scale_factor=0.7, mode="bicubic") + c.mean((2, 3), keepdim=True)
        e = F.interpolate(d, size=(9, 7), mode="nearest").square().sum(1)[:, None] * d.new_ones(6, 1, 1)
        f = self.line(e.mean((2, 3)).unsqueeze(1)).sigmoid()
        g = torch.cat([e, f.view(len(e), -1, 1, 1).expand(-1, -1, 9, 7)], dim=-1).flatten(2)
        h = torch.baddbmm(g.new_zeros(len(g), 6, 6), g, g.transpose(1, 2)).softmax(1) @ g
        i = self.dense((h.clamp(0, 1).sqrt() / 2).transpose(1, 2)) - h.mean()
        j = F.pixel_shuffle((a * 255).int() >> 3, 2)
        k = F.pixel_unshuffle(j, 2)
        m = F.normalize(i.tanh().sin(), dim=1) + torch.linalg.vector_norm(h.abs().cos(), dim=(0, 2))[0]
        n = torch.fft.rfft2(e).abs()
        n = torch.complex(n, n).angle()  # of real numbers alone
        o = F.gelu(F.interpolate(a.roll((1, -1), (2, 3)), scale_factor=2, mode="bilinear", align_corners=True))
        p = F.layer_norm(o, o.shape[-1:]) * o.norm(dim=-1, keepdim=True)
        return [t.shape for t in (a, b, c, d, e, f, g, h, i, j, k, m, n, o, p)]


def executed(model: nn.Module, *shape: int) -> int:
    count = count_multiply_adds(model, torch.rand(shape))
    assert count.published == count.executed
    return count.executed


def test_shapes_and_counts_on_the_meta_device_are_the_cpu_s() -> None:
    def run() -> tuple[list[torch.Size], MultiplyAdds]:
        model, x = Everything().eval(), torch.rand(2, 3, 20, 17)
        return model(x), count_multiply_adds(model, x)

    with meta_device():
        on_meta_device = run()
    assert on_meta_device == run()
    with FlopCounterMode(display=False) as counter:
        Everything().eval()(torch.rand(2, 3, 20, 17))
    assert on_meta_device[1].executed == counter.get_total_flops() // 2


def test_what_reads_values_is_run_on_the_cpu() -> None:
    class Reader(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.mean().item() > 0 else x[:, :, :1])

    assert on_meta(lambda: executed(Reader(3, 8, 1), 1, 3, 16, 16)) == 16 * 16 * 3 * 8


def test_multiply_adds_of_convolutions() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 5, stride=2, padding=2))
    assert executed(net, 1, 3, 16, 12) == 16 * 12 * 3 * 8 * 9 + 8 * 6 * 8 * 16 * 25
    assert executed(net, 4, 3, 16, 12) == 4 * executed(net, 1, 3, 16, 12)
    assert executed(nn.Conv2d(8, 12, 3, padding=1, groups=4), 1, 8, 16, 16) == 16 * 16 * (8 // 4) * 12 * 9
    assert executed(nn.Conv2d(8, 8, (1, 7), padding=(0, 3), groups=8), 1, 8, 16, 16) == 16 * 16 * 8 * 7
    # A transposed convolution multiplies once for each of its inputs, however large its output is.
    assert executed(nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1), 1, 8, 16, 16) == 16 * 16 * 8 * 4 * 16
    assert executed(nn.ConvTranspose2d(8, 4, 4, stride=2, groups=2), 1, 8, 16, 16) == 16 * 16 * 8 * (4 // 2) * 16


@pytest.mark.parametrize("written_out", [True, False])
def test_multiply_adds_of_attention(written_out: bool) -> None:
    assert executed(Attention(written_out), 1, 8, 16, 10) == 2 * 160 * 160 * 8


def test_multiply_adds_of_pyramid_attention() -> None:
    """As published each product is of 3x3 patches; as executed here of pixels."""
    side, channels, inner = 16, 32, 16
    keys, pixels = sum(int(s * side) ** 2 for s in (1.0, 0.9, 0.8, 0.7, 0.6)), side**2
    around = pixels * channels * inner + keys * channels * inner + keys * channels * channels  # 1x1 convolutions
    count = count_multiply_adds(PyramidAttention(channels), torch.rand(1, channels, side, side))
    assert count.executed == around + keys * pixels * (inner + channels)
    assert count.published == around + keys * pixels * (inner + channels) * 9


def test_counting_leaves_the_network_as_it_was() -> None:
    layer = PyramidAttention(8).train()
    first, second = (count_multiply_adds(layer, torch.rand(1, 8, 10, 10)) for _ in range(2))
    assert first == second and layer.training and not layer._forward_hooks
    assert count_parameters(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))) == 3 * 8 * 9 + 8 + 8 + 8
    assert count_multiply_adds(Sleeper(), torch.rand(1, 3, 4, 4)) == MultiplyAdds(0, 0)


def test_latency_of_a_known_wait() -> None:
    model = Sleeper().train()
    found = latency(model, torch.rand(4, 3, 4, 4), least_seconds=0.2)
    assert 0.0045 < found.median < 0.015 and 0 <= found.iqr < 0.015
    assert found.passes >= 5 and found.images_per_second == pytest.approx(4 / found.median)
    assert (found.batch, found.threads, found.dtype, model.training) == (4, 1, "float32", True)
    assert found.device.endswith("1 thread")
    assert 0.0045 < seconds_per_image(model, torch.rand(1, 3, 4, 4), 0.0) < 0.015


def test_latency_runs_as_scoring_does() -> None:
    seen: set[tuple[Any, ...]] = set()

    class Spy(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            seen.add((self.training, torch.is_grad_enabled(), y.dtype, self.weight.dtype, torch.get_num_threads()))
            return y

    for dtype in ("float32", "bfloat16"):
        latency(Spy(3, 3, 1), torch.rand(1, 3, 4, 4), dtype, 0.01)  # type: ignore[arg-type]
    assert seen == {(False, False, dtype, torch.float32, 1) for dtype in (torch.float32, torch.bfloat16)}
    assert torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")


def test_peak_memory_of_known_allocations() -> None:
    model, lr = Allocator(), torch.rand(2, 3, 16, 16)
    one, two = peak_memory(model, lr[:1]), peak_memory(model, lr)
    assert one == pytest.approx(8 + 40 + 24, rel=0.01), "weights, and what is there at once"
    assert two == pytest.approx(8 + 2 * (40 + 24), rel=0.01)
    assert peak_memory(model, lr) == two, "the count repeats to the byte"
