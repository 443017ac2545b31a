"""From a method and a space to trials: each is a run of the run store with a config of its own."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.errors import UserError, reason, suggest
from bench.core.schema import find_file, from_dict, override_setting, read_toml
from bench.models import registry
from bench.models.capacity import method_size
from bench.runs.experiment import (
    DEFAULT_DATA,
    DEFAULT_PROFILE,
    EXPERIMENTS,
    PROFILES,
    Experiment,
    Faces,
    Job,
    Profile,
    Row,
    RowRun,
    open_faces,
    resolve_row,
    run_config,
)
from bench.runs.store import Run
from bench.schedule.search.space import Space, read_space

log = logging.getLogger("fsr")


@dataclass(frozen=True)
class Trial:
    """One trial: its number (from 1), the values drawn for it, its profile and the size of its network."""

    number: int
    values: Mapping[str, Any]
    profile: Profile
    parameters: int


@dataclass(frozen=True)
class Search:
    """A space of one method under a profile on a data set, and its trials. `job` is what they have in common."""

    job: Job
    space: Space
    trials: tuple[Trial, ...]

    @property
    def method(self) -> str:
        """The method's id."""
        return self.job.experiment.rows[0].method

    @property
    def folder(self) -> Path:
        """Where its results go."""
        return self.job.folder


def open_trial_faces(search: Search) -> Faces:
    """Open and check the faces; validation faces stand in for test faces, so that no trial can look at those."""
    faces = open_faces(search.job)
    return Faces(faces.train, faces.val, faces.val, dataclasses.replace(faces.sizes, test=faces.sizes.val))


def row_runs_of(search: Search, faces: Faces) -> list[RowRun]:
    """Return the run of every trial; all are trained with the profile's first seed, and scored by PSNR alone."""
    row, row_runs = search.job.experiment.rows[0], []
    for trial in search.trials:
        job = dataclasses.replace(search.job, profile=trial.profile)
        config = run_config(job, row, search.job.profile.seeds[0], faces)
        row_runs.append(RowRun(row, f"Trial {trial.number}", Run(search.folder, config), ("psnr",)))
    return row_runs


def load_search(
    method: str,
    space: Path,
    profile: str = DEFAULT_PROFILE,
    data: str = DEFAULT_DATA,
    overrides: Sequence[str] = (),
    trials: int | None = None,
) -> Search:
    """Read a space and a profile and draw the trials; `trials` goes before the space's own number.

    Its name says what differs from the default: `search-sparnet-schedules-full-celeba`, without the space's name when
    that is `space`. Raises UserError for unknown names, keys and values, an experiment in place of a method, and values
    that the profile or the network refuses.
    """
    spec = registry.get(_check_method(method))
    if not spec.trainable:
        raise UserError(f"method '{method}' is not trained: there is nothing to search for")
    experiment = Experiment(f"Search: {spec.title}", "search", (Row(method),))
    if experiment.scale not in spec.scales:
        raise UserError(f"method '{method}' supports scales {list(spec.scales)}, a search asks {experiment.scale}")
    where, what = find_file(profile, PROFILES, "profile"), read_space(space, method)
    what = dataclasses.replace(what, trials=what.trials if trials is None else trials)
    settings = _settings(where, method, overrides)
    parts = ["search", method]
    parts += [space.stem] if space.stem != "space" else []
    parts += [where.stem] if where.stem != DEFAULT_PROFILE else []
    parts += [data] if data != DEFAULT_DATA else []
    budget = from_dict(Profile, settings, where.name)
    job = Job("-".join(parts), experiment, where.stem, budget, data)
    return Search(job, what, tuple(_trials(job, what, settings, space.name)))


def as_overrides(values: Mapping[str, Any]) -> list[str]:
    """Return values the way `--set` takes them: `training.learning_rate=0.001`."""
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def _check_method(name: str) -> str:
    experiments = [path.stem for path in EXPERIMENTS.glob("*.toml")]
    if name in experiments and name not in registry.names():
        raise UserError(
            f"'{name}' is an experiment: its rows must have equal budgets, so it is neither searched nor stopped "
            f"early; run it with `fsr run {name}`, and give a method here"
        )
    return name


def _settings(profile: Path, method: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Read a profile as plain tables, changed by `key=value`."""
    settings, known = read_toml(profile), registry.options(method)
    for override in overrides:
        override_setting(settings, override)
        table, _, name = override.partition("=")[0].partition(".")
        if table == "options" and name not in known:
            raise UserError(f"method '{method}' has no option '{name}': {suggest(name, known)}")
    return settings


def _trials(job: Job, space: Space, settings: Mapping[str, Any], where: str) -> list[Trial]:
    """Draw the trials and build each network, so that values which cannot be are told before anything is trained."""
    for dimension in space.dimensions:
        for value in dimension.values:
            _profile(settings, {dimension.key: value}, where)
    drawn = space.draw()
    if len(drawn) < space.trials:
        log.warning("%s: %d trials instead of %d: there are no more combinations", where, len(drawn), space.trials)
    trials = []
    for number, values in enumerate(drawn, 1):
        place = f"{where}, trial {number}"
        profile = _profile(settings, values, place)
        trials.append(Trial(number, values, profile, _size(job, profile, place)))
    return trials


def _profile(settings: Mapping[str, Any], values: Mapping[str, Any], where: str) -> Profile:
    """Return the profile with these values, set as `--set` would."""
    changed = copy.deepcopy(dict(settings))
    for override in as_overrides(values):
        override_setting(changed, override)
    return from_dict(Profile, changed, where)


def _size(job: Job, profile: Profile, where: str) -> int:
    """Return the number of parameters; raise UserError for a network that cannot be built."""
    row = job.experiment.rows[0]
    try:
        return method_size(row.method, resolve_row(job.experiment, profile, row))
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    except Exception as error:
        raise UserError(f"{where}: method '{row.method}' cannot be built: {reason(error)}") from None
