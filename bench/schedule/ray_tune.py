"""Runs scheduled by Ray Tune, over the GPUs of a machine or over a cluster.

Ray decides where and when a run goes on, nothing else: runs live in our own folders, so whatever becomes of Ray, a run
goes on from its last state and is never trained twice. A run whose worker or node dies is started again elsewhere.

Facts about Ray that shape this file: a request that the cluster can never meet waits forever, so it is refused here;
`tune.report` takes a dict; a relative storage path fails; each trial changes into a folder of its own unless told not
to; a function trainable does not run in the main thread, so signals do not reach it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError
from bench.core.progress import Bar
from bench.core.stop import Stop
from bench.models import registry
from bench.runs.complete import Outcome, complete, is_complete
from bench.runs.records import RunState
from bench.schedule.parcel import Parcel, pack
from bench.schedule.storage import Storage

if TYPE_CHECKING:
    from bench.runs.experiment import Faces, RowRun

log = logging.getLogger("fsr")
INSTALL = "ray is not installed: pip install 'fsr-bench[ray]'"
_REPORT_SECONDS = 10.0  # more often would flood Tune's controller
_FRESH_STARTS = 5  # of a run whose worker dies


@dataclass(frozen=True)
class Share:
    """What a run gets: `gpus` may be a fraction, for runs that share one; `cpus` are its threads on a CPU."""

    gpus: float = 0.0
    cpus: int = 1

    @property
    def device(self) -> str:
        """Where a run trains; Ray shows a worker its own GPUs alone."""
        return "cuda:0" if self.gpus else "cpu"


@dataclass(frozen=True)
class Task:
    """All that a worker needs to bring a run to its end; plug-ins travel as text, data where its path is not shared."""

    row_runs: tuple[RowRun, ...]
    faces: Parcel
    share: Share
    samples: int
    plugins: Mapping[str, str]
    token: Path
    storage: Storage | None = None


def execute(
    row_runs: Sequence[RowRun],
    faces: Faces,
    *,
    samples: int,
    share: Share,
    address: str = "",
    storage: str = "",
    jobs: int = 0,
    quiet: bool = False,
) -> list[Outcome]:
    """Bring every run to its end on the cluster at `address` ("": on this machine alone), `jobs` at most at a time.

    Runs go on in the results folder or, where `storage` names another place, there; then the results folder gets a
    copy. Runs that had too little memory are tried again with twice the share. Raises UserError when Ray is missing or
    cannot be reached, when the cluster has less than one share, and when its nodes do not see the results folder or the
    storage cannot be written; Interrupted when asked to stop.
    """
    kept = Storage(storage) if storage else None
    if kept:
        kept.check()
        _fetch(kept, row_runs)
    before = [is_complete(row_run, faces) for row_run in row_runs]
    with connected(address) as ray, shared_token(row_runs) as token:
        check_share(ray, share)
        plugins = {path.name: path.read_text(encoding="utf-8") for path in registry.plugins()}
        absolute = tuple(with_whole_path(row_run) for row_run in row_runs)
        task = Task(absolute, pack(faces, ray), share, samples, plugins, token, kept)
        left = [index for index, done in enumerate(before) if not done]
        with Stop() as stop:
            while left:
                told = _fit(task, left, jobs, stop, quiet)
                if kept:
                    _fetch(kept, row_runs)
                stop.check("runs at work have saved their last states")
                left = [index for index in left if told.get(index, {}).get("out_of_memory")]
                more = _doubled(ray, task.share)
                if not left or more == task.share:
                    break
                log.warning("%d runs had too little memory: again, with %g of a GPU each", len(left), more.gpus)
                task = dataclasses.replace(task, share=more)
    return [_outcome(row_run, faces, done) for row_run, done in zip(row_runs, before, strict=True)]


def _fetch(storage: Storage, row_runs: Sequence[RowRun]) -> None:
    """Copy what the storage has of the runs into the results folder, but for training states."""
    for row_run in row_runs:
        storage.pull(row_run.run, states=False)


def _outcome(row_run: RowRun, faces: Faces, before: bool) -> Outcome:
    """Return how a run ended, as its own folder tells it."""
    name = row_run.run.config.name
    if is_complete(row_run, faces):
        return Outcome(name, RunState.CACHED if before else RunState.FINISHED)
    error = row_run.run.record().error or "its worker died again and again; run again to go on from its last state"
    return Outcome(name, RunState.FAILED, error)


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Give Ray, connected to a cluster or started here; what was started here ends with the context."""
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # run folders have the curves
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # ours ends it, see Stop
    try:
        import ray
    except ImportError:
        raise UserError(INSTALL) from None
    from bench.core.machine import cores

    _knock(address)
    how: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False, "runtime_env": _environment(address)}
    # "local": else Ray would join whatever cluster runs on this machine.
    how |= {"address": address} if address else {"address": "local", "num_cpus": cores(), "include_dashboard": False}
    before = signal.getsignal(signal.SIGTERM)
    try:
        context = ray.init(**how)
    except Exception as error:
        raise UserError(
            f"--address {address or 'none'}: Ray cannot be reached ({str(error).splitlines()[0]})"
        ) from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray has put its own in place, which would end us at once
    if url := getattr(context, "dashboard_url", ""):
        log.info("Ray's dashboard: http://%s", url)
    with quietly():  # to the end: Ray tells of a node's death whenever it learns of it
        try:
            yield ray
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raise UserError when nobody answers at HOST:PORT: Ray would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or "//" in address:
        return
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return
    except (OSError, ValueError) as error:
        raise UserError(f"--address {address}: no Ray cluster there ({error})") from None


def _environment(address: str) -> dict[str, Any]:
    """Return what Ray sets up for workers: our settings and, away from this machine, our code."""
    names = (
        "FSR_CACHE",
        "FSR_CHECKPOINT_SECONDS",
        "FSR_TIMING_SECONDS",
        "RAY_CHDIR_TO_TRIAL_DIR",
        "CUBLAS_WORKSPACE_CONFIG",
    )
    found: dict[str, Any] = {"env_vars": {name: os.environ[name] for name in names if name in os.environ}}
    if address:
        import bench
        import methods

        found["py_modules"] = [str(Path(str(one.__file__)).parent) for one in (bench, methods)]
    return found


@contextlib.contextmanager
def shared_token(row_runs: Sequence[RowRun]) -> Iterator[Path]:
    """Lay a file into the results folder by which a worker sees that it shares that folder with us."""
    path = (row_runs[0].run.experiment / ".ray" / f"token-{os.getpid()}").resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def check_share(ray: Any, share: Share) -> None:
    """Raise UserError for a share that no node has: Ray would wait for it forever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(node.get("GPU", 0) >= share.gpus and node.get("CPU", 0) >= share.cpus for node in nodes):
        return
    there = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
    asked = f"--gpus-per-run {share.gpus:g}, {share.cpus} CPU{'s' if share.cpus > 1 else ''} a run"
    raise UserError(f"{asked}: no node has that; the cluster has {len(nodes)}: {there}")


def _doubled(ray: Any, share: Share) -> Share:
    """Return twice the share as far as a node has it."""
    most = max(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"])
    return dataclasses.replace(share, gpus=min(share.gpus * 2, most))


def with_whole_path(row_run: RowRun) -> RowRun:
    """Return the row_run with its folder as a whole path, the same for a worker elsewhere."""
    return dataclasses.replace(
        row_run, run=dataclasses.replace(row_run.run, experiment=row_run.run.experiment.resolve())
    )


def _fit(task: Task, left: Sequence[int], jobs: int, stop: Stop, quiet: bool) -> dict[int, Mapping[str, Any]]:
    """Let Tune bring the runs at `left` to their end; return what each reported last."""
    from ray import tune

    class Asked(tune.Stopper):
        """Ends it all when a signal has come."""

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return stop.asked

        def stop_all(self) -> bool:
            return stop.asked

    class Watch(tune.Callback):
        """Shows how far each run is."""

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any) -> None:
            bars.show(trial.config["index"], result)

    bars = _Bars(task.row_runs, quiet)
    share = {"cpu": task.share.cpus} | ({"gpu": task.share.gpus} if task.share.gpus else {})
    place = task.storage.for_ray() if task.storage else {"storage_path": str(task.token.parent)}
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(_trial, task=task), share),
        param_space={"index": tune.grid_search(list(left))},
        tune_config=tune.TuneConfig(max_concurrent_trials=jobs or None, reuse_actors=True),
        run_config=tune.RunConfig(
            name=f"tune-{int(time.time())}-{os.getpid()}",
            **place,
            failure_config=tune.FailureConfig(max_failures=_FRESH_STARTS),
            stop=Asked(),
            callbacks=[Watch()],
            verbose=0,
        ),
    )
    grid = tuner.fit()
    bars.close()
    ended = [grid[place] for place in range(len(grid))]
    return {one.config["index"]: one.metrics or {} for one in ended if one.config}


def _trial(config: dict[str, Any], task: Task) -> None:
    """Bring one run to its end (in a worker of Ray)."""
    import torch
    from ray import tune

    torch.set_num_threads(task.share.cpus)
    with plugged(task.plugins), _housed(task.row_runs[config["index"]], task) as row_run:
        outcome = complete(
            row_run, task.faces.open(), torch.device(task.share.device), task.samples, _Reporter, wait=True
        )
    tune.report({"status": outcome.status, "error": outcome.error, "out_of_memory": outcome.out_of_memory})


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
        run = dataclasses.replace(row_run.run, experiment=Path(folder) / row_run.run.experiment.name)
        with task.storage.mirrored(run):
            yield dataclasses.replace(row_run, run=run)


@contextlib.contextmanager
def plugged(plugins: Mapping[str, str]) -> Iterator[None]:
    """Take the methods of plug-ins that came as text."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in plugins.items():
            path = Path(folder) / name
            path.write_text(text, encoding="utf-8")
            registry.add_plugin(path)
        yield


class _Reporter:
    """A progress bar that tells Tune now and then."""

    def __init__(self, title: str, total: int) -> None:
        self._figures: dict[str, Any] = {"total": total}
        self._said = -_REPORT_SECONDS

    def update(self, done: int) -> None:
        from ray import tune

        if time.monotonic() - self._said > _REPORT_SECONDS:
            self._said = time.monotonic()
            tune.report({"iteration": done, **self._figures})

    def show(self, **figures: float) -> None:
        self._figures |= figures

    def __enter__(self) -> _Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Bars:
    """A bar for each run that has said something."""

    def __init__(self, row_runs: Sequence[RowRun], quiet: bool) -> None:
        self._cells, self._quiet = row_runs, quiet
        self._bars: dict[int, Bar] = {}

    def show(self, index: int, result: Mapping[str, Any]) -> None:
        row_run, training = self._cells[index], self._cells[index].run.config.training
        if training is None:
            return
        if index not in self._bars:
            title = (
                row_run.label if row_run.run.config.seed == 0 else f"{row_run.label}, seed {row_run.run.config.seed}"
            )
            self._bars[index] = Bar(title, training.iterations, quiet=self._quiet)
        bar = self._bars[index]
        bar.show(**{name: result[name] for name in ("loss", "psnr") if name in result})
        bar.update(result.get("iteration", training.iterations))
        if "status" in result:
            self._bars.pop(index).__exit__(None, None, None)

    def close(self) -> None:
        for bar in self._bars.values():
            bar.__exit__(None, None, None)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep what Ray and Tune print, from whatever thread and library, off standard output, which is for results."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
