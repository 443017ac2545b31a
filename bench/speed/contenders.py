"""What `fsr bench train` lets compete: the published way to train a network, ours, and the steps between the two."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from bench.core.machine import cores
from bench.models import registry
from bench.runs.config import RunConfig, Training
from bench.runs.trainee import Trainee, batches_of
from bench.speed.defaults import defaults
from bench.speed.published import PublishedBatches, PublishedFaces

if TYPE_CHECKING:
    from torch import Tensor, nn

Precision = Literal["fp32", "bf16"]
_WORKERS = 8  # at most; one a core


@dataclass
class Contender:
    """One way to train: a network, its optimiser, a step (lr, hr) -> loss, and `batches(count)` that feed it."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    step: Callable[[Tensor, Tensor], Tensor]
    batches: Callable[[int], Iterator[tuple[Tensor, Tensor]]]
    precision: Precision = "fp32"
    compiled: bool = False
    workers: int = 0

    def train(self, steps: int) -> None:
        """Take so many steps."""
        for lr, hr in self.batches(steps):
            self.step(lr, hr)


def published(files: Sequence[Path], batch: int, options: Mapping[str, Any], device: torch.device) -> Contender:
    """Return the published trainer: L1, Adam at 2e-4 with betas 0.9 and 0.99, fed by worker processes from JPEG files.

    The network is ours, layer for layer the published one; a factor of 1 leaves its input, enlarged already, as it is.
    """
    own = defaults("train")
    network = registry.build(own["method"], {**options, "scale": 1}).to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.9, 0.99))

    def step(lr: Tensor, hr: Tensor) -> Tensor:
        lr, hr = lr.to(device), hr.to(device)
        optimiser.zero_grad()
        loss = F.l1_loss(network(lr), hr)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return loss.detach()

    workers = min(_WORKERS, cores())
    batches = PublishedBatches(PublishedFaces(files, scale=own["scale"]), batch, workers)
    return Contender(network, optimiser, step, batches.take, workers=workers)


def ours(
    faces: np.ndarray,
    batch: int,
    options: Mapping[str, Any],
    device: torch.device,
    *,
    precision: Precision = "fp32",
    channels_last: bool = True,
    fused: bool = True,
    compile: bool = False,
) -> Contender:
    """Return our training; `channels_last`, `fused` and `compile` tell which steps towards it are taken."""
    own = defaults("train")
    training = Training(10**6, batch, precision=precision, channels_last=channels_last, compile=compile)
    config = RunConfig(own["method"], options, own["scale"], 0, "", training)
    trainee = Trainee(config, device)
    if not fused:
        trainee.optimiser = torch.optim.Adam(trainee.model.parameters(), training.learning_rate, training.betas)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    made = batches_of(config, faces, device)

    def batches(count: int) -> Iterator[tuple[Tensor, Tensor]]:
        for k in range(trainee.iteration, trainee.iteration + count):
            lr, hr = made[k]
            # Nothing to do but where channels_last is left out: a network follows the layout of its input.
            yield lr.contiguous(memory_format=layout), hr.contiguous(memory_format=layout)

    return Contender(trainee.model, trainee.optimiser, trainee.step, batches, precision, compile)


def variants(precisions: Sequence[Precision], ladder: bool) -> dict[str, Mapping[str, Any]]:
    """Return the options of `ours` by name: a precision each or, with `ladder`, each step on the way as well."""
    steps: dict[str, Mapping[str, Any]] = {}
    if ladder:
        steps["data path"] = {"channels_last": False, "fused": False}
        steps["channels_last"] = {"fused": False}
    for precision in precisions:
        steps[precision] = {"precision": precision}
    if ladder and has_compiler():
        steps["compile"] = {"precision": precisions[-1], "compile": True}
    return steps


def native_precisions(device: torch.device) -> list[Precision]:
    """Return what the device computes in by itself; elsewhere bfloat16 is emulated, and slower than float32."""
    if device.type == "cuda":
        return ["fp32", "bf16"] if torch.cuda.is_bf16_supported(including_emulation=False) else ["fp32"]
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public ones
    return ["fp32", "bf16"] if any(getattr(torch.cpu, test, bool)() for test in tests) else ["fp32"]


def has_compiler() -> bool:
    """Tell whether torch.compile finds the C++ compiler that it needs."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)
