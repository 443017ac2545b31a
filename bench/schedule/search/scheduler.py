"""Whether trials of a search are stopped early, and when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from bench.core.errors import UserError
from bench.runs.config import Training

Name = Literal["none", "asha"]
NAMES: tuple[Name, ...] = get_args(Name)
FACTOR = 3.0  # Li et al. take 3 or 4


@dataclass(frozen=True)
class Scheduler:
    """Train every trial to its end ("none"), or stop the worse ones early ("asha").

    ASHA (Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020) looks at a trial's validation
    PSNR after `grace_period` iterations, `reduction_factor` times as many, and so on: it goes on when it is among the
    best 1/`reduction_factor` of those that came as far before it.
    """

    name: Name = "none"
    grace_period: int = 0
    reduction_factor: float = 0.0

    @property
    def stops_early(self) -> bool:
        """Whether trials may end before their last iteration."""
        return self.name != "none"


def choose_scheduler(
    name: Name, training: Training, grace_period: int | None = None, reduction_factor: float | None = None
) -> Scheduler:
    """Return the scheduler of this name; without a grace period it looks twice, the last time at 1/factor of the way.

    Raises UserError for settings outside their range, settings of a scheduler that has none, and a profile that
    validates so rarely that nothing could be stopped.
    """
    if name == "none":
        for option, value in (("--grace-period", grace_period), ("--reduction-factor", reduction_factor)):
            if value is not None:
                raise UserError(f"{option} {value:g}: goes with --scheduler asha; without it no trial is stopped early")
        return Scheduler()
    total, every = training.iterations, training.validate_every
    if every >= total:
        raise UserError(
            f"--scheduler asha: training.validate_every {every} of {total} iterations leaves no point to stop at; "
            "lower it with --set"
        )
    factor = FACTOR if reduction_factor is None else reduction_factor
    if not 1 < factor <= 100:
        raise UserError(f"--reduction-factor {factor:g}: expected more than 1 and at most 100")
    grace = max(every, math.ceil(total / factor**2)) if grace_period is None else grace_period
    if not 1 <= grace < total:
        raise UserError(f"--grace-period {grace}: expected 1 up to, not including, the {total} iterations of a trial")
    return Scheduler("asha", grace, factor)
