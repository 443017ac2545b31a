"""From a method and a space to trials: each is a run of the run store with a config of its own."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError, reason, suggest
from bench.core.files import write_json, write_text
from bench.core.locks import lock
from bench.core.names import fit, listed, readable
from bench.core.schema import find_file, from_dict, override_setting, read_toml
from bench.data.cards import default_dataset
from bench.models import registry
from bench.models.capacity import method_size
from bench.runs.complete import complete
from bench.runs.config import DataRef
from bench.runs.experiment import DEFAULT_PROFILE, EXPERIMENTS, PROFILES, Experiment, Faces, Profile, Row, RowRun
from bench.runs.job import Job, open_faces, resolve_row, run_config, teacher_of
from bench.runs.records import LAYOUT, SEARCH_FILE, RunState
from bench.runs.store import Run
from bench.schedule.executor import ExecutionOptions, execute
from bench.schedule.search.asha import Asha, CompleteTrial, read_curve
from bench.schedule.search.space import Space, read_space

if TYPE_CHECKING:
    import torch
    from optuna import Study
    from optuna.trial import Trial

log = logging.getLogger("fsr")
_RANKED = ("finished", "stopped", "interrupted", "not run", "diverged", "failed")
_SIDE_BY_SIDE = 4  # trials that "tpe" draws before it looks again, so that they do not depend on --jobs


@dataclass(frozen=True)
class Search:
    """A space of one method under a profile on a data set. `job` is what its trials have in common."""

    job: Job
    space: Space
    settings: Mapping[str, Any]
    where: str

    @property
    def method(self) -> str:
        """The method's id."""
        return self.job.experiment.rows[0].method


@dataclass(frozen=True)
class TrialRecord:
    """How a trial ended: `psnr` is in dB on the validation faces, at its last point of `iterations`."""

    number: int
    run: str
    values: Mapping[str, Any]
    state: RunState
    iterations: int
    psnr: float | None
    parameters: int
    error: str = ""

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end and has a PSNR."""
        return self.state is RunState.FINISHED and self.psnr is not None


@dataclass(frozen=True)
class SearchRecord:
    """What a search was and how its trials ended, the best first, as it is written to search.json."""

    layout: int
    name: str
    title: str
    method: str
    protocol: str
    profile: str
    iterations: int
    batch: int
    seed: int
    asha: Asha | None
    space: Space
    train: DataRef
    val: DataRef
    trials: tuple[TrialRecord, ...]

    @property
    def finished(self) -> list[TrialRecord]:
        """The trials that were trained to their end and have a PSNR, the best first."""
        return [trial for trial in self.trials if trial.finished]


def load_search(
    method: str,
    space: Path,
    profile: str = DEFAULT_PROFILE,
    data: str = "",
    overrides: Sequence[str] = (),
    trials: int | None = None,
) -> Search:
    """Read a space and a profile; `trials` goes before the space's own number.

    The name says what differs from the default: `search-<method>-rates-full-<data>`, without the space's name when
    that is `space`. Raises UserError for unknown names, keys and values, an experiment in place of a method, and ends
    of ranges that the profile or the method refuses.
    """
    if method not in registry.names() and method in {path.stem for path in listed(EXPERIMENTS, "*.toml")}:
        raise UserError(
            f"'{method}' is an experiment: its rows must have equal budgets, so it is neither searched nor stopped "
            f"early; run it with `fsr run {method}`, and give a method here"
        )
    spec = registry.get(method)
    if not spec.trainable:
        raise UserError(f"method '{method}' is not trained: there is nothing to search for")
    data = data or default_dataset()
    experiment = Experiment(f"Search: {spec.title}", "ablation", (Row(method),))
    if experiment.scale not in spec.scales:
        raise UserError(f"method '{method}' supports scales {list(spec.scales)}, a search asks {experiment.scale}")
    path, ranges = find_file(profile, PROFILES, "profile"), read_space(space)
    ranges = dataclasses.replace(ranges, trials=ranges.trials if trials is None else trials)
    settings, known = read_toml(path), registry.options(method)
    for override in overrides:
        override_setting(settings, override)
        table, _, option = override.partition("=")[0].partition(".")
        if table == "options" and option not in known:
            raise UserError(f"method '{method}' has no option '{option}': {suggest(option, known)}")
    parts = {"": method, "space": space.stem, DEFAULT_PROFILE: path.stem, default_dataset(): data}
    name = fit(readable("-".join(["search", *(part for default, part in parts.items() if part != default)])))
    job = Job(name, experiment, path.stem, from_dict(Profile, settings, path.name), data)
    search = Search(job, ranges, settings, space.name)
    for key, domain in ranges.ranges.items():
        for end in domain.ends:
            _settle(search, {key: end}, search.where)
    return search


def open_trial_faces(search: Search) -> Faces:
    """Open and check the faces; validation faces stand in for test faces, so that no trial can look at those."""
    faces = open_faces(search.job)
    return Faces(faces.train, faces.val, faces.val, dataclasses.replace(faces.sizes, test=faces.sizes.val))


def run_search(
    search: Search,
    faces: Faces,
    device: torch.device,
    options: ExecutionOptions,
    asha: Asha | None = None,
    quiet: bool = False,
) -> tuple[SearchRecord, Study]:
    """Bring every trial to its end, or with `asha` to where it stops; write search.json and the best profile.

    Returns the record and Optuna's study of the trials. Trials that are done are not repeated. Raises UserError for
    values that the network refuses, before anything of that draw is trained, and for a search that draws or stops by
    results which another process is at work on; Interrupted when asked to stop: calling again goes on from there.
    """
    study, drawn, folder = search.space.study(), list[_Drawn](), search.job.folder
    # Trials that depend on no other's result may be shared by two processes.
    alone = asha is not None or search.space.sampler != "random"
    with lock(folder / ".locks" / "search.lock", wait=False) if alone else contextlib.nullcontext(True) as held:
        if not held:
            raise UserError(f"{folder}: another process is at work on this search; wait for it, or stop it")
        try:
            while batch := _draw(search, faces, study, drawn):
                drawn += batch
                names = tuple(trial.begun.run for trial in drawn)
                ending = CompleteTrial(asha, names) if asha else complete
                row_runs = [trial.row_run for trial in batch]
                execute(row_runs, faces, device, options, samples=0, quiet=quiet, complete=ending)
                for trial in batch:
                    _tell(study, trial)
        finally:  # an interrupted search says how far it is
            if drawn:
                record = _write(search, drawn, asha)
    return record, study


@dataclass(frozen=True)
class _Drawn:
    """A trial as Optuna drew it, its run, and its record before it is trained."""

    trial: Trial
    row_run: RowRun
    begun: TrialRecord


def _draw(search: Search, faces: Faces, study: Study, before: Sequence[_Drawn]) -> list[_Drawn]:
    """Draw trials: all, or with "tpe" a few that learn from those before; none when there are enough."""
    batch = list[_Drawn]()
    seen = [dict(drawn.begun.values) for drawn in before]
    most = search.space.trials if search.space.sampler == "random" else _SIDE_BY_SIDE
    row = search.job.experiment.rows[0]
    while len(seen) < search.space.trials and len(batch) < most:
        draw = search.space.draw(study, seen)
        if draw is None:
            log.warning("%s: %d trials: there are no more combinations", search.where, len(seen))
            break
        trial, values = draw
        seen.append(values)
        profile, size = _settle(search, values, f"{search.where}, trial {len(seen)}")
        job = dataclasses.replace(search.job, profile=profile)
        run = Run(job.folder, run_config(job, row, profile.seeds[0], faces))
        begun = TrialRecord(len(seen), run.config.name, values, RunState.NOT_RUN, 0, None, size)
        row_run = RowRun(row, f"Trial {len(seen)}", run, ("psnr",), teacher_of(job, row, faces))
        batch.append(_Drawn(trial, row_run, begun))
    return batch


def _settle(search: Search, values: Mapping[str, Any], where: str) -> tuple[Profile, int]:
    """Return the profile with these values and the network's size; raise UserError for what either refuses."""
    experiment, method = search.job.experiment, search.method
    profile = from_dict(Profile, _with(search.settings, values), where)
    own = {key.partition(".")[2]: value for key, value in values.items() if key.startswith("options.")}
    try:
        registry.options(method, own)
        return profile, method_size(method, resolve_row(experiment, profile, experiment.rows[0]))
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    except Exception as error:
        raise UserError(f"{where}: method '{method}' cannot be built: {reason(error)}") from None


def _with(settings: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a profile's settings with these values, set as `--set` would."""
    changed = copy.deepcopy(dict(settings))
    for key, value in values.items():
        override_setting(changed, f"{key}={json.dumps(value)}")
    return changed


def _tell(study: Study, drawn: _Drawn) -> None:
    """Tell Optuna how a trial ended."""
    from optuna.trial import TrialState

    record = _record(drawn)
    for iteration, psnr in read_curve(drawn.row_run.run.folder):
        drawn.trial.report(psnr, iteration)
    if record.finished:
        study.tell(drawn.trial, record.psnr)
    else:
        study.tell(drawn.trial, state=TrialState.PRUNED if record.state is RunState.STOPPED else TrialState.FAIL)


def _record(drawn: _Drawn) -> TrialRecord:
    """Read how far a trial is from its run's folder."""
    run = drawn.row_run.run
    record = run.record()
    iterations, psnr = (read_curve(run.folder) or [(0, math.nan)])[-1]
    error, state = record.error or "", record.status
    if run.trained:
        state = RunState.FINISHED
    elif state is RunState.RUNNING:
        state = RunState.INTERRUPTED
    elif state is RunState.FAILED and error.startswith("Diverged: "):
        state = RunState.DIVERGED
    known = psnr if math.isfinite(psnr) else None
    return dataclasses.replace(drawn.begun, state=state, iterations=iterations, psnr=known, error=error)


def _write(search: Search, drawn: Sequence[_Drawn], asha: Asha | None) -> SearchRecord:
    """Read how far every trial is, write search.json and, where one has finished, the best one's profile."""
    job, config = search.job, drawn[0].row_run.run.config
    assert config.train is not None and config.val is not None
    trials = sorted(
        map(_record, drawn),
        key=lambda trial: (_RANKED.index(trial.state), -(trial.psnr or -math.inf), trial.number),
    )
    record = SearchRecord(
        layout=LAYOUT,
        name=job.name,
        title=job.experiment.title,
        method=search.method,
        protocol=config.protocol,
        profile=job.profile_name,
        iterations=job.profile.training.iterations,
        batch=job.profile.training.batch,
        seed=config.seed,
        asha=asha,
        space=search.space,
        train=config.train,
        val=config.val,
        trials=tuple(trials),
    )
    write_json(job.folder / SEARCH_FILE, dataclasses.asdict(record))
    if record.finished:
        best = record.finished[0]
        settings = _with(search.settings, best.values)
        settings["note"] = f"trial {best.number} of {job.name}, {best.psnr:.3f} dB on validation faces"
        write_text(best_profile(job), as_toml(settings))
    return record


def best_profile(job: Job) -> Path:
    """Return where the profile of a search's best trial lies, for `fsr run --profile`."""
    return job.folder / f"best-{job.name.removeprefix('search-')}.toml"


def as_toml(settings: Mapping[str, Any], table: str = "") -> str:
    """Return nested tables of numbers, texts and lists as TOML."""
    plain = {key: value for key, value in settings.items() if not isinstance(value, Mapping)}
    lines = [f"[{table}]"] if table and plain else []
    lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in plain.items()]
    inner = [as_toml(value, f"{table}.{key}".strip(".")) for key, value in settings.items() if key not in plain]
    return "\n".join(lines) + "\n" * bool(lines) + "".join(inner)
