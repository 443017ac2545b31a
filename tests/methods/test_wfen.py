"""WFEN at its first step."""

from __future__ import annotations

import torch

from methods.wfen import WFEN


def test_as_drawn_its_deep_part_learns_nothing_at_first() -> None:
    """Its halves have no skip: N(0, 0.02) leaves the wavelets' body no gradient, the path around it all of it."""
    torch.manual_seed(0)
    network = WFEN()
    network(torch.rand(1, 3, 16, 16)).abs().mean().backward()
    reached = {
        name: max(float(weight.grad.abs().max()) for weight in part.parameters() if weight.grad is not None)
        for name, part in (("body", network.body), ("tail", network.tail))
    }
    assert reached["body"] == 0 and reached["tail"] > 1e-3
