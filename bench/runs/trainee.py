"""A network in training: steps, schedule, average of weights, and the state from which it goes on."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.core.provenance import now
from bench.data.batches import Batches, derive_seed
from bench.models import registry
from bench.runs.config import RunConfig, Training
from bench.runs.records import Progress

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class Diverged(Exception):  # noqa: N818 - it tells what happened to the run
    """The loss of a run is no longer a number."""


def batches_of(config: RunConfig, faces: np.ndarray, device: torch.device) -> Batches:
    """Return the batches that `config` trains on."""
    assert config.training is not None
    return Batches(
        faces,
        batch=config.training.batch,
        scale=config.scale,
        seed=config.seed,
        augment=config.training.augment,
        device=device,
    )


class Trainee:
    """A network in training: model, optimiser, average of weights, and the curve so far."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        assert config.training is not None
        self.training = config.training
        # Each method draws its own first weights: two rows that are the same network then show the noise of a run.
        torch.manual_seed(derive_seed(config.seed, "weights", config.method))
        self.device = device
        self.model = registry.build(config.method, config.options).to(device)
        if self.training.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.average = _average(self.model, self.training.ema)
        self.optimiser = torch.optim.Adam(
            self.model.parameters(), lr=self.training.learning_rate, betas=self.training.betas, fused=True
        )
        self._forward = torch.compile(self.model) if self.training.compile else self.model
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(self.training.precision, device))
        self.iteration = self._began_at = 0
        self.curve: list[dict[str, float]] = []
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._loss_count = 0

    @property
    def network(self) -> nn.Module:
        """The network to score: the averaged weights where there are some."""
        return self.average.module if self.average is not None else self.model

    def step(self, lr: Tensor, hr: Tensor) -> Tensor:
        """Take one step of the optimiser; return the loss without waiting for it."""
        rate = learning_rate(self.training, self.iteration)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        with self.autocast:
            loss = self._loss(lr, hr)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.training.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.training.clip)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.iteration += 1
        self._loss_sum += loss.detach().double()
        self._loss_count += 1
        return loss.detach()

    def _loss(self, lr: Tensor, hr: Tensor) -> Tensor:
        """Return the method's own objective, `training_loss(lr, hr)`, or L1 (paper, section 3.6)."""
        own = getattr(self.model, "training_loss", None)
        if own is not None:
            return own(lr, hr)  # type: ignore[no-any-return]
        return F.l1_loss(self._forward(lr).float(), hr)

    def check(self) -> None:
        """Raise Diverged when a loss since the last point of the curve was NaN or infinite."""
        if not math.isfinite(float(self._loss_sum)):
            raise Diverged(f"the loss became NaN or infinite at or before iteration {self.iteration}")

    def add_point(self, psnr: float) -> None:
        """Add a point to the curve: mean loss since the last point, validation PSNR, learning rate."""
        self.check()
        self.curve.append(
            {
                "iteration": self.iteration,
                "loss": float(self._loss_sum) / max(self._loss_count, 1),
                "psnr": psnr,
                "learning_rate": learning_rate(self.training, self.iteration - 1),
            }
        )
        self._loss_sum.zero_()
        self._loss_count = 0

    def progress(self, seconds: float) -> Progress:
        """Return how far training is and how fast, for those who watch; `seconds` went by since it went on."""
        steps = self.iteration - self._began_at
        return Progress(
            iteration=self.iteration,
            psnr=self.curve[-1]["psnr"] if self.curve and math.isfinite(self.curve[-1]["psnr"]) else None,
            seconds_per_iteration=round(seconds / steps, 5) if steps else None,
            node=platform.node(),
            at=now(),
        )

    def state(self, seconds: float) -> dict[str, Any]:
        """Return all that is needed to go on, as plain tensors and numbers."""
        return {
            "iteration": self.iteration,
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "optimiser": self.optimiser.state_dict(),
            "curve": self.curve,
            "loss": (self._loss_sum, self._loss_count),
            "seconds": seconds,
        }

    def restore(self, state: Mapping[str, Any] | None) -> float:
        """Go on from `state`, if any; return the seconds trained so far."""
        if state is None:
            return 0.0
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.iteration = self._began_at = int(state["iteration"])
        self.curve = list(state["curve"])
        self._loss_sum, self._loss_count = state["loss"][0].to(self.device), int(state["loss"][1])
        return float(state["seconds"])


def learning_rate(training: Training, iteration: int) -> float:
    """Return the learning rate of the step that follows `iteration` finished ones.

    After the warm-up "linear" falls from the full rate to 0 and "cosine" to 1% of it; "onecycle" rises from 4% to the
    full rate over the first 30% and falls to 0.01% on a cosine (Smith & Topin 2019).
    """
    full, warmup = training.learning_rate, training.warmup
    if iteration < warmup:
        return full * (iteration + 1) / warmup
    done = (iteration - warmup) / (training.iterations - warmup)
    if training.schedule == "constant":
        return full
    if training.schedule == "linear":
        return full * (1 - done)
    if training.schedule == "cosine":
        return _cosine(full, full * 0.01, done)
    if done < 0.3:
        return _cosine(full / 25, full, done / 0.3)
    return _cosine(full, full * 1e-4, (done - 0.3) / 0.7)


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * done))


def _average(model: nn.Module, decay: float) -> AveragedModel | None:
    if not decay:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Tell whether networks are trained in 16 bits, where that loses nothing."""
    return precision == "bf16" or (precision == "auto" and device.type == "cuda")
