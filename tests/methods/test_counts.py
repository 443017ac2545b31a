"""The counts that pin each network, at full width for one 128x128 picture."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.models import registry
from bench.models.cost import count_multiply_adds, count_parameters
from methods.layers.cross_conv import ESEM
from methods.layers.feature_enhancement import FEM
from methods.layers.hourglass import Hourglass
from methods.layers.pyramid_attention import PyramidAttention

PARAMETERS = {
    "bicubic": 0,
    "sparnet": 10_518_867,
    "sparnet-3d": 11_562_083,
    "sparnet-light": 5_242_211,
    "msfnet-1": 10_518_867,
    "msfnet-2": 12_655_520,
    "msfnet-3": 10_551_894,
    "msfnet-4": 16_865_693,
    "msfnet-5": 16_898_720,
    "msfnet-6": 19_002_346,
    "msfnet-7": 12_688_547,
    "msfnet-8": 19_035_373,
    "msfnet": 19_035_373,
}
MULTIPLY_ADDS = {"sparnet": 7.130, "msfnet-4": 10.836, "msfnet-8": 13.440}


@pytest.mark.parametrize("method", PARAMETERS)
def test_parameters(method: str) -> None:
    with torch.device("meta"):
        assert count_parameters(registry.build(method)) == PARAMETERS[method]


@pytest.mark.parametrize("method", MULTIPLY_ADDS)
def test_multiply_adds(method: str) -> None:
    count = count_multiply_adds(registry.build(method), torch.rand(1, 3, 16, 16))
    assert round(count.published / 1e9, 3) == MULTIPLY_ADDS[method]


@pytest.mark.parametrize(
    ("options", "millions"),
    [
        ({"esem_fuse_kernel": 1}, 15.48),
        ({"ccb_convs": 1}, 17.86),
        ({"esem_fuse_kernel": 1, "ccb_convs": 1}, 14.31),
        ({"ccb_depthwise": True}, 19.06),
        ({"attention": "3d"}, 20.08),
        ({"deep_blocks": 1}, 9.16),
        ({"deep_blocks": 1, "attention": "3d"}, 9.55),
    ],
)
def test_other_readings_of_model_8(options: dict[str, Any], millions: float) -> None:
    with torch.device("meta"):
        assert round(count_parameters(registry.build("msfnet-8", options)) / 1e6, 2) == millions


def test_parts() -> None:
    assert [count_parameters(ESEM(c)) for c in (32, 64, 128)] == [29_436, 117_228, 467_918]
    encoder = ((64, 2), (128, 1), (128, 0))
    assert count_parameters(FEM(128, encoder)) == 943_109
    assert count_parameters(FEM(64, encoder)) == 250_435
    assert [count_parameters(PyramidAttention(c)) for c in (64, 128)] == [8_323, 33_027]


def test_every_hourglass_of_sparnet_bottoms_out_at_4x4() -> None:
    model, sizes = registry.build("sparnet", {"width": 0.125}), []

    def note(_: torch.nn.Module, inputs: tuple[torch.Tensor], __: torch.Tensor) -> None:
        sizes.append(tuple(inputs[0].shape[-2:]))

    hourglasses = [part for part in model.modules() if isinstance(part, Hourglass)]
    assert len(hourglasses) == 16
    for hourglass in hourglasses:
        level = hourglass.levels
        while hasattr(level.inner, "inner"):
            level = level.inner
        level.inner.register_forward_hook(note)
    model(torch.rand(1, 3, 16, 16))
    assert sizes == [(4, 4)] * 16
