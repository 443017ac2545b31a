"""`fsr search`."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.cli import complete
from bench.cli.common import (
    Address,
    Data,
    Device,
    Executor,
    Jobs,
    Json,
    Plugins,
    Profile,
    Settings,
    show,
    written,
)
from bench.core import paths
from bench.core.errors import UserError

if TYPE_CHECKING:
    import torch

    from bench.runs.experiment import Faces, RowRun
    from bench.schedule.executor import ExecutionOptions
    from bench.schedule.search.record import SearchRecord
    from bench.schedule.search.scheduler import Scheduler

log = logging.getLogger("fsr")


def search(
    context: typer.Context,
    method: Annotated[
        str,
        typer.Argument(metavar="METHOD", help="its id, see `fsr methods`", autocompletion=complete.methods),
    ],
    *,
    space: Annotated[Path, typer.Option(metavar="FILE.toml", help="what varies over which values")],
    scheduler: Annotated[Literal["none", "asha"], typer.Option(help="asha: stop the worse trials early")] = "none",
    grace_period: Annotated[
        int | None, typer.Option(metavar="N", help="with asha: iterations that every trial gets (default: a ninth)")
    ] = None,
    reduction_factor: Annotated[
        float | None, typer.Option(metavar="N", help="with asha: the best 1/N go on each time (default: 3)")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="how many (default: what the space says, or 16)")
    ] = None,
    profile: Profile = "quick",
    data: Data = None,
    set: Settings,
    jobs: Jobs = 0,
    executor: Annotated[
        Executor | None,
        typer.Option(help="serial: this machine alone (default without asha); ray: Ray Tune"),
    ] = None,
    address: Address = "",
    gpus_per_run: Annotated[
        float | None,
        typer.Option(metavar="N", help="with Ray: a trial's share of a GPU, e.g. 0.25 (default: 1)"),
    ] = None,
    max_failures: Annotated[int, typer.Option(metavar="N", help="with asha: fresh starts after a crash")] = 2,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="try trials again that failed before")] = False,
    device: Device = "auto",
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.cli.faces import prepare
    from bench.core.provenance import choose_device
    from bench.report.search import build_search_report, trials_text
    from bench.runs.experiment import DEFAULT_DATA
    from bench.schedule.search.plan import load_search, open_trial_faces, row_runs_of
    from bench.schedule.search.record import write_record
    from bench.schedule.search.scheduler import choose_scheduler

    options = SimpleNamespace(**context.params)
    chosen_device, how = choose_device(device), _how(options)
    wanted = load_search(method, space, profile, data or DEFAULT_DATA, set, trials)
    training = wanted.job.profile.training
    chosen = choose_scheduler(scheduler, training, grace_period, reduction_factor)
    if wanted.job.data == DEFAULT_DATA:
        prepare(DEFAULT_DATA, sizes=dataclasses.asdict(wanted.job.profile.generate), quiet=json)
    faces = open_trial_faces(wanted)
    row_runs = row_runs_of(wanted, faces)
    write_record(wanted, row_runs, chosen)
    try:
        _complete(row_runs, faces, chosen, chosen_device, how, options)
    finally:  # an interrupted search says how far it is
        record = write_record(wanted, row_runs, chosen)
    files = build_search_report(wanted.folder, paths.reports() / wanted.job.name)
    show(json, _as_json(record, files), lambda: "\n".join([trials_text(record), *_best(record), written(files)]))
    return _tell_failures(record)


def _complete(
    row_runs: Sequence[RowRun],
    faces: Faces,
    scheduler: Scheduler,
    device: torch.device,
    how: ExecutionOptions,
    options: Any,
) -> None:
    """Bring every trial to its end, or to where the scheduler stops it."""
    from bench.schedule import executor, local, ray_tune
    from bench.schedule.search.record import resume_stopped

    if how.executor == "ray" and importlib.util.find_spec("ray") is None:
        raise UserError(ray_tune.INSTALL)
    if not scheduler.stops_early:
        for row_run in row_runs:
            resume_stopped(row_run.run)
        executor.execute(row_runs, faces, device, how, samples=0, quiet=options.json)
        return
    from bench.schedule.search.asha import Where, complete_with_asha

    jobs = local.choose_jobs(how.jobs, len(row_runs), device)
    gpus: float = float(device.type == "cuda") if options.gpus_per_run is None else options.gpus_per_run
    share = ray_tune.Share(gpus, 1 if gpus else local.threads_each(jobs))
    where = Where(share, how.address, how.jobs, options.max_failures)
    complete_with_asha(row_runs, faces, scheduler, where, retry_failed=how.retry_failed, quiet=options.json)


def _how(options: Any) -> ExecutionOptions:
    """Return how trials are executed; early stopping is Ray's."""
    from bench.schedule.executor import ExecutionOptions

    stops = options.scheduler != "none"
    if stops and options.executor == "serial":
        raise UserError(f"--scheduler {options.scheduler}: is Ray Tune's; leave out --executor serial")
    if options.max_failures < 0:
        raise UserError(f"--max-failures {options.max_failures}: expected at least 0")
    asks_ray = stops or options.address or options.gpus_per_run is not None
    executor: Executor = options.executor or ("ray" if asks_ray else "serial")
    return ExecutionOptions(
        executor, options.jobs, options.gpus_per_run, options.address, retry_failed=options.retry_failed
    )


def _as_json(record: SearchRecord, files: Sequence[Path]) -> dict[str, object]:
    found = record.ranked()
    best = [trial for trial in found if trial.status == "finished" and trial.psnr is not None][:1]
    return {
        **dataclasses.asdict(record),
        "best": best[0].number if best else None,
        "report": [str(file) for file in files],
    }


def _best(record: SearchRecord) -> list[str]:
    """Return the line that tells how to train with the best trial's values."""
    from bench.schedule.search.plan import as_overrides

    if not record.finished():
        return []
    best = record.ranked()[0]
    settings = " ".join(f"--set {shlex.quote(one)}" for one in as_overrides(best.values))
    return [f"trial {best.number} for `fsr run`: {settings}"]


def _tell_failures(record: SearchRecord) -> int:
    """Log the trials that could not be brought to their end; return the exit code. To diverge is an outcome."""
    lost = [trial for trial in record.trials if trial.status in ("failed", "interrupted", "to do")]
    for trial in lost:
        log.error("fsr: trial %d %s", trial.number, f"failed: {trial.error}" if trial.error else "has not ended")
    return min(len(lost), 1)
