"""Cut faces from photos by their boxes alone: integer squares, PIL bicubic, the same bytes on any machine."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from PIL import Image

from bench.core.errors import UserError
from bench.core.limits import within
from bench.core.parallel import ordered_map
from bench.core.progress import Bar
from bench.data.cards import MIN_FACE, Margin
from bench.data.decode import decode
from bench.data.detect import Choose
from bench.data.manifest import Row
from bench.data.sources import Entry, Reader

Border = Literal["shift", "reflect", "skip"]
Side = Annotated[int, within(0, 100_000)]
TOO_SMALL = "too small"
_GROUP = 16  # photos that a thread crops at a time


@dataclass(frozen=True)
class Recipe:
    """From photos to faces; every value changes their bytes.

    `detector`, `min_face` (px), `least_probability` and `choose` say which faces are found and wanted. The crop is a
    square of side `margin` times the longer side of the box, about its middle. Where it leaves the photo it is moved
    back inside, and made smaller where it is larger than the photo (`shift`), or filled by reflection, or the face is
    left out (`skip`). Faces whose square is smaller than `least_side` or larger than `most_side` (px; 0: any) are left
    out. `resample` "none" takes the `size` x `size` pixels in the square's middle as they are.
    """

    detector: Literal["mtcnn", "center", "landmarks"] = "mtcnn"
    min_face: Annotated[int, MIN_FACE] = 40
    least_probability: Annotated[float, within(0, 1)] = 0.9
    choose: Choose = "largest"
    margin: Margin = 1.1
    border: Border = "shift"
    least_side: Side = 64
    most_side: Side = 0
    size: Annotated[int, within(8, 1024)] = 128
    resample: Literal["PIL bicubic", "none"] = "PIL bicubic"

    @property
    def detection(self) -> str:
        """What a manifest's column `detector` says: all that decides which faces are found and wanted."""
        if self.detector != "mtcnn":
            return self.detector
        return f"mtcnn min {self.min_face} p {self.least_probability:g} {self.choose}"


@dataclass(frozen=True, slots=True)
class Square:
    """A square of whole pixels; with the border `reflect` it may reach outside the photo."""

    left: int
    top: int
    side: int


def square_of(row: Row, recipe: Recipe) -> Square | str:
    """Return the square that is cut for a manifest's face, or why it is left out."""
    left, top, right, bottom = row.box or (0.0, 0.0, 0.0, 0.0)
    wanted = _nearest(recipe.margin * max(right - left, bottom - top))
    if wanted < recipe.least_side:
        return f"{TOO_SMALL}: under {recipe.least_side} pixels"
    if recipe.most_side and wanted > recipe.most_side:
        return f"too large: over {recipe.most_side} pixels"
    side = recipe.size if recipe.resample == "none" else wanted
    if recipe.border == "shift":
        side = min(side, row.width, row.height)
    x, y = _nearest((left + right - side) / 2), _nearest((top + bottom - side) / 2)
    if recipe.border == "shift":
        x, y = min(max(x, 0), row.width - side), min(max(y, 0), row.height - side)
    if recipe.border == "skip" and not (0 <= x <= row.width - side and 0 <= y <= row.height - side):
        return "the square leaves the photo"
    if side < recipe.size and recipe.resample == "none":
        return "the photo is smaller than a face"
    return Square(x, y, side)


def cut(pixels: np.ndarray, square: Square, size: int) -> np.ndarray:
    """Cut a square from uint8 [H, W, 3] and bring it to uint8 [size, size, 3]; outside, the photo is reflected."""
    rows = _reflected(square.top, square.side, pixels.shape[0])
    columns = _reflected(square.left, square.side, pixels.shape[1])
    part: np.ndarray = pixels[rows[:, None], columns]
    if square.side == size:
        return part
    return np.asarray(Image.fromarray(part).resize((size, size), Image.Resampling.BICUBIC))


def _reflected(start: int, side: int, length: int) -> np.ndarray:
    """Return the indices of `side` places from `start`, those outside of `length` mirrored at the edge pixels."""
    period = 2 * (length - 1)
    place = np.arange(start, start + side) % period
    return np.minimum(place, period - place)


def _nearest(value: float) -> int:
    """Return the nearest whole number, halves upwards: unlike round(), no jump between even and odd."""
    return math.floor(value + 0.5)


@dataclass(frozen=True, slots=True)
class Crop:
    """One face that is cut: the manifest's row, the square, and the face's place in the store."""

    index: int
    row: Row
    square: Square


def plan_crops(rows: Sequence[Row], recipe: Recipe) -> tuple[list[Crop], dict[str, list[str]]]:
    """Return what is cut from a manifest's rows, in their order, and the files that are left out by reason."""
    crops: list[Crop] = []
    dropped: dict[str, list[str]] = {}
    for row in rows:
        if row.problem:
            continue
        square = square_of(row, recipe)
        if isinstance(square, str):
            dropped.setdefault(square, []).append(row.file)
        else:
            crops.append(Crop(len(crops), row, square))
    return crops, dropped


def crop_faces(
    crops: Sequence[Crop], entries: Mapping[str, Entry], size: int, *, jobs: int = 1, quiet: bool = False
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield index and face, uint8 [size, size, 3], of every crop, in the order in which the photos lie in the sources.

    `entries` is file -> photo. Raises UserError when a photo's bytes are not those of its row.
    """
    by_file: dict[str, list[Crop]] = {}
    for crop in crops:
        by_file.setdefault(crop.row.file, []).append(crop)
    files = sorted(by_file, key=lambda file: entries[file].order)
    # Decoding changes the filters of warnings, which threads share: here they are put back when all are done.
    with warnings.catch_warnings(), Reader() as reader, Bar("crop", len(crops), quiet=quiet) as bar:
        groups = (
            [(entries[file].where, reader.read(entries[file]), by_file[file]) for file in files[start : start + _GROUP]]
            for start in range(0, len(files), _GROUP)
        )
        done = 0
        # Pillow decodes and resizes outside Python's lock, so threads do, and need not send faces to and fro.
        for indices, faces in ordered_map(partial(_crop_group, size=size), groups, jobs=jobs, threads=True):
            yield from zip(indices, faces, strict=True)
            done += len(indices)
            bar.update(done)


def _crop_group(photos: Sequence[tuple[str, bytes, list[Crop]]], size: int) -> tuple[list[int], np.ndarray]:
    """Cut the faces of some photos (where, bytes, crops): their indices and faces, uint8 [N, size, size, 3]."""
    indices, faces = [], []
    for where, content, crops in photos:
        if hashlib.sha256(content).hexdigest() != crops[0].row.sha256:
            raise UserError(f"{where}: has changed while it was being read; run again")
        pixels = decode(content).pixels
        for crop in crops:
            if pixels.shape[:2] != (crop.row.height, crop.row.width):
                given, expected = f"{pixels.shape[1]}x{pixels.shape[0]}", f"{crop.row.width}x{crop.row.height}"
                raise UserError(f"{where}: has {given} pixels, its manifest says {expected}; correct the manifest")
            indices.append(crop.index)
            faces.append(cut(pixels, crop.square, size))
    return indices, np.stack(faces)
