"""Digests of what a run's results stand on: run.json keeps the SHA-256 of weights, curve and scores.

One flipped bit in them is as good as another result, and so is a file that is gone or one that another has put there.
Files of older runs, of whose kind run.json has no digest, are taken as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.core.errors import LeftAloneError
from bench.core.files import sha256_of
from bench.core.names import listed

UNDER_WAY = ""  # stands for the digest of a file while that is written: killed there, a run has the old or the new one
_FILES = {
    "weights": ("weights.safetensors", "weights-*of*.safetensors"),
    "curve": ("curve.csv",),
    "scores": ("scores/*.csv", "scores/*.csv.xz"),
}
_WAYS_OUT = {
    "weights": "restore it from a copy, or delete it to train this run again",
    "curve": "restore it from a copy, or delete the weights to train this run again",
    "scores": "delete it and run the experiment again, or restore it from a copy",
}
_AGAIN = {"weights": "run the experiment again", "curve": "delete the weights to train this run again"}


def files_of(folder: Path, kind: str) -> list[Path]:
    """Return a run's files of a kind: weights, curve or scores; of scores the packed ones last."""
    return [path for pattern in _FILES[kind] for path in listed(folder, pattern)]


def digests_of(folder: Path, kinds: Iterable[str] = _FILES) -> dict[str, str]:
    """Return the digests of a run's files, by their names within its folder."""
    paths = [path for kind in kinds for path in files_of(folder, kind)]
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


def strange(folder: Path, digests: Mapping[str, str], kinds: Iterable[str] = _FILES) -> dict[str, str]:
    """Return which files have no digest though run.json has those of their kind: name -> one line."""
    wrong = {}
    for kind in kinds:
        if any(name.startswith(kind) for name in digests):
            for path in files_of(folder, kind):
                if (name := path.relative_to(folder).as_posix()) not in digests:
                    wrong[name] = f"{path}: not written by this run: run.json has no digest of it; move it away"
    return wrong


def missing(folder: Path, digests: Mapping[str, str], kinds: Iterable[str] = _FILES) -> dict[str, str]:
    """Return which files are gone that run.json has a digest of: name -> one line."""
    wrong = {}
    for name in digests:
        kind = next((kind for kind in kinds if name.startswith(kind)), None)
        if kind and not (folder / name).exists():
            way_out = f"restore it from a copy, or {_AGAIN.get(kind, _AGAIN['weights'])}"
            wrong[name] = f"{folder / name}: no such file, though run.json has its digest; {way_out}"
    return wrong


def damage(folder: Path, digests: Mapping[str, str], kinds: Iterable[str] = _FILES) -> dict[str, str]:
    """Return what is wrong with the files of a run that are there: name -> one line.

    `kinds` are weights, curve, scores. What is under way is not compared, and what is missing is none of them.
    """
    wrong, kinds = {}, tuple(kinds)
    for name, expected in digests.items():
        kind = next((kind for kind in kinds if name.startswith(kind)), None)
        if kind and expected and (folder / name).exists() and (digest := sha256_of(folder / name)) != expected:
            what = f"damaged or edited: its SHA-256 begins with {digest[:8]}, run.json says {expected[:8]}"
            wrong[name] = f"{folder / name}: {what}; {_WAYS_OUT[kind]}"
    return wrong | strange(folder, digests, kinds)


def check(folder: Path, digests: Mapping[str, str], *kinds: str, whole: bool = False) -> None:
    """Raise LeftAloneError for the first file of `kinds` that is damaged, or with `whole` is missing."""
    asked = kinds or tuple(_FILES)
    for line in (damage(folder, digests, asked) | (missing(folder, digests, asked) if whole else {})).values():
        raise LeftAloneError(line)
