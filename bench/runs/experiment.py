"""Experiments and profiles: which rows, on which faces, with which budget; and the runs that follow from them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from bench.core.errors import UserError, suggest
from bench.core.limits import DIFFERENT, NOT_EMPTY, Count, Line, LineOrNothing, Seed, within
from bench.core.names import listed
from bench.metrics.catalogue import DEFAULT as DEFAULT_METRICS
from bench.metrics.catalogue import get_metrics
from bench.metrics.protocol import DEFAULT_PROTOCOL, PROTOCOLS
from bench.models import registry
from bench.models.spec import Size
from bench.runs.config import PICTURES, Training
from bench.runs.store import Run

if TYPE_CHECKING:
    from bench.data.store import FaceStore

EXPERIMENTS = Path(__file__).parent / "experiments"
PROFILES = Path(__file__).parent / "profiles"
DEFAULT_PROFILE = "quick"
SAMPLES = 6  # test faces that the picture grid shows
KEPT = 32  # test faces whose pictures each run keeps, for the page in the browser
Seeds = Annotated[tuple[Seed, ...], DIFFERENT]


@dataclass(frozen=True)
class Changes:
    """What differs under one profile, for a row or a whole experiment: options of networks, settings of training."""

    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One row of a table: a method, its options on top of its own, and its label (default: the method's title).

    With `match`, the id of another method, `width` is chosen so that the row has about as many parameters as that one,
    or multiply-adds (`match_by`): the controls that tell what size alone gives. `seeds` are the row's own, in place of
    the profile's. `training` changes settings of the profile's training for this row, where those are what is compared;
    never its budget. `profiles` holds options and such settings by the name of the profile that they are for: found by
    a search, or cheaper. Of a method that draws at random, `samples` of each face are scored: their mean counts, and
    how far they are apart is told.

    With `checkpoint`, a file of the method's authors (in a TOML file: from where that lies), the row is not trained and
    takes no options of the profile. With `pictures`, a folder (found likewise), the row is what somebody's program made
    of the test faces: it has a label, and no method or anything of one.
    """

    method: LineOrNothing = ""
    label: LineOrNothing = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    match: LineOrNothing = ""
    match_by: Size = "parameters"
    seeds: Seeds = ()
    samples: Annotated[int, within(1, 1000)] = 1
    training: Mapping[str, Any] = field(default_factory=dict)
    profiles: Mapping[Line, Changes] = field(default_factory=dict)
    checkpoint: LineOrNothing = ""
    pictures: LineOrNothing = ""

    def __post_init__(self) -> None:
        if not self.method and not self.pictures:
            raise UserError("key 'method' is missing")
        if self.pictures:
            self._check_pictures()
        if self.match_by != "parameters" and not self.match:
            raise UserError(f"match_by: {self.match_by} of what? add match, the id of the method whose size is meant")
        for name in ("match", "seeds", "training", "profiles") if self.checkpoint else ():
            if getattr(self, name):
                raise UserError(f"{name}: not together with checkpoint, whose weights are taken as they are")
        named = {name for own in (self.training, *(p.training for p in self.profiles.values())) for name in own}
        for name in named & {"iterations", "batch"}:
            raise UserError(f"training.{name}: rows of an experiment have equal budgets")

    def _check_pictures(self) -> None:
        names = ("options", "match", "seeds", "training", "profiles", "checkpoint")
        others = [name for name in names if getattr(self, name)] + ["samples"] * (self.samples > 1)
        if self.method not in ("", PICTURES):
            others.insert(0, "method")
        if others:
            raise UserError(f"{others[0]}: not together with pictures, which were made elsewhere; leave it out")
        if not self.label:
            raise UserError("key 'label' is missing: what to call the row of pictures")

    @property
    def title(self) -> str:
        """What the row is called: its label, else its method's title, and whose the weights are."""
        return self.label or registry.get(self.method).title + (" (authors)" if self.checkpoint else "")

    @property
    def trained(self) -> bool:
        """Whether the row's networks are trained here."""
        return not self.checkpoint and not self.pictures and registry.get(self.method).trainable

    def placed(self, folder: Path) -> Row:
        """Return the row with the whole path of its checkpoint or pictures, which are named as seen from `folder`.

        Raises UserError where pictures are in no folder.
        """
        if self.checkpoint:
            return dataclasses.replace(self, checkpoint=str((folder / Path(self.checkpoint).expanduser()).absolute()))
        if not self.pictures:
            return self
        path = (folder / Path(self.pictures).expanduser()).absolute()
        if not path.is_dir():
            what = "a file, expected the folder that holds them" if path.exists() else "no such folder"
            raise UserError(f"row {self.label}: pictures: {path}: {what}")
        return dataclasses.replace(self, method=PICTURES, pictures=str(path))


@dataclass(frozen=True)
class Sizes:
    """Numbers of faces a split."""

    train: Count
    val: Count
    test: Count


@dataclass(frozen=True)
class Limit:
    """At most so many faces of a split are validated on and tested on."""

    val: Count = 1000
    test: Count = 1000


@dataclass(frozen=True)
class Profile:
    """How much is spent on every row alike; `options` go to every method that has them (e.g. `width`)."""

    note: Line
    generate: Sizes
    training: Training
    options: Mapping[str, Any] = field(default_factory=dict)
    seeds: Annotated[Seeds, NOT_EMPTY] = (0,)
    limit: Limit = field(default_factory=Limit)


@dataclass(frozen=True)
class Experiment:
    """What is compared: the rows, the scale, the protocol and the kind of table.

    Gains are told over `baseline`, the id of a row's method; "" tells none. `factors` are the modules of a factorial:
    the heading of a column -> the option that it shows. `profiles` holds what a profile, by its name, gives every row
    of this experiment in place of its own settings, a budget that suits all of them for one.
    """

    title: Line
    kind: Literal["ablation", "comparison"]
    rows: Annotated[tuple[Row, ...], NOT_EMPTY]
    scale: Annotated[int, within(2, 64)] = 8
    protocol: str = DEFAULT_PROTOCOL
    metrics: tuple[str, ...] = DEFAULT_METRICS
    factors: Mapping[Line, Line] = field(default_factory=dict)
    baseline: str = ""
    profiles: Mapping[Line, Changes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        methods = [row.method for row in self.rows if not row.checkpoint and not row.pictures]
        if self.baseline and self.baseline not in methods:
            raise UserError(f"baseline: no row of method '{self.baseline}': {suggest(self.baseline, methods)}")
        if self.protocol not in PROTOCOLS:
            raise UserError(f"protocol: unknown preset '{self.protocol}': {suggest(self.protocol, PROTOCOLS)}")
        if "psnr" not in self.metrics:
            raise UserError("metrics: psnr is missing, which says whether a run is scored")
        get_metrics(self.metrics)


def check_profiles(experiment: Experiment, path: Path, profile: Path) -> None:
    """Raise UserError for settings that the experiment in `path` keeps for a profile that is none.

    Known are those that come with the suite, `profile` itself, and TOML files beside either or in the working folder.
    """
    own = [file.stem for folder in {path.parent, profile.parent, Path()} for file in listed(folder, "*.toml")]
    known = {profile.stem, *(file.stem for file in listed(PROFILES, "*.toml"))}
    places = {f"profiles.{name}": name for name in experiment.profiles}
    for row in experiment.rows:
        places |= {f"row {row.label or row.method}: profiles.{name}": name for name in row.profiles}
    for place, name in places.items():
        if name not in {*known, *own}:
            way_out = f"; a profile of one's own is known as {name}.toml beside the experiment"
            raise UserError(f"{path.name}: {place}: no such profile: {suggest(name, known)}{way_out}")


@dataclass(frozen=True)
class RowRun:
    """One run of one row, the metrics that it is scored with (none: a teacher), and the run that teaches it, if any."""

    row: Row
    label: str
    run: Run
    metrics: tuple[str, ...] = DEFAULT_METRICS
    teacher: Run | None = None


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
