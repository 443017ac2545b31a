"""Anybody's super-resolved pictures beside the originals: paired by name, or not at all."""

from __future__ import annotations

import logging
import posixpath
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from bench.core.errors import UserError
from bench.core.machine import cores
from bench.core.parallel import ordered_map
from bench.data.decode import Decoded, decode
from bench.data.sources import HARMLESS, Entry, Reader, list_sources

log = logging.getLogger("fsr")
_SHOWN = 3  # names in a message
_NAMES: tuple[Callable[[Entry], str], ...] = (
    lambda entry: entry.stem,
    lambda entry: entry.name,
    lambda entry: posixpath.splitext(entry.path)[0],
    lambda entry: entry.path,
)
_LOSSY = (".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Pairs:
    """Pictures of one size, in the order of their names: uint8 [N, H, W, 3]; `lr` [N, H/scale, W/scale, 3]."""

    names: tuple[str, ...]
    sr: np.ndarray
    hr: np.ndarray | None
    lr: np.ndarray | None
    scale: int
    warnings: tuple[str, ...]


def read_pairs(sr: Path, hr: Path | None = None, lr: Path | None = None, scale: int = 8) -> Pairs:
    """Read folders or archives of pictures and pair them by file name without its ending.

    `scale` is taken from the sizes where there is `lr`. Raises UserError for a folder without pictures, a file that is
    no picture, names without a partner or of which there are two, sizes that do not match, and grey SR of an original
    in colour. What is only odd (JPEG, transparency, 16 bits) is told in `warnings`.
    """
    paths = {side: path for side, path in (("SR", sr), ("HR", hr), ("LR", lr)) if path is not None}
    entries = _by_name(paths)
    for side, path in paths.items():
        _check_names(entries["SR"], entries[side], sr, path)
    names = tuple(sorted(entries["SR"]))
    pictures, kinds = {}, {}
    for side, own in entries.items():
        pictures[side], kinds[side] = _read([own[name] for name in names])
    if hr is not None:
        _check_colour(names, kinds["SR"], kinds["HR"])
        if pictures["SR"].shape != pictures["HR"].shape:
            sizes = _size(pictures["SR"]), _size(pictures["HR"])
            raise UserError(f"{sr}: pictures of {sizes[0]} pixels, those of {hr} have {sizes[1]}")
    if lr is not None:
        scale = _scale(pictures["SR"], pictures["LR"], sr, lr)
    remarks = [remark for side in paths for remark in (_lossy(side, entries[side]), _odd(side, kinds[side])) if remark]
    for remark in remarks:
        log.warning("%s", remark)
    return Pairs(names, pictures["SR"], pictures.get("HR"), pictures.get("LR"), scale, tuple(remarks))


def pictures_by_name(folder: Path) -> dict[str, list[Entry]]:
    """Return the pictures that lie in `folder` itself by their names without endings, letters composed (NFC).

    What systems and editors leave and files that are no pictures are passed over; nothing is read. Raises UserError
    for a folder that cannot be read, or without any picture in it or below.
    """
    listing = list_sources([folder])
    for where, problem in listing.skipped:
        log.warning("%s: left out: %s", where, problem)
    found: dict[str, list[Entry]] = {}
    for entry in listing.photos:
        if "/" not in entry.path:
            found.setdefault(entry.stem, []).append(entry)
    return found


def _by_name(paths: Mapping[str, Path]) -> dict[str, dict[str, Entry]]:
    """Return the pictures of each side by their names without endings.

    Where a side has several of one name, endings or folders are taken in, if all sides then have the same names.
    """
    sides = {side: _list(path) for side, path in paths.items()}
    for name in _NAMES:
        named = {
            side: {unicodedata.normalize("NFC", name(entry)): entry for entry in own} for side, own in sides.items()
        }
        unique = all(len(named[side]) == len(own) for side, own in sides.items())
        if unique and (name is _NAMES[0] or len({frozenset(own) for own in named.values()}) == 1):
            return named
    counts = {side: Counter(entry.stem for entry in own) for side, own in sides.items()}
    side, twice = next(
        (side, [name for name, n in own.items() if n > 1]) for side, own in counts.items() if own.total() > len(own)
    )
    raise UserError(f"{paths[side]}: several pictures are called {first_of(twice)}; a name must be given once")


def _list(path: Path) -> list[Entry]:
    """Return the pictures of a folder or archive.

    One that cannot be read is left out beside another of its name, and a link that leads to none in any case.
    """
    listing = list_sources([path])
    with Reader() as reader:
        photos = sorted(listing.photos, key=lambda entry: entry.order)
        problems = {entry: problem for entry in photos if (problem := reader.problem(entry))}
    pictures = [entry for entry in listing.photos if entry not in problems]
    stems = {entry.stem for entry in pictures}
    skipped = [(entry.where, entry.stem, problem) for entry, problem in problems.items()]
    skipped += [(where, PurePosixPath(where).stem, problem) for where, problem in listing.skipped]
    for where, stem, problem in skipped:
        if stem not in stems and problem not in HARMLESS:
            raise UserError(f"{where}: {problem}")
        log.warning("%s: left out: %s", where, problem)
    return pictures


def _check_names(sr: Mapping[str, Entry], other: Mapping[str, Entry], sr_path: Path, path: Path) -> None:
    alone = {sr_path: sorted(set(sr) - set(other)), path: sorted(set(other) - set(sr))}
    if any(alone.values()):
        raise UserError(
            f"{sr_path} has {len(sr)} pictures, {path} {len(other)}, and names (without endings) do not match: "
            + "; ".join(f"{len(names)} only in {where}: {first_of(names)}" for where, names in alone.items() if names)
        )


def _read(entries: Sequence[Entry]) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Return the pictures as uint8 [N, H, W, 3] and what each was besides plain RGB."""
    pixels, kinds = np.empty((0, 0, 0, 3), np.uint8), []
    with Reader() as reader, warnings.catch_warnings():  # decode silences them too, but threads undo each other's order
        files = ((entry, reader.read(entry)) for entry in entries)
        for place, picture in enumerate(ordered_map(_decode, files, jobs=cores(), threads=True)):
            if not place:
                pixels = np.empty((len(entries), *picture.pixels.shape), np.uint8)
            if picture.pixels.shape != pixels.shape[1:]:
                size, first = _size(picture.pixels[None]), _size(pixels)
                where = entries[place].where, entries[0].where
                raise UserError(f"{where[0]}: {size} pixels, {where[1]} has {first}: one size is expected")
            pixels[place] = picture.pixels
            kinds.append(picture.kinds)
    return pixels, kinds


def _decode(file: tuple[Entry, bytes]) -> Decoded:
    entry, content = file
    try:
        return decode(content)
    except UserError as error:
        raise UserError(f"{entry.where}: {error}") from None


def _check_colour(names: Sequence[str], sr: Sequence[tuple[str, ...]], hr: Sequence[tuple[str, ...]]) -> None:
    """Raise UserError where SR has lost the colour of its original."""
    lost = [name for name, own, other in zip(names, sr, hr, strict=True) if "grey" in own and "grey" not in other]
    if lost:
        raise UserError(
            f"{len(lost)} of {len(names)} SR pictures are grey and their HR is in colour ({first_of(lost)}); "
            "give both in colour, or both grey"
        )


def _scale(sr: np.ndarray, lr: np.ndarray, sr_path: Path, lr_path: Path) -> int:
    height, width = sr.shape[1] / lr.shape[1], sr.shape[2] / lr.shape[2]
    if height != width or not height.is_integer():
        raise UserError(f"{sr_path}: {_size(sr)} pixels are no whole multiple of the {_size(lr)} of {lr_path}")
    return int(height)


def _lossy(side: str, entries: Mapping[str, Entry]) -> str:
    lossy = [entry.where for entry in entries.values() if entry.where.lower().endswith(_LOSSY)]
    return f"{side}: {len(lossy)} of {len(entries)} pictures are JPEG: scores include its losses" if lossy else ""


def _odd(side: str, kinds: Sequence[tuple[str, ...]]) -> str:
    counts = Counter(kind for own in kinds for kind in own)
    text = ", ".join(f"{kind} ({count})" for kind, count in sorted(counts.items()))
    return f"{side}: taken as 8-bit RGB: {text} of {len(kinds)} pictures" if text else ""


def _size(pictures: np.ndarray) -> str:
    return f"{pictures.shape[2]}x{pictures.shape[1]}"


def first_of(names: Sequence[str]) -> str:
    """Return the first few of names, as a message has them."""
    more = ", ..." if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
