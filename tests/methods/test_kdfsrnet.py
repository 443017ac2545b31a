from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from bench.models import registry
from bench.models.authors import load_authors
from tests.methods.pins.make_checkpoint import tensors

SMALL = {"width": 0.125, "blocks": 1}


@pytest.mark.parametrize("options", [{}, {"parsing": True}], ids=["student", "teacher"])
def test_nine_features_go_down_and_up_and_the_last_makes_the_picture(options: dict[str, bool]) -> None:
    model = registry.build("kdfsrnet", {**SMALL, **options}).eval()
    lr = torch.rand(2, 3, 16, 8)
    with torch.no_grad():
        sr, features = model.outputs(lr)
        assert torch.equal(sr, model(lr)) and torch.equal(sr, model.tail(features[-1]))
        assert all(map(torch.equal, features, model.features(lr)))
    heights = [64, 32, 16, 8, 8, 16, 32, 64, 128]
    assert [feature.shape for feature in features] == [(2, 8, height, height // 2) for height in heights]


def test_the_teacher_reads_maps_and_none_are_zeros() -> None:
    model = registry.build("kdfsrnet-teacher", SMALL).eval()
    lr, maps = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        assert torch.equal(model(lr), model(lr, torch.zeros_like(maps)))
        assert not torch.equal(model(lr), model(lr, maps))
        model.head.weight[:, 3:] = 0
        assert torch.equal(model(lr), model(lr, maps)), "the maps come after the picture's channels"


def test_maps_that_do_not_fit_are_refused() -> None:
    lr = torch.rand(2, 3, 16, 16)
    with pytest.raises(ValueError, match=r"are \[2, 3, 16, 16\], expected \[2, 3, 128, 128\]"):
        registry.build("kdfsrnet-teacher", SMALL)(lr, lr)
    with pytest.raises(ValueError, match="a student reads no parsing maps"):
        registry.build("kdfsrnet", SMALL)(lr, torch.rand(2, 3, 128, 128))
    with pytest.raises(ValueError, match="blocks must be at least 1, 0 given"):
        registry.build("kdfsrnet", {"blocks": 0})


@pytest.mark.parametrize("pin", ["KDFSRNet", "KDFSRNet-net1"])
def test_a_teacher_s_checkpoint_is_read_under_both_layouts_of_names(pin: str, tmp_path: Path) -> None:
    """The teacher's file is the student's with two blocks a stage, a first convolution of six channels and no means."""
    file = {key: tensor for key, tensor in tensors(pin).items() if not re.search(r"_mean|(stage\d|neck)\.[2-5]\.", key)}
    file["head.0.weight"] = torch.rand(64, 6, 3, 3)
    torch.save(file, tmp_path / "teacher.pth")
    model, about = load_authors("kdfsrnet-teacher", tmp_path / "teacher.pth")
    assert (about.tensors, about.unused) == (164, 0)
    assert torch.equal(model.stages[8].blocks[1].body[3].weigh[2].bias, file["up_stage4.1.body.3.conv_du.2.bias"])
    assert torch.equal(
        model.stages[3].resize[1].weight, file["down4.1.weight" if pin == "KDFSRNet" else "down4.conv.weight"]
    )
