from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.models import registry

SMALL = {"width": 0.125, "groups": 1, "blocks": 1}


@pytest.mark.parametrize("scale", [2, 8])
def test_the_first_features_are_those_of_an_enlarged_and_folded_picture(scale: int) -> None:
    model = registry.build("sisn", {**SMALL, "scale": scale}).eval()
    nn.init.normal_(model.sub_mean.weight)  # as drifted in training
    lr, seen = torch.rand(2, 3, 5, 4), []
    model.groups.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(lr)
        large = model.sub_mean(F.interpolate(255 * lr, scale_factor=scale, mode="nearest"))
        folded = large.view(2, 3, 5, scale, 4, scale).permute(0, 3, 5, 1, 2, 4).reshape(2, -1, 5, 4)
        expected = model.head(folded)
    assert torch.allclose(seen[0], expected, atol=1e-3)  # of hundreds


def test_a_part_is_made_from_a_quarter_and_the_four_weights_of_a_channel_sum_to_one() -> None:
    block = registry.build("sisn", SMALL).eval().groups[0].beside
    x, seen = torch.rand(1, 8, 4, 4), []
    block.leave.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        block(x)
        parts = block.split(block.enter(x)).view(4, 8, 4, 4)
        weights = block.weigh(parts.sum(0).mean((1, 2)).view(1, 8, 1, 1)).view(4, 8).softmax(0)
        assert torch.allclose(seen[0][0], (weights[:, :, None, None] * parts).sum(0), atol=1e-6)
        before = block.split[0](block.enter(x)).view(4, 8, 4, 4)
        block.enter.register_forward_hook(
            lambda _, __, out: out * torch.tensor([0, 0, 1, 1] + 4 * [1]).view(1, 8, 1, 1)
        )
        after = block.split[0](block.enter(x)).view(4, 8, 4, 4)
    assert not torch.equal(before[0], after[0]) and torch.equal(before[1:], after[1:])


def test_it_trains_on_two_pictures_or_more_and_says_so() -> None:
    model = registry.build("sisn", SMALL).train()
    with pytest.raises(ValueError, match="trains on at least 2, 1 given; raise the batch size"):
        model(torch.rand(1, 3, 16, 16))
    assert model(torch.rand(2, 3, 16, 16)).shape == (2, 3, 128, 128)
    assert model.eval()(torch.rand(1, 3, 16, 16)).shape == (1, 3, 128, 128)


def test_its_objective_is_in_grey_levels() -> None:
    model, lr, hr = registry.build("sisn", SMALL).eval(), torch.rand(2, 3, 16, 16), torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        assert torch.allclose(model.training_loss(lr, hr), 255 * (model(lr) - hr).abs().mean())


def test_a_bias_before_normalisation_changes_nothing_in_training_and_much_in_evaluation() -> None:
    block, x = registry.build("sisn", SMALL).groups[0].beside, torch.rand(4, 8, 4, 4)
    for training in (True, False):
        block.train(training)
        with torch.no_grad():
            before = block(x)
            block.weigh[0].bias += 3
            after = block(x)
            block.weigh[0].bias -= 3
        assert torch.allclose(before, after, atol=1e-4) == training
    assert not block.weigh[0].bias.requires_grad


@pytest.mark.parametrize(
    ("options", "message"), [({"scale": 3}, "power of two, 3 given"), ({"groups": 0}, "at least 1, 0 and 10 given")]
)
def test_impossible_sizes_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        registry.build("sisn", options)
