"""Read an experiment's results folder into typed rows.

A run that is missing, unfinished or failed is part of the answer: it is read as such and its row says so. A file that
is damaged or of another layout is an error that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bench.core.errors import UserError
from bench.core.files import read_csv
from bench.core.schema import describe
from bench.runs.records import (
    ExperimentRecord,
    FaceSetRecord,
    RowRecord,
    RunState,
    read_experiment_record,
    read_run_record,
    scored_faces,
)
from bench.runs.scores import Scores, read_scores
from bench.runs.store import CURVE

FaceSet = FaceSetRecord
_T = TypeVar("_T")


@dataclass(frozen=True)
class Point:
    """One validation during training; `psnr` in dB."""

    iteration: int
    psnr: float


@dataclass(frozen=True)
class RunResult:
    """One run: how it ended, what it cost, and its scores an image; what is not known is None or empty.

    `broken` names, by the fingerprint of their set, the faces whose picture held NaN or infinity; `chance` says what
    draws at random do to the scores.
    """

    name: str
    folder: Path
    status: RunState
    error: str = ""
    seed: int = 0
    trained: bool = True
    parameters: int | None = None
    multiply_adds: int | None = None
    seconds_per_image: float | None = None
    device: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    scores: Scores = field(default_factory=Scores)
    curve: tuple[Point, ...] = ()
    broken: Mapping[str, Sequence[str]] = field(default_factory=dict)
    chance: str = ""

    def values(self, test: FaceSet, protocol: str, metric: str) -> Mapping[str, float]:
        """Return image -> score on exactly the faces of `test`; empty when the run was not scored on them."""
        return self.scores.on(test.dataset, test.fingerprint).values(metric, protocol)

    def columns(self, test: FaceSet) -> tuple[tuple[str, str], ...]:
        """Return the metrics and protocols that the run was scored by on `test`."""
        return self.scores.on(test.dataset, test.fingerprint).scored

    def scored_faces(self, test: FaceSet, protocol: str) -> int:
        """Return how many faces of `test` are scored: by PSNR, or by any metric where there is no ground truth."""
        return scored_faces(self.scores, test, protocol)

    def scored(self, test: FaceSet, protocol: str) -> bool:
        """Tell whether the run has finished and every face of `test` is scored."""
        return self.status is RunState.FINISHED and self.scored_faces(test, protocol) == test.faces


@dataclass(frozen=True)
class RowResult:
    """One row: a method, a run a seed, and which modules it has (empty: the question does not arise).

    `match` names the method whose size this row's network was widened to, `training` and `options` what was changed in
    its training and in its network.
    """

    label: str
    method: str
    runs: tuple[RunResult, ...]
    modules: Mapping[str, bool] = field(default_factory=dict)
    match: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    _known: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, key: Hashable, compute: Callable[[], _T]) -> _T:
        """Return what `compute` gives for this key, computed once: a report asks thousands of times."""
        if key not in self._known:
            self._known[key] = compute()
        known: _T = self._known[key]
        return known

    def scored_runs(self, test: FaceSet, protocol: str) -> tuple[RunResult, ...]:
        """Return the runs whose scores on `test` are complete."""
        runs = (run for run in self.runs if run.scored(test, protocol))
        return self.once(("runs", test, protocol), lambda: tuple(runs))


@dataclass(frozen=True)
class Results:
    """An experiment as its folder tells it."""

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

    @property
    def pictured(self) -> FaceSet:
        """The faces that pictures show: those of the first test set, or others where those may not be shown."""
        return self.drawn or self.test[0]

    @property
    def base(self) -> RowResult | None:
        """The row that gains are told over."""
        return self.plain(self.baseline)

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that rows have or lack, in the order of the first row that names them."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.modules))

    def plain(self, method: str) -> RowResult | None:
        """Return the row of a method as it is; further rows of it change its options, its training or its width."""
        return next((row for row in self.rows if row.method == method and not row.match), None)


def read_results(folder: Path) -> Results:
    """Read `folder`, an experiment's results.

    Raises UserError, naming the file, when experiment.json is missing, or a file is damaged or of another layout.
    """
    record = read_experiment_record(folder)
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
        rows=tuple(_read_row(folder, record, row) for row in record.rows),
        metrics=record.metrics,
        baseline=record.baseline,
        audits=record.audits,
        drawn=record.pictured,
    )


def _read_row(folder: Path, record: ExperimentRecord, row: RowRecord) -> RowResult:
    runs = tuple(read_run(record.run_folder(folder, name)) for name in row.runs)
    label = " ".join(row.label.split())
    return RowResult(label, row.method, runs, row.modules, row.match, row.training, row.options)


def read_run(folder: Path) -> RunResult:
    """Read one run's folder; a run that was never started is "not run"."""
    record = read_run_record(folder)
    if record is None:
        return RunResult(folder.name, folder, RunState.NOT_RUN)
    return RunResult(
        name=folder.name,
        folder=folder,
        status=record.status,
        error=" ".join((record.error or "").split()),
        seed=record.config.seed,
        trained=record.config.training is not None,
        parameters=record.parameters,
        multiply_adds=record.multiply_adds,
        seconds_per_image=record.seconds_per_image,
        device=record.scored_on or record.device,
        environment={name: str(version) for name, version in record.environment.items()},
        scores=read_scores(folder),
        curve=_read_curve(folder / "curve.csv"),
        broken=record.broken,
        chance=record.chance,
    )


def _read_curve(path: Path) -> tuple[Point, ...]:
    rows = read_csv(path, CURVE) if path.exists() else []
    return tuple(Point(_number(row, "iteration", path, int), _number(row, "psnr", path, float)) for row in rows)


def _number(row: Mapping[str, str | None], column: str, path: Path, kind: Callable[[str], _T]) -> _T:
    try:
        return kind(row[column] or "")
    except ValueError:
        expected = f"{row[column]!r} in column '{column}', expected {describe(kind)}"
        raise UserError(f"{path}: {expected}; delete the file and run the experiment again") from None
