"""The picture grid: the same faces for every method, pixel for pixel, with the PSNR of each."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench.analysis.results import Results, RowResult, RunResult
from bench.core.errors import UserError
from bench.report.table import number_cell
from bench.runs.pictures import picture_path, shown_levels

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

GAP = 6  # pixels between tiles and around them
TITLE = 22  # height of a column's title
CAPTION = 20  # height of the line under a tile
SHOWN = 3  # faces: the page for the browser has all, `fsr figure grid` any
_TEXT = 13
_LEAST_TEXT = 8
# Test faces are written anew by every run of an experiment, SR faces when a run is scored.
_REDRAW = "run the experiment again (for a run's SR face, delete the run's scores first)"


@dataclass(frozen=True)
class Tile:
    """A picture and the line under it; `strong` sets the line in bold."""

    picture: Image.Image
    caption: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Strip:
    """One column of the grid: a title and a tile a face, all tiles of one size."""

    title: str
    tiles: tuple[Tile, ...]


def draw_faces(results: Results) -> Image.Image | None:
    """Draw rows of faces under LR (every pixel a square), each row's first scored run, and HR.

    Rows without pictures of all the faces are left out. Returns None when the experiment keeps no faces; raises
    UserError, naming the file, for a picture that cannot be read or is of another size than its HR.
    """
    strips = make_strips(results)
    return compose(strips) if strips else None


def grid_bytes(picture: Image.Image) -> bytes:
    """Return a grid as WebP, every value at most one grey level off; the same picture gives the same bytes.

    Values are rounded to multiples of 3 and then kept without loss, at half of a PNG's size.
    """
    out = io.BytesIO()
    Image.fromarray(shown_levels(np.asarray(picture))).save(out, "WEBP", lossless=True, quality=75, method=4)
    return out.getvalue()


def picture_bytes(picture: Image.Image) -> bytes:
    """Return a picture as PNG; the same picture gives the same bytes."""
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def make_strips(results: Results) -> list[Strip]:
    """Return the columns of the grid from left to right, of the first faces of which LR and HR are kept."""
    folder = results.folder / "samples"
    names = [name for name in results.samples if picture_path(folder, f"{name}_hr").exists()]
    names = [name for name in names if picture_path(folder, f"{name}_lr").exists()][:SHOWN]
    if not names:
        return []
    hr = [_open(picture_path(folder, f"{name}_hr")) for name in names]
    lr = [_open(picture_path(folder, f"{name}_lr")) for name in names]
    shown = [(row, run) for row in results.rows if (run := _run_to_show(row, results, names)) is not None]
    scores = [[_psnr(run, results, name) for name in names] for _, run in shown]
    own = [values for (row, _), values in zip(shown, scores, strict=True) if not row.foreign]
    best = [max((value for value in values if value is not None), default=None) for values in zip(*own, strict=True)]
    best = best or [None] * len(names)
    width, height = lr[0].size
    return [
        Strip(
            f"LR {width}x{height}",
            tuple(Tile(a.resize(b.size, Image.Resampling.NEAREST), "PSNR (dB)") for a, b in zip(lr, hr, strict=True)),
        ),
        *(_strip(row, run, names, hr, values, best) for (row, run), values in zip(shown, scores, strict=True)),
        Strip("HR", tuple(Tile(picture) for picture in hr)),
    ]


def compose(strips: Sequence[Strip]) -> Image.Image:
    """Paste the columns side by side on white, every tile at `tile_corner`, none resampled."""
    side = strips[0].tiles[0].picture.size
    rows = len(strips[0].tiles)
    right, bottom = tile_corner(len(strips), rows, side)
    page = Image.new("RGB", (right, bottom), "white")
    draw = ImageDraw.Draw(page)
    for column, strip in enumerate(strips):
        left, top = tile_corner(column, 0, side)
        _write(draw, strip.title, left, top - TITLE, side[0], TITLE, strong=True)
        for row, tile in enumerate(strip.tiles):
            left, top = tile_corner(column, row, side)
            page.paste(tile.picture, (left, top))
            _write(draw, tile.caption, left, top + side[1], side[0], CAPTION, tile.strong)
    return page


def tile_corner(column: int, row: int, side: tuple[int, int]) -> tuple[int, int]:
    """Return the left and top pixel of a tile in the grid, counted from 0; `side` is a tile's width and height."""
    return GAP + column * (side[0] + GAP), TITLE + row * (side[1] + CAPTION + GAP // 2)


def _strip(
    row: RowResult,
    run: RunResult,
    names: Sequence[str],
    hr: Sequence[Image.Image],
    values: Sequence[float | None],
    best: Sequence[float | None],
) -> Strip:
    tiles = []
    for name, original, value, top in zip(names, hr, values, best, strict=True):
        path = picture_path(run.folder / "samples", name)
        picture = _open(path)
        if picture.size != original.size:
            raise UserError(f"{path}: {picture.size} pixels, its HR has {original.size}; {_REDRAW}")
        strong = value is not None and value == top and math.isfinite(value) and not row.foreign
        tiles.append(Tile(picture, number_cell(value, 2).text, strong))
    return Strip(row.label, tuple(tiles))


def _run_to_show(row: RowResult, results: Results, names: Sequence[str]) -> RunResult | None:
    """Return the row's first scored run that keeps a picture of every face."""
    for run in row.scored_runs(results.test[0], results.protocol):
        if all(picture_path(run.folder / "samples", name).exists() for name in names):
            return run
    return None


def _psnr(run: RunResult, results: Results, name: str) -> float | None:
    """Return a run's PSNR of a face to the two decimals that are shown; faces alike by them share the best."""
    value = run.values(results.pictured, results.protocol, "psnr").get(name)
    return round(value, 2) if value is not None and not math.isnan(value) else None


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as file:
            return file.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises for damage
        raise UserError(f"{path}: not a whole picture ({error}); {_REDRAW}") from None


def _write(
    draw: ImageDraw.ImageDraw, text: str, left: int, top: int, width: int, height: int, strong: bool = False
) -> None:
    """Write text into the middle of a box, smaller where it is too wide, and cut where that is not enough."""
    if not text:
        return
    size = _TEXT
    while size > _LEAST_TEXT and _font(size, strong).getlength(text) > width:
        size -= 1
    while len(text) > 1 and _font(size, strong).getlength(text) > width:
        text = text.rstrip("…")[:-1] + "…"
    draw.text((left + width / 2, top + height / 2), text, "black", _font(size, strong), anchor="mm")


def _font(size: int, strong: bool) -> FreeTypeFont:
    """Return the font that matplotlib brings along: the same on every machine."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if strong else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
