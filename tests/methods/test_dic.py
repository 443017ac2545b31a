from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.models import registry
from bench.models.cost import count_multiply_adds
from methods.dic import DIC, _weigh_parts

SMALL = {"width": 0.125, "steps": 3, "groups": 2}


def build(**given: Any) -> DIC:
    torch.manual_seed(0)
    model = registry.build("dic", {**SMALL, **given}).eval()
    assert isinstance(model, DIC)
    return model


def faces(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def test_every_step_gives_a_picture_and_landmark_maps() -> None:
    model, lr = build(), faces(2, 3, 16, 16)
    with torch.no_grad():
        found, sr = model.outputs(lr), model(lr)
        shorter = build(steps=2)(lr)
    assert [tuple(x.shape) for x in found.sr] == [(2, 3, 128, 128)] * 3
    assert [tuple(x.shape) for x in found.maps] == [(2, 68, 32, 32)] * 3
    assert torch.equal(found.sr[-1], sr) and torch.equal(found.sr[1], shorter)
    assert not torch.equal(found.sr[1], sr)


@pytest.mark.parametrize("size", [(16, 16), (13, 10)])
def test_published_multiply_adds_are_those_of_all_outputs(size: tuple[int, int]) -> None:
    model, lr = build(), faces(1, 3, *size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert model.outputs(lr).sr[-1].shape[2:] == (8 * size[0], 8 * size[1])
    count = count_multiply_adds(model, lr)
    assert count.published == counter.get_total_flops() // 2 > count.executed


@pytest.mark.parametrize(("landmark", "part"), [(38, 0), (45, 1), (30, 2), (66, 3), (8, 4), (20, 4)])
def test_a_place_belongs_to_the_part_whose_landmark_is_there(landmark: int, part: int) -> None:
    maps = torch.zeros(1, 68, 32, 32)
    maps[0, landmark, 5, 7] = 100.0  # brought to one
    weights = _weigh_parts(maps)
    expected = torch.full((5,), 1 / (4 + torch.e))
    expected[part] *= torch.e
    assert torch.allclose(weights[0, :, 5, 7], expected)
    assert torch.allclose(weights[0, :, 0, 0], torch.full((5,), 0.2))


def test_faint_maps_stay_faint() -> None:
    maps = torch.zeros(1, 68, 4, 4)
    maps[0, 0, 1, 1] = 0.01
    weights = _weigh_parts(maps)
    assert float(weights[0, 4, 1, 1] / weights[0, 0, 1, 1]) == pytest.approx(float(torch.tensor(0.2).exp()))


def test_a_calm_start_keeps_the_size_of_signals() -> None:
    def size(start: str) -> list[float]:
        with torch.no_grad():
            return [float(maps.std()) for maps in build(start=start).outputs(faces(2, 3, 16, 16)).maps]

    assert all(0.1 < step < 10 for step in size("calm"))
    first, _, last = size("released")
    assert last > 1000 * first


@pytest.mark.parametrize("options", [{"scale": 4}, {"steps": 1}, {"groups": 0}, {"width": 0.0}])
def test_impossible_sizes_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="given"):
        build(**options)
