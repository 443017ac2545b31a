"""The ledger of published numbers (published.toml): what papers print, and what is known to be wrong about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.core.errors import UserError, suggest
from bench.core.schema import from_dict, read_toml

LEDGER = Path(__file__).with_name("published.toml")


@dataclass(frozen=True)
class Source:
    """Where numbers were printed."""

    id: str
    citation: str
    url: str


@dataclass(frozen=True)
class Number:
    """One printed number of a method on a data set: PSNR in dB, SSIM in [0, 1], NIQE without a unit."""

    method: str
    dataset: str
    metric: str
    value: float


@dataclass(frozen=True)
class PublishedTable:
    """A printed table; `decimals` says how many the source prints for each metric."""

    source: str
    name: str
    title: str
    decimals: Mapping[str, int]
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Erratum:
    """A mistake or gap in printed tables; `methods` are those it concerns (empty: all)."""

    id: str
    tables: tuple[str, ...]
    methods: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Printed:
    """A number found in the ledger, with its decimals and where it stands."""

    value: float
    decimals: int
    table: str


@dataclass(frozen=True)
class Ledger:
    """Everything in published.toml; `datasets` maps an id to the name that papers print."""

    datasets: Mapping[str, str]
    sources: tuple[Source, ...]
    tables: tuple[PublishedTable, ...]
    errata: tuple[Erratum, ...]

    def find(self, method: str, metric: str, dataset: str, tables: Sequence[str]) -> Printed | None:
        """Return the number of the first of `tables` that has one for this method, metric and data set."""
        for name in tables:
            table = self.table(name)
            for number in table.numbers:
                if (number.method, number.metric, number.dataset) == (method, metric, dataset):
                    return Printed(number.value, table.decimals[metric], name)
        return None

    def table(self, name: str) -> PublishedTable:
        """Return the table `name`; raise UserError with the nearest name when there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        raise UserError(f"no published table '{name}': {suggest(name, [table.name for table in self.tables])}")

    def source(self, table: str) -> Source:
        """Return where a table was printed."""
        wanted = self.table(table).source
        return next(source for source in self.sources if source.id == wanted)

    def errata_of(self, table: str) -> tuple[Erratum, ...]:
        """Return what is known to be wrong or unclear about a table."""
        return tuple(erratum for erratum in self.errata if table in erratum.tables)


def load_ledger(path: Path = LEDGER) -> Ledger:
    """Read and check a ledger.

    Raises UserError, naming the file and the key, for an unknown or missing key, a value of the wrong type, and a table
    that names a source, data set or metric that is not declared.
    """
    ledger = from_dict(Ledger, read_toml(path), str(path))
    for table in ledger.tables:
        where = f"{path}: {table.name}"
        _require(table.source, [source.id for source in ledger.sources], f"{where}: source")
        for number in table.numbers:
            _require(number.dataset, ledger.datasets, f"{where}: {number.method}: dataset")
            _require(number.metric, table.decimals, f"{where}: {number.method}: metric")
    for erratum in ledger.errata:
        for name in erratum.tables:
            _require(name, [table.name for table in ledger.tables], f"{path}: erratum {erratum.id}: table")
    return ledger


@cache
def ledger() -> Ledger:
    """Return the ledger that comes with the package."""
    return load_ledger()


def _require(name: str, known: Sequence[str] | Mapping[str, object], where: str) -> None:
    if name not in known:
        raise UserError(f"{where}: unknown name '{name}': {suggest(name, known)}")
