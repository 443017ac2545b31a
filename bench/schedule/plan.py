"""What a job will take, before it starts: rows x iterations x measured seconds an iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from bench.runs.complete import unscored
from bench.schedule.executor import ExecutionOptions, failed_before
from bench.schedule.local import choose_jobs, threads_each

if TYPE_CHECKING:
    import torch

    from bench.runs.experiment import Faces, Job, RowRun

_Speed = tuple[float, float, float]
State = Literal["cached", "score", "resume", "to do", "failed"]
DEFAULT = ExecutionOptions()
_CHANGED = "kept, though its network's code has changed since; delete the folder to train it again"


@dataclass(frozen=True)
class PlannedRun:
    """One run: what there is of it, what is left to do, how long that takes and the memory it needs (MiB)."""

    label: str
    method: str
    seed: int
    run: str
    state: State
    iterations: int
    seconds_per_iteration: float
    memory: float
    seconds: float


@dataclass(frozen=True)
class Plan:
    """All runs of a job in order; `seconds` is the expected time of what is left, `jobs` runs side by side.

    `fit` is how many runs as large as the largest the memory holds side by side (0: not known), and `gpus` for how many
    devices like this one the time is told too. `warnings` name runs that are kept although the code of their network
    has changed since.
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

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the plan as a table for a terminal."""
        wide = max(18, *(len(run.label) for run in self.runs))
        head = (
            f"{'row':<{wide}} {'seed':>4} {'state':<7} {'iterations':>10} {'s/iteration':>12} {'MiB':>7} {'minutes':>8}"
        )
        lines = [f"{self.name}: {len(self.runs)} runs on {self.device}", head, "-" * len(head)]
        for run in self.runs:
            speed = f"{run.seconds_per_iteration:.3f}" if run.seconds_per_iteration else "-"
            count = str(run.iterations) if run.iterations else "-"
            memory = f"{run.memory:.0f}" if run.memory else "-"
            lines.append(
                f"{run.label:<{wide}} {run.seed:>4} {run.state:<7} {count:>10} {speed:>12} {memory:>7} "
                f"{run.seconds / 60:>8.1f}"
            )
        return "\n".join([*lines, *self._sum(), *self.warnings])

    def _sum(self) -> list[str]:
        """Return the lines that add up."""
        if not any(run.seconds for run in self.runs):
            failed = any(run.state == "failed" for run in self.runs)
            return ["nothing to do but what failed before: --retry-failed" if failed else "all done before"]
        side = f", {self.jobs} runs side by side" if self.jobs > 1 else ""
        lines = [f"expected: {_duration(self.seconds)}{side}"]
        if self.gpus > 1:
            lines.append(f"on {self.gpus} devices like this one: {_duration(self.seconds / self.gpus)}")
        if self.fit:
            lines.append(f"memory for {self.fit} of the largest run side by side")
        return lines


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def make_plan(
    job: Job,
    row_runs: Sequence[RowRun],
    faces: Faces,
    device: torch.device,
    how: ExecutionOptions = DEFAULT,
    *,
    most: float = 1.0,
    gpus: int = 1,
) -> Plan:
    """Measure ten iterations of each method that has something left to train (or `most` seconds of it), and add up.

    Measured with the threads that each of the runs side by side will have, one after the other. The time is told for
    `gpus` devices like this one, too.
    """
    import torch

    from bench.core.provenance import describe_device

    jobs = choose_jobs(how.jobs, len(row_runs), device)
    speeds: dict[str, _Speed] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(threads_each(jobs))
    try:
        runs = tuple(_plan_run(row_run, faces, device, how, speeds, most) for row_run in row_runs)
    finally:
        torch.set_num_threads(threads)
    return Plan(
        name=job.name,
        profile=job.profile_name,
        data=job.data,
        device=describe_device(device),
        jobs=jobs,
        runs=runs,
        seconds=sum(run.seconds for run in runs) / jobs,
        fit=_fit(runs, device),
        gpus=gpus,
        warnings=tuple(f"{row_run.run.folder}: {_CHANGED}" for row_run in row_runs if _has_changed(row_run)),
    )


def _plan_run(
    row_run: RowRun, faces: Faces, device: torch.device, how: ExecutionOptions, speeds: dict[str, _Speed], most: float
) -> PlannedRun:
    config = row_run.run.config
    total = config.training.iterations if config.training else 0
    state: State
    missing = unscored(row_run, faces)
    if failed_before(row_run, how):
        state, left, missing = "failed", 0, []
    elif row_run.run.trained:
        state, left = "score" if missing else "cached", 0
    else:
        left = total - _done(row_run)
        state = "resume" if left < total else "to do"
    step = forward = memory = 0.0
    if left:
        key = f"{config.method}{config.options}"
        if key not in speeds:
            speeds[key] = _measure(row_run, faces, device, most)
        step, forward, memory = speeds[key]
    validations = left // config.training.validate_every if config.training else 0
    scored = sum(test.count for test in missing)
    seconds = left * step + forward * (validations * faces.sizes.val + scored)
    return PlannedRun(
        label=row_run.label,
        method=config.method,
        seed=config.seed,
        run=config.name,
        state=state,
        iterations=left,
        seconds_per_iteration=round(step, 4),
        memory=round(memory, 1),
        seconds=round(seconds, 1),
    )


def _has_changed(row_run: RowRun) -> bool:
    """Tell whether a run was made, or begun, by other code than its method has now."""
    from bench.core.provenance import code_of
    from bench.models import registry

    config, code = row_run.run.config, row_run.run.record().code
    try:
        return code is not None and code != code_of(registry.build(config.method, config.options))
    except Exception:  # its own run will tell
        return False


def _done(row_run: RowRun) -> int:
    """Return how many iterations a run's saved state holds; a damaged state is reported when the run starts."""
    from bench.core.errors import UserError

    try:
        state = row_run.run.load_state()
    except UserError:
        return 0
    return int(state["iteration"]) if state else 0


def _measure(row_run: RowRun, faces: Faces, device: torch.device, most: float) -> _Speed:
    """Return seconds of a training iteration, seconds of one image scored and memory; zeros for a method that fails.

    What is wrong with it is told when its run fails, and the other rows are planned all the same.
    """
    from bench.models import registry
    from bench.models.cost import seconds_per_image
    from bench.runs.evaluate import low_resolution, to_tensor
    from bench.runs.train import probe

    config = row_run.run.config
    try:
        found = probe(config, faces.train.faces[: min(faces.sizes.train, 64)], device, most=most)
        model = registry.build(config.method, config.options).to(device).eval()
        lr = to_tensor(low_resolution(faces.test.faces[:1], config.scale), device)
        return found.seconds, seconds_per_image(model, lr, least_seconds=0), found.memory
    except Exception:
        return 0.0, 0.0, 0.0


def _fit(runs: Sequence[PlannedRun], device: torch.device) -> int:
    """Return how many runs as large as the largest the memory holds; 0 where that is not known."""
    from bench.models.memory import memory_there_is

    largest = max((run.memory for run in runs), default=0.0)
    return int(memory_there_is(device) / largest) if largest else 0
