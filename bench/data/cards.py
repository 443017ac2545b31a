"""Data cards: what a data set is, where to get it, its licence and its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.config import from_dict, read_toml
from bench.errors import UserError


@dataclass(frozen=True)
class Card:
    """A data card, read from datasets/<name>.toml; `recipe` decides the faces' bytes."""

    title: str
    people: str
    licence: str
    homepage: str
    get: str
    citation: str
    recipe: Mapping[str, Any] = field(default_factory=dict)


def read_card(name: str) -> Card:
    """Read the card of a data set from the repository, or, in an installed package, from beside its code."""
    package = Path(__file__).parents[1]
    for folder in (package.parent / "datasets", package / "cards"):
        path = folder / f"{name}.toml"
        if path.exists():
            return from_dict(Card, read_toml(path), path.name)
    raise UserError(f"no data card datasets/{name}.toml")
