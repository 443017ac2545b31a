"""A training step as SPARNet's published trainer takes it: float32, contiguous memory, torch's plain Adam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from bench.models import registry

if TYPE_CHECKING:
    from torch import Tensor


class PublishedTrainer:
    """SPARNet in training on pictures that are enlarged already (see bench.speed.reference_loader).

    L1 and Adam at 2e-4 with betas 0.9 and 0.99, as in SPARNet's code. The network is ours: layer for layer the
    published one, and a factor of 1 leaves its input as it is.
    """

    def __init__(self, options: dict[str, Any], device: torch.device) -> None:
        self.device = device
        self.network = registry.build("sparnet", {**options, "scale": 1}).to(device).train()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=2e-4, betas=(0.9, 0.99))

    def step(self, lr: Tensor, hr: Tensor) -> Tensor:
        """Take one step with lr and hr, both float32 [B, 3, H, W] in [0, 1]; return the loss."""
        lr, hr = lr.to(self.device), hr.to(self.device)
        self.optimiser.zero_grad()
        loss = F.l1_loss(self.network(lr), hr)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.detach()
