"""What decides a run, and the hash that names it.

Every value that can change a run's bytes is a field here; nothing else is. TOML is read into these frozen classes, and
their canonical JSON is hashed into the run's id.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.core.errors import UserError
from bench.core.schema import canonical_json
from bench.data.augment import Augment


@dataclass(frozen=True)
class Training:
    """The budget and the optimiser: Adam on the method's loss (L1 unless it has its own).

    `ema` is the decay of an average of the weights (0: none) and `clip` the largest gradient norm (0: no clipping).
    `warmup` and `validate_every` are in iterations: the learning rate rises on a line before its schedule begins, and
    points of the training curve are that far apart.
    """

    iterations: int
    batch: int = 16
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    schedule: Literal["constant", "linear", "cosine", "onecycle"] = "cosine"
    warmup: int = 0
    ema: float = 0.0
    clip: float = 0.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    validate_every: int = 1000
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        for name in ("iterations", "batch", "validate_every", "learning_rate"):
            _require(getattr(self, name) > 0, f"training.{name}", getattr(self, name), "more than 0")
        for beta in self.betas:
            _require(0 <= beta < 1, "training.betas", self.betas, "two numbers from 0 up to, not including, 1")
        _require(0 <= self.ema < 1, "training.ema", self.ema, "from 0 (off) up to, not including, 1")
        _require(
            0 <= self.warmup < self.iterations, "training.warmup", self.warmup, "0 up to, not including, iterations"
        )
        _require(self.clip >= 0, "training.clip", self.clip, "0 (off) or more")


@dataclass(frozen=True)
class DataRef:
    """The first `faces` faces of a face store, held to its fingerprint."""

    dataset: str
    split: str
    faces: int
    fingerprint: str


@dataclass(frozen=True)
class RunConfig:
    """All that decides a run. A method that is not trained has neither training, data nor seed 0 < s."""

    method: str
    options: Mapping[str, Any]
    scale: int
    seed: int
    protocol: str
    training: Training | None = None
    train: DataRef | None = None
    val: DataRef | None = None

    @property
    def id(self) -> str:
        """The run's id: the first 12 hexadecimal digits of SHA-256 over the canonical JSON of this config."""
        return hashlib.sha256(canonical_json(dataclasses.asdict(self)).encode()).hexdigest()[:12]

    @property
    def chance(self) -> str:
        """What a method's draws follow in an evaluation: not from protocol or budget, so that scores are comparable."""
        return canonical_json({"method": self.method, "options": self.options, "seed": self.seed})

    @property
    def name(self) -> str:
        """The run's folder name, e.g. `msfnet-8-s0-1a2b3c4d5e6f`."""
        return f"{self.method}-s{self.seed}-{self.id}"


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise UserError(f"{name}: {value} given, expected {expected}")
