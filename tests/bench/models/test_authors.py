"""Authors' checkpoints as they are found: every container, and a line for everything that is none."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

import bench
from bench.core.errors import UserError
from bench.models import registry, weights
from bench.models.authors import load_authors
from bench.models.meta import meta_device
from tests.methods.pins.make_checkpoint import tensors

State = Mapping[str, Tensor]
WIPA, COUNT = tensors("WIPA"), 187
COUNTERS = sum(name.endswith("num_batches_tracked") for name in WIPA)
ONE = torch.ones(1)
LR = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def old(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def named_as(state: State, prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def worse(state: State) -> dict[str, Tensor]:
    return {name: tensor + 1 for name, tensor in state.items()}


def wider(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def without_sums(state: State, path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, path)
    finally:
        torch.serialization.set_crc32_options(True)


def flip(path: Path, name: str) -> None:
    """Save a checkpoint of which a byte of a tensor's values is not what was written."""
    torch.save(WIPA, path)
    content = bytearray(path.read_bytes())
    content[content.index(WIPA[name].numpy().tobytes())] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """What the network gives with the bare checkpoint; the pins hold that to the authors' own network."""
    path = tmp_path_factory.mktemp("bare") / "net.pth"
    torch.save(WIPA, path)
    with torch.no_grad():
        sr: Tensor = load_authors("wipa", path)[0](LR)
    return sr


CONTAINERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "state_dict": ("a.pth.tar", lambda path: torch.save({"epoch": 3, "state_dict": WIPA}, path)),
    "model": ("a.pt", lambda path: torch.save({"model": WIPA, "optimizer": {"state": {}}}, path)),
    "netG": ("a.pth", lambda path: torch.save({"netD": {"x": torch.ones(1)}, "netG": WIPA}, path)),
    "params": ("a.pth", lambda path: torch.save({"params": WIPA}, path)),
    "params_ema": ("a.pth", lambda path: torch.save({"params": worse(WIPA), "params_ema": WIPA}, path)),
    "module.": ("a.pt", lambda path: torch.save(named_as(WIPA, "module."), path)),
    "model.": ("a.pt", lambda path: torch.save({"state_dict": named_as(WIPA, "model.")}, path)),
    "the old format": ("a.pth", lambda path: old({"state_dict": WIPA}, path)),
    "renamed to .zip": ("gen_net_8x.zip", lambda path: torch.save(WIPA, path)),
    "without a suffix": ("gen_net_8x", lambda path: torch.save(WIPA, path)),
    "safetensors": ("a.safetensors", lambda path: safetensors.torch.save_file(dict(WIPA), path)),
    "safetensors with a prefix": ("b", lambda path: safetensors.torch.save_file(named_as(WIPA, "module."), path)),
    "module. twice": ("a.pt", lambda path: torch.save(named_as(WIPA, "module.module."), path)),
    "_orig_mod.module.": ("a.pt", lambda path: torch.save(named_as(WIPA, "_orig_mod.module."), path)),
    "two deep": ("a.pth", lambda path: torch.save({"epoch": 1, "checkpoint": {"params": WIPA}}, path)),
    "a list": ("a.pth", lambda path: torch.save([3, WIPA, {"lr": 1e-4}], path)),
    "after another network": ("a.pth", lambda path: torch.save({"net_d": {"a.weight": ONE}, "net_g": WIPA}, path)),
    "double precision": ("a.pth", lambda path: torch.save({name: wider(one) for name, one in WIPA.items()}, path)),
    "without checksums": ("a.pth", lambda path: without_sums(WIPA, path)),
    "NumPy's numbers beside it": (
        "step.pth",
        lambda path: torch.save({"records": {"ssim": [np.float64(0.5)], "n": np.int64(3)}, "state_dict": WIPA}, path),
    ),
    "no counters": (
        "a.pth",
        lambda path: torch.save({k: v for k, v in WIPA.items() if not k.endswith("num_batches_tracked")}, path),
    ),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_gives_the_same_network(container: str, tmp_path: Path, expected: Tensor) -> None:
    name, write = CONTAINERS[container]
    write(tmp_path / name)
    model, about = load_authors("wipa", tmp_path / name)
    with torch.no_grad():
        assert torch.equal(model(LR), expected)
    assert about.file == name and len(about.sha256) == 64 and not model.training
    assert about.tensors == (COUNT - COUNTERS if container == "no counters" else COUNT)


def test_numbers_that_numpy_1_pickled_are_read(tmp_path: Path, expected: Tensor) -> None:
    """Its module was called numpy.core; protocol 2, as torch.save writes it, has that name in plain letters."""
    old({"records": {"ssim": [np.float64(0.5)]}, "state_dict": WIPA}, tmp_path / "new.pth")
    content = (tmp_path / "new.pth").read_bytes()
    assert content.count(b"numpy._core.multiarray") == 1
    (tmp_path / "old.pth").write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    with torch.no_grad():
        assert torch.equal(load_authors("wipa", tmp_path / "old.pth")[0](LR), expected)


def test_half_precision_is_widened(tmp_path: Path, expected: Tensor) -> None:
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in WIPA.items()}
    torch.save(halves, tmp_path / "half.pth")
    model, _ = load_authors("wipa", tmp_path / "half.pth")
    with torch.no_grad():
        sr = model(LR)
    assert sr.dtype == torch.float32 and torch.allclose(sr, expected, atol=0.02) and not torch.equal(sr, expected)


def test_our_own_names_are_read_too(tmp_path: Path) -> None:
    model = registry.build("wipa", {"width": 0.25}).eval()
    torch.save(model.state_dict(), tmp_path / "ours.pth")
    read, about = load_authors("wipa", tmp_path / "ours.pth", {"width": 0.25})
    assert about.unused == 0
    with torch.no_grad():
        assert torch.equal(read(LR), model(LR))


def without(name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in WIPA.items() if key != name}


class Own:
    """A class that a pickle would call."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("code-was-run"),))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "another network": (
        lambda path: torch.save({"state_dict": named_as(tensors("DIC"), "module.")}, path),
        "no checkpoint of 'wipa': unknown tensor '.*'.*; looks like DIC's checkpoint: 296 of 296 names",
    ),
    "another variant": (
        lambda path: torch.save(registry.build("wipa-baseline").state_dict(), path),
        "lacks the tensor that is '.*' here and .*; looks like WIPA baseline's checkpoint: 178 of 178 names",
    ),
    "our own names of another": (
        lambda path: torch.save(registry.build("sparnet-light", {"width": 0.125}).state_dict(), path),
        "unknown tensor '.*'.*; looks like SPARNet-Light-Attn3D's checkpoint: 605 of 605 names",
    ),
    "another width": (
        lambda path: torch.save(registry.build("wipa", {"width": 0.25}).state_dict(), path),
        r"is \(.*\), expected \(.*\) and .* more; 187 of 187 names are those of WIPA: of another width",
    ),
    "missing": (lambda path: torch.save(without("conv2.weight"), path), "lacks the tensor that is '.*' here;"),
    "extra": (
        lambda path: torch.save({**WIPA, "extra.bias": torch.ones(1)}, path),
        "unknown tensor 'extra.bias'; 187 of 188 names are those of WIPA",
    ),
    "misshaped": (
        lambda path: torch.save({**WIPA, "conv2.weight": torch.ones(3, 64, 5, 5)}, path),
        r"'conv2.weight' is \(3, 64, 5, 5\), expected \(3, 64, 3, 3\);",
    ),
    "whole numbers": (
        lambda path: torch.save({**WIPA, "conv2.weight": torch.ones(3, 64, 3, 3, dtype=torch.int8)}, path),
        r"'conv2.weight' holds torch.int8, expected torch.float32",
    ),
    "NaN": (
        lambda path: torch.save({**WIPA, "conv2.weight": torch.full((3, 64, 3, 3), torch.nan)}, path),
        "'conv2.weight' holds NaN or infinity; the file is damaged",
    ),
    "meta": (
        lambda path: torch.save({**WIPA, "conv2.weight": WIPA["conv2.weight"].to("meta")}, path),
        "'conv2.weight' is on the meta device and has no values",
    ),
    "sparse": (
        lambda path: torch.save({**WIPA, "conv2.weight": WIPA["conv2.weight"].to_sparse()}, path),
        "'conv2.weight' is sparse_coo, expected a dense tensor",
    ),
    "8-bit NaN": (
        lambda path: torch.save({**WIPA, "bn.bias": torch.full((64,), torch.nan).to(torch.float8_e4m3fn)}, path),
        "'bn.bias' holds NaN or infinity",
    ),
    "a name of two lines": (
        lambda path: torch.save({**WIPA, "a\nb": ONE}, path),
        "unknown tensor 'a_b'; 187 of 188 names are those of WIPA",
    ),
    "a flipped bit": (lambda path: flip(path, "conv2.weight"), r"damaged \(checksum of '.*'\); fetch the file itself"),
    "nothing in safetensors": (
        lambda path: safetensors.torch.save_file({}, path),
        "holds no tensor; expected those of",
    ),
    "NumPy's text": (
        lambda path: torch.save({"state_dict": WIPA, "note": np.str_("x")}, path),
        r"holds Python objects \(numpy.dtypes.StrDType\)",
    ),
    "a link in a circle": (lambda path: path.symlink_to(path), "a link that leads nowhere"),
    "code": (
        lambda path: torch.save({"state_dict": WIPA, "args": Own()}, path),
        "holds Python objects .*, which could run any code and are never loaded here",
    ),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(Own())), "a Python pickle, which could run any code"),
    "truncated": (
        lambda path: (torch.save(WIPA, path), path.write_bytes(path.read_bytes()[:100_000])),
        "a truncated zip file, as torch's checkpoints are; fetch the file itself again",
    ),
    "truncated, old": (
        lambda path: (old(WIPA, path), path.write_bytes(path.read_bytes()[:100_000])),
        "a torch checkpoint that is damaged",
    ),
    "text": (lambda path: path.write_text("please download by hand"), "a text file; expected weights .*torch check"),
    "unpacked": (
        lambda path: ((path / "archive").mkdir(parents=True), (path / "archive" / "data.pkl").touch()),
        "a folder that a torch checkpoint was unpacked to, expected a file of weights; fetch the file again",
    ),
    "nobody's": (lambda path: torch.save({"a.weight": torch.ones(1)}, path), "unknown tensor 'a.weight'$"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_checkpoint_of_the_method_is_said_in_a_line(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write, what = REFUSED[case]
    write(tmp_path / "theirs.pth")
    with pytest.raises(UserError, match=what) as error:
        load_authors("wipa", tmp_path / "theirs.pth")
    assert str(tmp_path / "theirs.pth") in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "code-was-run").exists()


@pytest.mark.parametrize(("option", "value", "usual"), [("scale", 4, 8), ("width", 0.5, 1.0)])
def test_what_was_asked_instead_is_named(option: str, value: float, usual: float, tmp_path: Path) -> None:
    torch.save(WIPA, tmp_path / "net.pth")
    with pytest.raises(UserError, match=f"; it fits WIPA with {option} {usual}: leave out what was asked instead"):
        load_authors("wipa", tmp_path / "net.pth", {option: value})


def test_whose_file_it_is_is_said_to_one_who_gives_all_options(tmp_path: Path) -> None:
    """As `fsr score` does: another method has not all of them."""
    torch.save(WIPA, tmp_path / "net.pth")
    with pytest.raises(UserError, match="looks like WIPA's checkpoint: 187 of 187 names"):
        load_authors("kdfsrnet", tmp_path / "net.pth", registry.options("kdfsrnet"))


def test_which_of_several_networks_is_taken_is_told(
    tmp_path: Path, expected: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save({"ema": worse(WIPA), "model": WIPA}, tmp_path / "two.pth")
    torch.save(named_as(WIPA, "netG.") | {"netD.a.weight": ONE}, tmp_path / "beside.pth")
    for name in ("two.pth", "beside.pth"):
        with torch.no_grad():
            assert torch.equal(load_authors("wipa", tmp_path / name)[0](LR), expected)
    assert "two.pth: several networks of 'wipa' in it ('model', 'ema'); taken is the first" in caplog.text
    assert "beside.pth: taken is 'netG' alone: 187 tensors; others left aside" in caplog.text


def test_another_scale_is_named(tmp_path: Path) -> None:
    """SISN's scale is read off its first convolution: 3 s^2 inputs."""
    with meta_device():
        state = registry.build("sisn", {"scale": 4}).state_dict()
    torch.save(
        {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in state.items()}, tmp_path / "x4.pt"
    )
    count = len(state)
    with pytest.raises(UserError, match=rf"looks like SISN's checkpoint at scale 4: {count} of {count} names"):
        load_authors("sisn", tmp_path / "x4.pt")
    with pytest.raises(UserError, match=r"scale 3: method 'sisn' supports \[2, 4, 8, 16\]"):
        load_authors("sisn", tmp_path / "x4.pt", {"scale": 3})
    assert bench.load("sisn", tmp_path / "x4.pt", scale=4)(torch.rand(1, 3, 32, 32)).shape == (1, 3, 128, 128)


def test_two_names_of_one_tensor_are_refused(tmp_path: Path) -> None:
    """KDFSRNet was released in two layouts, and both of its keys may be known."""
    torch.save(tensors("KDFSRNet") | tensors("KDFSRNet-net1"), tmp_path / "both.pth")
    with pytest.raises(UserError, match=r"has the tensor that is '.*' here twice, under two names and 15 more"):
        load_authors("kdfsrnet", tmp_path / "both.pth")


def test_the_public_face_gives_a_network_for_anybody_s_code(tmp_path: Path, expected: Tensor) -> None:
    torch.save(WIPA, tmp_path / "net.pth")
    model = bench.load("wipa", checkpoint=str(tmp_path / "net.pth"), scale=8)
    with torch.no_grad():
        assert not model.training and torch.equal(model(LR), expected)
    assert bench.load("bicubic", scale=4)(LR).shape == (2, 3, 64, 64)
    weights.save(tmp_path / "own.safetensors", registry.build("wipa", {"width": 0.25}).state_dict())
    assert bench.load("wipa", weights=tmp_path / "own.safetensors", width=0.25)(LR).shape == (2, 3, 128, 128)
    with pytest.raises(UserError, match="method 'wipa' is trained: give checkpoint=FILE"):
        bench.load("wipa")
    with pytest.raises(UserError, match="checkpoint and weights given"):
        bench.load("wipa", tmp_path / "net.pth", weights=tmp_path / "net.pth")


def test_importing_the_public_face_takes_no_torch() -> None:
    code = (
        "import sys, bench; assert callable(bench.load) and 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
