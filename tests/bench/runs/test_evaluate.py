"""A face's picture depends on the run and the face alone, whatever a method draws."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.runs.evaluate import DRAWS, MIXES, UNSEEDED, Enlarger

CPU = torch.device("cpu")
LR = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), np.uint8)
OF_THE_FILE = np.random.default_rng(0)
Draw = Callable[["Net", Tensor], Tensor]


class Net(nn.Module):
    """Nearest, and whatever `draw` makes of it; `counts` are the faces of each call."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.draw, self.counts = draw, list[int]()
        self.own, self.old, self.python = torch.Generator(), np.random.RandomState(1), random.Random(1)

    def forward(self, lr: Tensor) -> Tensor:
        self.counts.append(len(lr))
        return self.draw(self, lr.repeat_interleave(2, 2).repeat_interleave(2, 3))


def mixed(_: Net, sr: Tensor) -> Tensor:
    return F.batch_norm(sr, None, None, training=True)


def fixed(_: Net, sr: Tensor) -> Tensor:
    return sr + 0.1 * torch.randn(sr.shape, generator=torch.Generator().manual_seed(0))


def seeded_inside(_: Net, sr: Tensor) -> Tensor:
    torch.manual_seed(0)
    return sr + 0.1 * torch.randn_like(sr)


def late(_: Net, sr: Tensor) -> Tensor:
    """Draw for one face alone, the 18th."""
    its = sr[:, :, ::2, ::2].sub(torch.from_numpy(LR[17].copy()).permute(2, 0, 1) / 255).abs().sum((1, 2, 3)) == 0
    return sr + 0.1 * torch.randn_like(sr) if bool(its.any()) else sr


CHANCE: dict[str, tuple[Draw, str]] = {
    "torch": (lambda _, sr: sr + 0.1 * torch.randn_like(sr), DRAWS),
    "dropout": (lambda _, sr: F.dropout(sr, 0.1), DRAWS),
    "numpy": (lambda _, sr: sr + 0.1 * float(np.random.normal()), DRAWS),
    "python": (lambda _, sr: sr + 0.1 * random.random(), DRAWS),
    "a module's torch generator": (lambda net, sr: sr + 0.1 * torch.randn(sr.shape, generator=net.own), DRAWS),
    "a module's RandomState": (lambda net, sr: sr + 0.1 * net.old.normal(), DRAWS),
    "a module's Random": (lambda net, sr: sr + 0.1 * net.python.random(), DRAWS),
    "a file's generator": (lambda _, sr: sr + 0.1 * OF_THE_FILE.normal(), DRAWS),
    "seeds the shared one": (seeded_inside, DRAWS),
    "one face alone": (late, DRAWS),
    "a generator made anew": (fixed, MIXES),
    "statistics of the batch": (mixed, MIXES),
}


def enlarged(draw: Draw, lr: np.ndarray, key: str = "a") -> tuple[Tensor, Enlarger]:
    enlarger = Enlarger(Net(draw), CPU, key)
    return torch.cat(list(enlarger(lr))), enlarger


def state() -> list[object]:
    return [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()]  # type: ignore[index]


@pytest.mark.parametrize("kind", CHANCE)
def test_what_is_drawn_depends_on_run_and_face_alone(kind: str) -> None:
    draw, chance = CHANCE[kind]
    before = state()
    whole, enlarger = enlarged(draw, LR)
    assert state() == before and enlarger.chance == chance
    torch.rand(3), np.random.rand(3), random.random(), OF_THE_FILE.normal()
    assert torch.equal(enlarged(draw, LR)[0], whole)
    torch.testing.assert_close(enlarged(draw, LR[::-1])[0].flip(0), whole)
    torch.testing.assert_close(enlarged(draw, LR[15:18])[0], whole[15:18])
    if chance == DRAWS and kind != "seeds the shared one":
        assert not torch.equal(enlarged(draw, LR, "b")[0], whole)


def test_what_does_not_draw_keeps_its_batches() -> None:
    sr, enlarger = enlarged(lambda _, sr: sr, LR)
    assert enlarger.chance == "" and enlarger._model.counts == [16, 1, 1, 4]
    assert torch.equal(sr[:, :, ::2, ::2], torch.from_numpy(LR.copy()).permute(0, 3, 1, 2).float() / 255)


@pytest.mark.parametrize("odd", [0.0, 3.0, -1e9, float("nan"), float("inf")])
def test_a_source_that_cannot_be_seeded_is_told(odd: float) -> None:
    """Whatever else is wrong with a pixel of the pictures."""

    def noisy(_: object, sr: torch.Tensor) -> torch.Tensor:
        noise = torch.from_numpy(np.random.default_rng().uniform(-0.1, 0.1, sr.shape)).float()
        noise[..., 0, 0] += odd
        return sr + noise

    assert enlarged(noisy, LR)[1].chance == UNSEEDED


def test_a_network_that_breaks_down_alike_draws_nothing() -> None:
    broken = enlarged(lambda _, sr: torch.where(sr > 0.5, sr / 0, sr * float("nan")), LR)[1]
    assert broken.chance == ""


@pytest.mark.parametrize(
    ("made", "came"),
    [
        (lambda _, sr: (sr, sr), "tuple"),
        (lambda _, sr: None, "NoneType"),
        (lambda _, sr: sr.numpy(), r"ndarray \[16, 3, 8, 8\]"),
        (lambda _, sr: sr[0], r"Tensor \[3, 8, 8\]"),
        (lambda _, sr: sr[:1], r"Tensor \[1, 3, 8, 8\]"),
    ],
)
def test_what_is_no_picture_is_named(made: Draw, came: str) -> None:
    with pytest.raises(TypeError, match=rf"^forward gives {came}, expected a Tensor \[16, 3, height, width\]$"):
        enlarged(made, LR)
