"""Read an experiment's results folder into typed rows.

A run that is missing, unfinished or failed is part of the answer: it is read as such and its row says so. A file that
is damaged or of another layout is an error that names it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from bench.core.errors import UserError
from bench.core.files import read_csv, read_json
from bench.core.schema import describe, from_dict
from bench.runs.store import CURVE, SCORE, check_layout

Status = Literal["finished", "failed", "running", "not run"]
_Key = tuple[str, str, str, str]  # dataset, fingerprint, protocol, metric
_T = TypeVar("_T")


@dataclass(frozen=True)
class FaceSet:
    """The first `faces` faces of a data set's split, named by their fingerprint; `truth`: they have an original."""

    dataset: str
    faces: int
    fingerprint: str
    truth: bool = True


@dataclass(frozen=True)
class Point:
    """One validation during training; `psnr` in dB."""

    iteration: int
    psnr: float


@dataclass(frozen=True)
class RunResult:
    """One run: how it ended, what it cost, and its scores an image; what is not known is None or empty.

    `broken` names, by the fingerprint of their set, the faces whose picture held NaN or infinity.
    """

    name: str
    folder: Path
    status: Status
    error: str = ""
    seed: int = 0
    trained: bool = True
    parameters: int | None = None
    multiply_adds: int | None = None
    seconds_per_image: float | None = None
    device: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[_Key, Mapping[str, float]] = field(default_factory=dict)
    curve: tuple[Point, ...] = ()
    broken: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def values(self, test: FaceSet, protocol: str, metric: str) -> Mapping[str, float]:
        """Return image -> score on exactly the faces of `test`; empty when the run was not scored on them."""
        return self.scores.get((test.dataset, test.fingerprint, protocol, metric), {})

    def scored_faces(self, test: FaceSet, protocol: str) -> int:
        """Return how many faces of `test` are scored: by PSNR, or by any metric where there is no original."""
        metrics = ["psnr"] if test.truth else [metric for *_, metric in self.scores]
        return max((len(self.values(test, protocol, metric)) for metric in metrics), default=0)

    def scored(self, test: FaceSet, protocol: str) -> bool:
        """Tell whether the run has finished and every face of `test` is scored."""
        return self.status == "finished" and self.scored_faces(test, protocol) == test.faces


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

    def scored_runs(self, test: FaceSet, protocol: str) -> tuple[RunResult, ...]:
        """Return the runs whose scores on `test` are complete."""
        return tuple(run for run in self.runs if run.scored(test, protocol))


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


@dataclass(frozen=True)
class _Head:
    """The plain values of experiment.json; keys that a report has no use for are passed over."""

    name: str
    title: str
    kind: str
    protocol: str
    profile: str
    iterations: int
    batch: int
    seeds: tuple[int, ...]
    profile_note: str = ""
    samples: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("psnr", "ssim")
    baseline: str = ""


@dataclass(frozen=True)
class _Row:
    label: str
    method: str
    runs: tuple[str, ...]
    modules: Mapping[str, Any] = field(default_factory=dict)
    match: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Record:
    """The plain values of run.json that a report shows."""

    status: Literal["finished", "failed", "running"]
    error: str | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    seconds_per_image: float | None = None
    device: str = ""
    scored_on: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    broken: Mapping[str, Any] = field(default_factory=dict)


def read_results(folder: Path) -> Results:
    """Read `folder`, an experiment's results.

    Raises UserError, naming the file, when experiment.json is missing, or a file is damaged or of another layout.
    """
    path = folder / "experiment.json"
    record = read_json(path)
    check_layout(record, path)
    where = str(path)
    head = _pick(_Head, record, where)
    return Results(
        folder=folder,
        **{one.name: getattr(head, one.name) for one in dataclasses.fields(head)},
        train=face_set(record.get("train"), f"{where}: train"),
        val=face_set(record.get("val"), f"{where}: val"),
        test=tuple(face_set(one, f"{where}: test") for one in _some(record, "test", where)),
        rows=tuple(_read_row(folder, one, f"{where}: rows") for one in _some(record, "rows", where)),
        audits=tuple(record.get("audits", ())),
        drawn=face_set(record["pictured"], f"{where}: pictured") if "pictured" in record else None,
    )


def face_set(given: Any, where: str) -> FaceSet:
    """Return a face set from its record in experiment.json; raise UserError, beginning with `where`, if it is none."""
    return _pick(FaceSet, given, where)


def _read_row(folder: Path, given: Any, where: str) -> RowResult:
    row = _pick(_Row, given, where)
    modules = {name: bool(has) for name, has in row.modules.items()}
    label = " ".join(row.label.split())
    runs = tuple(read_run(folder / name) for name in row.runs)
    return RowResult(label, row.method, runs, modules, row.match, row.training, row.options)


def read_run(folder: Path) -> RunResult:
    """Read one run's folder; a run that was never started is "not run"."""
    path = folder / "run.json"
    if not path.exists():
        return RunResult(folder.name, folder, "not run")
    given = read_json(path)
    check_layout(given, path)
    record = _pick(_Record, given, str(path))
    seed = record.config.get("seed", 0)
    return RunResult(
        name=folder.name,
        folder=folder,
        status=record.status,
        error=" ".join((record.error or "").split()),
        seed=seed if isinstance(seed, int) else 0,
        trained=record.config.get("training") is not None,
        parameters=record.parameters,
        multiply_adds=record.multiply_adds,
        seconds_per_image=record.seconds_per_image,
        device=record.scored_on or record.device,
        environment={name: str(version) for name, version in record.environment.items()},
        scores=_read_scores(folder),
        curve=_read_curve(folder / "curve.csv"),
        broken=record.broken,
    )


def _read_scores(folder: Path) -> dict[_Key, dict[str, float]]:
    path = folder / "scores.csv"
    path = path if path.exists() else folder / "scores.csv.gz"
    scores: dict[_Key, dict[str, float]] = {}
    for row in _rows(path, SCORE):
        key = row["dataset"], row["fingerprint"], row["protocol"], row["metric"]
        scores.setdefault(key, {})[row["image"]] = _number(row, "value", path, float)
    return scores


def _read_curve(path: Path) -> tuple[Point, ...]:
    rows = _rows(path, CURVE)
    return tuple(Point(_number(row, "iteration", path, int), _number(row, "psnr", path, float)) for row in rows)


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    return read_csv(path, columns) if path.exists() else []


def _number(row: Mapping[str, str | None], column: str, path: Path, kind: Callable[[str], _T]) -> _T:
    try:
        return kind(row[column] or "")
    except ValueError:
        expected = f"{row[column]!r} in column '{column}', expected {describe(kind)}"
        raise UserError(f"{path}: {expected}; delete the file and run the experiment again") from None


def _some(record: Mapping[str, Any], key: str, where: str) -> list[Any]:
    found = record.get(key)
    if not isinstance(found, list) or not found:
        raise UserError(f"{where}: key '{key}' is {found!r}, expected a list of tables; run the experiment again")
    return found


def _pick(cls: type[_T], given: Any, where: str) -> _T:
    """Build `cls` from the keys that it knows; raise UserError for a missing key or a value of the wrong type."""
    if not isinstance(given, Mapping):
        raise UserError(f"{where}: {given!r} found, expected a table; run the experiment again")
    known = {one.name for one in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return from_dict(cls, {key: value for key, value in given.items() if key in known}, where)
