"""Data cards: what a data set is, where to get it, its licence, how its photos are named, and its recipe."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from bench.core.errors import UserError
from bench.core.files import read_json
from bench.core.limits import Count, Line, within
from bench.core.names import listed
from bench.core.schema import from_dict, read_toml
from bench.data.layouts import Layout, Split

ANY_FOLDER = "folder"  # the card of a data set of one's own
_PACKAGE = Path(__file__).parents[1]
_FOLDERS = (_PACKAGE.parent / "datasets", _PACKAGE / "cards")
_GENERATED = "generated"
MIN_FACE = within(12, 10_000)  # pixels
MARGIN = within(0.5, 10)  # side of a crop over the longer side of its box
Margin = Annotated[float, MARGIN]


@dataclass(frozen=True)
class Bicubic:
    """How near the default crop comes to the paper's Bicubic row on `faces` faces: PSNR in dB and SSIM of both."""

    faces: Count
    psnr: Annotated[float, within(0, 100)]
    ssim: Annotated[float, within(-1, 1)]
    paper_psnr: Annotated[float, within(0, 100)]
    paper_ssim: Annotated[float, within(-1, 1)]


@dataclass(frozen=True)
class Card:
    """A data card, read from datasets/<name>.toml; `recipe` decides the faces' bytes.

    `kind` is "reference" (ground truth, degraded for the tests), "real-world" (low resolution as found) or "generated"
    (ground truth that is made from seeds, `sizes` of each split). `margins` replace the recipe's for other detectors
    than its own. `stands_for` tells what the photos at hand are not, `formerly` what the set that its audit is of was
    called in earlier versions.
    """

    title: Line
    people: str
    licence: str
    homepage: str
    get: str
    citation: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["reference", "real-world", "generated"] = "reference"
    layout: Layout = field(default_factory=Layout)
    margins: Mapping[Line, Margin] = field(default_factory=dict)
    sizes: Mapping[Split, Count] = field(default_factory=dict)
    stands_for: str = ""
    formerly: str = ""
    bicubic: Bicubic | None = None


def read_card(name: str) -> Card:
    """Read the card of a data set from the repository, or, in an installed package, from beside its code."""
    path = _find(f"{name}.toml")
    if path is None:
        raise UserError(f"no data card datasets/{name}.toml")
    return from_dict(Card, read_toml(path), path.name)


def manifest_paths(name: str) -> dict[str, Path]:
    """Return the manifests that come with a data set's card by split, CSV files that .xz may pack."""
    folders = (folder / "manifests" / name for folder in reversed(_FOLDERS))
    known = {path.name.partition(".")[0]: path for folder in folders for path in listed(folder, "*.csv*")}
    return dict(sorted(known.items()))


def published_audit(name: str) -> Path | None:
    """Return the audit that comes with a data set's card (JSON), if there is one."""
    return _find(f"audits/{name}.json")


def card_names() -> list[str]:
    """Return the names of the data sets that have a card."""
    return sorted({path.stem for folder in _FOLDERS for path in listed(folder, "*.toml")} - {ANY_FOLDER})


@functools.cache
def renamed() -> Mapping[tuple[str, str], str]:
    """Return what was renamed: (former name of a data set, fingerprint of one of its splits) -> its name today."""
    former = {name: card.formerly for name in card_names() if (card := read_card(name)).formerly}
    splits = {name: read_json(path)["splits"] for name in former if (path := published_audit(name))}
    return {(former[name], split["fingerprint"]): name for name, some in splits.items() for split in some.values()}


@functools.cache
def is_generated(name: str) -> bool:
    """Tell whether a data set is made from seeds; help and completion ask, so its card is not checked."""
    path = _find(f"{name}.toml")
    return path is not None and read_toml(path).get("kind") == _GENERATED


@functools.cache
def default_dataset() -> str:
    """Return the name of the data set that anyone can have: the generated one."""
    return next(name for name in card_names() if is_generated(name))


def _find(name: str) -> Path | None:
    return next((folder / name for folder in _FOLDERS if (folder / name).exists()), None)
