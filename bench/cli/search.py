"""`fsr search`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli import complete
from bench.cli.common import (
    SHARE,
    Address,
    Data,
    Device,
    Executor,
    Jobs,
    Json,
    Plugins,
    Profile,
    Settings,
    option,
    show,
    written,
)
from bench.core import paths
from bench.core.errors import UserError
from bench.core.limits import within

if TYPE_CHECKING:
    from bench.schedule.search.trials import TrialRecord

log = logging.getLogger("fsr")


def search(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="its id, see `fsr methods`", autocompletion=complete.methods)
    ],
    *,
    space: Annotated[Path, typer.Option(metavar="FILE.toml", help="what varies over which values")],
    scheduler: Annotated[Literal["none", "asha"], typer.Option(help="asha: stop the worse trials early")] = "none",
    grace_period: Annotated[
        int | None,
        option("N", "with asha: iterations that every trial gets (default: a ninth)", rule=within(1, 10**9)),
    ] = None,
    reduction_factor: Annotated[
        int | None, option("N", "with asha: the best 1/N go on each time (default: 3)", rule=within(2, 100))
    ] = None,
    trials: Annotated[
        int | None, option("N", "how many (default: what the space says, or 16)", rule=within(1, 100_000))
    ] = None,
    profile: Profile = "quick",
    data: Data = None,
    set: Settings,
    jobs: Jobs = None,
    executor: Annotated[Executor, typer.Option(help="serial: this machine alone; ray: Ray Tune")] = "serial",
    address: Address = "",
    gpus_per_run: Annotated[
        float | None,
        option("N", "with Ray: a trial's share of a GPU, e.g. 0.25 (default: 1)", rule=SHARE),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="try trials again that failed before")] = False,
    device: Device = "auto",
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.cli.faces import prepare
    from bench.core.provenance import choose_device
    from bench.data.cards import default_dataset
    from bench.report.search import build_search_report, trials_text
    from bench.schedule.executor import ExecutionOptions
    from bench.schedule.search.asha import choose_asha
    from bench.schedule.search.trials import best_profile, load_search, open_trial_faces, run_search

    if scheduler == "none" and (grace_period is not None or reduction_factor is not None):
        raise UserError("--grace-period and --reduction-factor go with --scheduler asha")
    chosen_device = choose_device(device)
    options = ExecutionOptions(executor, jobs or 0, gpus_per_run, address, retry_failed=retry_failed)
    wanted = load_search(method, space, profile, data or default_dataset(), set, trials)
    job, best = wanted.job, best_profile(wanted.job)
    asha = choose_asha(job.profile.training, grace_period, reduction_factor or 3) if scheduler == "asha" else None
    if job.data == default_dataset():
        prepare(default_dataset(), sizes=dataclasses.asdict(job.profile.generate), quiet=json)
    record, study = run_search(wanted, open_trial_faces(wanted), chosen_device, options, asha, json)
    files = build_search_report(record, study, paths.reports() / job.name)
    result = {**dataclasses.asdict(record), "best": None, "report": [str(file) for file in files]}
    lines = [trials_text(record)]
    if record.finished:
        result |= {"best": record.finished[0].number, "profile": str(best)}
        lines.append(f"trial {result['best']} as a profile, to be trained with several seeds: --profile {best}")
    show(json, result, lambda: "\n".join([*lines, written(files)]))
    return _log_failures(record.trials)


def _log_failures(trials: Sequence[TrialRecord]) -> int:
    """Log the trials that could not be brought to their end; return the exit code. To diverge is an outcome."""
    lost = [trial for trial in trials if trial.state in ("failed", "interrupted", "not run")]
    for trial in lost:
        log.error("fsr: trial %d %s", trial.number, f"failed: {trial.error}" if trial.error else "has not ended")
    return min(len(lost), 1)
