"""A method with all that an objective may have, used as a plug-in by the tests: stage, terms, adversary, draws."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import register


@register("rival", title="Rival", year=2024, needs=["landmarks"])
class Rival(nn.Module):
    def __init__(self, scale: int = 8, *, width: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.guess = nn.Conv2d(3, 136, 3, padding=1)  # 68 points, pre-trained
        self.body = nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr: Tensor) -> Tensor:
        base = F.interpolate(lr, scale_factor=self.scale, mode="bicubic", antialias=True)
        return base + 0.1 * self.body(lr) + 0.01 * self.points(lr).mean((1, 2))[:, None, None, None]

    def points(self, lr: Tensor) -> Tensor:
        return self.guess(lr).mean((2, 3)).view(-1, 68, 2)

    def objective(self) -> nn.Module:
        return RivalObjective()


class RivalObjective(nn.Module):
    adversary_rate = 0.5
    adversary_betas = (0.5, 0.9)
    stage = 0.25

    def __init__(self) -> None:
        super().__init__()
        self.adversary = nn.Sequential(
            nn.Conv2d(3, 4, 4, stride=4), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 32 * 32, 1)
        )

    def terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001 - methods know no class of bench's
        if batch.iteration < 0:
            return {"points": 1e-4 * self._miss(network, batch)}
        self._sr = network(batch.lr)
        terms = {"pixel": F.l1_loss(self._sr, batch.hr), "points": 1e-4 * self._miss(network, batch)}
        if batch.progress > 0.5:
            terms["rival"] = 1e-3 * F.softplus(-self.adversary(self._sr)).mean()
        return terms

    def adversary_terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001
        if batch.progress <= 0.25:
            return {}
        real = 0.8 + 0.2 * torch.rand(len(batch.hr), 1, device=batch.hr.device)
        told = self.adversary(batch.hr)
        return {
            "real": F.binary_cross_entropy_with_logits(told, real),
            "fake": F.softplus(self.adversary(self._sr.detach())).mean(),
        }

    def _miss(self, network: nn.Module, batch) -> Tensor:  # noqa: ANN001
        if batch.landmarks is None:
            return network.points(batch.lr).sum() * 0
        return (network.points(batch.lr) - batch.landmarks).nan_to_num().abs().mean()


@register("heir", title="Heir", year=2024, teacher="rival")
class Heir(Rival):
    """A network that begins as its teacher, which needs landmarks; it has none itself."""

    def objective(self) -> nn.Module:
        return HeirObjective()


class HeirObjective(nn.Module):
    def start(self, network: nn.Module, teacher: nn.Module | None) -> None:
        if teacher is not None:
            network.load_state_dict(teacher.state_dict())

    def terms(self, network: nn.Module, batch) -> dict[str, Tensor]:  # noqa: ANN001
        return {"pixel": F.l1_loss(network(batch.lr), batch.hr)}
