"""docs/methods.md: a row for every method with what is measured, and what every objective leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.models import registry
from bench.models.listing import describe_methods
from bench.models.meta import meta_device

PAGE = (Path(__file__).parents[1] / "docs" / "methods.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split()).lower()
OURS = [name for name in registry.names() if registry.get(name).source.startswith("methods")]


def row(record: Mapping[str, Any]) -> str:
    """Return a method's row of the page."""
    released = f"{record['published_parameters']:,}" if record["published_parameters"] else "-"
    file = registry.load(record["id"]).__module__.replace(".", "/")
    return (
        f"| [{record['title']}](../{file}.py) | `{record['id']}` | {record['year']} "
        f"| {record['paper'].partition(',')[0]}, {record['venue']} "
        f"| {record['parameters']:,} | {released} | {record['multiply_adds'] / 1e9:.3f} |"
    )


def test_the_table_has_every_method_with_its_counts() -> None:
    records = [record for record in describe_methods() if record["id"] in OURS]
    expected = [row(record) for record in sorted(records, key=lambda record: (record["year"], record["id"]))]
    assert [line for line in PAGE.splitlines() if line.startswith("| [")] == expected


@pytest.mark.parametrize("method", OURS)
def test_what_an_objective_leaves_out_is_told(method: str) -> None:
    with meta_device():
        network = registry.build(method)
        left_out = getattr(getattr(network, "objective", object)(), "left_out", ())
    for text in left_out:
        assert " ".join(text.lower().split()) in WORDS
