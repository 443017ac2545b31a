"""What decides a run, and the hash that names it.

Every value that can change a run's bytes is a field here; nothing else is. TOML is read into these frozen classes, and
their canonical JSON is hashed into the run's id.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from bench.core.errors import UserError
from bench.core.limits import Count, within
from bench.core.names import fit
from bench.core.schema import canonical_json
from bench.data.augment import Augment

_MOST_POINTS = 100_000  # of a training curve, which is kept in memory and written whole
CHECKPOINT = "checkpoint"  # in `given`: the SHA-256 of the authors' file that a run's weights are taken from
PICTURES = "pictures"  # what stands for a method in runs of pictures that were made elsewhere, and names their hash
Beta = Annotated[float, within(0, below=1)]


@dataclass(frozen=True)
class Training:
    """The budget and the optimiser: Adam on the method's loss (L1 unless it has its own).

    `ema` is the decay of an average of the weights (0: none) and `clip` the largest gradient norm (0: no clipping).
    `warmup` and `validate_every` are in iterations: the learning rate rises on a line before its schedule begins, and
    points of the training curve are that far apart.
    """

    iterations: Count
    batch: Count = 16
    learning_rate: Annotated[float, within(above=0, most=100)] = 2e-4
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    schedule: Literal["constant", "linear", "cosine", "onecycle"] = "cosine"
    warmup: Annotated[int, within(0)] = 0
    ema: Annotated[float, within(0, below=1)] = 0.0
    clip: Annotated[float, within(0, 1e9)] = 0.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    validate_every: Count = 1000
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        if self.warmup >= self.iterations:
            raise UserError(f"warmup: {self.warmup} given, expected less than the {self.iterations} iterations")
        if (least := self.iterations // _MOST_POINTS) > self.validate_every:
            expected = f"at least {least:,} with {self.iterations:,} iterations"
            raise UserError(f"validate_every: {self.validate_every} given, expected {expected}")


@dataclass(frozen=True)
class DataRef:
    """The first `faces` faces of a face store, held to its fingerprint."""

    dataset: str
    split: str
    faces: int
    fingerprint: str


@dataclass(frozen=True)
class RunConfig:
    """All that decides a run. A method that is not trained has neither training, data nor seed 0 < s.

    `given` names by a hash what its training is given beside faces (see bench.runs.given), the checkpoint that its
    weights are taken from in place of a training (see bench.runs.authored), or the pictures that stand in place of a
    network's (see bench.runs.outputs). Of a method that draws at random `samples` of each face are scored.
    """

    method: str
    options: Mapping[str, Any]
    scale: int
    seed: int
    protocol: str
    training: Training | None = None
    train: DataRef | None = None
    val: DataRef | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    samples: int = 1

    @functools.cached_property
    def id(self) -> str:
        """The run's id: the first 12 hexadecimal digits of SHA-256 over the canonical JSON of this config."""
        content = dataclasses.asdict(self)
        if not self.given:  # names of runs are older than these fields
            del content["given"]
        if self.samples == 1:
            del content["samples"]
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:12]

    @property
    def has_weights(self) -> bool:
        """Whether the run's network has weights, by training or from a checkpoint of its authors."""
        return self.training is not None or CHECKPOINT in self.given

    @property
    def is_of_pictures(self) -> bool:
        """Whether the run scores pictures that were made elsewhere: there is no network then."""
        return PICTURES in self.given

    @property
    def chance(self) -> str:
        """What a method's draws follow in an evaluation: not from protocol or budget, so that scores are comparable."""
        return canonical_json({"method": self.method, "options": self.options, "seed": self.seed})

    @property
    def draws(self) -> tuple[str, ...]:
        """What the draws of each sample of a face follow; the first are those of a run with one sample."""
        return self.chance, *(f"{self.chance}, sample {place}" for place in range(1, self.samples))

    @property
    def name(self) -> str:
        """The run's folder name, e.g. `msfnet-8-s0-1a2b3c4d5e6f`."""
        return f"{fit(self.method)}-s{self.seed}-{self.id}"
