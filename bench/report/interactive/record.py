"""What a page holds, as its script reads it: plain records that become JSON.

None is a value that is not there. Lists "by row" have a place for each row of the experiment, in their order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.analysis.intervals import Estimate

Number = float | str | None  # an infinite one is a text
Interval = tuple[Number, Number, Number]  # mean, low, high
Trace = Mapping[str, Any]


@dataclass(frozen=True)
class PageRow:
    """A row: what it is, what its network costs, how its runs ended and how figures draw it.

    `parameters`, `multiply_adds` and `seconds` (an image) are None where they are not known; `about` says which runs
    its numbers come from and what is missing, `failing`, by the key of a set, on which faces it fails.
    """

    label: str
    method: str
    foreign: str
    status: str
    parameters: int | None
    multiply_adds: int | None
    seconds: float | None
    about: str
    failing: Mapping[str, str]
    color: str
    dark: str
    symbol: str
    dash: str


@dataclass(frozen=True)
class Set:
    """A set of faces, named by its `key`; `title` is what papers call it. `truth`: it has originals."""

    key: str
    name: str
    title: str
    faces: int
    fingerprint: str
    truth: bool


@dataclass(frozen=True)
class PageMetric:
    """A metric; `higher`: more is better."""

    name: str
    title: str
    unit: str
    decimals: int
    higher: bool


@dataclass(frozen=True)
class Cell:
    """A row's mean with its interval, the standard deviation over seeds, how many these are, and how it stands out."""

    mean: Interval
    spread: Number
    seeds: int
    mark: str = ""


@dataclass(frozen=True)
class Scores:
    """A metric on one set under one protocol.

    `cells` are by row, `gains[i][j]` is how far row i lies above row j: only of those with the baseline where the
    protocol is not the experiment's.
    """

    cells: tuple[Cell | None, ...]
    gains: tuple[tuple[Interval | None, ...], ...]


@dataclass(frozen=True)
class Claim:
    """A line of the forest plot: a claim of a paper, what was measured and found, and its unit.

    Within `band` an interval confirms the claim; None where a side of 0 decides.
    """

    text: str
    verdict: str
    kind: str
    measured: str
    paper: str
    unit: str
    effect: Interval
    published: Number
    band: tuple[float, float] | None = None


@dataclass(frozen=True)
class Images:
    """Scores of single images, means over seeds, in thousandths; `scores` by metric, then by row."""

    names: tuple[str, ...]
    scores: Mapping[str, tuple[tuple[int | None, ...] | None, ...]]


@dataclass(frozen=True)
class Face:
    """Pictures of a face as data URIs; `sr` by the number of the row."""

    hr: str
    lr: str
    sr: Mapping[str, str]


@dataclass(frozen=True)
class PageExperiment:
    """An experiment. Scores go by set and by "metric@protocol", images and faces by set; `seen` is the first set shown,
    and `pictured` the first whose faces are.

    `budget` says what every row was given, `answer` the result in sentences; `base` and `best` are the places of the
    baseline and of the leading row. `curves` by row and `effects` by set and metric are traces as Plotly has them.
    """

    name: str
    title: str
    profile: str
    budget: str
    answer: tuple[str, ...]
    caution: str
    protocol: str
    base: int | None
    best: int | None
    seen: str
    pictured: str
    claims: tuple[Claim, ...]
    sets: tuple[Set, ...]
    rows: tuple[PageRow, ...]
    scores: Mapping[str, Mapping[str, Scores]]
    curves: tuple[tuple[Trace, ...], ...] = ()
    curves_about: str = ""
    effects: Mapping[str, Mapping[str, tuple[Trace, ...]]] = field(default_factory=dict)
    images: Mapping[str, Images] = field(default_factory=dict)
    faces: Mapping[str, Mapping[str, Face]] = field(default_factory=dict)


@dataclass(frozen=True)
class PageData:
    """All of a page."""

    title: str
    metrics: Mapping[str, PageMetric]
    protocols: Mapping[str, str]
    experiments: tuple[PageExperiment, ...]

    def to_json(self) -> str:
        """Return the records as JSON; the same records give the same text."""
        return json.dumps(self, default=vars, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def number(value: float | None, digits: int = 10) -> Number:
    """Return a value as JSON has it, with so many digits: None for NaN, a text for infinity."""
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return float(f"{value:.{digits}g}")


def interval(estimate: Estimate | None) -> Interval | None:
    """Return an estimate as the page has it; None where there is none."""
    if estimate is None or math.isnan(estimate.mean):
        return None
    return number(estimate.mean), number(estimate.low), number(estimate.high)


def thousandths(values: Sequence[float]) -> tuple[int | None, ...]:
    """Return scores as whole thousandths, None where they are not finite."""
    return tuple(round(value * 1000) if math.isfinite(value) else None for value in values)
