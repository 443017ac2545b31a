"""A page beside the report's first: what it says, its tables and its pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.analysis.results import FaceSet, Results
from bench.report.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure, drawn when it is written, and what stands under it."""

    draw: Callable[[], Figure]
    alt: str
    about: str


@dataclass(frozen=True)
class Page:
    """A page `name`.md; `text` are paragraphs above the tables, `pictures` go by the name of their files."""

    name: str
    title: str
    text: tuple[str, ...]
    tables: tuple[Table, ...]
    pictures: Mapping[str, Picture] = field(default_factory=dict)


def suffix(results: Results, test: FaceSet) -> str:
    """Return what a file's name ends with where there are several test sets."""
    return f"-{test.dataset}" if len(results.test) > 1 else ""


def on(test: FaceSet) -> str:
    """Say which faces a table is about."""
    return f"{test.dataset} ({test.faces:,} faces, {test.fingerprint[:8]})"
