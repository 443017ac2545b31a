"""What networks cost: counts against closed forms, times and memory against modules of known cost, `fsr bench cost`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.core.errors import UserError
from bench.models import registry
from bench.models.cost import MultiplyAdds, count_multiply_adds, count_parameters, seconds_per_image
from bench.models.latency import latency
from bench.models.memory import MIB, peak_memory, training_memory
from bench.speed import cost as cost_table
from methods.layers.pyramid_attention import PyramidAttention
from tests.bench.cli.test_cli import error_of, run_json
from tests.bench.conftest import TINY

CPU = torch.device("cpu")


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


def executed(model: nn.Module, *shape: int) -> int:
    count = count_multiply_adds(model, torch.rand(shape))
    assert count.published == count.executed
    return count.executed


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
    assert found.runs * found.passes >= 5 and found.images_per_second == pytest.approx(4 / found.median)
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


def test_peak_memory_of_a_network() -> None:
    """Between two convolutions without a copy input and output are there, and all weights."""
    net = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1))
    one, many = (peak_memory(net, torch.rand(batch, 3, 64, 64)) for batch in (1, 16))
    activations = 2 * 64 * 64 * 64 * 4 / MIB
    assert one >= activations + count_parameters(net) * 4 / MIB
    assert 8 * one < many < 16 * one + 64
    assert peak_memory(net, torch.rand(16, 3, 64, 64), "bfloat16") < 0.8 * many


def test_memory_of_a_training_step(tiny: None) -> None:
    options = registry.options("tiny", {"width": 64.0})
    size = count_parameters(registry.build("tiny", options)) * 4 / MIB
    few, many = (training_memory("tiny", options, batch, CPU) for batch in (2, 8))
    assert few > 4 * size, "weights, gradients and Adam's two averages"
    assert many - few > 6 * 2 * 1024 * 16 * 16 * 4 / MIB, "features are kept for the way back"
    assert training_memory("tiny", options, 8, CPU) == many
    assert many > peak_memory(registry.build("tiny", options), torch.rand(8, 3, 16, 16))


def test_the_command(tiny: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_table, "BATCHES", (1, 4))
    arguments = ["bench", "cost", "bicubic", "tiny", "--plugin", str(TINY), "--option", "width=0.5", "--training"]
    found = run_json([*arguments, "--dtype", "bfloat16", "--device", "cpu"], capsys)
    assert (found["dtype"], found["threads"]) == ("bfloat16", 1) and found["device"] and found["environment"]["torch"]
    bicubic, tiny_ = found["methods"]
    assert (bicubic["parameters"], bicubic["multiply_adds"], bicubic["options"]) == (0, 0, {"scale": 8})
    assert bicubic["training_memory_mib"] == {}
    assert tiny_["options"]["width"] == 0.5 and tiny_["input"] == [16, 16]
    channels = 8
    assert tiny_["multiply_adds"] == 16 * 16 * 9 * channels * (3 + 3 * 64)
    for one in found["methods"]:
        assert one["error"] is None and one["device"] == found["device"]
        assert [time["batch"] for time in one["latency"]] == [1, 4] == [int(key) for key in one["peak_memory_mib"]]
        for time_ in one["latency"]:
            assert time_["median_ms"] > 0 and time_["iqr_ms"] >= 0 and time_["runs"] >= 1
            assert time_["images_per_second"] == pytest.approx(time_["batch"] * 1e3 / time_["median_ms"])
        assert one["peak_memory_mib"]["4"] > one["peak_memory_mib"]["1"] > 0
    assert tiny_["training_memory_mib"]["4"] > tiny_["peak_memory_mib"]["4"]
    text = cost_table.cost_text({**found, "load_before": 1.5})
    assert "bicubic" in text and "0.000" in text and "bfloat16" in text and "training 4 (MiB)" in text
    assert "not quiet" in text and "not quiet" not in cost_table.cost_text({**found, "load_before": 0.1})


def test_every_method_is_measured_when_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(cost_table, "_describe", lambda method, *_: seen.append(method))
    cost_table.measure_cost()
    assert seen == registry.names() and "bicubic" in seen


def test_a_method_that_fails_does_not_stop_the_others(
    tiny: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(model: nn.Module, *_: Any) -> Any:
        if count_parameters(model):
            raise RuntimeError("out of memory")
        return latency(model, torch.rand(1, 3, 16, 16), "float32", 0.0)

    monkeypatch.setattr(cost_table, "latency", no_memory)
    found = run_json(["bench", "cost", "tiny", "bicubic", "--plugin", str(TINY)], capsys, code=1)
    assert [one["error"] for one in found["methods"]] == ["RuntimeError: out of memory", None]
    assert "tiny: RuntimeError: out of memory" in cost_table.cost_text(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cost", "bicubicc"], "unknown method 'bicubicc': did you mean 'bicubic'?"),
        (["cost", "sparnet", "--option", "widht=0.5"], "no method has the option 'widht': did you mean 'width'?"),
        (["cost", "sparnet", "--option", "width=wide"], "option 'width': 'wide' given, expected a number"),
        (["cost", "sparnet", "--option", "width"], "--option width: expected name=value"),
        (["cost", "bicubic", "--option", "scale=3"], "scale=3: method 'bicubic' supports [2, 4, 8, 16]"),
        (["cost", "bicubic", "--dtype", "bfloat"], "did you mean 'bfloat16'?"),
        (["metrics", "bicubic"], "unexpected argument 'bicubic'; see `fsr bench metrics --help`"),
    ],
)
def test_what_was_asked_wrongly(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in error_of(["bench", *arguments], capsys)


def test_types_are_checked() -> None:
    with pytest.raises(UserError, match="dtype 'float16'"):
        cost_table.measure_cost(["bicubic"], dtype="float16")  # type: ignore[arg-type]
    assert cost_table.parse_options(["a=1", "b=joint", "c=[1, 2]"]) == {"a": 1, "b": "joint", "c": [1, 2]}
