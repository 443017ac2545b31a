"""The counts that pin each network, at full width for one 128x128 picture."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.models import registry
from bench.models.capacity import method_size
from bench.models.cost import count_method, count_parameters
from methods.layers.cross_conv import ESEM
from methods.layers.feature_enhancement import FEM
from methods.layers.hourglass import Hourglass
from methods.layers.pyramid_attention import PyramidAttention

COUNTS = {  # parameters, multiply-adds as published
    "bicubic": (0, 0),
    "fsrnet": (3_263_691, 15_279_325_184),
    # 8,423,683 as released less 246,352 that nothing runs, and 594,371 of its parsing net; 36.284 and 0.152 G
    "fishfsrnet": (8_771_702, 36_435_787_776),
    "kdfsrnet": (5_203_995, 13_721_693_184),  # 5,204,019 as released: 24 numbers that shift means are never used
    "kdfsrnet-teacher": (2_526_027, 5_709_505_536),
    "sisn": (8_304_475, 2_224_335_104),  # 8,755,035 as released: 110 convolutions of 4,096 numbers are never used
    "sparnet": (10_518_867, 7_130_234_880),
    "sparnet-3d": (11_562_083, 8_075_870_208),
    "sparnet-light": (5_242_211, 6_876_168_192),
    "dic": (21_803_849, 45_336_510_464),
    "wipa": (1_386_688, 1_708_130_304),
    "wipa-baseline": (1_235_968, 1_438_040_064),
    "sfmnet": (8_545_942, 30_685_396_992),  # 8,799,622 less 14 attentions that are never run, 18,120 each
    "wfen": (6_780_519, 8_087_910_400),  # 6,795,879 as released, of which 15,360 are Haar's fixed filters
    "ctcnet": (22_407_699, 29_937_739_904),  # 24,404,917 as released, of which 1,997,218 are never used
    "msfnet-1": (10_518_867, 7_130_234_880),
    "msfnet-2": (12_655_520, 9_359_508_928),
    "msfnet-3": (10_551_894, 7_504_953_344),
    "msfnet-4": (16_865_693, 10_835_919_472),
    "msfnet-5": (16_898_720, 11_210_637_936),
    "msfnet-6": (19_002_346, 13_065_193_520),
    "msfnet-7": (12_688_547, 9_734_227_392),
    "msfnet-8": (19_035_373, 13_439_911_984),
}


@pytest.mark.parametrize("method", COUNTS)
def test_parameters_and_multiply_adds(method: str) -> None:
    parameters, count = count_method(method, {})
    assert (parameters, count.published) == COUNTS[method]


def test_the_proposed_network_is_model_8() -> None:
    assert registry.options("msfnet") == registry.options("msfnet-8")


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
    assert round(method_size("msfnet-8", options) / 1e6, 2) == millions


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
