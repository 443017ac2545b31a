"""What `fsr bench train` lets compete: SPARNet's published way to train, ours, and the steps between the two."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from bench.core.machine import cores
from bench.runs.config import RunConfig, Training
from bench.runs.train import Trainee, batches_of
from bench.speed.reference_loader import PublishedFaces, published_loader
from bench.speed.reference_trainer import PublishedTrainer

if TYPE_CHECKING:
    from torch import Tensor, nn

Precision = Literal["fp32", "bf16"]
METHOD, SCALE = "sparnet", 8
_WORKERS = 8  # at most; one a core


class Contender(ABC):
    """One way to train: a network, its optimiser, a step and the batches that it is fed with."""

    def __init__(
        self, network: nn.Module, optimiser: torch.optim.Optimizer, step: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        self.network, self.optimiser, self.step = network, optimiser, step
        self.precision: Precision = "fp32"
        self.compiled = False

    @abstractmethod
    def batches(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield so many batches (lr, hr)."""

    def train(self, steps: int) -> None:
        """Take so many steps."""
        for lr, hr in self.batches(steps):
            self.step(lr, hr)


class Published(Contender):
    """The published trainer, fed by worker processes from JPEG files."""

    def __init__(self, files: Sequence[Path], batch: int, width: float, device: torch.device) -> None:
        trainer = PublishedTrainer({"width": width}, device)
        super().__init__(trainer.network, trainer.optimiser, trainer.step)
        self.workers = min(_WORKERS, cores())
        self._draw, self._loader = published_loader(PublishedFaces(files, scale=SCALE), batch, self.workers)

    def batches(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        self._draw.batches = count
        return iter(self._loader)


class Ours(Contender):
    """Our training; `channels_last`, `fused` and `compile` tell which steps towards it are taken."""

    def __init__(
        self,
        faces: np.ndarray,
        batch: int,
        width: float,
        device: torch.device,
        *,
        precision: Precision = "fp32",
        channels_last: bool = True,
        fused: bool = True,
        compile: bool = False,
    ) -> None:
        training = Training(10**6, batch, precision=precision, channels_last=channels_last, compile=compile)
        config = RunConfig(METHOD, {"width": width}, SCALE, 0, "sparnet", training)
        trainee = Trainee(config, device)
        if not fused:
            trainee.optimiser = torch.optim.Adam(trainee.model.parameters(), training.learning_rate, training.betas)
        super().__init__(trainee.model, trainee.optimiser, trainee.step)
        self.precision, self.compiled = precision, compile
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self._trainee, self._batches = trainee, batches_of(config, faces, device)

    def batches(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        for k in range(self._trainee.iteration, self._trainee.iteration + count):
            lr, hr = self._batches[k]
            # Nothing to do but where channels_last is left out: a network follows the layout of its input.
            yield lr.contiguous(memory_format=self._layout), hr.contiguous(memory_format=self._layout)


def variants(precisions: Sequence[Precision], ladder: bool) -> dict[str, Mapping[str, Any]]:
    """Return the options of `Ours` by name: a precision each or, with `ladder`, each step on the way as well."""
    found: dict[str, Mapping[str, Any]] = {}
    if ladder:
        found["data path"] = {"channels_last": False, "fused": False}
        found["channels_last"] = {"fused": False}
    for precision in precisions:
        found[precision] = {"precision": precision}
    if ladder and has_compiler():
        found["compile"] = {"precision": precisions[-1], "compile": True}
    return found


def native_precisions(device: torch.device) -> list[Precision]:
    """Return what the device computes in by itself; elsewhere bfloat16 is emulated, and slower than float32."""
    if device.type == "cuda":
        return ["fp32", "bf16"] if torch.cuda.is_bf16_supported(including_emulation=False) else ["fp32"]
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public ones
    return ["fp32", "bf16"] if any(getattr(torch.cpu, test, bool)() for test in tests) else ["fp32"]


def has_compiler() -> bool:
    """Tell whether torch.compile finds the C++ compiler that it needs."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)
