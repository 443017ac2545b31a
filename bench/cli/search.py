"""`fsr search`."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.common import Command, add_device, show, written
from bench.core import paths
from bench.core.errors import UserError

if TYPE_CHECKING:
    import torch

    from bench.runs.experiment import Faces, RowRun
    from bench.schedule.executor import ExecutionOptions, Executor
    from bench.schedule.search.record import SearchRecord
    from bench.schedule.search.scheduler import Scheduler

log = logging.getLogger("fsr")
_ABOUT = "search a method's hyper-parameters on validation faces (no ablation: see docs/search.md)"


def _search(options: argparse.Namespace) -> int:
    from bench.core.provenance import choose_device
    from bench.report.search import build_search_report, trials_text
    from bench.runs.experiment import DEFAULT_DATA
    from bench.runs.prepare import prepare
    from bench.schedule.search.plan import load_search, open_trial_faces, row_runs_of
    from bench.schedule.search.record import write_record
    from bench.schedule.search.scheduler import choose_scheduler

    device, how = choose_device(options.device), _how(options)
    search = load_search(options.method, options.space, options.profile, options.data, options.set, options.trials)
    profile = search.job.profile
    scheduler = choose_scheduler(options.scheduler, profile.training, options.grace_period, options.reduction_factor)
    if search.job.data == DEFAULT_DATA:
        prepare(DEFAULT_DATA, sizes=dataclasses.asdict(profile.generate), quiet=options.json)
    faces = open_trial_faces(search)
    row_runs = row_runs_of(search, faces)
    write_record(search, row_runs, scheduler)
    try:
        _complete(row_runs, faces, scheduler, device, how, options)
    finally:  # an interrupted search says how far it is
        record = write_record(search, row_runs, scheduler)
    files = build_search_report(search.folder, paths.reports() / search.job.name)
    show(options, _as_json(record, files), lambda: "\n".join([trials_text(record), *_best(record), written(files)]))
    return _tell_failures(record)


def _complete(
    row_runs: Sequence[RowRun],
    faces: Faces,
    scheduler: Scheduler,
    device: torch.device,
    how: ExecutionOptions,
    options: argparse.Namespace,
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


def _how(options: argparse.Namespace) -> ExecutionOptions:
    """Return how trials are executed; early stopping is Ray's."""
    from bench.schedule.executor import ExecutionOptions

    stops = options.scheduler != "none"
    if stops and options.executor == "serial":
        raise UserError(f"--scheduler {options.scheduler}: is Ray Tune's; leave out --executor serial")
    if options.max_failures < 0:
        raise UserError(f"--max-failures {options.max_failures}: expected at least 0")
    asks_ray = stops or options.address or options.gpus_per_run is not None
    executor: Executor = options.executor or ("ray" if asks_ray else "serial")
    return ExecutionOptions(executor, options.jobs, options.gpus_per_run, options.address, options.retry_failed)


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


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", help="a method's name, see `fsr methods`")
    parser.add_argument("--space", type=Path, required=True, metavar="FILE.toml", help="what varies over which values")
    parser.add_argument(
        "--scheduler", choices=("none", "asha"), default="none", help="stop the worse trials early? (default: none)"
    )
    parser.add_argument(
        "--grace-period", type=int, metavar="N", help="with asha: iterations that every trial gets (default: a ninth)"
    )
    parser.add_argument(
        "--reduction-factor", type=float, metavar="N", help="with asha: the best 1/N go on each time (default: 3)"
    )
    parser.add_argument("--trials", type=int, metavar="N", help="how many (default: what the space says, or 16)")
    parser.add_argument("--profile", default="quick", help="quick, full, paper or a TOML file (default: quick)")
    parser.add_argument("--data", default="synthfaces", help="a prepared data set (default: synthfaces)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change the profile of every trial"
    )
    parser.add_argument(
        "--jobs", type=int, default=0, metavar="N", help="trials side by side (default: one a core, on a GPU one)"
    )
    parser.add_argument(
        "--executor", choices=("serial", "ray"), help="serial: this machine alone (default without asha); ray: Ray Tune"
    )
    parser.add_argument("--address", default="", metavar="HOST:PORT", help="of a Ray cluster, or auto (default: none)")
    parser.add_argument(
        "--gpus-per-run", type=float, metavar="N", help="with Ray: a trial's share of a GPU, e.g. 0.25 (default: 1)"
    )
    parser.add_argument(
        "--max-failures", type=int, default=2, metavar="N", help="with asha: fresh starts after a crash (default: 2)"
    )
    parser.add_argument("--retry-failed", action="store_true", help="try trials again that failed before")
    add_device(parser)


COMMANDS = (Command("search", _ABOUT, _search, _add),)
