"""Objectives that make no sense are refused in a line that says what was expected."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bench.core.errors import UserError
from bench.models.objective import objective_of, sum_of


class Asked(nn.Module):
    """A network that gives an objective with the attributes it was made with."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        kind = type("Terms", (), {"terms": lambda self, network, batch: {}, **attributes})
        self.objective = kind


ADVERSARY = {"adversary": nn.Conv2d(3, 1, 3), "adversary_terms": lambda self, network, batch: {}}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"terms": None}, "gives no object with terms"),
        ({"adversary": nn.Conv2d(3, 1, 3)}, "has an adversary and no adversary_terms"),
        ({**ADVERSARY, "adversary": nn.ReLU()}, "its adversary has no parameters to train"),
        ({**ADVERSARY, "adversary_rate": "x"}, "adversary_rate 'x', expected a number from 0 to inf"),
        *(
            ({"stage": value}, "stage .*, expected a number from 0 to 100")
            for value in (-0.5, float("nan"), 1e12, "10%")
        ),
        ({"left_out": "VGG"}, "left_out 'VGG', expected a tuple of texts"),
    ],
)
def test_an_objective_has_what_the_harness_uses(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        objective_of(Asked(**attributes))
    assert objective_of(Asked(**ADVERSARY, stage=1, left_out=("VGG",)))


def test_terms_are_scalars_by_name_that_depend_on_what_is_trained() -> None:
    term = torch.ones((), requires_grad=True)
    assert float(sum_of({"a": term, "b": 2 * term}, nn.Identity()).detach()) == 3
    for terms, message in (
        ({}, "Identity: the terms of its loss are none, expected scalar tensors by name"),
        (None, "are a NoneType, expected"),
        (term, "are a Tensor, expected"),
        ({"a": 1.0}, "'a' is a float"),
        ({"a": term.expand(2)}, r"'a' is shape \(2,\)"),
        ({"a": term.detach()}, "are a: none of them depends on what is trained"),
        ({1: term}, "are called 1, expected a name"),
        ({"a,b\n": term}, r"are called 'a,b\\n', expected a name without commas"),
    ):
        with pytest.raises(UserError, match=message):
            sum_of(terms, nn.Identity())  # type: ignore[arg-type]
