"""A network in training: steps, schedule, average of weights, and the state from which it goes on."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.core.provenance import now
from bench.data.batches import Batches, derive_seed
from bench.models import registry
from bench.models.objective import Batch, objective_of, stage_steps, sum_of
from bench.runs.config import RunConfig, Training
from bench.runs.given import NOTHING, Given
from bench.runs.records import Progress

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Diverged(Exception):  # noqa: N818 - it tells what happened to the run
    """The loss of a run is no longer a number."""


def batches_of(
    config: RunConfig, faces: np.ndarray, device: torch.device, landmarks: np.ndarray | None = None
) -> Batches:
    """Return the batches that `config` trains on."""
    assert config.training is not None
    return Batches(
        faces,
        batch=config.training.batch,
        scale=config.scale,
        seed=config.seed,
        augment=config.training.augment,
        device=device,
        landmarks=landmarks,
    )


class Trainee:
    """A network in training: model, objective, optimisers, average of weights, and the curve so far.

    `iteration` counts the steps that are done; it is below 0 in the stage that an objective has before the first.
    """

    def __init__(self, config: RunConfig, device: torch.device, given: Given = NOTHING) -> None:
        assert config.training is not None
        self.training, self.seed, self.given = config.training, config.seed, given
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
        self._forward = cast(nn.Module, torch.compile(self.model)) if self.training.compile else self.model
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(self.training.precision, device))
        self.objective = objective_of(self.model)
        self._state = self.objective.to(device) if isinstance(self.objective, nn.Module) else nn.Module()
        self.adversary: nn.Module | None = getattr(self.objective, "adversary", None)
        self._rival = self._adversarys_optimiser()
        self.stage = stage_steps(self.objective, self.training.iterations)
        self.iteration = self._began_at = -self.stage
        self.curve: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    @property
    def network(self) -> nn.Module:
        """The network to score: the averaged weights where there are some."""
        return self.average.module if self.average is not None else self.model

    @property
    def number(self) -> int:
        """The number of the next batch: the iteration, or beyond the last one for a step of the stage before."""
        return self.iteration if self.iteration >= 0 else self.training.iterations - self.iteration - 1

    def step(self, lr: Tensor, hr: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """Take one step of the optimiser, and one of the adversary's; return the loss without waiting for it."""
        torch.manual_seed(derive_seed(self.seed, "step", self.number))  # for what objective and network draw
        if self.iteration == -self.stage and (start := getattr(self.objective, "start", None)):
            start(self.model, self.given.teacher)
        batch = Batch(
            lr, hr, self.iteration, self.training.iterations, landmarks, self.given.teacher, self.given.features
        )
        rate = learning_rate(self.training, max(self.iteration, 0))
        self.model.train()
        self._state.train()
        if self.adversary is not None:
            self.adversary.requires_grad_(False)
        with self.autocast:
            terms = self.objective.terms(self._forward, batch)
            loss = sum_of(terms, self.objective)
        self._descend(self.optimiser, self.model, loss, rate)
        if self.average is not None:
            self.average.update_parameters(self.model)
        self._note("loss", terms, loss)
        if self._rival is not None:
            self._step_adversary(batch, rate)
        self.iteration += 1
        if self.iteration == 0:  # the stage is over: the curve tells of what follows
            self.check()
            self._sums, self._counts = {}, {}
        return loss.detach()

    def _step_adversary(self, batch: Batch, rate: float) -> None:
        assert self.adversary is not None and self._rival is not None
        self.adversary.requires_grad_(True)
        with self.autocast:
            terms = self.objective.adversary_terms(self._forward, batch)  # type: ignore[attr-defined]
        if terms:
            loss, factor = sum_of(terms, self.objective), float(getattr(self.objective, "adversary_rate", 1.0))
            self._descend(self._rival, self.adversary, loss, factor * rate)
            self._note("adversary", terms, loss)

    def _descend(self, optimiser: torch.optim.Optimizer, network: nn.Module, loss: Tensor, rate: float) -> None:
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.training.clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), self.training.clip)
        optimiser.step()

    def _adversarys_optimiser(self) -> torch.optim.Optimizer | None:
        if self.adversary is None:
            return None
        betas = getattr(self.objective, "adversary_betas", self.training.betas)
        return torch.optim.Adam(self.adversary.parameters(), lr=self.training.learning_rate, betas=betas, fused=True)

    def _note(self, name: str, terms: Mapping[str, Tensor], total: Tensor) -> None:
        """Add a loss to the sums that the next point of the curve is the mean of, and each of its terms."""
        parts = {f"{name}_{term}": value for term, value in terms.items()} if len(terms) > 1 else {}
        for key, value in {name: total, **parts}.items():
            value = value.detach().double()
            self._sums[key] = self._sums[key] + value if key in self._sums else value
            self._counts[key] = self._counts.get(key, 0) + 1

    def check(self) -> None:
        """Raise Diverged when a loss since the last point of the curve was NaN or infinite."""
        if not all(math.isfinite(float(value)) for value in self._sums.values()):
            raise Diverged(f"the loss became NaN or infinite at or before iteration {self.iteration}")

    def add_point(self, psnr: float) -> None:
        """Add a point to the curve: mean loss and terms since the last one, validation PSNR, learning rate."""
        self.check()
        means = {name: float(value) / self._counts[name] for name, value in self._sums.items()}
        self.curve.append(
            {
                "iteration": self.iteration,
                "loss": means.pop("loss"),
                "psnr": psnr,
                "learning_rate": learning_rate(self.training, self.iteration - 1),
                **means,
            }
        )
        self._sums, self._counts = {}, {}

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
            "objective": self._state.state_dict(),
            "adversary": self._rival.state_dict() if self._rival is not None else None,
            "sums": self._sums,
            "counts": self._counts,
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
        self._state.load_state_dict(state["objective"])
        if self._rival is not None:
            self._rival.load_state_dict(state["adversary"])
        self._sums = {name: value.to(self.device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])
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
