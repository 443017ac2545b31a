"""Early stopping: Optuna's successive halving, decided by each trial for itself from the curves in the run folders."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError
from bench.core.files import read_csv
from bench.core.stop import Interrupted
from bench.runs.complete import MakeBar, Outcome, complete
from bench.runs.config import Training
from bench.runs.records import RunState
from bench.runs.store import CURVE, Run

if TYPE_CHECKING:
    import torch

    from bench.runs.experiment import Faces, RowRun

Curve = list[tuple[int, float]]  # iteration, validation PSNR (dB)


@dataclass(frozen=True)
class Asha:
    """Stop the worse trials early (Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020).

    A trial is looked at after `grace_period` iterations, `reduction_factor` times as many, and so on: it goes on when
    its PSNR is among the best 1/`reduction_factor` of those that came as far before it.
    """

    grace_period: int
    reduction_factor: int = 3

    def stops(self, others: Iterable[Curve], curve: Curve) -> bool:
        """Tell whether a trial ends at the last point of its `curve`, beside those that `others` have reached."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.SuccessiveHalvingPruner(self.grace_period, self.reduction_factor)
        study, stop = optuna.create_study(direction="maximize", pruner=pruner), False
        for points in (*others, curve):
            trial = study.ask()
            for iteration, psnr in points:
                trial.report(psnr, iteration)
                stop = trial.should_prune()
        return stop


def choose_asha(training: Training, grace_period: int | None = None, reduction_factor: int = 3) -> Asha:
    """Return when trials are looked at: without a grace period twice, the last time at 1/factor of the way.

    Raises UserError for settings outside their range, and a profile that validates too rarely to stop anything.
    """
    total, every = training.iterations, training.validate_every
    if every >= total:
        raise UserError(
            f"--scheduler asha: training.validate_every {every} of {total} iterations leaves no point to stop at; "
            "lower it with --set"
        )
    if not 2 <= reduction_factor <= 100:
        raise UserError(f"--reduction-factor {reduction_factor}: expected 2 to 100")
    grace = max(every, math.ceil(total / reduction_factor**2)) if grace_period is None else grace_period
    if not 1 <= grace < total:
        raise UserError(f"--grace-period {grace}: expected 1 up to, not including, the {total} iterations of a trial")
    return Asha(grace, reduction_factor)


def read_curve(folder: Path) -> Curve:
    """Return iteration and validation PSNR (dB) of every point of a run's training curve."""
    path = folder / "curve.csv"
    rows = read_csv(path, CURVE, more=True) if path.exists() else []
    return [(int(row["iteration"]), float(row["psnr"])) for row in rows]


class _Stopped(Interrupted):
    """This trial is stopped early; passes through `complete` as being asked to stop does."""


@dataclass(frozen=True)
class CompleteTrial:
    """Bring a trial to its end as `complete` does, or to where it is stopped; travels to worker processes.

    A stopped run has its curve and its last state, should it go on one day; run.json says "stopped". `names` are those
    of all trials' runs.
    """

    asha: Asha
    names: tuple[str, ...]

    def __call__(
        self,
        row_run: RowRun,
        faces: Faces,
        device: torch.device,
        samples: int,
        make_bar: MakeBar,
        wait: bool = False,
    ) -> Outcome:
        run = row_run.run
        stopped = Outcome(run.config.name, RunState.STOPPED)
        if run.record().status is RunState.STOPPED:
            return stopped
        try:
            return complete(row_run, faces, device, samples, lambda *about: _Watch(make_bar(*about), self, run), wait)
        except _Stopped:
            return stopped

    def check(self, run: Run) -> None:
        """End a run that is looked at before its end and is not good enough."""
        training, curve = run.config.training, read_curve(run.folder)
        if training is None or curve[-1][0] == training.iterations:
            return
        others = [read_curve(run.experiment / name) for name in self.names if name != run.config.name]
        if self.asha.stops(others, curve):
            run.write(status=RunState.STOPPED)
            raise _Stopped(f"{run.config.name} is stopped early", 0)


class _Watch:
    """A bar that looks at the trial wherever its PSNR is shown."""

    def __init__(self, bar: Any, trial: CompleteTrial, run: Run) -> None:
        self._bar, self._trial, self._run = bar, trial, run
        self.update = bar.update

    def show(self, **figures: float) -> None:
        self._bar.show(**figures)
        if "psnr" in figures:
            self._trial.check(self._run)

    def __enter__(self) -> _Watch:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)
