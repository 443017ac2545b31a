"""How data sets are distributed: which split a photo belongs to, what it is called, and whom it shows."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.core.errors import UserError
from bench.data.sources import Entry

_CELEBA = re.compile(r"(\d{6})\.(?:jpg|jpeg|png)", re.IGNORECASE)
_CELEBA_LAST = {"train": 162770, "val": 182637, "test": 202599}  # list_eval_partition.txt
_LFW = re.compile(r"(.+)_\d{4}\.(?:jpg|jpeg|png)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Placed:
    """A photo and its place in a data set: `file` is what a manifest calls it, `identity` "" where nothing is known."""

    entry: Entry
    split: str
    file: str
    identity: str = ""


Layout = Callable[[Entry, str], Placed | str]


def _celeba(entry: Entry, split: str) -> Placed | str:
    """CelebA: 000001.jpg to 202599.jpg, split by the official partition."""
    match = _CELEBA.fullmatch(entry.name)
    number = int(match.group(1)) if match else 0
    for name, last in _CELEBA_LAST.items():
        if 1 <= number <= last:
            return Placed(entry, name, entry.name)
    return "not a CelebA photo: expected 000001.jpg to 202599.jpg"


def _lfw(entry: Entry, split: str) -> Placed | str:
    """LFW: lfw/Name/Name_0001.jpg, the name being the identity."""
    match = _LFW.fullmatch(entry.name)
    if match is None:
        return "not an LFW photo: expected Name_0001.jpg"
    return Placed(entry, split, entry.name, match.group(1))


def _helen(entry: Entry, split: str) -> Placed | str:
    """Helen: iBUG's trainset/ and testset/ folders, else the split asked for."""
    folders = {part.lower() for part in PurePosixPath(entry.path).parts[:-1]}
    found = "train" if "trainset" in folders else "test" if "testset" in folders else split
    return Placed(entry, found, entry.name)


def _flat(entry: Entry, split: str) -> Placed | str:
    """Photos whose base names are unique, in whatever folders (WIDER_val/images/0--Parade/...)."""
    return Placed(entry, split, entry.name)


def _folder(entry: Entry, split: str) -> Placed | str:
    """Any folder: a photo is called by its path, since base names may repeat."""
    return Placed(entry, split, entry.path)


LAYOUTS: Mapping[str, Layout] = {
    "celeba": _celeba,
    "lfw": _lfw,
    "helen": _helen,
    "flat": _flat,
    "folder": _folder,
}


def read_identities(path: Path) -> dict[str, str]:
    """Read file -> identity: lines "000001.jpg 2880" as CelebA has them, or CSV with the columns file and identity.

    Raises UserError when the file is missing or neither.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file; expected lines like '000001.jpg 2880'") from None
    if lines and lines[0].split(",")[:2] == ["file", "identity"]:
        return {row["file"]: row["identity"] or "" for row in csv.DictReader(lines)}
    pairs: list[list[str]] = [line.split() for line in lines if line.strip()]
    for number, pair in enumerate(pairs, 1):
        if len(pair) != 2:
            raise UserError(f"{path}: line {number} is '{' '.join(pair)[:60]}', expected '000001.jpg 2880'")
    return dict(pairs)
