from __future__ import annotations

import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
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


def test_other_files_are_named_and_refused(tmp_path: Path) -> None:
    """Whatever their suffix is: authors call torch checkpoints .pth, .pt, .ckpt, .bin and .pth.tar."""

    class Own:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "code-was-run",))

    state = nn.Linear(2, 3).state_dict()
    torch.save({"a": 1}, tmp_path / "w.safetensors")
    torch.save({"state_dict": state, "args": Own()}, tmp_path / "python.pth")
    torch.save(nn.Linear(2, 3), tmp_path / "module.pt")
    torch.save(state, tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:700])
    torch.save(state, tmp_path / "cut.ckpt", _use_new_zipfile_serialization=False)
    (tmp_path / "cut.ckpt").write_bytes((tmp_path / "cut.ckpt").read_bytes()[:400])
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    torch.save({0: torch.ones(1), 1: torch.ones(1)}, tmp_path / "numbered.pth")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("net.txt", "x")
    for name, content in {
        "pointer.safetensors": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "page.pth": b"\n<!DOCTYPE html><html><title>Download anyway</title></html>",
        "error.pt": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        "w.pkl": pickle.dumps({"a": 1}),
        "w.onnx": b"\x08\x08\x12\x07pytorch",
        "w.h5": b"\x89HDF\r\n\x1a\n",
        "w.tar.gz": b"\x1f\x8b\x08",
        "zeros.pth": bytes(64),
        "empty.pth": b"",
        "notes.txt": "für später".encode(),
        "noise.bin": b"\x01\x02\x03\x04",
    }.items():
        (tmp_path / name).write_bytes(content)
    for name, what in {
        "w.safetensors": "a torch checkpoint without a state dict .it holds 'a'.",
        "numbered.pth": "a torch checkpoint without a state dict .it holds 0, 1.",
        "python.pth": "a torch checkpoint that holds Python objects .*save its tensors alone",
        "module.pt": r"holds Python objects .torch\.nn\.modules\.linear\.Linear.*save its tensors alone",
        "cut.pth": "a truncated zip file, as torch's checkpoints are; fetch",
        "cut.ckpt": "a torch checkpoint that is damaged",
        "w.npz": "a NumPy archive",
        "other.zip": "a zip archive",
        "pointer.safetensors": "not a whole safetensors file .* but a git-lfs pointer .*`git lfs pull`",
        "page.pth": "a web page",
        "error.pt": "a web page",
        "w.pkl": "a Python pickle, which could run any code",
        "w.onnx": "an ONNX network",
        "w.h5": "an HDF5 file",
        "w.tar.gz": "a gzip archive; unpack it",
        "zeros.pth": "nothing but zero bytes",
        "empty.pth": "an empty file; expected weights as runs here have them",
        "notes.txt": "a text file",
        "noise.bin": "of no kind that is known here",
        "missing": "no such file",
        ".": "a folder, expected a file",
    }.items():
        with pytest.raises(UserError, match=what):
            weights.load(tmp_path / name)
    assert not (tmp_path / "code-was-run").exists()


@pytest.mark.parametrize("key", ["", "params", "params_ema", "state_dict", "model", "netG", "generator"])
@pytest.mark.parametrize("old", [False, True])
def test_a_torch_checkpoint_with_the_networks_own_names_is_read(tmp_path: Path, key: str, old: bool) -> None:
    net, other = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = {f"module.{name}": tensor for name, tensor in net.state_dict().items()} if old else net.state_dict()
    content = {"epoch": 3, "optimizer": {"state": {}}, key: state} if key else state
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=not old)
    weights.load_into(other, tmp_path / "net.pth")
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in net.state_dict().items())
    with pytest.raises(UserError, match="lacks 'bias' and 1 more; a torch checkpoint with other names"):
        weights.load_into(nn.Linear(2, 3), tmp_path / "net.pth")


def test_parts_are_looked_for_by_their_names_alone(tmp_path: Path) -> None:
    weights.save_parts(tmp_path, {name: torch.zeros(10) for name in "abc"}, {}, most=50)
    for name in ("._weights.safetensors", "weights_old.safetensors", "weights (1).safetensors"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in weights.find(tmp_path)] == [f"weights-{part}of3.safetensors" for part in (1, 2, 3)]
    (tmp_path / "weights-2of3.safetensors").unlink()
    with pytest.raises(UserError, match=r"weights-2of3\.safetensors: no such file, though weights-"):
        weights.find(tmp_path)
    weights.save_parts(tmp_path, {"a": torch.zeros(10)}, {})
    assert [path.name for path in weights.find(tmp_path)] == ["weights.safetensors"]


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


def test_weights_in_parts_are_the_whole(tmp_path: Path) -> None:
    given = {name: torch.randn(10, 10) for name in "abc"} | {"count": torch.tensor(3)}
    assert [path.name for path in weights.save_parts(tmp_path, given, {})] == ["weights.safetensors"]
    paths = weights.save_parts(tmp_path, given, {"run": "x"}, most=900)
    assert (
        [path.name for path in paths]
        == [f"weights-{i}of2.safetensors" for i in (1, 2)]
        == [path.name for path in weights.find(tmp_path)]
    )
    found = weights.load(paths[0])[0] | weights.load(paths[1])[0]
    assert found.keys() == given.keys() and all(torch.equal(found[name], given[name]) for name in given)
    with pytest.raises(UserError, match="a part 100 at most"):
        weights.save_parts(tmp_path, given, {}, most=100)
    shutil.rmtree(tmp_path)
    assert weights.find(tmp_path) == []
