"""Experiments and profiles: which rows, on which faces, with which budget; and the runs that follow from them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core import paths
from bench.core.errors import UserError, suggest
from bench.core.schema import find_file, from_dict, override_setting, read_toml
from bench.metrics.catalogue import DEFAULT as DEFAULT_METRICS
from bench.metrics.catalogue import get_metrics
from bench.metrics.protocol import PROTOCOLS
from bench.models import registry
from bench.runs.config import DataRef, RunConfig, Training
from bench.runs.store import Run

if TYPE_CHECKING:
    from bench.data.store import FaceStore

EXPERIMENTS = Path(__file__).parent / "experiments"
PROFILES = Path(__file__).parent / "profiles"
DEFAULT_PROFILE = "quick"
DEFAULT_DATA = "synthfaces"
SAMPLES = 6


def _check_seeds(seeds: Sequence[int]) -> None:
    if len(set(seeds)) < len(seeds) or any(seed < 0 for seed in seeds):
        raise UserError(f"seeds: {list(seeds)} given, expected different numbers of at least 0")


@dataclass(frozen=True)
class Row:
    """One row of a table: a method, its options on top of its own, and its label (default: the method's title).

    With `match`, the id of another method, `width` is chosen so that the row has about as many parameters as that one:
    the control that tells what size alone gives. `seeds` are the row's own, in place of the profile's. `training`
    changes settings of the profile's training for this row, where those are what is compared; never its budget.
    """

    method: str
    label: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    match: str = ""
    seeds: tuple[int, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_seeds(self.seeds)
        for name in set(self.training) & {"iterations", "batch"}:
            raise UserError(f"training.{name}: rows of an experiment have equal budgets")


@dataclass(frozen=True)
class Sizes:
    """Numbers of faces a split."""

    train: int
    val: int
    test: int

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value < 1:
                raise UserError(f"{name}: {value} faces given, expected at least 1")


@dataclass(frozen=True)
class Limit:
    """At most so many faces of a split are validated on and tested on."""

    val: int = 1000
    test: int = 1000

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value < 1:
                raise UserError(f"{name}: {value} faces given, expected at least 1")


@dataclass(frozen=True)
class Profile:
    """How much is spent on every row alike; `options` go to every method that has them (e.g. `width`)."""

    note: str
    generate: Sizes
    training: Training
    options: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    limit: Limit = field(default_factory=Limit)

    def __post_init__(self) -> None:
        if not self.seeds:
            raise UserError("seeds: none given")
        _check_seeds(self.seeds)


@dataclass(frozen=True)
class Experiment:
    """What is compared: the rows, the scale, the protocol and the kind of table.

    Gains are told over `baseline`, the id of a row's method; "" tells none. `factors` are the modules of a factorial:
    the heading of a column -> the option that it shows.
    """

    title: str
    kind: str
    rows: tuple[Row, ...]
    scale: int = 8
    protocol: str = "sparnet"
    metrics: tuple[str, ...] = DEFAULT_METRICS
    factors: Mapping[str, str] = field(default_factory=dict)
    baseline: str = ""

    def __post_init__(self) -> None:
        if not self.rows:
            raise UserError("rows: none given")
        methods = [row.method for row in self.rows]
        if self.baseline and self.baseline not in methods:
            raise UserError(f"baseline: no row of method '{self.baseline}': {suggest(self.baseline, methods)}")
        if self.scale < 2:
            raise UserError(f"scale: {self.scale} given, expected 2 or more")
        if self.protocol not in PROTOCOLS:
            raise UserError(f"protocol: unknown preset '{self.protocol}': {suggest(self.protocol, PROTOCOLS)}")
        if "psnr" not in self.metrics:
            raise UserError("metrics: psnr is missing, which says whether a run is scored")
        get_metrics(self.metrics)


@dataclass(frozen=True)
class RowRun:
    """One run of one row, and the metrics that it is scored with."""

    row: Row
    label: str
    run: Run
    metrics: tuple[str, ...] = DEFAULT_METRICS


@dataclass(frozen=True)
class TestSet:
    """The first `count` faces of a test split."""

    __test__ = False  # no test case, whatever pytest makes of its name

    store: FaceStore
    count: int

    @functools.cached_property
    def fingerprint(self) -> str:
        """What names exactly these faces."""
        return self.store.fingerprint_of(self.count)


@dataclass(frozen=True)
class Faces:
    """The face sets of an experiment and how many faces of each are used; `others` are tested on besides `test`."""

    train: FaceStore
    val: FaceStore
    test: FaceStore
    sizes: Sizes
    others: tuple[TestSet, ...] = ()

    @functools.cached_property
    def tests(self) -> tuple[TestSet, ...]:
        """All sets that runs are tested on."""
        return TestSet(self.test, self.sizes.test), *self.others


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
    data: str = DEFAULT_DATA,
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
    parts = [experiment_path.stem]
    parts += [profile_path.stem] if profile_path.stem != DEFAULT_PROFILE else []
    parts += [data] if data != DEFAULT_DATA else []
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
    known = {name for row in experiment.rows for name in registry.options(row.method)}
    for name in profile.options:
        if name not in known:
            raise UserError(f"{where}: no method has the option '{name}': {suggest(name, known)}")
    for row in experiment.rows:
        registry.check(row.method, resolve_row(experiment, profile, row))
        _training_of(profile, row)


def open_faces(job: Job) -> Faces:
    """Open, check and compare the face sets of a job.

    Raises UserError when a split is missing, its bytes no longer match its fingerprint, or training and test share a
    photo.
    """
    from bench.data.store import check_disjoint, open_split

    train, val, test = (open_split(job.data, split) for split in ("train", "val", "test"))
    others = [open_split(name, "test") for name in job.tests]
    for store in (train, val, test, *others):
        store.verify()
    for store in (val, test, *others):
        check_disjoint(train, store)
    generated = job.data == DEFAULT_DATA  # grows on demand: a profile uses what it asks for, not what others left
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
