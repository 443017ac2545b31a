"""One training run, readable top to bottom.

A run can be killed at any moment: its state (weights, optimiser, average, curve) is replaced in one step every few
seconds, batch k depends on the seed and k alone, and a run that goes on from its state ends with the same bytes as one
that was never stopped (on one kind of device).
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.core.provenance import code_of, describe_device, environment, now
from bench.core.stop import Stop
from bench.data.batches import Batches, derive_seed
from bench.models import registry, weights
from bench.models.memory import peak_memory_of_process, reset_peak_memory
from bench.runs.config import RunConfig, Training
from bench.runs.evaluate import psnr_of
from bench.runs.records import Progress, RunState

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from bench.core.progress import Bar
    from bench.runs.store import Run

CHECKPOINT_SECONDS = float(os.environ.get("FSR_CHECKPOINT_SECONDS", "10"))
_CHECK_EVERY = 25  # iterations between looks at the loss: each look makes a GPU wait


class Diverged(Exception):  # noqa: N818 - it tells what happened to the run
    """The loss of a run is no longer a number."""


def train(run: Run, faces: np.ndarray, val: np.ndarray, device: torch.device, bar: Bar) -> None:
    """Train `run` to its last iteration, from its saved state if there is one, and write its weights and curve.

    `faces` and `val` are uint8 [N, H, W, 3]. Raises Diverged when the loss becomes NaN or infinite (the last good
    state is kept), Interrupted when asked to stop (the state is saved first), UserError for a bad checkpoint.
    """
    config, training = run.config, run.config.training
    assert training is not None
    torch.set_float32_matmul_precision("high")  # TF32 on CUDA; no effect on a CPU
    trainee = Trainee(config, device)
    batches = batches_of(config, faces, device)
    began, elapsed = time.monotonic(), trainee.restore(run.load_state())
    saved_at = began
    run.write(
        status=RunState.RUNNING,
        error=None,
        started=run.record().started or now(),
        device=describe_device(device),
        environment=environment(),
        code=code_of(trainee.model),
    )
    with Stop() as stop:
        while trainee.iteration < training.iterations:
            loss = trainee.step(*batches[trainee.iteration])
            bar.update(trainee.iteration)
            last = trainee.iteration == training.iterations
            if last or trainee.iteration % training.validate_every == 0:
                trainee.add_point(psnr_of(trainee.network, val, config.protocol, config.scale, device))
                run.write_curve(trainee.curve)
                run.write(progress=trainee.progress(time.monotonic() - began))
                bar.show(loss=trainee.curve[-1]["loss"], psnr=trainee.curve[-1]["psnr"])
            elif trainee.iteration % _CHECK_EVERY == 0:
                trainee.check()
                bar.show(loss=float(loss))
            if stop.asked or (not last and time.monotonic() - saved_at > CHECKPOINT_SECONDS):
                trainee.check()
                saved_at = time.monotonic()
                run.save_state(trainee.state(elapsed + saved_at - began))
                run.write(progress=trainee.progress(saved_at - began))
                stop.check(f"{config.name} is saved at iteration {trainee.iteration} of {training.iterations}")
    seconds = elapsed + time.monotonic() - began
    weights.save(run.weights, trainee.network.state_dict(), {"run": config.name})
    run.write(
        trained=now(),
        train_seconds=round(seconds, 3),
        seconds_per_iteration=round(seconds / training.iterations, 5),
    )
    run.drop_state()


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
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=_bf16(self.training.precision, device))
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


def _bf16(precision: str, device: torch.device) -> bool:
    return precision == "bf16" or (precision == "auto" and device.type == "cuda")


@dataclass(frozen=True)
class Probe:
    """What a run takes: the median seconds of an iteration, and the memory of its process at the peak in MiB.

    On CUDA the memory is what torch's allocator has given out; on a CPU it is the whole process with its libraries, or
    0 where the system does not tell.
    """

    seconds: float
    memory: float


def probe(config: RunConfig, faces: np.ndarray, device: torch.device, steps: int = 10, most: float = 5.0) -> Probe:
    """Measure up to `steps` training iterations of `config`, or as many as fit into `most` seconds but two at least.

    One more before them warms up; nothing is written.
    """
    reset_peak_memory(device)
    trainee, batches = Trainee(config, device), batches_of(config, faces, device)
    times: list[float] = []
    while len(times) < 3 or (len(times) <= steps and sum(times) < most):
        start = time.perf_counter()
        trainee.step(*batches[trainee.iteration])
        trainee.check()  # waits for the device
        times.append(time.perf_counter() - start)
    return Probe(statistics.median(times[1:]), peak_memory_of_process(device))
