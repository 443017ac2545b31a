"""The records that are written to disk, each declared once: run.json and experiment.json.

They are frozen dataclasses, written and read by the same class. A key that no class knows is refused, with the nearest
known one named; keys of older versions that nothing needs any more are listed here and passed over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.files import read_json, write_json
from bench.core.paths import check_name
from bench.core.schema import from_dict
from bench.models.checkpoint import Checkpoint
from bench.models.spec import Size
from bench.runs.config import RunConfig, Training
from bench.runs.scores import Scores

LAYOUT = 2
RUN_FILE = "run.json"
EXPERIMENT_FILE = "experiment.json"
SEARCH_FILE = "search.json"
LEVELS = "levels"  # of grey, of 255
RETIRED = {
    RUN_FILE: frozenset[str](),
    EXPERIMENT_FILE: frozenset({"iterations", "batch"}),
    SEARCH_FILE: frozenset[str](),
}


class LayoutError(UserError):
    """Results were written by another layout of the run store; says how to bring them up."""


class RunState(StrEnum):
    """How a run is doing, in one vocabulary for all rooms; run.json holds those marked with *.

    NOT_RUN: there is nothing of it. RUNNING*: begun, and where locks are looked at, held by a process. INTERRUPTED:
    begun, and held by none. STOPPED*: ended early by a search. TRAINED: weights, not all scores yet. FINISHED*: trained
    and scored. DIVERGED: failed because its loss is no number. FAILED*: went wrong. CACHED: finished before this
    command. BUSY: another process is at work on it. DAMAGED: its files are not what was written.
    """

    NOT_RUN = "not run"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    TRAINED = "trained"
    FINISHED = "finished"
    DIVERGED = "diverged"
    FAILED = "failed"
    CACHED = "cached"
    BUSY = "busy"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Progress:
    """How far training is: `psnr` of the last validation in dB, `node` the machine, `at` the time in UTC."""

    iteration: int = 0
    psnr: float | None = None
    seconds_per_iteration: float | None = None
    node: str = ""
    at: str = ""


@dataclass(frozen=True)
class ObjectiveRecord:
    """What a run was trained by where L1 is not all (see bench.models.objective).

    `terms` are the last means of the loss's terms, `stage` the steps before the first iteration, `left_out` what of the
    published objective is missing and why, `without_landmarks` the training faces of which none were found, `teacher`
    the name of the run that taught it.
    """

    terms: Mapping[str, float] = field(default_factory=dict)
    stage: int = 0
    left_out: tuple[str, ...] = ()
    without_landmarks: int = 0
    teacher: str = ""


@dataclass(frozen=True)
class SamplesRecord:
    """How far apart `count` samples of each face are that a method drew at random, on one test set.

    `spread` has the standard deviation of a face's score over its samples, by "metric@protocol", and `diversity` that
    of a pixel's grey level ("levels") and the distance of two samples by LPIPS where that was asked for. All are means
    over the faces.
    """

    count: int
    spread: Mapping[str, float] = field(default_factory=dict)
    diversity: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """run.json: what decides a run, how far it is, what it cost and where it was made.

    Times are ISO 8601 in UTC, None for what has not happened. `unavailable` says, by the fingerprint of a test set, why
    metrics have no score, `not_scored` why a set has none at all, and `broken` names the faces whose picture held NaN
    or infinity. `rules` holds, by the first digits of a test set's fingerprint, the digests of the presets that it was
    scored by, where they are not those that were first released (see bench.runs.scores). `code` is a hash of the
    network's code, `earlier_code` those that began its training, `probe` what the network answers (see
    bench.runs.behaviour), `chance` what draws at random do to its scores, `samples`, by the fingerprint of a test set,
    how far apart several of one face are, `stopped_at` where a search ended the run. `authors` tells the checkpoint
    that its weights were taken from, `trained` then when. `digests` are the SHA-256 of its files (see
    bench.runs.digests). With `retry` it failed for what was missing around it, and is tried again.
    """

    layout: int
    id: str
    name: str
    config: RunConfig
    status: RunState = RunState.NOT_RUN
    error: str | None = None
    retry: bool = False
    started: str | None = None
    device: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    code: str | None = None
    earlier_code: tuple[str, ...] = ()
    probe: tuple[float, ...] | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    trained: str | None = None
    train_seconds: float | None = None
    seconds_per_iteration: float | None = None
    objective: ObjectiveRecord = field(default_factory=ObjectiveRecord)
    authors: Checkpoint | None = None
    scored: str | None = None
    scored_on: str = ""
    parameters: int | None = None
    multiply_adds: int | None = None
    multiply_adds_executed: int | None = None
    seconds_per_image: float | None = None
    unavailable: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    not_scored: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rules: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    chance: str = ""
    samples: Mapping[str, SamplesRecord] = field(default_factory=dict)
    stopped_at: int | None = None

    @classmethod
    def new(cls, config: RunConfig) -> RunRecord:
        """Return the record of a run that was never started."""
        return cls(LAYOUT, config.id, config.name, config)


@dataclass(frozen=True)
class FaceSetRecord:
    """The first `faces` faces of a data set's split, named by their fingerprint; `truth`: they have an original."""

    dataset: str
    faces: int
    fingerprint: str
    truth: bool = True
    split: str = "test"

    def __post_init__(self) -> None:
        check_name("data set", self.dataset)


@dataclass(frozen=True)
class RowRecord:
    """A row of an experiment: its runs by name, and which of the experiment's factors it has (empty: not asked).

    `match` names the method whose size, by `match_by`, this row's network was widened to, `training` and `options` what
    was changed in its training and in its network. `foreign` says of a row that was not made here under this
    experiment's budget whose it is, e.g. "pictures from DIR: no training claimed": it stands apart from the others.
    """

    label: str
    method: str
    runs: tuple[str, ...]
    modules: Mapping[str, bool] = field(default_factory=dict)
    match: str = ""
    match_by: Size = "parameters"
    training: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    foreign: str = ""

    def __post_init__(self) -> None:
        for name in self.runs:
            check_name("run", name)


@dataclass(frozen=True)
class ExperimentRecord:
    """experiment.json: what reports need to know beside the run folders.

    `samples` names the faces that pictures show: of the first test set, or of `pictured` where those may not be shown.
    `elsewhere` says of runs that this experiment shares with a kept one beside it in which of the two they are kept.
    """

    layout: int
    name: str
    title: str
    kind: str
    protocol: str
    profile: str
    profile_note: str
    training: Training
    seeds: tuple[int, ...]
    rows: tuple[RowRecord, ...]
    train: FaceSetRecord
    val: FaceSetRecord
    test: tuple[FaceSetRecord, ...]
    scale: int = 8
    metrics: tuple[str, ...] = ("psnr", "ssim")
    options: Mapping[str, Any] = field(default_factory=dict)
    baseline: str = ""
    samples: tuple[str, ...] = ()
    audits: tuple[Any, ...] = ()
    pictured: FaceSetRecord | None = None
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.elsewhere.values():
            check_name("experiment", name)

    def run_folder(self, folder: Path, name: str) -> Path:
        """Return where a run of the experiment in `folder` lies: in it, or in the one beside it that holds the run."""
        if name not in self.elsewhere:
            return folder / name
        place = folder.parent / self.elsewhere[name]
        if not place.is_dir():
            raise UserError(f"{folder / EXPERIMENT_FILE}: run {name} is kept in {place}, which is not there")
        return place / name

    @property
    def run_names(self) -> tuple[str, ...]:
        """The runs of all rows, row by row."""
        return tuple(name for row in self.rows for name in row.runs)


def scored_faces(scores: Scores, test: FaceSetRecord, protocol: str) -> int:
    """Return how many faces of `test` are scored: by PSNR, or by any metric where there is no ground truth."""
    sheet = scores.on(test.dataset, test.fingerprint)
    metrics = ["psnr"] if test.truth else [metric for metric, _ in sheet.scored]
    return max((len(sheet.values(metric, protocol)) for metric in metrics), default=0)


def read_run_record(folder: Path) -> RunRecord | None:
    """Read a run's folder, None where the run was never started; raise UserError for a damaged or unknown run.json."""
    path = folder / RUN_FILE
    if not path.exists():
        return None
    given = _read(path)
    known = [state.value for state in (RunState.RUNNING, RunState.FINISHED, RunState.FAILED, RunState.STOPPED)]
    status = given.get("status")
    if status not in known:
        raise UserError(f"{path}: status: {status!r} given, expected one of {', '.join(map(repr, known))}")
    return from_dict(RunRecord, {**given, "status": RunState(status)}, str(path))


def read_experiment_record(folder: Path) -> ExperimentRecord:
    """Read the experiment.json of a results folder; raise UserError, naming it, when it is missing or damaged."""
    path = folder / EXPERIMENT_FILE
    record = from_dict(ExperimentRecord, _read(path), str(path))
    for name in ("rows", "test"):
        if not getattr(record, name):
            raise UserError(f"{path}: key '{name}' is empty, expected a list of tables; run the experiment again")
    return record


def write_run_record(folder: Path, record: RunRecord) -> None:
    """Replace a run's run.json."""
    write_json(folder / RUN_FILE, _plain(record))


def write_experiment_record(folder: Path, record: ExperimentRecord) -> None:
    """Replace the experiment.json of a results folder."""
    write_json(folder / EXPERIMENT_FILE, _plain(record))


def check_layout(record: Any, path: Path) -> None:
    """Raise LayoutError when a results file was written by another layout of the run store."""
    layout = record.get("layout") if isinstance(record, Mapping) else None
    if layout != LAYOUT:
        way_out = f"fsr migrate {path.parent}" if layout == 1 else "use the version that wrote it, or move it away"
        raise LayoutError(f"{path}: results layout {layout}, this version reads layout {LAYOUT}: {way_out}")


def _read(path: Path) -> dict[str, Any]:
    given = read_json(path)
    check_layout(given, path)
    return {key: value for key, value in given.items() if key not in RETIRED[path.name]}


def _plain(record: Any) -> dict[str, Any]:
    """Return a record's values as JSON has them, without those that are what they are by default."""
    plain = dataclasses.asdict(record)
    for item in dataclasses.fields(record):
        default = item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
        if getattr(record, item.name) == default:
            del plain[item.name]
    return plain
