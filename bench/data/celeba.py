"""CelebA's aligned photographs: official partition, centre crop, no detector."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench import paths
from bench.config import canonical_json
from bench.data.cards import read_card
from bench.data.photos import Entry, Tally, list_entries, read_photos
from bench.data.store import FaceRow, FaceStore, write_store
from bench.errors import UserError
from bench.files import read_json, write_json
from bench.progress import Bar

_NAME = re.compile(r"(\d{6})\.(?:jpg|jpeg|png)", re.IGNORECASE)


def prepare_celeba(sources: Sequence[Path], *, strict: bool = False, quiet: bool = False) -> list[FaceStore]:
    """Prepare the splits whose photos are in `sources` (tar archives or folders); other splits stay as they are.

    A split whose sources have not changed since is not read again. Raises UserError for bad sources (see photos.py) and
    where no file is a CelebA photo.
    """
    recipe = dict(read_card("celeba").recipe)
    tally = Tally(strict=strict)
    splits: dict[str, list[Entry]] = {}
    for entry in list_entries(sources, tally):
        split = _split_of(entry.name, recipe)
        if split is None:
            tally.skip(entry.where, "not a CelebA photo: expected 000001.jpg to 202599.jpg")
        else:
            splits.setdefault(split, []).append(entry)
    if not splits:
        raise UserError(f"no CelebA photo (000001.jpg to 202599.jpg) in {', '.join(map(str, sources))}")
    unused = tally.skipped
    return [_prepare_split(split, splits[split], recipe, unused, strict, quiet) for split in sorted(splits)]


def crop_face(pixels: np.ndarray, recipe: dict[str, Any]) -> np.ndarray:
    """Cut the centre square of an aligned frame, uint8 [218, 178, 3], and resize it: uint8 [128, 128, 3]."""
    height, width = pixels.shape[:2]
    crop, size = int(recipe["crop"]), int(recipe["size"])
    top, left = (height - crop) // 2, (width - crop) // 2
    square = Image.fromarray(np.ascontiguousarray(pixels[top : top + crop, left : left + crop]))
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))


def _prepare_split(
    split: str, entries: list[Entry], recipe: dict[str, Any], unused: list[tuple[str, str]], strict: bool, quiet: bool
) -> FaceStore:
    path = paths.prepared() / "celeba" / split
    inputs = _inputs(entries, recipe)
    if (path / "inputs.json").exists() and read_json(path / "inputs.json") == inputs:
        return FaceStore.open(path)
    tally = Tally(strict=strict, skipped=list(unused))
    counts: dict[str, Any] = {}  # filled when the last face has been read, before the card is written

    def faces() -> Iterator[tuple[FaceRow, np.ndarray]]:
        with Bar(f"celeba {split}", len(entries), quiet=quiet) as bar:
            for photo in read_photos(entries, tally):
                bar.update(tally.read + len(tally.skipped) - len(unused))
                found, expected = photo.pixels.shape[1::-1], tuple(recipe["frame"])
                if found != expected:
                    tally.read -= 1
                    tally.skip(photo.where, f"not the aligned frame of {expected[0]}x{expected[1]} pixels")
                    continue
                yield FaceRow(Path(photo.name).stem, photo.where, photo.sha256), crop_face(photo.pixels, recipe)
        counts.update(tally.to_json())

    store = write_store(path, faces(), {"recipe": recipe, "counts": counts})
    write_json(path / "inputs.json", inputs)
    return store


def _split_of(name: str, recipe: dict[str, Any]) -> str | None:
    match = _NAME.fullmatch(name)
    number = int(match.group(1)) if match else 0
    if not 1 <= number <= recipe["last_test"]:
        return None
    if number <= recipe["last_train"]:
        return "train"
    return "val" if number <= recipe["last_val"] else "test"


def _inputs(entries: Sequence[Entry], recipe: dict[str, Any]) -> dict[str, str]:
    """Return what tells whether a split must be read again: names, sizes and times of its files, and the recipe."""
    digest = hashlib.sha256(canonical_json(recipe).encode())
    for container in sorted({entry.container for entry in entries if entry.member is not None}):
        about = container.stat()
        digest.update(f"{container.resolve()} {about.st_size} {about.st_mtime_ns}\n".encode())
    for entry in entries:
        time = entry.container.stat().st_mtime_ns if entry.member is None else 0
        digest.update(f"{entry.where} {entry.size} {time}\n".encode())
    return {"files": digest.hexdigest()}
