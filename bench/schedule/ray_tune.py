"""Runs scheduled by Ray Tune, over the GPUs of a machine or over a cluster.

Ray decides where and when a run goes on, nothing else: runs live in our own folders, so whatever becomes of Ray, a run
goes on from its last state and is never trained twice. A run whose worker or node dies is started again elsewhere.

Facts about Tune that shape this file: `tune.report` takes a dict; a relative storage path fails; a function trainable
does not run in the main thread, so signals do not reach it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError, reason
from bench.core.files import write_bytes
from bench.core.progress import Bar
from bench.core.stop import Stop
from bench.models import registry
from bench.models.plugins import Plugin
from bench.runs.complete import Outcome, is_complete
from bench.runs.config import CHECKPOINT
from bench.runs.records import RunState
from bench.schedule.bars import Bars, FarBar
from bench.schedule.cluster import Share, check_share, connected
from bench.schedule.parcel import Work, numbered, send_faces
from bench.schedule.storage import Storage

if TYPE_CHECKING:
    from bench.runs.experiment import Faces, RowRun

log = logging.getLogger("fsr")
_REPORT_SECONDS = 10.0  # more often would flood Tune's controller
_FRESH_STARTS = 5  # of a run whose worker dies
_AGAIN = "run again to go on from its last state"
_LOST = f"its worker died again and again; {_AGAIN}"


@dataclass(frozen=True)
class Task:
    """All that a worker needs to bring a run to its end.

    `token` is a file in the results folder: a worker that sees it shares that folder with the command.
    """

    work: Work
    share: Share
    plugins: tuple[Plugin, ...]
    token: Path
    storage: Storage | None


def execute(work: Work, share: Share, *, address: str, storage: str, jobs: int, quiet: bool = False) -> list[Outcome]:
    """Bring every run to its end on the cluster at `address` ("": on this machine), `jobs` at a time.

    With 0 `jobs` there are as many at a time as fit. Runs go on in the results folder or, where `storage` names another
    place, there; then the results folder gets a copy. Runs that had too little memory are tried again with twice the
    share. Pictures that were made elsewhere are scored here, where they lie. With a storage, teachers are trained
    before their students begin: nothing tells a node that another one is at work on them.

    Raises UserError when Ray is missing or cannot be reached, when the cluster has less than one share, and when
    its nodes do not see the results folder or the storage cannot be written; Interrupted when asked to stop.
    """
    kept, row_runs, faces = Storage(storage) if storage else None, work.row_runs, work.faces
    if kept:
        kept.check()
        _fetch(kept, row_runs)
    before = [is_complete(row_run, faces) for row_run in row_runs]
    left = [index for index, done in enumerate(before) if not done]
    for index in left:
        if row_runs[index].run.config.is_of_pictures:
            work.do(index, "cpu", True, functools.partial(Bar, quiet=quiet))
    left = [index for index in left if not row_runs[index].run.config.is_of_pictures]
    if kept:
        _send(kept, row_runs, faces)
    reports: dict[int, Mapping[str, Any]] = {}
    if left:
        with connected(address) as ray, _token(row_runs[0].run.experiment) as token:
            check_share(ray, share)
            absolute = tuple(_moved(row_run, row_run.run.experiment.resolve()) for row_run in row_runs)
            sent = dataclasses.replace(work, row_runs=absolute, faces=send_faces(faces, ray))
            task = Task(sent, share, registry.plugins(), token, kept)
            if kept and (taught := teachers([absolute[index] for index in left], faces)):
                first = dataclasses.replace(task, work=dataclasses.replace(sent, row_runs=taught))
                _execute(ray, first, list(range(len(taught))), jobs, quiet)
            reports = _execute(ray, task, left, jobs, quiet)
    return [_outcome(row_runs[i], faces, before[i], reports.get(i, {})) for i in range(len(row_runs))]


def teachers(row_runs: Sequence[RowRun], faces: Faces) -> tuple[RowRun, ...]:
    """Return the runs that teach some of `row_runs` and are not trained yet, each once; they are not scored."""
    taught = {
        row_run.teacher.config.name: dataclasses.replace(
            row_run, label=f"{row_run.label}, its teacher", run=row_run.teacher, metrics=(), teacher=None
        )
        for row_run in row_runs
        if row_run.teacher is not None
    }
    return tuple(row_run for row_run in taught.values() if not is_complete(row_run, faces))


def _execute(ray: Any, task: Task, left: list[int], jobs: int, quiet: bool) -> dict[int, Mapping[str, Any]]:
    """Let Tune bring the runs at `left` to their ends, those that lacked memory with ever larger shares."""
    reports: dict[int, Mapping[str, Any]] = {}
    with Stop() as stop:
        while True:
            reports |= _fit(task, left, jobs, stop, quiet)
            if task.storage:
                _fetch(task.storage, task.work.row_runs)
            stop.check("runs at work have saved their last states")
            left = [index for index in left if reports.get(index, {}).get("out_of_memory")]
            most = max((node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]), default=0.0)
            more = dataclasses.replace(task.share, gpus=min(task.share.gpus * 2, most))
            if not left or more == task.share:
                return reports
            log.warning("%d runs had too little memory: again, with %g of a GPU each", len(left), more.gpus)
            task = dataclasses.replace(task, share=more)


def _fetch(storage: Storage, row_runs: Sequence[RowRun]) -> None:
    """Copy what the storage has of the runs into the results folder, but for training states."""
    for row_run in row_runs:
        storage.pull(row_run.run, states=False)
        if row_run.teacher is not None:
            storage.pull(row_run.teacher, states=False)


def _send(storage: Storage, row_runs: Sequence[RowRun], faces: Faces) -> None:
    """Copy what was made here into the storage: imports of checkpoints, which the nodes score, and scores of pictures.

    The nodes do not have the files that they are of.
    """
    for row_run in row_runs:
        config = row_run.run.config
        imported = CHECKPOINT in config.given and row_run.run.trained
        if imported or (config.is_of_pictures and is_complete(row_run, faces)):
            storage.push(row_run.run, {})


def _outcome(row_run: RowRun, faces: Faces, before: bool, report: Mapping[str, Any]) -> Outcome:
    """Return how a run ended: as its own folder tells it, or as its worker did."""
    name = row_run.run.config.name
    if is_complete(row_run, faces):
        return Outcome(name, RunState.CACHED if before else RunState.FINISHED)
    if report.get("status") == RunState.STOPPED:
        return Outcome(name, RunState.STOPPED)
    return Outcome(name, RunState.FAILED, report.get("error") or row_run.run.record().error or _LOST)


@contextlib.contextmanager
def _token(experiment: Path) -> Iterator[Path]:
    """Lay a file into the results folder by which a worker sees that it shares that folder with us."""
    path = (experiment / ".locks" / f"ray-{os.getpid()}").resolve()
    write_bytes(path, b"")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _moved(row_run: RowRun, experiment: Path) -> RowRun:
    """Return the run with its folder, and that of its teacher, under another one."""
    run, teacher = dataclasses.replace(row_run.run, experiment=experiment), row_run.teacher
    teacher = dataclasses.replace(teacher, experiment=experiment) if teacher is not None else None
    return dataclasses.replace(row_run, run=run, teacher=teacher)


def _fit(task: Task, left: Sequence[int], jobs: int, stop: Stop, quiet: bool) -> dict[int, Mapping[str, Any]]:
    """Let Tune bring the runs at `left` to their end; return what each reported last."""
    from ray import tune

    class Asked(tune.Stopper):
        """Ends it all when a signal has come."""

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return stop.asked

        def stop_all(self) -> bool:
            return stop.asked

        def __reduce__(self) -> tuple[Any, ...]:
            return tune.stopper.NoopStopper, ()  # Tune writes it to disk, where no signal comes

    class Watch(tune.Callback):
        """Shows how far each run is."""

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any) -> None:
            if "bar" in result:
                bars.show(trial.config["index"], result["bar"])
            else:
                bars.end(trial.config["index"])

        def __reduce__(self) -> tuple[Any, ...]:
            return tune.Callback, ()  # and nothing is shown

    bars = Bars(quiet)
    share = {"cpu": task.share.cpus} | ({"gpu": task.share.gpus} if task.share.gpus else {})
    with tempfile.TemporaryDirectory(prefix="fsr-tune-") as notes:  # Tune's own: nothing of ours is in them
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(_trial, task=task), share),
            param_space={"index": tune.grid_search(list(left))},
            tune_config=tune.TuneConfig(max_concurrent_trials=jobs or None, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=notes,
                failure_config=tune.FailureConfig(max_failures=_FRESH_STARTS),
                stop=Asked(),
                callbacks=[Watch()],
                verbose=0,
            ),
        )
        grid = tuner.fit()
    bars.end_all()
    results = [grid[place] for place in range(len(grid))]
    return {result.config["index"]: _told(result) for result in results if result.config}


def _told(result: Any) -> Mapping[str, Any]:
    """Return what the worker of a run reported last, and what it ended by where that was an error, as a full disk."""
    cause, metrics = getattr(result.error, "cause", None), result.metrics or {}
    if not isinstance(cause, Exception):
        return metrics
    what = str(cause) if isinstance(cause, UserError) else reason(cause)
    if isinstance(cause, OSError) and cause.strerror:
        what = f"{cause.filename or 'writing'}: {cause.strerror}"
    return {**metrics, "error": f"{what}; {_AGAIN}"}


def _trial(config: dict[str, Any], task: Task) -> None:
    """Bring one run to its end (in a worker of Ray)."""
    import torch
    from ray import tune

    torch.set_num_threads(task.share.cpus)
    for plugin in task.plugins:
        registry.add_plugin(plugin)
    with _housed(task.work.row_runs[config["index"]], task) as row_run:
        far = functools.partial(FarBar, lambda step: tune.report({"bar": step}), _REPORT_SECONDS)
        bar = numbered(far, config["index"], len(task.work.row_runs))
        outcome = dataclasses.replace(task.work, row_runs=(row_run,)).do(0, task.share.device, True, bar)
    tune.report({"status": str(outcome.status), "error": outcome.error, "out_of_memory": outcome.out_of_memory})


@contextlib.contextmanager
def _housed(row_run: RowRun, task: Task) -> Iterator[RowRun]:
    """Give the run where it is worked on: in the shared results folder, or in one of this node with a storage."""
    if task.storage is None:
        if not task.token.exists():
            results = task.token.parents[1]
            raise RuntimeError(f"node {os.uname().nodename} does not see {results}: share it, or give a --storage")
        yield row_run
        return
    with tempfile.TemporaryDirectory(prefix="fsr-") as folder:
        moved = _moved(row_run, Path(folder) / row_run.run.experiment.name)
        if moved.teacher is not None:
            task.storage.pull(moved.teacher)
        with task.storage.mirrored(moved.run):
            yield moved
