"""Digests of what a run's results stand on: run.json keeps the SHA-256 of weights, curve and scores.

One flipped bit in them is as good as another result. Files of older runs have no digest and are taken as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.core.errors import LeftAloneError
from bench.core.names import listed

_FILES = ("weights*.safetensors", "curve.csv", "scores/*.csv", "scores/*.csv.xz")
_WAYS_OUT = {
    "weights": "restore it from a copy, or delete it to train this run again",
    "curve": "restore it from a copy, or delete the weights to train this run again",
    "scores": "delete it and run the experiment again, or restore it from a copy",
}


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests_of(folder: Path) -> dict[str, str]:
    """Return the digests of a run's files, by their names within its folder."""
    paths = [path for pattern in _FILES for path in listed(folder, pattern)]
    return {path.relative_to(folder).as_posix(): digest_of(path) for path in paths}


def damage(folder: Path, digests: Mapping[str, str], kinds: Iterable[str] = _WAYS_OUT) -> dict[str, str]:
    """Return what is wrong with those files of a run that are there and have a digest: name -> one line.

    `kinds` are what names begin with: weights, curve, scores.
    """
    wrong = {}
    for name, expected in digests.items():
        kind = next((kind for kind in kinds if name.startswith(kind)), None)
        if kind and (folder / name).exists() and (digest := digest_of(folder / name)) != expected:
            what = f"damaged or edited: its SHA-256 begins with {digest[:8]}, run.json says {expected[:8]}"
            wrong[name] = f"{folder / name}: {what}; {_WAYS_OUT[kind]}"
    return wrong


def check(folder: Path, digests: Mapping[str, str], *kinds: str) -> None:
    """Raise LeftAloneError for the first file of `kinds` whose bytes are not those of its digest."""
    for line in damage(folder, digests, kinds or _WAYS_OUT).values():
        raise LeftAloneError(line)
