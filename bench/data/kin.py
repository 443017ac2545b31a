"""Which faces belong together: those of one photo, and where a set knows whom it shows, of one person."""

from __future__ import annotations

import functools
import lzma
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.core import paths
from bench.core.errors import UserError
from bench.core.files import read_csv
from bench.core.names import distinct_stems
from bench.data.cards import manifest_paths
from bench.data.manifest import read_manifest
from bench.data.store import COLUMNS

_NUMBERED = re.compile(r"(.+)-\d{3,}")  # a face of a photo that has several


def clusters_of(dataset: str, split: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return for each face by its name the person it shows, else its photo; nothing where neither is known.

    Known are the sets whose manifests come with their cards, and those whose faces are prepared here. A face that is
    not among them stands for itself.
    """
    known = _known(dataset, split, paths.prepared())
    found = [known.get(name) or known.get(_photo(name), "") for name in names]
    if not any(found):
        return ()
    return tuple(cluster or f"face {name}" for cluster, name in zip(found, names, strict=True))


def _photo(name: str) -> str:
    numbered = _NUMBERED.fullmatch(name)
    return numbered[1] if numbered else name


@functools.lru_cache(maxsize=64)
def _known(dataset: str, split: str, prepared: Path) -> dict[str, str]:
    """Return face or photo -> person or photo, by the set's manifest, else by its prepared faces."""
    try:
        return dict(_of_manifest(dataset, split)) or dict(_of_store(prepared / dataset / split))
    except (UserError, OSError, lzma.LZMAError):
        return {}


def _of_manifest(dataset: str, split: str) -> Iterator[tuple[str, str]]:
    path = manifest_paths(dataset).get(split)
    rows = read_manifest(path) if path else []
    people = {row.file: row.identity for row in rows}
    for file, stem in zip(people, distinct_stems(list(people)), strict=True):
        yield stem, f"person {people[file]}" if people[file] else f"photo {file}"


def _of_store(folder: Path) -> Iterator[tuple[str, str]]:
    path = folder / "faces.csv"
    for row in read_csv(path, COLUMNS) if path.exists() else []:
        person, photo = row["identity"], row["sha256"]
        if person or photo:
            yield row["name"] or "", f"person {person}" if person else f"photo {photo}"
