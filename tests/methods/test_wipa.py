"""WIPA: the Haar details, and the part of its objective that needs nothing but pictures."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from bench.models import registry
from methods.wipa import WIPA, haar_details


def narrow(**options: object) -> WIPA:
    torch.manual_seed(0)
    model = registry.build("wipa", {"width": 0.125} | options)
    assert isinstance(model, WIPA)
    return model


def test_details_are_differences_of_rows_columns_and_diagonals() -> None:
    picture = torch.tensor([[1.0, 2.0], [4.0, 8.0]]).repeat(1, 1, 4, 4)
    (fine, coarse) = haar_details(picture, 2)
    assert fine.shape == (1, 3, 4, 4) and coarse.shape == (1, 3, 2, 2)
    assert fine[0, :, 0, 0].tolist() == [(1 + 2 - 4 - 8) / 2, (1 - 2 + 4 - 8) / 2, (1 - 2 - 4 + 8) / 2]
    assert not coarse.any()


def test_details_of_a_level_are_those_of_the_box_averages_before_it() -> None:
    picture = torch.rand(2, 3, 32, 16)
    for level, details in enumerate(haar_details(picture, 3)):
        averages = F.avg_pool2d(picture, 2**level)
        assert torch.allclose(details, haar_details(averages, 1)[0], atol=1e-6)


def test_a_colour_s_details_are_next_to_each_other() -> None:
    picture = torch.zeros(1, 3, 8, 8)
    picture[:, 1, ::2] = 1  # green rows
    (details,) = haar_details(picture, 1)
    assert details[0].flatten(1).any(dim=1).tolist() == [False] * 3 + [True] + [False] * 5


@pytest.mark.parametrize("scale", [2, 8, 16])
def test_details_come_out_from_half_the_output_s_size_down(scale: int) -> None:
    model, lr = narrow(scale=scale).eval(), torch.rand(2, 3, 128 // scale, 128 // scale)
    sr, details = model.outputs(lr)
    assert torch.equal(sr, model(lr))
    assert [part.shape for part in details] == [part.shape for part in haar_details(sr, len(details))]
    assert details[-1].shape[-1] == 128 // scale


def test_the_loss_is_squared_error_plus_weighted_details() -> None:
    lr, hr = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 128, 128)
    model = narrow().eval()
    sr, details = model.outputs(lr)
    errors = [(a - b).abs().mean() for a, b in zip(details, haar_details(hr, 3), strict=True)]
    expected = ((sr - hr) ** 2).mean() + (errors[0] + errors[1] / 4 + errors[2] / 16) / 3
    assert torch.allclose(model.training_loss(lr, hr), expected)
    baseline = narrow(wavelets=False).eval()
    assert baseline.outputs(lr)[1] == []
    assert torch.allclose(baseline.training_loss(lr, hr), F.mse_loss(baseline(lr), hr))


@pytest.mark.parametrize("scale", [1, 3, 6])
def test_other_scales_are_refused(scale: int) -> None:
    with pytest.raises(ValueError, match="scale must be a power of two"):
        WIPA(scale)
