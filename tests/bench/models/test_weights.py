from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from bench.core.errors import UserError
from bench.models import weights

REFERENCE = Path(__file__).parents[3] / "results" / "reference"


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


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    given = tensors()
    given["tied"] = given["b"]
    weights.save(tmp_path / "w.safetensors", given, {"run": "x"})
    loaded, metadata = weights.load(tmp_path / "w.safetensors")
    assert metadata == {"run": "x"} and loaded.keys() == given.keys()
    for name, tensor in given.items():
        assert tensor.dtype == loaded[name].dtype and torch.equal(tensor, loaded[name]), name


def test_equal_weights_are_equal_bytes(tmp_path: Path) -> None:
    """A run that was killed and resumed writes the file of one that was not, whatever order its tensors came in."""
    given = tensors()
    weights.save(tmp_path / "w.safetensors", given, {"run": "x"})
    weights.save(tmp_path / "v.safetensors", dict(reversed(given.items())), {"run": "x"})
    assert (tmp_path / "w.safetensors").read_bytes() == (tmp_path / "v.safetensors").read_bytes()
    with pytest.raises(ValueError, match="one text of metadata"):
        weights.save(tmp_path / "w.safetensors", given, {"run": "x", "seed": "0"})


def test_committed_weights_load() -> None:
    """They were written by hand, in the order of names."""
    paths = sorted(REFERENCE.rglob("weights*.safetensors"))
    assert paths
    for path in paths:
        tensors, metadata = weights.load(path)
        assert metadata["run"] == path.parent.name and "head.conv.weight" in tensors


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    weights.save(path, tensors())
    whole = path.read_bytes()
    for length in (0, 4, 8, 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="not a whole safetensors file"):
            weights.load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    torch.save({"a": 1}, tmp_path / "w.safetensors")
    for path, message in (
        (tmp_path / "w.safetensors", "not a whole safetensors file"),
        (tmp_path / "no", "no such file"),
    ):
        with pytest.raises(UserError, match=message):
            weights.load(path)


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
