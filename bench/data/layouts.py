"""How data sets are distributed: which split a photo belongs to, what it is called, and whom it shows."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from bench.core.errors import UserError
from bench.core.files import csv_rows, text_of, without_excel
from bench.core.limits import Count, Line

if TYPE_CHECKING:
    from bench.data.sources import Entry

Split = Literal["train", "val", "test"]

_COLUMNS = ("file", "identity")
# A name, which may have spaces before its suffix, and an identity.
_PAIR = re.compile(r'"?(\S+?|.+\.\w+)"?\s*[\s,;]\s*"?([^\s,;"]+)"?')


@dataclass(frozen=True, slots=True)
class Placed:
    """A photo and its place in a data set: `file` is what a manifest calls it, `identity` "" where nothing is known."""

    entry: Entry
    split: str
    file: str
    identity: str = ""


@dataclass(frozen=True)
class Layout:
    """How a data set's photos are named and split, as its card says.

    `name` is a regular expression that base names match, in words `expected`; its group `identity` is whom a photo
    shows, its group `number` the photo's number, which the last number of each split in `partition` places. `folders`
    are those of a split, by lower-case name. A photo is called by its base name, or `by_path` where those may repeat.
    """

    name: str = ".*"
    expected: str = ""
    partition: Mapping[Split, Count] = field(default_factory=dict)
    folders: Mapping[Line, Split] = field(default_factory=dict)
    by_path: bool = False

    def __post_init__(self) -> None:
        try:
            groups = _pattern(self.name).groupindex
        except (re.error, OverflowError, RecursionError) as error:
            raise UserError(f"name: '{self.name}' is no regular expression ({error})") from None
        if self.partition and "number" not in groups:
            raise UserError(f"name: '{self.name}' has no group 'number', by which partition places photos")
        if list(self.partition.values()) != sorted(set(self.partition.values())):
            raise UserError(f"partition: {dict(self.partition)} given, expected growing numbers")

    def place(self, entry: Entry, split: str) -> Placed | str:
        """Return a photo's place, `split` being that of photos whose names do not tell, or why it has none."""
        name, path = (unicodedata.normalize("NFC", text) for text in (entry.name, entry.path))
        match = _pattern(self.name).fullmatch(name)
        groups = match.groupdict() if match else {}
        if self.partition:
            number = int(groups.get("number", 0))
            split = next((name for name, last in self.partition.items() if 1 <= number <= last), "")
        if match is None or not split:
            return f"not one of its photos: expected {self.expected}"
        folders = [part.lower() for part in PurePosixPath(path).parts[:-1]]
        split = next((name for folder, name in self.folders.items() if folder in folders), split)
        return Placed(entry, split, path if self.by_path else name, groups.get("identity") or "")


@functools.cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(name, re.IGNORECASE)


def read_identities(path: Path) -> dict[str, str]:
    """Read file -> identity: lines "000001.jpg 2880" as CelebA has them, or a table with columns file and identity.

    Raises UserError when the file is missing or neither, or gives a photo two identities.
    """
    try:
        text = text_of(path.read_bytes())
        if (pairs := _table(text)) is None:
            lines = enumerate(without_excel(text)[1].split("\n"), 1)
            pairs = [_pair(line, f"{path}: line {number}") for number, line in lines if line.strip(' ;,\t"')]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}; expected lines like '000001.jpg 2880'") from None
    identities: dict[str, str] = {}
    for name, identity in pairs:
        file = unicodedata.normalize("NFC", name)
        if identities.setdefault(file, identity) != identity:
            raise UserError(f"{path}: {file} is there as '{identities[file]}' and as '{identity}'; keep one of them")
    return identities


def _table(text: str) -> list[tuple[str, str]] | None:
    """Return file and identity of each row of a table that has such columns; None for another text.

    Raises ValueError that names the line where a quote is not closed.
    """
    rows = csv_rows(text, _COLUMNS)
    try:
        head = [name.strip().lower() for name in next(rows, (0, []))[1]]
    except ValueError:
        if {*_COLUMNS} <= {*re.findall(r"\w+", text.lower())}:
            raise
        return None
    if not {*_COLUMNS} <= {*head}:
        return None
    return [_fields(line, dict(zip(head, row, strict=False))) for line, row in rows]


def _fields(line: int, row: Mapping[str, str]) -> tuple[str, str]:
    file, identity = (row.get(name, "").strip() for name in _COLUMNS)
    if "\n" in file + identity:
        raise ValueError(f"line {line}: a quote that is not closed")
    return file, identity


def _pair(line: str, where: str) -> tuple[str, str]:
    match = _PAIR.fullmatch(line.strip())
    if match is None:
        raise UserError(f"{where} is '{line.strip()[:60]}', expected '000001.jpg 2880', or a head 'file,identity'")
    return match[1], match[2]
