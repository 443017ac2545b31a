"""A search whose worse trials are stopped early, by Ray Tune's ASHA. Imported only where it is used: Ray is optional.

Ray decides which trial goes on, nothing else: trials are runs of the run store. A trial that is stopped waits in its
report to Ray at that moment, its curve is written, so its folder is whole. Ray's own checkpoints are not used: a search
that was interrupted goes on from the run folders, and ASHA is told again what they hold.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from bench.core.errors import UserError, reason
from bench.core.locks import lock
from bench.core.progress import Bar
from bench.core.stop import Stop
from bench.models import registry
from bench.runs.complete import complete, is_complete
from bench.schedule import ray_tune
from bench.schedule.parcel import pack
from bench.schedule.ray_tune import Share
from bench.schedule.search.record import mark_stopped, progress, read_curve

if TYPE_CHECKING:
    from bench.runs.experiment import Faces, RowRun
    from bench.runs.store import Run
    from bench.schedule.search.scheduler import Scheduler

log = logging.getLogger("fsr")
_WORST = -1000.0  # dB: what a PSNR that is not a number counts as


@dataclass(frozen=True)
class Where:
    """Where trials run: on the Ray cluster at `address` ("": on this machine), `jobs` at most side by side (0: any).

    Each gets `share`, and up to `max_failures` fresh starts when its worker dies.
    """

    share: Share
    address: str = ""
    jobs: int = 0
    max_failures: int = 2


class _Asked(BaseException):
    """Somebody asked to stop. Passes by Tune's `except Exception`, which would wait for the trials at work."""


def complete_with_asha(
    row_runs: Sequence[RowRun],
    faces: Faces,
    scheduler: Scheduler,
    where: Where,
    *,
    retry_failed: bool = False,
    quiet: bool = False,
) -> None:
    """Bring every trial to its end or its early stop; what became of each is in its run folder.

    Trials that are done are not repeated, but the others are compared with them. Raises UserError when Ray cannot be
    reached or has less than one share, and when another process is at work on the search; Interrupted when asked to
    stop: trials then go on from their last states, some seconds before.
    """
    over = {"stopped"} if retry_failed else {"stopped", "diverged", "failed"}
    left = [
        i
        for i, row_run in enumerate(row_runs)
        if not (is_complete(row_run, faces) or progress(row_run.run).status in over)
    ]
    if not left:
        return
    with _alone(row_runs), ray_tune.connected(where.address) as ray, ray_tune.shared_token(row_runs) as token:
        ray_tune.check_share(ray, where.share)
        plugins = {path.name: path.read_text(encoding="utf-8") for path in registry.plugins()}
        absolute = tuple(ray_tune.with_whole_path(row_run) for row_run in row_runs)
        task = ray_tune.Task(absolute, pack(faces, ray), where.share, 0, plugins, token)
        with Stop() as stop, Bar("Trials", len(row_runs), start=len(row_runs) - len(left), quiet=quiet) as bar:
            try:
                _fit(task, left, _Asha(scheduler, row_runs, left), where, _Watch(stop, bar, len(row_runs) - len(left)))
            except _Asked:
                stop.check("every trial at work goes on from its last state")


@contextlib.contextmanager
def _alone(row_runs: Sequence[RowRun]) -> Iterator[None]:
    """Hold the search for this process, as two ASHAs would not know of each other's stops; remove Ray's files after."""
    folder = row_runs[0].run.experiment
    with lock(folder / ".locks" / "search.lock", wait=False) as held:
        if not held:
            raise UserError(f"{folder}: another process is at work on this search; wait for it, or stop it")
        try:
            yield
        finally:
            shutil.rmtree(folder / ".ray", ignore_errors=True)


def _fit(task: ray_tune.Task, left: Sequence[int], scheduler: _Asha, where: Where, watch: _Watch) -> None:
    """Let Tune bring the trials at `left` to their ends."""
    share = {"cpu": where.share.cpus} | ({"gpu": where.share.gpus} if where.share.gpus else {})
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(_trial, task=task), share),
        param_space={"index": tune.grid_search(list(left))},
        # A new process for each trial would import torch each time.
        tune_config=tune.TuneConfig(scheduler=scheduler, max_concurrent_trials=where.jobs or None, reuse_actors=True),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(task.token.parent),
            failure_config=tune.FailureConfig(max_failures=where.max_failures),
            callbacks=[watch],
            verbose=0,
        ),
    )
    with ray_tune.quietly():
        grid = tuner.fit()
    for result in (grid[place] for place in range(len(grid))):
        if result.error is not None and result.config:
            log.error("%s: %s", task.row_runs[result.config["index"]].label, reason(result.error))


class _Asha(ASHAScheduler):
    """ASHA that records whom it stops, and knows the trials that ended in an earlier process."""

    def __init__(self, scheduler: Scheduler, row_runs: Sequence[RowRun], left: Sequence[int]) -> None:
        training = row_runs[0].run.config.training
        assert training is not None
        super().__init__(
            time_attr="iteration",
            metric="psnr",
            mode="max",
            max_t=training.iterations,
            grace_period=scheduler.grace_period,
            reduction_factor=scheduler.reduction_factor,
            stop_last_trials=False,  # one at its last iteration has still to write its weights
        )
        self._runs = [row_run.run for row_run in row_runs]
        for index in set(range(len(row_runs))) - set(left):
            self._recall(self._runs[index])

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide as ASHA does; record a stop."""
        decision: str = super().on_trial_result(tune_controller, trial, result)
        run = self._runs[trial.config["index"]]
        if decision == TrialScheduler.STOP and not run.trained:
            mark_stopped(run)
        return decision

    def _recall(self, run: Run) -> None:
        """Take in the curve of a trial that is over, as if it had been reported."""
        controller: Any = None  # ASHA looks at neither but for the id
        trial: Any = SimpleNamespace(trial_id=run.config.name)
        self.on_trial_add(controller, trial)
        for iteration, psnr in read_curve(run):
            super().on_trial_result(controller, trial, _report(iteration, psnr))


class _Watch(tune.Callback):
    """Shows how many trials are over and the best PSNR so far, and ends the search when a signal has come."""

    def __init__(self, stop: Stop, bar: Bar, over: int) -> None:
        self._stop, self._bar, self._over = stop, bar, over
        self._best = -math.inf

    def __reduce__(self) -> tuple[Any, ...]:
        return tune.Callback, ()  # Tune writes it to disk, where neither signal nor bar means anything

    def on_step_begin(self, iteration: int, trials: Any, **_: Any) -> None:
        """Raise _Asked when a signal has come."""
        if self._stop.asked:
            raise _Asked

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        """Count a trial that has finished, was stopped or has failed."""
        self._over += 1
        self._best = max(self._best, (trial.last_result or {}).get("psnr", -math.inf))
        if self._best > _WORST:
            self._bar.show(psnr=self._best)
        self._bar.update(self._over)


def _trial(config: dict[str, Any], task: ray_tune.Task) -> None:
    """Bring one trial to its end (in a worker of Ray); Tune stops it by raising SystemExit from a report."""
    import torch

    if not task.token.exists():
        folder = task.token.parents[1]
        raise RuntimeError(f"node {os.uname().nodename} does not see {folder}: give a results folder that nodes share")
    torch.set_num_threads(task.share.cpus)
    row_run = task.row_runs[config["index"]]
    with ray_tune.plugged(task.plugins):
        complete(
            row_run,
            task.faces.open(),
            torch.device(task.share.device),
            task.samples,
            lambda _, total: _Reporter(row_run.run, total),
            wait=True,
        )
    if row_run.run.trained and (curve := read_curve(row_run.run)):
        tune.report(_report(*curve[-1]))


class _Reporter:
    """A progress bar that tells Tune the validation PSNR, and waits there for what ASHA decides."""

    def __init__(self, run: Run, total: int) -> None:
        self._run, self._total, self._done = run, total, 0

    def update(self, done: int) -> None:
        self._done = done

    def show(self, **figures: float) -> None:
        # Not at the last iteration: nothing is left to stop, and the weights are not written yet.
        if "psnr" in figures and self._done < self._total:
            tune.report(_report(self._done, figures["psnr"]))

    def __enter__(self) -> _Reporter:
        state = self._run.load_state() or {}
        for point in state.get("curve", ()):  # what an earlier process has trained
            tune.report(_report(point["iteration"], point["psnr"]))
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _report(iteration: int, psnr: float) -> dict[str, float]:
    return {"iteration": iteration, "psnr": psnr if math.isfinite(psnr) else _WORST}
