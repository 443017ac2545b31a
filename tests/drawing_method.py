"""A method that draws at random while it enlarges, used as a plug-in by the tests: bicubic and noise."""

import torch
import torch.nn.functional as F
from torch import nn

from bench import register

VARIANTS = {
    "steady": {"title": "Steady", "options": {"noise": 0.0}},
    "learnt": {"title": "Learnt", "trainable": True, "options": {"learnt": True}},
}


@register("drawing", title="Drawing", year=2026, trainable=False, variants=VARIANTS)
class Drawing(nn.Module):
    def __init__(self, scale: int = 8, *, noise: float = 0.1, learnt: bool = False) -> None:
        super().__init__()
        self.scale, self.noise = scale, noise
        self.gain = nn.Parameter(torch.ones(1)) if learnt else 1.0

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        sr = self.gain * F.interpolate(lr, scale_factor=self.scale, mode="bicubic")
        return sr + self.noise * torch.randn_like(sr) if self.noise else sr
