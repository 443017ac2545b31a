"""FSRNet, against a plain forward pass over the names of the re-implementation's file, and its objective."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from bench.core.errors import UserError
from bench.models import registry
from bench.models.authors import load_authors
from bench.models.cost import count_method
from bench.models.objective import Batch, objective_of
from methods.layers.priors import heat_maps, label_maps
from tests.methods.pins.make_checkpoint import picture
from tests.methods.test_prior_maps import face

Tensors = dict[str, Tensor]


def shapes(landmarks: int, labels: int) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a file, in its order."""
    found: dict[str, tuple[int, ...]] = {}

    def conv(name: str, out: int, into: int, kernel: int, bias: bool = False) -> None:
        found[f"{name}.weight"] = (out, into, kernel, kernel)
        if bias:
            found[f"{name}.bias"] = (out,)

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{part}"] = (channels,)
        found[f"{name}.num_batches_tracked"] = ()

    def blocks(name: str, channels: int, numbers: range) -> None:
        for i, first in itertools.product(numbers, (1, 5)):
            conv(f"{name}.{i}.layers.{first}", channels, channels, 3)
            norm(f"{name}.{i}.layers.{first + 1}", channels)

    def bottleneck(name: str, into: int, out: int) -> None:
        for first, (a, b, kernel) in zip((0, 3, 6), ((into, 64, 1), (64, 64, 3), (64, out, 1)), strict=True):
            norm(f"{name}.convBlock.{first}", a)
            conv(f"{name}.convBlock.{first + 2}", b, a, kernel, bias=True)

    conv("csr_net.conv1.1", 64, 3, 3)
    norm("csr_net.conv1.2", 64)
    blocks("csr_net.res_blocks", 64, range(3))
    conv("csr_net.conv2.1", 3, 64, 3)
    conv("fsr_enc.conv1.0", 64, 3, 3)
    norm("fsr_enc.conv1.1", 64)
    blocks("fsr_enc.res_blocks", 64, range(12))
    conv("fsr_enc.conv2.1", 64, 64, 3)
    conv("pre_net.conv1.0", 64, 3, 7)
    norm("pre_net.conv1.1", 64)
    bottleneck("pre_net.res_blocks.0", 64, 128)
    conv("pre_net.res_blocks.0.skipConv", 128, 64, 1, bias=True)
    blocks("pre_net.res_blocks", 128, range(1, 3))
    order = ("res3_1", "res3_2", "res2_1", "res2_2", "res1_1", "res1_2", "res_center", "res1_3", "res2_3", "res3_3")
    for i, name in itertools.product(range(2), order):
        bottleneck(f"pre_net.hg_blocks.{i}.{name}", 128, 128)
    conv("fsr_dec.conv1.0", 64, 192, 3)
    norm("fsr_dec.conv1.1", 64)
    conv("fsr_dec.deconv1.0", 64, 64, 3)
    norm("fsr_dec.deconv1.1", 64)
    blocks("fsr_dec.res_blocks", 64, range(3))
    conv("fsr_dec.conv2.1", 3, 64, 3)
    for name, channels in (("prior_conv1", landmarks), ("prior_conv2", labels)):
        if channels:
            conv(name, channels, 128, 1, bias=True)
    return found


def file(*, repeated: bool, landmarks: int = 0) -> Tensors:
    """Return a file of random tensors; with `repeated` each stack of blocks has one block's, as the release's has."""
    draw, tensors = torch.Generator().manual_seed(7), Tensors()
    for name, shape in shapes(landmarks, 11).items():
        first = name
        for part, i in itertools.product(("csr_net", "fsr_enc", "fsr_dec"), range(12)):
            first = first.replace(f"{part}.res_blocks.{i}.", f"{part}.res_blocks.0.")
        if repeated and first != name:
            tensors[name] = tensors[first]
            continue
        values = 2 * torch.rand(shape, generator=draw) - 1
        if len(shape) == 4:
            tensors[name] = values * (1.5 / (shape[1] * shape[2] * shape[3])) ** 0.5
        elif name.endswith(("running_var", "weight")):
            tensors[name] = 1 + 0.3 * values
        else:
            tensors[name] = 0.2 * values if shape else torch.zeros((), dtype=torch.int64)
    return tensors


def oracle(t: Tensors, pixels: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Return SR, coarse SR and parsing maps of uint8 [16, 16, 3], from the facts alone."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (t[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias, training=False)

    def reflected(name: str, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), t[f"{name}.weight"])

    def blocks(name: str, count: range, x: Tensor) -> Tensor:
        for i in count:
            y = norm(f"{name}.{i}.layers.2", reflected(f"{name}.{i}.layers.1", x)).relu()
            x = x + norm(f"{name}.{i}.layers.6", reflected(f"{name}.{i}.layers.5", y))
        return x

    def bottleneck(name: str, x: Tensor) -> Tensor:
        y = x
        for first in (0, 3, 6):
            conv = f"{name}.convBlock.{first + 2}"
            y = norm(f"{name}.convBlock.{first}", y).relu()
            y = F.conv2d(y, t[f"{conv}.weight"], t[f"{conv}.bias"], padding=int(first == 3))
        skip = f"{name}.skipConv"
        return y + (F.conv2d(x, t[f"{skip}.weight"], t[f"{skip}.bias"]) if f"{skip}.weight" in t else x)

    def hourglass(name: str, x: Tensor, level: int) -> Tensor:
        if level == 0:
            return bottleneck(f"{name}.res_center", x)
        inner = bottleneck(f"{name}.res{level}_2", F.max_pool2d(x, 2, 2))
        inner = bottleneck(f"{name}.res{level}_3", hourglass(name, inner, level - 1))
        return bottleneck(f"{name}.res{level}_1", x) + inner.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    large = np.asarray(Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC))
    x = torch.from_numpy(large.copy()).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    coarse = norm("csr_net.conv1.2", reflected("csr_net.conv1.1", x)).relu()
    coarse = reflected("csr_net.conv2.1", blocks("csr_net.res_blocks", range(3), coarse)).tanh()
    f = norm("fsr_enc.conv1.1", F.conv2d(coarse, t["fsr_enc.conv1.0.weight"], stride=2, padding=1)).relu()
    f = reflected("fsr_enc.conv2.1", blocks("fsr_enc.res_blocks", range(12), f)).tanh()
    p = norm("pre_net.conv1.1", F.conv2d(coarse, t["pre_net.conv1.0.weight"], stride=2, padding=3)).relu()
    p = blocks("pre_net.res_blocks", range(1, 3), bottleneck("pre_net.res_blocks.0", p))
    for i in range(2):
        p = hourglass(f"pre_net.hg_blocks.{i}", p, 3)
    maps = F.conv2d(p, t["prior_conv2.weight"], t["prior_conv2.bias"])
    y = F.conv2d(torch.cat([f, p], dim=1), t["fsr_dec.conv1.0.weight"], padding=1)
    y = norm("fsr_dec.conv1.1", y).relu()
    y = F.conv_transpose2d(y, t["fsr_dec.deconv1.0.weight"], stride=2, padding=1, output_padding=1)
    y = blocks("fsr_dec.res_blocks", range(3), norm("fsr_dec.deconv1.1", y).relu())
    y = reflected("fsr_dec.conv2.1", y).tanh()
    return (y + 1) / 2, (coarse + 1) / 2, maps


def test_the_file_is_the_one_that_is_known() -> None:
    known = shapes(194, 11)
    assert len(known) == 720
    assert (next(iter(known)), list(known)[-1]) == ("csr_net.conv1.1.weight", "prior_conv2.bias")
    numbers = {name: torch.Size(shape).numel() for name, shape in shapes(0, 11).items() if "run" not in name and shape}
    repeats = [name for name in numbers for part, most in (("csr_net", 3), ("fsr_enc", 12), ("fsr_dec", 3))
               if any(f"{part}.res_blocks.{i}." in name for i in range(1, most))]  # fmt: skip
    assert sum(numbers.values()) == 3_263_691
    assert sum(numbers.values()) - sum(numbers[name] for name in repeats) == 2_153_931


@pytest.mark.parametrize(("repeated", "landmarks"), [(True, 0), (False, 0), (True, 194)])
def test_a_file_gives_what_its_own_network_gives(repeated: bool, landmarks: int, tmp_path: Path) -> None:
    tensors = file(repeated=repeated, landmarks=landmarks)
    content = {"epoch": 99, "hmaps_ch": landmarks, "pmaps_ch": 11, "state_dict": tensors}
    torch.save(content, tmp_path / "theirs.pth")
    model, about = load_authors("fsrnet", tmp_path / "theirs.pth")
    assert (about.tensors, about.unused) == (len(tensors), 2 * bool(landmarks))
    lr = torch.from_numpy(picture()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        found, sr = model.outputs(lr), model(lr)
        expected = oracle(tensors, picture())
    assert torch.equal(sr, found.sr)
    for ours, theirs in zip(found, expected, strict=True):
        assert 0.02 < theirs.std() < 20 and len(theirs.unique()) > 1000
        assert (ours - theirs).abs().max() < 1e-5


def test_another_network_s_file_is_named(tmp_path: Path) -> None:
    torch.save(file(repeated=True), tmp_path / "theirs.pth")
    with pytest.raises(UserError, match=r"looks like FSRNet's checkpoint: 718 of 718 names"):
        load_authors("sparnet", tmp_path / "theirs.pth")


def small(**options: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return registry.build("fsrnet", {"width": 0.125, **options})


def test_width_narrows_all_of_it() -> None:
    full, narrow = (count_method("fsrnet", {"width": width}) for width in (1.0, 0.25))
    assert narrow[0] < full[0] / 12 and narrow[1].published < full[1].published / 12
    with_landmarks = count_method("fsrnet", {"landmarks": True})
    assert with_landmarks[0] - full[0] == 68 * 129
    assert with_landmarks[1].executed == full[1].executed
    assert with_landmarks[1].published - full[1].published == 68 * 128 * 64 * 64


@pytest.mark.parametrize("landmarks", [False, True])
def test_terms_are_squared_errors_from_minus_one_to_one(landmarks: bool) -> None:
    draw = torch.Generator().manual_seed(3)
    lr, hr = torch.rand(2, 3, 16, 16, generator=draw), torch.rand(2, 3, 128, 128, generator=draw)
    points, network = torch.cat([face(), torch.full((1, 68, 2), torch.nan)]), small(landmarks=landmarks).eval()
    objective = objective_of(network)
    with torch.no_grad():
        terms = objective.terms(network, Batch(lr, hr, landmarks=points))
        found = network.outputs(lr)
        target = label_maps(points[:1], 64)
        if landmarks:
            target = torch.cat([heat_maps(points[:1], 64), target], dim=1)
        expected = {
            "coarse": float(((2 * found.coarse - 1) - (2 * hr - 1)).square().mean()),
            "fine": float(((2 * found.sr - 1) - (2 * hr - 1)).square().mean()),
            "maps": float((found.maps[:1] - (2 * target - 1)).square().mean()),
        }
        assert {name: float(term) for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
        assert list(objective.terms(network, Batch(lr, hr))) == ["coarse", "fine"]
        assert float(objective.terms(network, Batch(lr, hr, landmarks=points[1:].repeat(2, 1, 1)))["maps"]) == 0
    assert any("polygons of 68 landmarks" in text for text in objective.left_out)
    assert any("heat maps" in text for text in objective.left_out) != landmarks
