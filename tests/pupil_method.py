"""A method that another one teaches, used as a plug-in by the tests."""

import torch.nn.functional as F
from torch import Tensor, nn

from bench import register


@register(
    "pupil",
    title="Pupil",
    year=2024,
    teacher="tiny",
    variants={"pupil-small": {"title": "Small pupil", "options": {"width": 0.25}}},
)
class Pupil(nn.Module):
    def __init__(self, scale: int = 8, *, width: float = 1.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr: Tensor) -> Tensor:
        return 0.1 * self.body(lr)

    def objective(self) -> nn.Module:
        return Imitate()


class Imitate(nn.Module):
    def terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001 - methods know no class of bench's
        if batch.teacher is None:  # as where its cost is measured
            return {"pixel": F.l1_loss(network(batch.lr), batch.hr)}
        assert not batch.teacher.training and not any(p.requires_grad for p in batch.teacher.parameters())
        sr = network(batch.lr)
        return {"pixel": F.l1_loss(sr, batch.hr), "soft": 0.1 * F.l1_loss(sr, batch.teacher(batch.lr))}
