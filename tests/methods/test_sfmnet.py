"""SFMNet: its two outputs, its objective, and what its phases' jumps leave certain."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.models import registry
from bench.models.cost import count_multiply_adds
from bench.models.objective import Batch, objective_of
from methods.sfmnet import Attention, Fusion, SFMNet, Spectrum


def narrow(width: float = 0.125) -> SFMNet:
    torch.manual_seed(0)
    model = registry.build("sfmnet", {"width": width})
    assert isinstance(model, SFMNet)
    return model


def pictures(count: int) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_a_batch_in_evaluation_is_its_pictures_to_the_last_bit() -> None:
    model, lr = narrow().eval(), pictures(3)
    with torch.no_grad():
        assert torch.equal(model(lr), torch.cat([model(one) for one in lr.split(1)]))
        together = model.train()(lr)
        assert (together - model.eval()(lr)).abs().mean() < 1e-3
    counts = [count_multiply_adds(model, lr[:n]).published for n in (1, 3)]
    assert counts[1] == 3 * counts[0]


def test_the_terms_are_l1_of_both_outputs_and_a_hundredth_of_amplitudes_and_phases() -> None:
    model, lr, hr = narrow().eval(), pictures(1), torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        sr, other = model.outputs(lr)
        assert torch.equal(sr, model(lr)) and not torch.equal(sr, other)
        got, expected = torch.fft.rfft2(other), torch.fft.rfft2(hr)
        phases = torch.atan2(got.imag, got.real) - torch.atan2(expected.imag, expected.real)
        by_hand = {
            "spatial": (sr - hr).abs().mean(),
            "frequency": (other - hr).abs().mean(),
            "amplitude": 0.01 * (got.abs() - expected.abs()).abs().mean(),
            "phase": 0.01 * phases.abs().mean(),
        }
        terms = objective_of(model).terms(model, Batch(lr, hr))
        assert list(terms) == list(by_hand)
        assert all(torch.allclose(terms[name], by_hand[name]) for name in terms)
        with torch.autocast("cpu", torch.bfloat16):
            short = objective_of(model).terms(model, Batch(lr, hr))
        assert all(torch.allclose(short[name], by_hand[name], rtol=0.05) for name in terms)


def test_a_spectrum_whose_layers_are_silent_gives_the_size_of_its_input() -> None:
    block, x = Spectrum(4), torch.randn(2, 4, 16, 16)
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            parameter.zero_()
            if name in ("before.weight", "after.weight"):
                parameter.copy_(torch.eye(4)[:, :, None, None])
        assert torch.allclose(block(x), x + x.abs(), atol=1e-5)
        block.after.weight.fill_(float("inf"))
        assert (block(x) == 1e-5).all()


@pytest.mark.parametrize(("width", "channels"), [(0.01, 8), (0.125, 8), (0.3, 16), (1.0, 64)])
def test_attention_heads_keep_eight_channels(width: float, channels: int) -> None:
    heads = [part.heads for part in narrow(width).modules() if isinstance(part, Attention)]
    assert heads == [channels // 8] * 14


def test_both_directions_of_a_fusion_share_one_attention_one_after_the_other() -> None:
    fusion, calls = Fusion(8), []
    fusion.attention.register_forward_hook(lambda _, given, out: calls.append((*given, out)))
    frequency, spatial = torch.randn(2, 1, 8, 16, 16)
    with torch.no_grad():
        fusion(frequency, spatial)
        asks, answers, found = calls[0]
        assert torch.equal(asks, fusion.from_spatial(spatial))
        assert torch.equal(answers, fusion.from_frequency(frequency))
    assert torch.equal(calls[1][0], answers) and torch.equal(calls[1][1], found + asks)


def test_a_width_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="width must be more than 0"):
        SFMNet(width=0)
