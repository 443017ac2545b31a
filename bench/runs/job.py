"""A job: an experiment under a profile on a data set, the runs that follow from it, and what reports are told of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core import paths
from bench.core.errors import UserError, check_known, suggest
from bench.core.files import held, sweep
from bench.core.machine import uncollected
from bench.core.names import fit, listed, readable
from bench.core.parallel import forked_map
from bench.core.schema import canonical_json, find_file, from_dict, override_setting, read_toml
from bench.data.cards import default_dataset
from bench.data.store import check_disjoint, open_split
from bench.metrics.catalogue import get_metrics
from bench.models import registry
from bench.runs import given
from bench.runs.audit import audit
from bench.runs.authored import checkpoint_of
from bench.runs.config import CHECKPOINT, DataRef, RunConfig, Training
from bench.runs.experiment import (
    DEFAULT_PROFILE,
    EXPERIMENTS,
    PROFILES,
    SAMPLES,
    Changes,
    Experiment,
    Faces,
    Profile,
    Row,
    RowRun,
    Sizes,
    TestSet,
    check_profiles,
)
from bench.runs.outputs import Outputs, config_of_pictures
from bench.runs.pictures import write_png
from bench.runs.records import (
    LAYOUT,
    RUN_FILE,
    ExperimentRecord,
    FaceSetRecord,
    RowRecord,
    read_run_record,
    write_experiment_record,
)
from bench.runs.store import Run

if TYPE_CHECKING:
    import torch

    from bench.data.store import FaceStore
_FEW = 8  # networks that one process checks as fast as several


@dataclass(frozen=True)
class Job:
    """An experiment under a profile on a data set: everything needed to plan, run and report it.

    Trained and tested on `data`, and tested on the data sets `tests` as well. `sizes` are the parameters of networks
    that were counted when they were checked, by method and options.
    """

    name: str
    experiment: Experiment
    profile_name: str
    profile: Profile
    data: str
    tests: tuple[str, ...] = ()
    sizes: Mapping[tuple[str, str], int] = field(default_factory=dict)

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
    device: torch.device | None = None,
    extra_rows: Sequence[Row] = (),
) -> Job:
    """Read an experiment and a profile, by name or as a TOML file, and put them together.

    `extra_methods` and `extra_rows` become further rows, `extra_metrics` further scores, `tests` further data sets that
    every row is tested on; `overrides` are `key=value` for keys of the profile, e.g. `training.iterations=50`;
    `seeds=[0]` is for rows with seeds of their own too. The job's name says what differs from the default:
    `ablation-full-celeba`.
    Raises UserError for unknown names, keys and values, and for training that `device`, if given, has no memory for.
    """
    experiment_path = find_file(experiment, EXPERIMENTS, "experiment")
    profile_path = find_file(profile, PROFILES, "profile")
    read = from_dict(Experiment, read_toml(experiment_path), experiment_path.name)
    check_profiles(read, experiment_path, profile_path)
    metrics = tuple(metric.name for metric in get_metrics([*read.metrics, *extra_metrics]))
    rows = tuple(_under(row, profile_path.stem).placed(experiment_path.parent) for row in read.rows)
    rows += tuple(Row(method) for method in extra_methods) + tuple(extra_rows)
    settings = read_toml(profile_path)
    for table, values in dataclasses.asdict(read.profiles.get(profile_path.stem, Changes())).items():
        shared = settings.get(table, {})
        settings[table] = {**shared, **values} if isinstance(shared, dict) else shared  # no table: told below
    for override in overrides:
        override_setting(settings, override)
    changes = f" with --set {' --set '.join(overrides)}" if overrides else ""
    budget = from_dict(Profile, settings, f"{profile_path.name}{changes}")
    if "seeds" in {override.partition("=")[0] for override in overrides}:  # what was just said goes before a row's own
        rows = tuple(dataclasses.replace(row, seeds=()) for row in rows)
    asked = dataclasses.replace(read, rows=rows, metrics=metrics)
    data = data or default_dataset()
    parts = [experiment_path.stem]
    parts += [profile_path.stem] if profile_path.stem != DEFAULT_PROFILE else []
    parts += [data] if data != default_dataset() else []
    for name in tests:
        if name == data or tests.count(name) > 1:
            raise UserError(f"--test {name}: given twice, or --data itself, which is tested on anyway")
    job = Job(fit(readable("-".join(parts))), asked, profile_path.stem, budget, data, tuple(tests))
    sizes = _check_rows(job, profile_path.name, device)
    rows = tuple(_matched(asked, budget, row) for row in rows)
    return dataclasses.replace(job, experiment=dataclasses.replace(asked, rows=rows), sizes=sizes)


def _under(row: Row, profile: str) -> Row:
    """Return the row with what is its own under the profile, below what it has under all of them."""
    own = row.profiles.get(profile, Changes())
    options, training = {**own.options, **row.options}, {**own.training, **row.training}
    return dataclasses.replace(row, options=options, training=training, profiles={})


def _matched(experiment: Experiment, profile: Profile, row: Row) -> Row:
    """Return the row with the width at which its size matches that of `row.match`, if it asks for one."""
    from bench.models.capacity import match_width, method_size

    if not row.match:
        return row
    size = method_size(row.match, resolve_row(experiment, profile, Row(row.match)), row.match_by)
    width = match_width(row.method, resolve_row(experiment, profile, row), size, row.match_by)
    return dataclasses.replace(row, options={**row.options, "width": width})


def _check_rows(job: Job, where: str, device: torch.device | None) -> dict[tuple[str, str], int]:
    """Raise UserError for what a row's method cannot do: a scale, an option, or an option of the profile none has.

    Returns the parameters of the networks that were built for it.
    """
    from bench.models.memory import MOST_A_FACE, memory_there_is

    experiment, profile = job.experiment, job.profile
    networks = [row for row in experiment.rows if not row.pictures]
    known = {name for row in networks for name in registry.options(row.method)}
    for name in [name for name in profile.options if name not in known and any(row.trained for row in networks)]:
        if name not in (every := registry.every_option()):  # else it is for methods that are no rows here
            raise UserError(f"{where}: no method has the option '{name}': {suggest(name, known or every)}")
    for option in experiment.factors.values():
        check_known("option of a factor", option, known)
    labels = [row.title for row in experiment.rows]
    if twice := next((label for place, label in enumerate(labels) if label in labels[:place]), None):
        raise UserError(f"rows: two are called '{twice}', expected rows that differ, with different labels")
    built, unknown = _built_before(job.folder), dict[tuple[str, str], Row]()
    for row in networks:
        scales = registry.get(row.method).scales
        if experiment.scale not in scales:
            asked = f"supports scales {list(scales)}, the experiment asks {experiment.scale}"
            raise UserError(f"method '{row.method}' {asked}")
        options = resolve_row(experiment, profile, row)
        _check_row(experiment, row, options)
        if (network := (row.method, canonical_json(options))) not in built:
            unknown.setdefault(network, row)
        _training_of(profile, row)
    large = device is not None and profile.training.batch * MOST_A_FACE > memory_there_is(device)
    measure = forked_map if len(unknown) > _FEW else map
    with uncollected():  # networks are thousands of objects each, and go when they are counted
        sizes = dict(zip(unknown, measure(partial(_check_network, job, large), list(unknown.values())), strict=True))
    for network, row in unknown.items():
        if device is not None and row.trained:
            _check_memory(job, device, row, sizes[network])
    return {network: parameters for network, (parameters, _) in sizes.items()}


def _check_row(experiment: Experiment, row: Row, options: Mapping[str, Any]) -> None:
    """Raise UserError for a row at another scale than the experiment's, and for training of what is not trained."""
    where, scale = f"row {row.label or row.method}", options.get("scale", experiment.scale)
    if scale != experiment.scale:
        raise UserError(f"{where}: option 'scale' is {scale}, the experiment's scale {experiment.scale}: leave it out")
    if row.training and not registry.get(row.method).trainable:
        raise UserError(f"{where}: training: method '{row.method}' is not trained; leave its settings out")
    if row.samples > 1:
        from bench.runs.evaluate import check_draws

        check_draws(row.method, options, row.samples, where)


def _check_network(job: Job, large: bool, row: Row) -> tuple[int, int]:
    """Return a row's parameters and, where a batch is `large`, the values that it puts out for a face; 0: not known."""
    from bench.models.cost import count_parameters, count_values
    from bench.models.meta import meta_device

    with meta_device():  # shapes alone: nothing is computed
        model = registry.check(row.method, resolve_row(job.experiment, job.profile, row))
    if model is None:
        return 0, 0
    return count_parameters(model), count_values(model, job.experiment.scale) if large else 0


def _check_memory(job: Job, device: torch.device, row: Row, size: tuple[int, int]) -> None:
    """Raise UserError where the training of a row takes more memory than the device has, as far as that is known."""
    from bench.models.memory import least_training_memory, memory_there_is
    from bench.runs.trainee import uses_bf16

    training, most = _training_of(job.profile, row), memory_there_is(device, free=False)
    faces = job.profile.generate.train if job.data == default_dataset() else 0
    least = least_training_memory(*size, training.batch, faces, half=uses_bf16(training.precision, device))
    if 0 < most < least:
        what = f"batch {training.batch:,}" + (f" and {faces:,} faces" if faces else "")
        need = f"takes at least {least / 1024:,.0f} GiB of memory, the device ({device}) has {most / 1024:,.0f}"
        raise UserError(f"row {row.label or row.method}: training with {what} {need}; lower the batch or the network")


def _built_before(folder: Path) -> set[tuple[str, str]]:
    """Return the methods and options that runs in a folder have: their networks need not be built to be checked."""
    records = [read_run_record(path.parent) for path in listed(folder, f"*/{RUN_FILE}")]
    return {(record.config.method, canonical_json(record.config.options)) for record in records if record}


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
    seeds = [(row.seeds or job.profile.seeds) if row.trained else (0,) for row in rows]
    runs = []
    for place in range(max(map(len, seeds))):
        for row, own in zip(rows, seeds, strict=True):
            if place < len(own):
                label, config = row.title, run_config(job, row, own[place], faces)
                run, teacher = Run(job.folder, config), teacher_of(job, row, faces)
                runs.append(RowRun(row, label, run, job.experiment.metrics, teacher))
    return runs


def run_config(job: Job, row: Row, seed: int, faces: Faces) -> RunConfig:
    """Return what decides one run of `row`."""
    if row.pictures:
        return config_of_pictures(row, job.experiment, faces.tests)
    options = resolve_row(job.experiment, job.profile, row)
    experiment = job.experiment
    config = RunConfig(row.method, options, experiment.scale, seed, experiment.protocol, samples=row.samples)
    if row.checkpoint:
        return dataclasses.replace(config, given={CHECKPOINT: checkpoint_of(row, job.folder).sha256})
    if not row.trained:
        return config
    teacher = teacher_of(job, row, faces)
    return dataclasses.replace(
        config,
        training=_training_of(job.profile, row),
        train=data_reference(faces.train, faces.sizes.train),
        val=data_reference(faces.val, faces.sizes.val),
        given=given.named(row.method, teacher.config if teacher else None),
    )


def teacher_of(job: Job, row: Row, faces: Faces) -> Run | None:
    """Return the run that teaches those of `row`: the teacher's method with those options of the row that it has.

    What sets the row's method apart as a variant, and its defaults, are its own and not passed on; what the teacher's
    registration sets, by which it differs from other methods of its class, stays as set there.
    """
    if row.checkpoint or row.pictures or not (method := registry.get(row.method).teacher):
        return None
    given.check_teacher(row.method)
    known = registry.options(method).keys() - registry.get(method).options.keys()
    shared = {name: value for name, value in row.options.items() if name in known}
    teacher = Row(method, options=shared, training=row.training)
    return Run(job.folder, run_config(job, teacher, given.TEACHERS_SEED, faces))


def _training_of(profile: Profile, row: Row) -> Training:
    """Return the profile's training with the row's changes."""
    if not row.training:
        return profile.training
    settings = {**dataclasses.asdict(profile.training), **row.training}
    settings["augment"] = {**dataclasses.asdict(profile.training.augment), **row.training.get("augment", {})}
    return from_dict(Training, settings, f"row {row.label or row.method}: training")


def resolve_row(experiment: Experiment, profile: Profile, row: Row) -> dict[str, Any]:
    """Return all options of a row: its own, before the profile's that its method has, before the method's defaults.

    A checkpoint is of the network as its authors built it: the profile's options are not for it.
    """
    known = registry.options(row.method) if not row.checkpoint else {}
    shared = {name: value for name, value in profile.options.items() if name in known}
    return registry.options(row.method, {"scale": experiment.scale, **shared, **row.options})


def data_reference(store: FaceStore, count: int) -> DataRef:
    """Return what names the first `count` faces of a store."""
    return DataRef(store.dataset, store.split, count, store.fingerprint_of(count))


def write_experiment(job: Job, faces: Faces, planned: Sequence[RowRun]) -> None:
    """Write experiment.json and a few test faces: what the report needs to know beside the run folders."""
    from bench.runs.evaluate import low_resolution

    samples, record = job.folder / "samples", _describe(job, faces, planned)
    hr = faces.test.faces[: len(record.samples)]
    lr = low_resolution(hr, job.experiment.scale)
    with held(job.folder):  # two commands may be at work on one experiment
        sweep(samples)
        for name, large, small in zip(record.samples, hr, lr, strict=True):
            write_png(samples / f"{name}_hr.png", large)
            write_png(samples / f"{name}_lr.png", small)
        write_experiment_record(job.folder, record)


def _describe(job: Job, faces: Faces, planned: Sequence[RowRun]) -> ExperimentRecord:
    return ExperimentRecord(
        layout=LAYOUT,
        name=job.name,
        title=job.experiment.title,
        kind=job.experiment.kind,
        protocol=job.experiment.protocol,
        profile=job.profile_name,
        profile_note=job.profile.note,
        training=job.profile.training,
        seeds=tuple(sorted({row_run.run.config.seed for row_run in planned if row_run.run.config.training})),
        rows=tuple(_describe_row(job, row, faces, planned) for row in job.experiment.rows),
        train=_describe_faces(faces.train, faces.sizes.train),
        val=_describe_faces(faces.val, faces.sizes.val),
        test=tuple(_describe_faces(test.store, test.count) for test in faces.tests),
        scale=job.experiment.scale,
        metrics=job.experiment.metrics,
        options=dict(job.profile.options),
        baseline=job.experiment.baseline,
        samples=tuple(faces.test.names[: min(SAMPLES, faces.sizes.test)]),
        audits=tuple(audit(name) for name in dict.fromkeys([job.data, *job.tests])),
    )


def _describe_row(job: Job, row: Row, faces: Faces, planned: Sequence[RowRun]) -> RowRecord:
    """Return a row's label, method, runs, and which of the experiment's factors it has."""
    own = [row_run for row_run in planned if row_run.row is row]
    options, factors = own[0].run.config.options, job.experiment.factors
    asked = options.keys() >= set(factors.values())
    return RowRecord(
        label=own[0].label,
        method=row.method,
        runs=tuple(row_run.run.config.name for row_run in own),
        modules={column: bool(options[option]) for column, option in factors.items()} if asked else {},
        match=row.match,
        match_by=row.match_by,
        training=dict(row.training),
        options={} if row.match else dict(row.options),
        foreign=_whose(job, row, faces),
    )


def _whose(job: Job, row: Row, faces: Faces) -> str:
    """Return whose a row is that was not made here; "" for the others."""
    if row.pictures:
        return Outputs(Path(row.pictures), faces.tests).claim
    return checkpoint_of(row, job.folder).about if row.checkpoint else ""


def _describe_faces(store: FaceStore, count: int) -> FaceSetRecord:
    return FaceSetRecord(store.dataset, count, store.fingerprint_of(count), store.has_truth, store.split)
