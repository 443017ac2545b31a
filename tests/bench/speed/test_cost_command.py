"""`fsr bench cost`, and the memory of a training step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from bench.models import registry
from bench.models.cost import count_parameters, latency
from bench.models.memory import MIB, peak_memory
from bench.speed import cost as cost_table
from bench.speed.memory import training_memory
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
    for record in found["methods"]:
        assert record["error"] is None
        assert (
            [time["batch"] for time in record["latency"]] == [1, 4] == [int(key) for key in record["peak_memory_mib"]]
        )
        for time_ in record["latency"]:
            assert time_["median_ms"] > 0 and time_["iqr_ms"] >= 0 and time_["passes"] >= 5
            assert time_["images_per_second"] == pytest.approx(time_["batch"] * 1e3 / time_["median_ms"])
        assert record["peak_memory_mib"]["4"] > record["peak_memory_mib"]["1"] > 0
    assert tiny_["training_memory_mib"]["4"] > tiny_["peak_memory_mib"]["4"]
    text = cost_table.cost_text({**found, "load_before": 1.5})
    assert "bicubic" in text and "0.000" in text and "bfloat16" in text and "training 4 (MiB)" in text
    assert "not quiet" in text and "not quiet" not in cost_table.cost_text({**found, "load_before": 0.1})


def test_a_method_that_fails_does_not_stop_the_others(
    tiny: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(model: nn.Module, *_: Any) -> Any:
        if count_parameters(model):
            raise RuntimeError("out of memory")
        return latency(model, torch.rand(1, 3, 16, 16), "float32", 0.0)

    monkeypatch.setattr(cost_table, "latency", no_memory)
    found = run_json(["bench", "cost", "tiny", "bicubic", "--plugin", str(TINY)], capsys, code=1)
    assert [record["error"] for record in found["methods"]] == ["RuntimeError: out of memory", None]
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


def test_values_of_options_are_toml_or_texts() -> None:
    assert cost_table.parse_options(["a=1", "b=joint", "c=[1, 2]"]) == {"a": 1, "b": "joint", "c": [1, 2]}
