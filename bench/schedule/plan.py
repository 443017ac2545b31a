"""What a job will take, before it starts: rows x iterations x measured seconds an iteration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from bench.core.errors import LeftAloneError, UserError
from bench.core.provenance import code_of, describe_device
from bench.core.text_table import text_table
from bench.models import registry
from bench.models.memory import memory_there_is
from bench.models.meta import meta_device
from bench.runs.behaviour import load_network
from bench.runs.complete import unscored
from bench.runs.records import RunState
from bench.schedule.costs import Cost, Network, measure_all, network_of
from bench.schedule.executor import failed_before
from bench.schedule.local import choose_jobs, threads_each

if TYPE_CHECKING:
    from bench.runs.experiment import Faces, RowRun
    from bench.runs.job import Job
    from bench.schedule.executor import ExecutionOptions

_CHANGED = "begun by other code of its method; delete the folder to begin again, or go on by --changed-code"
_HEAD = ("row", "seed", "state", "iterations", "s/iteration", "MiB", "minutes")


@dataclass(frozen=True)
class PlannedRun:
    """One run: what there is of it, what is left to do, how long that takes and the memory it needs (MiB).

    The state "trained" means that scores are missing, "interrupted" that training goes on from its last state.
    """

    label: str
    method: str
    seed: int
    run: str
    state: RunState
    iterations: int
    seconds_per_iteration: float
    memory: float
    seconds: float


@dataclass(frozen=True)
class Plan:
    """All runs of a job in order; `seconds` is the expected time of what is left, `jobs` runs side by side.

    `fit` is how many runs as large as the largest the memory holds side by side (0: not known), and `gpus` for how many
    devices like this one the time is given too. `warnings` name runs that cannot go on since the code of their network
    has changed. The costs of so many networks are `interpolated` (see bench.schedule.costs).
    """

    name: str
    profile: str
    data: str
    device: str
    jobs: int
    runs: tuple[PlannedRun, ...]
    seconds: float
    fit: int = 0
    gpus: int = 1
    warnings: tuple[str, ...] = ()
    interpolated: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the plan as a table for a terminal."""
        body = [
            (
                run.label,
                run.seed,
                run.state,
                run.iterations or "-",
                f"{run.seconds_per_iteration:.3f}" if run.seconds_per_iteration else "-",
                f"{run.memory:.0f}" if run.memory else "-",
                f"{run.seconds / 60:.1f}",
            )
            for run in self.runs
        ]
        table = text_table(_HEAD, body, align="lrlr")
        return "\n".join([f"{self.name}: {len(self.runs)} runs on {self.device}", table, *self._sum(), *self.warnings])

    def _sum(self) -> list[str]:
        """Return the lines that add up."""
        if not any(run.seconds for run in self.runs):
            failed = any(run.state is RunState.FAILED for run in self.runs)
            return ["nothing to do but what failed before: --retry-failed" if failed else "all done before"]
        side = f", {self.jobs} runs side by side" if self.jobs > 1 else ""
        lines = [f"expected: {_duration(self.seconds)}{side}"]
        if self.gpus > 1:
            lines.append(f"on {self.gpus} devices like this one: {_duration(self.seconds / self.gpus)}")
        if self.fit:
            lines.append(f"memory for {self.fit} of the largest run side by side")
        if self.interpolated:
            lines.append(f"{self.interpolated} networks were not measured: between others of their method, by size")
        return lines


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def make_plan(
    job: Job,
    row_runs: Sequence[RowRun],
    faces: Faces,
    device: torch.device,
    options: ExecutionOptions,
    *,
    most: float = 1.0,
    gpus: int = 1,
) -> Plan:
    """Measure each network that has something left to train (see bench.schedule.costs, also for `most`), and add up.

    Measured with the threads that each of the runs side by side will have, one after the other. The time is given for
    `gpus` devices like this one, too.
    """
    jobs = choose_jobs(options.jobs, len(row_runs), device)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads_each(jobs))
    try:
        left = [row_run.run.config for row_run in row_runs if _is_to_be_trained(row_run, options)]
        costs, interpolated = measure_all(left, job.sizes, faces, device, most)
    finally:
        torch.set_num_threads(threads)
    runs = tuple(_plan_run(row_run, faces, options, costs) for row_run in row_runs)
    largest = max((run.memory for run in runs), default=0.0)
    return Plan(
        name=job.name,
        profile=job.profile_name,
        data=job.data,
        device=describe_device(device),
        jobs=jobs,
        runs=runs,
        seconds=sum(run.seconds for run in runs) / jobs,
        fit=int(memory_there_is(device) / largest) if largest else 0,
        gpus=gpus,
        warnings=tuple(filter(None, map(_warning, row_runs))),
        interpolated=interpolated,
    )


def _is_to_be_trained(row_run: RowRun, options: ExecutionOptions) -> bool:
    return row_run.run.config.training is not None and not (row_run.run.trained or failed_before(row_run, options))


def _plan_run(row_run: RowRun, faces: Faces, options: ExecutionOptions, costs: Mapping[Network, Cost]) -> PlannedRun:
    config = row_run.run.config
    training, missing, left = config.training, unscored(row_run, faces), 0
    cost = Cost()
    if failed_before(row_run, options):
        state, missing = RunState.FAILED, []
    elif row_run.run.trained:
        state = RunState.TRAINED if missing else RunState.CACHED
    elif training is None:  # a checkpoint that is to be imported
        state = RunState.NOT_RUN
    else:
        left = training.iterations - _done(row_run)
        state = RunState.INTERRUPTED if left < training.iterations else RunState.NOT_RUN
        cost = costs.get(network_of(config), cost)
    step, image, memory = cost
    images = sum(test.count for test in missing)
    if training:
        images += left // training.validate_every * faces.sizes.val
    return PlannedRun(
        label=row_run.label,
        method=config.method,
        seed=config.seed,
        run=config.name,
        state=state,
        iterations=left,
        seconds_per_iteration=round(step, 4),
        memory=round(memory, 1),
        seconds=round(left * step + image * images, 1),
    )


def _warning(row_run: RowRun) -> str:
    """Return what stops a run from going on, or from being scored: its method's code has changed since; "" if none."""
    run, code, config = row_run.run, row_run.run.record().code, row_run.run.config
    try:
        if code is None:
            return ""
        with meta_device():
            model = registry.build(config.method, config.options)
        if code == code_of(model):
            return ""
        if run.trained:
            load_network(run.record(), run.folder)
    except LeftAloneError as error:
        return str(error)
    except Exception:  # its own run will tell
        return ""
    return f"{run.folder}: {_CHANGED}" if run.state.exists() else ""


def _done(row_run: RowRun) -> int:
    """Return how many iterations a run's saved state holds; a damaged state is reported when the run starts."""
    try:
        state = row_run.run.load_state()
    except UserError:
        return 0
    return int(state["iteration"]) if state else 0
