from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.models import registry
from bench.models.authors import load_authors
from bench.models.objective import Batch, objective_of
from methods.layers.priors import parsing_maps
from tests.methods.pins.make_checkpoint import tensors
from tests.methods.test_prior_maps import face

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


def faces() -> tuple[Tensor, Tensor, Tensor]:
    """Return LR, HR and landmarks of two faces, the second without."""
    draw = torch.Generator().manual_seed(3)
    points = torch.cat([face(), torch.full((1, 68, 2), torch.nan)])
    return torch.rand(2, 3, 16, 16, generator=draw), torch.rand(2, 3, 128, 128, generator=draw), points


def pair(**options: float) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return registry.build("kdfsrnet", SMALL | options), registry.build("kdfsrnet-teacher", SMALL)


def test_a_student_is_close_to_its_teacher_in_features_and_picture() -> None:
    (student, teacher), (lr, hr, points) = pair(), faces()
    with torch.no_grad():
        terms = objective_of(student).terms(student, Batch(lr, hr, 0, 4000, points, teacher))
        sr, own = student.outputs(lr)
        maps = torch.cat([parsing_maps(points[:1], 128), torch.zeros(1, 3, 128, 128)])
        assert maps[0].any(dim=2).any(dim=1).all()
        seen, shown = teacher.outputs(lr, maps)
        distances = [float((a - b).abs().mean()) for a, b in zip(own, shown, strict=True)]
        expected = {
            "pixel": float((sr - hr).abs().mean()),
            "features": 10 * sum(distances) / 9,
            "soft": 0.1 * float((sr - seen).abs().mean()),
        }
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, rel=1e-5)


def test_the_teacher_s_weight_falls_over_eleven_of_four_hundred_epochs() -> None:
    (student, teacher), (lr, hr, points) = pair(distill=11 / 400), faces()
    objective = objective_of(student)
    with torch.no_grad():
        rows = [objective.terms(student, Batch(lr, hr, i, 400, points, teacher)) for i in range(13)]
        half = pair()[0]
        late = [objective_of(half).terms(half, Batch(lr, hr, i, 22, points, teacher)) for i in (0, 5, 10, 11)]
    assert [float(row["features"] / rows[0]["features"]) for row in rows[:11]] == pytest.approx(
        [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0], rel=1e-5, abs=0
    )
    assert all(torch.equal(row["soft"], rows[0]["soft"]) for row in rows[:11])
    assert [list(row) for row in rows[11:]] == [["pixel"]] * 2
    assert [float(row["features"] / late[0]["features"]) for row in late[:3]] == pytest.approx([1, 0.5, 0], abs=1e-5)
    assert list(late[3]) == ["pixel"]


def test_without_teacher_or_landmarks_the_picture_s_l1_is_all() -> None:
    (student, teacher), (lr, hr, points) = pair(), faces()
    for given in ((None, teacher), (points, None)):
        assert list(objective_of(student).terms(student, Batch(lr, hr, 0, 400, *given))) == ["pixel"]
    assert list(objective_of(pair(distill=0)[0]).terms(student, Batch(lr, hr, 0, 400, points, teacher))) == ["pixel"]
    with pytest.raises(ValueError, match=r"distill must be from 0 to 1, 11.0 given"):
        pair(distill=11)


def test_a_teacher_trains_by_l1_with_the_maps_of_its_faces() -> None:
    teacher, (lr, hr, points) = pair()[1], faces()
    maps = torch.cat([parsing_maps(points[:1], 128), torch.zeros(1, 3, 128, 128)])
    with torch.no_grad():
        for given, shown in ((points, maps), (None, None)):
            (term,) = objective_of(teacher).terms(teacher, Batch(lr, hr, landmarks=given)).items()
            assert term[0] == "pixel"
            assert torch.allclose(term[1], (teacher(lr, shown) - hr).abs().mean())


def test_both_say_that_their_maps_are_polygons() -> None:
    for method in ("kdfsrnet", "kdfsrnet-teacher"):
        assert "polygons of 68 landmarks" in objective_of(registry.build(method, SMALL)).left_out[0]
    assert [len(objective_of(pair(distill=share)[0]).left_out) for share in (11 / 400, 0.5)] == [1, 2]
    assert registry.get("kdfsrnet").teacher == "kdfsrnet-teacher" and not registry.get("kdfsrnet-teacher").teacher
    assert registry.get("kdfsrnet").needs == registry.get("kdfsrnet-teacher").needs == ("landmarks",)
