from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from bench.core.errors import UserError
from bench.models import registry

SMALL = {"width": 0.125, "deep_blocks": 2}  # and pictures of 64x64


def test_the_eight_models_are_the_paper_s_table_1() -> None:
    modules = ["", "F", "P", "E", "EP", "EF", "PF", "EPF"]
    for number, present in enumerate(modules, 1):
        options = registry.get(f"msfnet-{number}").options
        modules_of = {name: options[name] for name in ("esem", "pa", "fem")}
        assert modules_of == {"esem": "E" in present, "pa": "P" in present, "fem": "F" in present}
        assert options.keys() - modules_of == (set() if "E" in present else {"msrb_fuse"}), "nothing to fuse there"


def test_a_block_s_gate_has_a_bound_unless_asked_otherwise() -> None:
    """Features 1,000 times too large leave the default block about as much too large, the unbounded one squared."""

    def growth(**options: Any) -> float:
        torch.manual_seed(0)
        block = registry.build("msfnet-8", {**SMALL, **options}).body[0].eval()
        x = torch.rand(1, block.before[0].num_features, 16, 16)
        with torch.no_grad():
            return float(block(1000 * x).abs().max() / block(x).abs().max())

    assert growth() < 2_000 < 100_000 < growth(msrb_fuse="add")


@pytest.mark.parametrize("training", [True, False])
def test_model_1_is_sparnet(training: bool) -> None:
    sparnet, model = registry.build("sparnet", SMALL), registry.build("msfnet-1", SMALL)
    model.load_state_dict(sparnet.state_dict())
    lr = torch.rand(2, 3, 16, 16)
    assert torch.equal(sparnet.train(training)(lr), model.train(training)(lr))


@pytest.mark.parametrize(
    "options",
    [
        {"msrb_fuse": "mul"},
        {"msrb_fuse": "concat"},
        {"msrb_fuse": "add"},
        {"attention": "3d"},
        {"attention": "3d", "msrb_fuse": "concat"},
        {"pa_position": "pre"},
        {"pa_position": "mid"},
        {"pa_scales": [1.0, 0.5]},
        {"pa_scope": "per-level"},
        {"ccb_kernel": [3, 5, 7]},
        {"ccb_convs": 1},
        {"ccb_depthwise": True},
        {"esem_fuse_kernel": 1},
        {"esem_residual": False},
        {"eca_rule": "nearest"},
        {"eca_rule": "ceil"},
        {"fem_place": "after"},
        {"fem_merge": "eca-sum"},
        {"fem_align": "conv"},
        {"skip_add": True},
        {"scale": 4},
    ],
    ids=str,
)
def test_every_switch_changes_the_network_and_trains(options: dict[str, Any]) -> None:
    sr = output(**options)
    assert sr.shape == (1, 3, 64, 64) and torch.isfinite(sr).all()
    # At this width each ECA kernel comes out the same under all three rules but for one.
    assert options.get("eca_rule") or not torch.equal(sr, default_output())
    sr.mean().backward()


def output(**given: Any) -> torch.Tensor:
    torch.manual_seed(0)
    model = registry.build("msfnet", {**SMALL, **given}).eval()
    side = 64 // given.get("scale", 8)
    return model(torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1)))


@functools.cache
def default_output() -> torch.Tensor:
    return output().detach()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pa_position": "middle"}, "expected one of 'post', 'mid', 'pre'"),
        ({"ccb_kernel": 3}, "expected a list of a whole number"),
        ({"fem": 1}, "expected true or false"),
        ({"esemm": True}, "did you mean 'esem'"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        registry.build("msfnet", options)


@pytest.mark.parametrize(
    "options", [{"width": 0.0}, {"deep_blocks": 0}, {"ccb_kernel": [3, 3]}, {"pa_scales": [1.5]}, {"pa_scales": []}]
)
def test_impossible_sizes_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="given"):
        registry.build("msfnet", {**SMALL, **options})
