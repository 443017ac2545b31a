from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from bench.core.errors import UserError
from bench.models import weights

safetensors = pytest.importorskip("safetensors.torch")


def tensors() -> dict[str, torch.Tensor]:
    return {
        "b": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "a": torch.tensor(7),
        "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "bf": torch.tensor([1.5], dtype=torch.bfloat16),
        "flag": torch.tensor([True, False]),
        "empty": torch.empty(0, 3),
        "nhwc": torch.arange(96.0).view(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
    }


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert torch.equal(tensor, other[name]), name


def test_the_library_reads_what_we_write(tmp_path: Path) -> None:
    weights.save(tmp_path / "w.safetensors", tensors(), {"run": "x"})
    assert_same(safetensors.load_file(tmp_path / "w.safetensors"), tensors())


def test_we_read_what_the_library_writes(tmp_path: Path) -> None:
    given = {name: tensor.contiguous() for name, tensor in tensors().items()}
    safetensors.save_file(given, tmp_path / "w.safetensors", {"run": "x"})
    found, metadata = weights.load(tmp_path / "w.safetensors")
    assert_same(found, given)
    assert metadata == {"run": "x"}


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    weights.save(path, tensors())
    whole = path.read_bytes()
    for length in (0, 4, 8, 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="not a whole safetensors file"):
            weights.load(path)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    torch.save({"a": 1}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="not a whole safetensors file"):
        weights.load(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), "lacks '1.bias' and 1 more"),
        (nn.Sequential(nn.Linear(2, 3, bias=False)), "has unknown '0.bias'"),
        (nn.Sequential(nn.Linear(2, 4)), "has another shape for '0.bias' and 1 more"),
    ],
)
def test_weights_of_another_network_are_named(tmp_path: Path, other: nn.Module, message: str) -> None:
    weights.save(tmp_path / "w.safetensors", nn.Sequential(nn.Linear(2, 3)).state_dict())
    with pytest.raises(UserError, match=message):
        weights.load_into(other, tmp_path / "w.safetensors")
