"""Data cards: what a data set is, where to get it, its licence and its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.core.errors import UserError
from bench.core.schema import from_dict, read_toml

ANY_FOLDER = "folder"  # the card of a data set of one's own
_PACKAGE = Path(__file__).parents[1]
_FOLDERS = (_PACKAGE.parent / "datasets", _PACKAGE / "cards")


@dataclass(frozen=True)
class Card:
    """A data card, read from datasets/<name>.toml; `recipe` decides the faces' bytes.

    `kind` is "reference" (ground truth, degraded for the tests) or "real-world" (low resolution as found). `layout`
    says how the photos are named and split ("" where there are none); `margins` replace the recipe's for other
    detectors than its own. `stands_for` tells what the photos at hand are not. `bicubic` records how near the default
    crop comes to the paper's Bicubic row: PSNR in dB and SSIM.
    """

    title: str
    people: str
    licence: str
    homepage: str
    get: str
    citation: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["reference", "real-world"] = "reference"
    layout: str = ""
    margins: Mapping[str, Any] = field(default_factory=dict)
    stands_for: str = ""
    bicubic: Mapping[str, Any] = field(default_factory=dict)


def read_card(name: str) -> Card:
    """Read the card of a data set from the repository, or, in an installed package, from beside its code."""
    for folder in _FOLDERS:
        path = folder / f"{name}.toml"
        if path.exists():
            return from_dict(Card, read_toml(path), path.name)
    raise UserError(f"no data card datasets/{name}.toml")


def manifest_paths(name: str) -> list[Path]:
    """Return the manifests that come with a data set's card, one a split."""
    found = {path.name: path for folder in reversed(_FOLDERS) for path in (folder / "manifests" / name).glob("*.csv")}
    return [found[key] for key in sorted(found)]


def published_audit(name: str) -> Path | None:
    """Return the audit that comes with a data set's card (JSON), if there is one."""
    paths = [folder / "audits" / f"{name}.json" for folder in _FOLDERS]
    return next((path for path in paths if path.exists()), None)


def card_names() -> list[str]:
    """Return the names of the data sets that have a card."""
    return sorted({path.stem for folder in _FOLDERS for path in folder.glob("*.toml")} - {ANY_FOLDER})
