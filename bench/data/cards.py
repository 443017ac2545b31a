"""Data cards: what a data set is, where to get it, its licence and its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.config import from_dict, read_toml
from bench.errors import UserError

_PACKAGE = Path(__file__).parents[1]
_FOLDERS = (_PACKAGE.parent / "datasets", _PACKAGE / "cards")


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
    for folder in _FOLDERS:
        path = folder / f"{name}.toml"
        if path.exists():
            return from_dict(Card, read_toml(path), path.name)
    raise UserError(f"no data card datasets/{name}.toml")


def card_names() -> list[str]:
    """Return the names of the data sets that have a card."""
    return sorted({path.stem for folder in _FOLDERS for path in folder.glob("*.toml")})
