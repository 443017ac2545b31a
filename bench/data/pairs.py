"""Anybody's super-resolved pictures beside the originals: paired by name, or not at all."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.core.errors import UserError
from bench.data.decode import decode
from bench.data.sources import Entry, Reader, list_sources

log = logging.getLogger("fsr")
_SHOWN = 3  # names in a message
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
    sides = {"SR": sr, "HR": hr, "LR": lr}
    listed = {side: _list(path) for side, path in sides.items() if path is not None}
    for side in listed:
        _match(listed["SR"], listed[side], sr, sides[side])
    names = tuple(sorted(listed["SR"]))
    warnings = [_lossy(side, listed[side]) for side in listed]
    pictures = {}
    grey = {}
    for side, entries in listed.items():
        pictures[side], kinds = _read(names, entries)
        grey[side] = [name for name in names if "grey" in kinds[name]]
        warnings.append(_odd(side, kinds))
    if "HR" in grey:
        _check_colour(names, grey["SR"], grey["HR"])
        if pictures["SR"].shape != pictures["HR"].shape:
            raise UserError(
                f"{sr}: pictures of {_size(pictures['SR'])} pixels, those of {hr} have {_size(pictures['HR'])}"
            )
    if "LR" in pictures:
        scale = _scale(pictures["SR"], pictures["LR"], sr, lr)
    lines = tuple(filter(None, warnings))
    for line in lines:
        log.warning("%s", line)
    return Pairs(names, pictures["SR"], pictures.get("HR"), pictures.get("LR"), scale, lines)


def _list(path: Path) -> dict[str, Entry]:
    """Return the pictures of a folder or archive by name."""
    listing = list_sources([path])
    entries = listing.photos
    if listing.skipped:
        where, why = listing.skipped[0]
        raise UserError(f"{where}: {why}")
    twice = [name for name, count in Counter(entry.stem for entry in entries).items() if count > 1]
    if twice:
        raise UserError(f"{path}: several pictures are called {_some(twice)}; a name must be given once")
    return {entry.stem: entry for entry in entries}


def _match(sr: Mapping[str, Entry], other: Mapping[str, Entry], sr_path: Path, path: Path | None) -> None:
    without, left = sorted(set(sr) - set(other)), sorted(set(other) - set(sr))
    if without or left:
        raise UserError(
            f"{sr_path} has {len(sr)} pictures, {path} {len(other)}, and names (without endings) do not match: "
            + "; ".join(
                f"{len(names)} only in {where}: {_some(names)}"
                for names, where in ((without, sr_path), (left, path))
                if names
            )
        )


def _read(names: Sequence[str], entries: Mapping[str, Entry]) -> tuple[np.ndarray, dict[str, tuple[str, ...]]]:
    """Return the pictures as uint8 [N, H, W, 3] and what each was besides plain RGB."""
    pixels: list[np.ndarray] = []
    kinds: dict[str, tuple[str, ...]] = {}
    with Reader() as reader:
        for name in names:
            try:
                decoded = decode(reader.read(entries[name]))
            except UserError as error:
                raise UserError(f"{entries[name].where}: {error}") from None
            if pixels and decoded.pixels.shape != pixels[0].shape:
                raise UserError(
                    f"{entries[name].where}: {_size(decoded.pixels[None])} pixels, "
                    f"{entries[names[0]].where} has {_size(pixels[0][None])}: one size is expected"
                )
            pixels.append(decoded.pixels)
            kinds[name] = decoded.kinds
    return np.stack(pixels), kinds


def _check_colour(names: Sequence[str], sr: Sequence[str], hr: Sequence[str]) -> None:
    """Raise UserError where SR has lost the colour of its original."""
    lost = [name for name in sr if name not in set(hr)]
    if lost:
        raise UserError(
            f"{len(lost)} of {len(names)} SR pictures are grey and their HR is in colour ({_some(lost)}); "
            "give both in colour, or both grey"
        )


def _scale(sr: np.ndarray, lr: np.ndarray, sr_path: Path, lr_path: Path | None) -> int:
    height, width = sr.shape[1] / lr.shape[1], sr.shape[2] / lr.shape[2]
    if height != width or not height.is_integer():
        raise UserError(f"{sr_path}: {_size(sr)} pixels are no whole multiple of the {_size(lr)} of {lr_path}")
    return int(height)


def _lossy(side: str, entries: Mapping[str, Entry]) -> str:
    lossy = [entry.where for entry in entries.values() if entry.where.lower().endswith(_LOSSY)]
    return f"{side}: {len(lossy)} of {len(entries)} pictures are JPEG: scores include its losses" if lossy else ""


def _odd(side: str, kinds: Mapping[str, Sequence[str]]) -> str:
    counts = Counter(kind for names in kinds.values() for kind in names)
    text = ", ".join(f"{kind} ({count})" for kind, count in sorted(counts.items()))
    return f"{side}: taken as 8-bit RGB: {text} of {len(kinds)} pictures" if text else ""


def _size(pictures: np.ndarray) -> str:
    return f"{pictures.shape[2]}x{pictures.shape[1]}"


def _some(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
