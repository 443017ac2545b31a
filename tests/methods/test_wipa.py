"""WIPA: the Haar details, and its objective by epochs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from bench.models import registry
from bench.models.objective import Batch, objective_of
from methods.wipa import WIPA, Discriminator, haar_details


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


def batch(epoch: float, **given: Any) -> Batch:
    """Return a batch of two faces when so many of 200 epochs are done."""
    draw = torch.Generator().manual_seed(5)
    lr, hr = torch.rand(2, 3, 16, 16, generator=draw), torch.rand(2, 3, 128, 128, generator=draw)
    return Batch(lr, hr, round(10 * epoch), 2000, **given)


def test_the_terms_are_squared_error_weighted_details_features_and_the_adversary_s_answer() -> None:
    model, now = narrow().eval(), batch(100, features={"vgg16": lambda seen: (seen * n for n in range(13))})
    objective = objective_of(model).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        terms = objective.terms(model, now)
        sr, details = model.outputs(now.lr)
        errors = [(a - b).abs().mean() for a, b in zip(details, haar_details(now.hr, 3), strict=True)]
        answer = objective.adversary(sr).sigmoid()
        torch.manual_seed(1)
        label = 0.85 + 0.15 * torch.rand(2, 1)
        expected = {
            "pixel": ((sr - now.hr) ** 2).mean(),
            "wavelets": (errors[0] + errors[1] / 4 + errors[2] / 16) / 3,
            "vgg": 0.001 * 4**2 * ((sr - now.hr) ** 2).mean(),  # of the fifth convolution
            "adversarial": -0.001 * (label * answer.log() + (1 - label) * (1 - answer).log()).mean(),
        }
    assert list(terms) == list(expected)
    assert all(torch.allclose(terms[name], expected[name]) for name in terms)
    baseline = narrow(wavelets=False).eval()
    assert list(objective_of(baseline).terms(baseline, now)) == ["pixel", "vgg", "adversarial"]


def test_terms_come_on_with_the_release_s_epochs() -> None:
    model = narrow()
    objective = objective_of(model)
    seen = {}
    for epoch in (0, 0.9, 1, 1.9, 2, 3.9, 4, 199.9):
        terms = objective.terms(model, batch(epoch))
        seen[epoch] = (
            "wavelets" in terms,
            bool(objective.adversary_terms(model, batch(epoch))),
            "adversarial" in terms,
        )
    off, all_on = (False, False, False), (True, True, True)
    only, rival = (True, False, False), (True, True, False)
    assert seen == {0: off, 0.9: off, 1: only, 1.9: only, 2: rival, 3.9: rival, 4: all_on, 199.9: all_on}


@pytest.mark.parametrize(("epoch", "least", "most"), [(2, 0.801, 0.199), (100, 0.85, 0.15), (199.9, 0.9, 0.1)])
def test_the_discriminator_s_labels_are_smoothed_less_and_less(epoch: float, least: float, most: float) -> None:
    """From cross-entropies of known answers: with logits of 1 a label y costs softplus(1) - y."""
    model, now = narrow(), batch(epoch)
    objective = objective_of(model)
    objective.terms(model, now)
    objective.adversary.forward = lambda pictures: torch.ones(len(pictures), 1)
    base, labels = math.log1p(math.e), {"real": [], "fake": []}
    for _ in range(300):
        for name, value in objective.adversary_terms(model, now).items():
            labels[name].append(base - float(value))  # the mean of two labels
    real, fake = ((min(drawn), sum(drawn) / 300, max(drawn)) for drawn in labels.values())
    assert real[0] > least - 1e-3 and real[2] < 1 + 1e-3
    assert fake[0] > -1e-3 and fake[2] < most + 1e-3
    assert (real[1], fake[1]) == pytest.approx(((least + 1) / 2, most / 2), abs=0.02)


def test_the_discriminator_is_the_released_one_and_is_not_reached_by_the_picture_s_gradient() -> None:
    full = Discriminator()
    assert sum(parameter.numel() for parameter in full.parameters()) == 4_855_617
    model, now = narrow(), batch(10)
    objective = objective_of(model)
    objective.terms(model, now)
    sum(objective.adversary_terms(model, now).values()).backward()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.grad is not None for parameter in objective.adversary.parameters())
    assert objective.adversary_betas == (0.5, 0.999)
    assert len(objective.left_out) == 2 and "SphereFace" in objective.left_out[0]


@pytest.mark.parametrize("scale", [1, 3, 6])
def test_other_scales_are_refused(scale: int) -> None:
    with pytest.raises(ValueError, match="scale must be a power of two"):
        WIPA(scale)
