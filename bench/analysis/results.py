"""Read an experiment's results folder into typed rows.

A run that is missing, unfinished, failed or damaged is part of the answer: it is read as such and its row says so.
Damaged is what is not as it was written: of another run, of other images than those of the test set or of other runs,
or with values that cannot be.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from bench.core.errors import UserError
from bench.core.files import read_csv
from bench.core.schema import describe
from bench.models.spec import Size
from bench.runs.digests import check
from bench.runs.records import (
    EXPERIMENT_FILE,
    RUN_FILE,
    ExperimentRecord,
    FaceSetRecord,
    LayoutError,
    ObjectiveRecord,
    RowRecord,
    RunRecord,
    RunState,
    SamplesRecord,
    read_experiment_record,
    read_run_record,
    scored_faces,
)
from bench.runs.renamed import check_names
from bench.runs.scores import Scores, ScoreSheet, of_today, outdated, read_scores, sheet_path
from bench.runs.status import unheld_state
from bench.runs.store import CURVE, is_held

FaceSet = FaceSetRecord
_T = TypeVar("_T")
_WAY_OUT = "restore it from a copy, or move it away and run the experiment again"
log = logging.getLogger("fsr")


@dataclass(frozen=True)
class Point:
    """One validation during training; `psnr` in dB."""

    iteration: int
    psnr: float


@dataclass(frozen=True)
class RunResult:
    """One run: how it ended, what it cost, and its scores an image; what is not known is None or empty.

    `broken` names, by the fingerprint of their set, the faces whose picture held NaN or infinity, `not_scored` says why
    a set has no scores, `outdated` which presets say something else today than when the run was scored by them, whose
    scores are left out; `chance` says what draws at random do to the scores, `samples`, by the fingerprint too, how far
    apart several of one face are.
    """

    name: str
    folder: Path
    status: RunState
    error: str = ""
    method: str = ""
    seed: int = 0
    trained: bool = True
    parameters: int | None = None
    multiply_adds: int | None = None
    seconds_per_image: float | None = None
    device: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    scores: Scores = field(default_factory=Scores)
    outdated: tuple[str, ...] = ()
    curve: tuple[Point, ...] = ()
    broken: Mapping[str, Sequence[str]] = field(default_factory=dict)
    not_scored: Mapping[str, str] = field(default_factory=dict)
    chance: str = ""
    samples: Mapping[str, SamplesRecord] = field(default_factory=dict)
    objective: ObjectiveRecord = field(default_factory=ObjectiveRecord)

    def sheet(self, test: FaceSet) -> ScoreSheet:
        """Return the scores on exactly the faces of `test`; a sheet without any when the run was not scored on them."""
        return self.scores.on(test.dataset, test.fingerprint)

    def values(self, test: FaceSet, protocol: str, metric: str) -> Mapping[str, float]:
        """Return image -> score on exactly the faces of `test`; empty when the run was not scored on them."""
        return self.sheet(test).values(metric, protocol)

    def columns(self, test: FaceSet) -> tuple[tuple[str, str], ...]:
        """Return the metrics and protocols that the run was scored by on `test`."""
        return self.sheet(test).scored

    def scored_faces(self, test: FaceSet, protocol: str) -> int:
        """Return how many faces of `test` are scored: by PSNR, or by any metric where there is no ground truth."""
        return scored_faces(self.scores, test, protocol)

    def scored(self, test: FaceSet, protocol: str) -> bool:
        """Tell whether the run has finished and every face of `test` is scored."""
        return self.status is RunState.FINISHED and self.scored_faces(test, protocol) == test.faces


@dataclass(frozen=True, eq=False)
class RowResult:
    """One row: a method, a run a seed, and which modules it has (empty: the question does not arise).

    A row equals itself alone, so that what was computed of it, and of it beside another, can be kept.

    `match` names the method whose size, by `match_by`, this row's network was widened to, `training` and `options` what
    was changed in its training and in its network. `foreign` says whose a row is that was not made here under the
    experiment's budget: such rows come last, and neither they nor claims over them are marked.
    """

    label: str
    method: str
    runs: tuple[RunResult, ...]
    modules: Mapping[str, bool] = field(default_factory=dict)
    match: str = ""
    match_by: Size = "parameters"
    training: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    foreign: str = ""

    def once(self, key: Hashable, compute: Callable[[], _T]) -> _T:
        """Return what `compute` gives for this key, computed once: a report asks thousands of times."""
        known: dict[Hashable, Any] = self.__dict__.setdefault("_known", {})
        if key not in known:
            known[key] = compute()
        value: _T = known[key]
        return value

    def scored_runs(self, test: FaceSet, protocol: str) -> tuple[RunResult, ...]:
        """Return the runs whose scores on `test` are complete."""
        runs = (run for run in self.runs if run.scored(test, protocol))
        return self.once(("runs", test, protocol), lambda: tuple(runs))


@dataclass(frozen=True)
class Results:
    """An experiment as its folder tells it.

    `kin` are experiments of the same budget on the same faces, whose seeds vary alike: they tell how much where no row
    of this has two seeds.
    """

    folder: Path
    name: str
    title: str
    kind: str
    protocol: str
    profile: str
    profile_note: str
    iterations: int
    batch: int
    seeds: tuple[int, ...]
    samples: tuple[str, ...]
    train: FaceSet
    val: FaceSet
    test: tuple[FaceSet, ...]
    rows: tuple[RowResult, ...]
    metrics: tuple[str, ...] = ("psnr", "ssim")
    baseline: str = ""
    audits: tuple[Mapping[str, Any], ...] = ()
    drawn: FaceSet | None = None
    kin: tuple[Results, ...] = ()

    @property
    def pictured(self) -> FaceSet:
        """The faces that pictures show: those of the first test set, or others where those may not be shown."""
        return self.drawn or self.test[0]

    @property
    def damaged(self) -> tuple[str, ...]:
        """What is wrong with each damaged run."""
        return tuple(run.error for row in self.rows for run in row.runs if run.status is RunState.DAMAGED)

    @property
    def base(self) -> RowResult | None:
        """The row that gains are told over."""
        return self.plain(self.baseline)

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that rows have or lack, in the order of the first row that names them."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.modules))

    def is_alike(self, other: Results) -> bool:
        """Tell whether another experiment has the same budget, training faces and protocol."""
        mine, theirs = ((one.profile, one.iterations, one.batch, one.train, one.protocol) for one in (self, other))
        return mine == theirs

    def plain(self, method: str) -> RowResult | None:
        """Return the row of a method as it is; further rows of it change its options, its training or its width."""
        own = (row for row in self.rows if not row.match and not row.foreign)
        return next((row for row in own if row.method == method), None)


def read_results(folder: Path) -> Results:
    """Read `folder`, an experiment's results; a damaged run is told, and is in them as such, without scores.

    Raises UserError, naming the file, when experiment.json is missing or damaged, a record is of another layout, or a
    test set was renamed since.
    """
    record = read_experiment_record(folder)
    check_names(folder, record)
    runs = _read_runs(folder, record)
    return Results(
        folder=folder,
        name=record.name,
        title=record.title,
        kind=record.kind,
        protocol=record.protocol,
        profile=record.profile,
        profile_note=record.profile_note,
        iterations=record.training.iterations,
        batch=record.training.batch,
        seeds=record.seeds,
        samples=record.samples,
        train=record.train,
        val=record.val,
        test=record.test,
        rows=tuple(_make_row(folder, runs, row) for row in sorted(record.rows, key=lambda row: bool(row.foreign))),
        metrics=record.metrics,
        baseline=record.baseline,
        audits=record.audits,
        drawn=record.pictured,
    )


def _read_runs(folder: Path, record: ExperimentRecord) -> dict[str, RunResult]:
    """Read the runs of all rows; one whose files are not what was written is "damaged", without scores."""
    runs = {}
    for row in record.rows:
        for name in row.runs:
            place = record.run_folder(folder, name)
            runs[name] = _unless_damaged(place, partial(_read_for, place, row, record.test))
    for test in record.test:
        orders = Counter(images for run in runs.values() if (images := run.sheet(test).images))
        if len(orders) > 1:
            check = partial(_check_order, test=test, usual=orders.most_common(1)[0][0])
            runs = {name: _unless_damaged(run.folder, partial(check, run)) for name, run in runs.items()}
    return runs


def _unless_damaged(folder: Path, read: Callable[[], RunResult]) -> RunResult:
    try:
        return read()
    except LayoutError:
        raise
    except UserError as error:
        log.error("fsr: %s; this run is left out", error)
        return RunResult(folder.name, folder, RunState.DAMAGED, " ".join(str(error).split()))


def _read_for(folder: Path, row: RowRecord, tests: Sequence[FaceSet]) -> RunResult:
    """Read a run and hold it to its row and to the test sets; raise UserError where it does not fit."""
    run = read_run(folder)
    if run.method not in ("", row.method):
        raise UserError(f"{folder / RUN_FILE}: a run of '{run.method}' in a row of '{row.method}'; {_WAY_OUT}")
    for test in tests:
        if (count := len(run.sheet(test).images)) not in (0, test.faces):
            path = sheet_path(folder, test.dataset, test.fingerprint)
            raise UserError(f"{path}: {count} images, expected the {test.faces} of {test.dataset}; {_WAY_OUT}")
    return run


def _check_order(run: RunResult, test: FaceSet, usual: Sequence[str]) -> RunResult:
    """Return the run; raise UserError where its images of a test set are not in the order of most runs'."""
    for line, (own, other) in enumerate(zip(run.sheet(test).images, usual, strict=False), 2):
        if own != other:
            path = sheet_path(run.folder, test.dataset, test.fingerprint)
            raise UserError(f"{path}: line {line}: image '{own}', in the order of other runs '{other}'; {_WAY_OUT}")
    return run


def _make_row(folder: Path, runs: Mapping[str, RunResult], row: RowRecord) -> RowResult:
    if len(set(row.runs)) < len(row.runs):
        path, name = folder / EXPERIMENT_FILE, max(row.runs, key=row.runs.count)
        raise UserError(f"{path}: row '{row.label}' has the run {name} twice; {_WAY_OUT}")
    return RowResult(
        label=" ".join(row.label.split()),
        method=row.method,
        runs=tuple(runs[name] for name in row.runs),
        modules=row.modules,
        match=row.match,
        match_by=row.match_by,
        training=row.training,
        options=row.options,
        foreign=row.foreign,
    )


def read_run(folder: Path) -> RunResult:
    """Read one run's folder; a run that was never started is "not run".

    Raises UserError, naming the file, where a file is damaged or the run is not the one that the folder is named after.
    """
    record = read_run_record(folder)
    if record is None:
        return RunResult(folder.name, folder, RunState.NOT_RUN)
    own = record.config.name
    for what, name, expected in (
        ("its id says", record.id, own.rpartition("-")[2]),
        ("its name is", record.name, own),
        ("its folder is named", folder.name, own),
    ):
        if name != expected:
            raise UserError(f"{folder / RUN_FILE}: the config is that of run {own}, {what} {name}; {_WAY_OUT}")
    check(folder, record.digests, "curve", whole=True)
    scores = read_scores(folder, record.digests)
    return RunResult(
        name=folder.name,
        folder=folder,
        status=_state(folder, record),
        error=" ".join((record.error or "").split()),
        method=record.config.method,
        seed=record.config.seed,
        trained=record.config.training is not None,
        parameters=record.parameters,
        multiply_adds=record.multiply_adds,
        seconds_per_image=record.seconds_per_image,
        device=record.scored_on or record.device,
        environment={name: str(version) for name, version in record.environment.items()},
        scores=of_today(scores, record.rules),
        outdated=outdated(scores, record.rules),
        curve=_read_curve(folder / "curve.csv"),
        broken=record.broken,
        not_scored=record.not_scored,
        chance=record.chance,
        samples=record.samples,
        objective=record.objective,
    )


def _state(folder: Path, record: RunRecord) -> RunState:
    """Return how a run is doing; only of one that says it runs the lock is looked at."""
    running = record.status is RunState.RUNNING and is_held(folder.parent, folder.name)
    return record.status if running else unheld_state(record)


def _read_curve(path: Path) -> tuple[Point, ...]:
    rows = read_csv(path, CURVE, more=True) if path.exists() else []
    points = tuple(Point(_number(row, "iteration", path, int), _number(row, "psnr", path, float)) for row in rows)
    for before, after in pairwise(points):
        if after.iteration <= before.iteration:
            raise UserError(f"{path}: iteration {after.iteration} after {before.iteration}; {_WAY_OUT}")
    return points


def _number(row: Mapping[str, str | None], column: str, path: Path, kind: Callable[[str], _T]) -> _T:
    try:
        return kind(row[column] or "")
    except ValueError:
        expected = f"{row[column]!r} in column '{column}', expected {describe(kind)}"
        raise UserError(f"{path}: {expected}; delete the file and run the experiment again") from None
