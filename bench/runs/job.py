"""A job: an experiment under a profile on a data set, and the runs that follow from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core import paths
from bench.core.errors import UserError, suggest
from bench.core.schema import find_file, from_dict, override_setting, read_toml
from bench.data.cards import default_dataset
from bench.data.store import check_disjoint, open_split
from bench.metrics.catalogue import get_metrics
from bench.models import registry
from bench.runs.config import DataRef, RunConfig, Training
from bench.runs.store import Run

if TYPE_CHECKING:
    from bench.data.store import FaceStore
from bench.runs.experiment import (
    DEFAULT_PROFILE,
    EXPERIMENTS,
    PROFILES,
    Experiment,
    Faces,
    Profile,
    Row,
    RowRun,
    Sizes,
    TestSet,
)


@dataclass(frozen=True)
class Job:
    """An experiment under a profile on a data set: everything needed to plan, run and report it.

    Trained and tested on `data`, and tested on the data sets `tests` as well.
    """

    name: str
    experiment: Experiment
    profile_name: str
    profile: Profile
    data: str
    tests: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its results go."""
        return paths.results() / self.name


def load_job(
    experiment: str,
    profile: str = DEFAULT_PROFILE,
    data: str = "",
    extra_methods: Sequence[str] = (),
    overrides: Sequence[str] = (),
    extra_metrics: Sequence[str] = (),
    tests: Sequence[str] = (),
) -> Job:
    """Read an experiment and a profile, by name or as a TOML file, and put them together.

    `extra_methods` become further rows, `extra_metrics` further scores, `tests` further data sets that every row is
    tested on; `overrides` are `key=value` for keys of the profile, e.g. `training.iterations=50`; `seeds=[0]` is for
    rows with seeds of their own too. The job's name says what differs from the default: `ablation-full-celeba`.
    Raises UserError for unknown names, keys and values.
    """
    experiment_path, profile_path = (
        find_file(experiment, EXPERIMENTS, "experiment"),
        find_file(profile, PROFILES, "profile"),
    )
    what = from_dict(Experiment, read_toml(experiment_path), str(experiment_path.name))
    metrics = tuple(metric.name for metric in get_metrics([*what.metrics, *extra_metrics]))
    rows = what.rows + tuple(Row(method) for method in extra_methods)
    settings = read_toml(profile_path)
    for override in overrides:
        override_setting(settings, override)
    budget = from_dict(Profile, settings, str(profile_path.name))
    if "seeds" in {override.partition("=")[0] for override in overrides}:  # what was just said goes before a row's own
        rows = tuple(dataclasses.replace(row, seeds=()) for row in rows)
    what = dataclasses.replace(what, rows=rows, metrics=metrics)
    for row in what.rows:
        spec = registry.get(row.method)
        if what.scale not in spec.scales:
            raise UserError(
                f"method '{row.method}' supports scales {list(spec.scales)}, the experiment asks {what.scale}"
            )
    _check_options(what, budget, str(profile_path.name))
    what = dataclasses.replace(what, rows=tuple(_matched(what, budget, row) for row in rows))
    data = data or default_dataset()
    parts = [experiment_path.stem]
    parts += [profile_path.stem] if profile_path.stem != DEFAULT_PROFILE else []
    parts += [data] if data != default_dataset() else []
    others = tuple(name for name in dict.fromkeys(tests) if name != data)
    return Job("-".join(parts), what, profile_path.stem, budget, data, others)


def _matched(experiment: Experiment, profile: Profile, row: Row) -> Row:
    """Return the row with the width at which its size matches that of `row.match`, if it asks for one."""
    from bench.models.capacity import match_width, method_size

    if not row.match:
        return row
    size = method_size(row.match, resolve_row(experiment, profile, Row(row.match)))
    width = match_width(row.method, resolve_row(experiment, profile, row), size)
    return dataclasses.replace(row, options={**row.options, "width": width})


def _check_options(experiment: Experiment, profile: Profile, where: str) -> None:
    """Raise UserError for an option of the profile that no row has, and for options a row's network refuses."""
    from bench.models.meta import meta_device

    known = {name for row in experiment.rows for name in registry.options(row.method)}
    for name in profile.options:
        if name not in known:
            raise UserError(f"{where}: no method has the option '{name}': {suggest(name, known)}")
    for row in experiment.rows:
        with meta_device():  # shapes alone: nothing is computed
            registry.check(row.method, resolve_row(experiment, profile, row))
        _training_of(profile, row)


def open_faces(job: Job) -> Faces:
    """Open, check and compare the face sets of a job.

    Raises UserError when a split is missing, its bytes no longer match its fingerprint, or training and test share a
    photo.
    """

    train, val, test = (open_split(job.data, split) for split in ("train", "val", "test"))
    others = [open_split(name, "test") for name in job.tests]
    for store in (train, val, test, *others):
        store.verify()
    for store in (val, test, *others):
        check_disjoint(train, store)
    generated = job.data == default_dataset()  # grows on demand: a profile uses what it asks for, not what others left
    sizes = Sizes(
        train=min(len(train), job.profile.generate.train) if generated else len(train),
        val=min(len(val), job.profile.limit.val, job.profile.generate.val if generated else len(val)),
        test=min(len(test), job.profile.limit.test, job.profile.generate.test if generated else len(test)),
    )
    limited = tuple(TestSet(store, min(len(store), job.profile.limit.test)) for store in others)
    return Faces(train, val, test, sizes, limited)


def row_runs(job: Job, faces: Faces) -> list[RowRun]:
    """Return the runs of a job: each row's first seed, then each row's second; a method that is not trained has one.

    So a table that is drawn before the end has all rows.
    """
    rows = job.experiment.rows
    seeds = [(row.seeds or job.profile.seeds) if registry.get(row.method).trainable else (0,) for row in rows]
    found = []
    for place in range(max(map(len, seeds))):
        for row, own in zip(rows, seeds, strict=True):
            if place < len(own):
                label = row.label or registry.get(row.method).title
                run = Run(job.folder, run_config(job, row, own[place], faces))
                found.append(RowRun(row, label, run, job.experiment.metrics))
    return found


def run_config(job: Job, row: Row, seed: int, faces: Faces) -> RunConfig:
    """Return what decides one run of `row`."""
    options = resolve_row(job.experiment, job.profile, row)
    config = RunConfig(row.method, options, job.experiment.scale, seed, job.experiment.protocol)
    if not registry.get(row.method).trainable:
        return config
    return dataclasses.replace(
        config,
        training=_training_of(job.profile, row),
        train=data_reference(faces.train, faces.sizes.train),
        val=data_reference(faces.val, faces.sizes.val),
    )


def _training_of(profile: Profile, row: Row) -> Training:
    """Return the profile's training with the row's changes."""
    if not row.training:
        return profile.training
    settings = {**dataclasses.asdict(profile.training), **row.training}
    settings["augment"] = {**dataclasses.asdict(profile.training.augment), **row.training.get("augment", {})}
    return from_dict(Training, settings, f"row {row.label or row.method}: training")


def resolve_row(experiment: Experiment, profile: Profile, row: Row) -> dict[str, Any]:
    """Return all options of a row: its own, before the profile's that its method has, before the method's defaults."""
    known = registry.options(row.method)
    shared = {name: value for name, value in profile.options.items() if name in known}
    return registry.options(row.method, {"scale": experiment.scale, **shared, **row.options})


def data_reference(store: FaceStore, count: int) -> DataRef:
    """Return what names the first `count` faces of a store."""
    return DataRef(store.dataset, store.split, count, store.fingerprint_of(count))
