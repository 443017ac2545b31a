"""Papers as data: what each prints, what it claims, and what is known to be wrong with it.

A paper is one file beside this one, <paper>.toml; the classes below are its schema.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from bench.core.errors import UserError, suggest
from bench.core.limits import Line, within
from bench.core.names import listed
from bench.core.schema import from_dict, read_toml
from bench.models.spec import Size

FOLDER = Path(__file__).parent
Number = Annotated[float, within(-1e6, 1e6)]
Rule = Literal["value", "sign", "small", "none", "asked"]
Kind = Literal["difference", "effect", "order", "every", "changed"]
# What counts as no difference, by metric, where a claim states no other: dB of PSNR; of SSIM what goes with that in the
# papers' tables, where 0.05 dB are 0.0015 to 0.002. Further metrics have none: their claims are about signs.
MARGINS = {"psnr": 0.05, "ssim": 0.002}


@dataclass(frozen=True)
class PrintedTable:
    """A printed table: `numbers` are data set -> metric -> method -> value, printed with so many `decimals`."""

    name: Line
    title: Line
    decimals: Mapping[Line, Annotated[int, within(0, 10)]]
    numbers: Mapping[Line, Mapping[Line, Mapping[Line, Number]]]


@dataclass(frozen=True)
class Beside:
    """What stands beside one of a report's tables: numbers of `metrics` from printed `tables`, the first having one.

    `notes` stand under the table, and so do `errata` (ids), each with its note, where all their methods are rows.
    """

    tables: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    errata: tuple[str, ...] = ()


@dataclass(frozen=True)
class Erratum:
    """A mistake or gap in printed tables; `methods` are those it concerns (empty: all)."""

    id: Line
    tables: tuple[Line, ...]
    methods: tuple[Line, ...]
    text: Line
    note: str = ""


@dataclass(frozen=True)
class RowName:
    """A row by its method, as it is or widened to another's (`match`) parameters or multiply-adds (`match_by`)."""

    method: Line
    match: str = ""
    match_by: Size = "parameters"


@dataclass(frozen=True)
class Claim:
    """What a paper says, or what is asked, of a metric (its variants included: niqe is niqe-pooled, too).

    `kind` says what is measured: the "difference" of `row` and `against`, a factorial "effect" of modules, how far the
    "order" of `methods` agrees (rank correlation), the least gain of "every" row over `against`, or each row that has
    "changed" a setting of a method held against that method as it is. In `text`, {metric}, {row} and {base} are titles.

    `rule` says when it holds; see `bench.papers.judge.judge`. The paper's value follows from the printed `tables` (for
    the test set, else for the paper's reference set) or is `value`; with the rule "small" `value` is the bound.
    `margin` is how far from the paper's value, or from 0 where it says "none", counts as the same (default: MARGINS).
    `shown` names the report's tables that show the numbers, the best first; `datasets` are the only test sets that the
    claim is about (empty: all with ground truth, or, for a metric that needs none, all without).
    """

    text: Line
    kind: Kind
    metric: Line
    rule: Rule
    row: RowName | None = None
    against: RowName | None = None
    effect: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    value: Number | None = None
    margin: Annotated[float, within(above=0, most=1e6)] | None = None
    tables: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    headline: bool = False

    @property
    def tolerance(self) -> float:
        """What counts as no difference, in the metric's unit; 0 where the claim is about a sign."""
        if self.rule == "small":
            return self.value or 0.0
        return self.margin if self.margin is not None else MARGINS.get(self.metric, 0.0)


@dataclass(frozen=True)
class Printed:
    """A printed number, or one that follows from some, with its decimals and the data set that it was printed for."""

    value: float
    decimals: int
    dataset: str


@dataclass(frozen=True)
class Paper:
    """A paper: `datasets` maps ids to the names that it prints, `reference` is the one that stands in for others.

    `stand_ins` maps test sets that are none of them to the one that each stands in for: the paper's numbers of that one
    are shown beside it, and no value is held against them.
    `baselines` are the methods that gains are told over where none is named, the best first.
    `aliases` says under which name a method stands in some tables, `beside` what stands beside each of our tables.
    """

    name: Line
    citation: str
    url: str
    datasets: Mapping[str, str]
    reference: str
    tables: tuple[PrintedTable, ...]
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    baselines: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, Beside] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    errata: tuple[Erratum, ...] = ()

    def counterpart(self, dataset: str) -> str:
        """Return the data set whose printed numbers are shown beside a test set: itself, or what it stands in for."""
        return self.stand_ins.get(dataset, dataset)

    def stands_in(self, dataset: str) -> str:
        """Return "stand-in for NAME", as the paper prints the name, for a test set that is one; else nothing."""
        return f"stand-in for {self.datasets[self.stand_ins[dataset]]}" if dataset in self.stand_ins else ""

    def find(self, method: str, metric: str, dataset: str, tables: Iterable[str]) -> Printed | None:
        """Return the number of the first of `tables` that prints one of this method, under its alias too."""
        names = dict.fromkeys((method, self.aliases.get(method, method)))
        for name, table in itertools.product(names, map(self.table, tables)):
            if (value := table.numbers.get(dataset, {}).get(metric, {}).get(name)) is not None:
                return Printed(value, table.decimals[metric], dataset)
        return None

    def table(self, name: str) -> PrintedTable:
        """Return the printed table `name`; raise UserError with the nearest name when there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        raise UserError(f"{self.name}: no table '{name}': {suggest(name, [table.name for table in self.tables])}")

    def errata_of(self, tables: Iterable[str], methods: Iterable[str] | None = None) -> tuple[Erratum, ...]:
        """Return what is known to be wrong or unclear about printed tables, in their order; of these methods alone."""
        there = None if methods is None else {*methods} | {self.aliases.get(method, method) for method in methods}
        known = (one for table in tables for one in self.errata if table in one.tables)
        return tuple(dict.fromkeys(one for one in known if there is None or not one.methods or there & {*one.methods}))

    def notes(self, beside: Beside, methods: Iterable[str]) -> list[str]:
        """Return what stands under a table of these methods."""
        there = set(methods)
        known = [one for one in self.errata if one.id in beside.errata and there.issuperset(one.methods)]
        return [*beside.notes, *(f"{one.text} {one.note}".rstrip() for one in known)]

    def count(self, methods: Iterable[str]) -> tuple[int, int]:
        """Return how many of these methods have printed numbers, and how many numbers those are."""
        known = {*methods} | {self.aliases.get(method, method) for method in methods}
        found = [
            method
            for table in self.tables
            for metrics in table.numbers.values()
            for values in metrics.values()
            for method in values
            if method in known
        ]
        return len({*found}), len(found)


NO_PAPER = Paper("", "", "", {}, "", ())  # stands beside methods of which nothing is printed


def load_paper(path: Path) -> Paper:
    """Read and check a paper.

    Raises UserError, naming the file and the key, for an unknown or missing key, a value of the wrong type, and a
    table, data set, metric or erratum that is named and not declared.
    """
    paper = from_dict(Paper, read_toml(path), str(path))
    tables, errata = [table.name for table in paper.tables], [erratum.id for erratum in paper.errata]
    _require([paper.reference], paper.datasets, f"{path}: reference")
    _require(paper.stand_ins.values(), paper.datasets, f"{path}: stand_ins")
    for table in paper.tables:
        _require(table.numbers, paper.datasets, f"{path}: {table.name}: numbers")
        for dataset, metrics in table.numbers.items():
            _require(metrics, table.decimals, f"{path}: {table.name}: {dataset}")
    for name, beside in paper.beside.items():
        _require(beside.tables, tables, f"{path}: beside {name}: tables")
        _require(beside.errata, errata, f"{path}: beside {name}: errata")
    for erratum in paper.errata:
        _require(erratum.tables, tables, f"{path}: erratum {erratum.id}: tables")
    for claim in paper.claims:
        _require(claim.tables, tables, f"{path}: claim '{claim.text}': tables")
        _require(claim.datasets, paper.datasets, f"{path}: claim '{claim.text}': datasets")
        _require_tolerance(claim, f"{path}: claim '{claim.text}'")
    return paper


@cache
def papers(folder: Path = FOLDER) -> tuple[Paper, ...]:
    """Return the papers in a folder, in the order of their files' names."""
    return tuple(load_paper(path) for path in listed(folder, "*.toml"))


def paper_of(methods: Iterable[str]) -> Paper:
    """Return the paper that prints numbers of most of these methods (of equals, the most numbers), or NO_PAPER."""
    methods = [*methods]
    best = max(papers(), key=lambda paper: paper.count(methods), default=NO_PAPER)
    return best if best.count(methods)[0] else NO_PAPER


def _require_tolerance(claim: Claim, where: str) -> None:
    """Raise UserError for a claim that only a margin can decide and that has none."""
    key = "value" if claim.rule == "small" else "margin"
    if claim.rule in ("value", "none", "small") and claim.tolerance <= 0:
        raise UserError(f'{where}: rule = "{claim.rule}" needs {key} = NUMBER above 0, in the unit of {claim.metric}')


def _require(names: Iterable[str], known: Iterable[str], where: str) -> None:
    known = [*known]
    for name in names:
        if name not in known:
            raise UserError(f"{where}: unknown name '{name}': {suggest(name, known)}")
