"""The contact sheet of a prepared set: boxes drawn on the photos, beside what was cut and what networks will see."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from bench.core.errors import UserError
from bench.data.decode import decode
from bench.data.degrade import degrade, upsample
from bench.data.sources import Entry, Reader, list_sources
from bench.data.store import FaceRow, FaceStore
from bench.report.faces import Strip, Tile, compose, tile_corner

log = logging.getLogger("fsr")
SCALE = 8
_TILE = 128  # pixels, as faces have
_WIDEST = 2200  # pixels of a sheet, for a screen
_LEAST_MARKED = 40  # pixels of a square on the tile, under which landmarks would hide the face
_BOX, _SQUARE, _MARK = (255, 200, 0), (0, 170, 255), (255, 60, 60)


def draw_contact(store: FaceStore, faces: int) -> Image.Image:
    """Draw `faces` faces spread over a set: photo, crop (HR), LR and Bicubic; of a real-world set photo, LR, Bicubic.

    The faces stand in a grid, which is about square and at most as wide as a screen, and read from left to right.
    On the photo the detector's box is yellow, the square that was cut blue, landmarks red. Photos that are no longer
    where they were read from are left blank. Raises UserError for fewer than one face.
    """
    if faces < 1:
        raise UserError(f"--faces {faces}: expected at least 1")
    chosen = np.linspace(0, len(store) - 1, min(faces, len(store))).round().astype(int)
    rows = [store.rows[index] for index in chosen]
    pictures = np.array(store.faces[chosen])
    lr = degrade(pictures, SCALE) if store.has_truth else pictures
    strips = _strips(store, rows, pictures, lr)
    if any(row.square for row in rows):
        photos = _photos(store, rows)
        tiles = [Tile(_with_boxes(photo, row), row.name) for photo, row in zip(photos, rows, strict=True)]
        strips = [Strip("photo", tuple(tiles)), *strips]
    return compose(_wrap(strips))


def _wrap(strips: Sequence[Strip]) -> list[Strip]:
    """Put several faces into a row: the columns beside themselves, each with the faces of its place in a row."""
    count = len(strips[0].tiles)
    width, height = tile_corner(len(strips), 1, (_TILE, _TILE))
    across = min(max(_WIDEST // width, 1), math.ceil(math.sqrt(count * height / width)))
    blank = Tile(Image.new("RGB", (_TILE, _TILE), "white"))
    missing = (blank,) * (-count % across)
    return [Strip(strip.title, (*strip.tiles, *missing)[place::across]) for place in range(across) for strip in strips]


def _strips(store: FaceStore, rows: Sequence[FaceRow], faces: np.ndarray, lr: np.ndarray) -> list[Strip]:
    sides = [f"{row.square.split()[2]} px in the photo" if row.square else row.name for row in rows]
    blank = [""] * len(rows)
    small = _strip(f"LR {lr.shape[2]}x{lr.shape[1]}", lr, blank if store.has_truth else sides)
    strips = [small, _strip("Bicubic", upsample(lr, SCALE), blank)]
    return [_strip("HR, as cut", faces, sides), *strips] if store.has_truth else strips


def _strip(title: str, faces: np.ndarray, captions: Sequence[str]) -> Strip:
    enlarged = [Image.fromarray(face).resize((_TILE, _TILE), Image.Resampling.NEAREST) for face in faces]
    return Strip(title, tuple(map(Tile, enlarged, captions)))


def _photos(store: FaceStore, rows: Sequence[FaceRow]) -> list[np.ndarray | None]:
    """Return the photos of some rows, uint8 [H, W, 3]; None where one is no longer in the sources."""
    entries: dict[str, Entry] = {}
    for source in map(Path, store.card.sources):
        try:
            entries |= {entry.where: entry for entry in list_sources([source]).photos}
        except UserError as error:  # gone, emptied or damaged since
            log.warning("%s; its photos are left blank", error)
    missing = sum(row.source not in entries for row in rows)
    if missing:
        log.warning("%s: %d of %d photos are no longer in their sources", store.path, missing, len(rows))
    with Reader() as reader:
        return [decode(reader.read(entries[row.source])).pixels if row.source in entries else None for row in rows]


def _with_boxes(photo: np.ndarray | None, row: FaceRow) -> Image.Image:
    """Return the photo on a tile, reduced to fit, with box, square and landmarks."""
    tile = Image.new("RGB", (_TILE, _TILE), "white")
    if photo is None:
        return tile
    left, top, right, bottom, scale = _window(photo, row)
    part = Image.fromarray(np.ascontiguousarray(photo[top:bottom, left:right]))
    part = part.resize((round(part.width * scale), round(part.height * scale)), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(part)
    x, y, side = map(float, row.square.split())
    box = [float(value) for value in row.box.split()] or [x, y, x + side, y + side]
    for corners, colour in ((box, _BOX), ([x, y, x + side, y + side], _SQUARE)):
        placed = [(value - start) * scale for value, start in zip(corners, (left, top, left, top), strict=True)]
        draw.rectangle(placed, outline=colour, width=2)
    marks = [float(value) for value in row.landmarks.split()] if side * scale > _LEAST_MARKED else []
    for mark_x, mark_y in zip(marks[::2], marks[1::2], strict=True):
        centre = ((mark_x - left) * scale, (mark_y - top) * scale)
        draw.ellipse([centre[0] - 1, centre[1] - 1, centre[0] + 1, centre[1] + 1], fill=_MARK)
    tile.paste(part, ((_TILE - part.width) // 2, (_TILE - part.height) // 2))
    return tile


def _window(photo: np.ndarray, row: FaceRow) -> tuple[int, int, int, int, float]:
    """Return the part of the photo that is shown (all of it, or what is around a small face) and its zoom."""
    height, width = photo.shape[:2]
    x, y, side = map(int, row.square.split())
    reach = max(4 * side, _TILE // 4)
    if reach >= max(height, width):
        return 0, 0, width, height, _TILE / max(height, width)
    left = min(max(x + side // 2 - reach // 2, 0), max(width - reach, 0))
    top = min(max(y + side // 2 - reach // 2, 0), max(height - reach, 0))
    right, bottom = min(left + reach, width), min(top + reach, height)
    return left, top, right, bottom, _TILE / max(right - left, bottom - top)
