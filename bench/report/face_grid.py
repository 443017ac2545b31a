"""Figures 7 and 8: the same faces by several methods, with two parts larger, scores and error maps, for print."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle
from PIL import Image

from bench.report.face_choice import FaceGrid, Shown
from bench.report.style import INK, PALETTE, settings
from bench.report.zoom import ASPECT, Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TILE = 0.98  # inches: seven columns fill both columns of an IEEE page
_GAP, _TITLE, _SCORE, _SIDE = 0.035, 0.17, 0.15, 0.15  # inches: between tiles, above, below, left of a failure's row
_LETTER = 0.062  # inches: a letter of a title of 7 points
_COLORS = {"eyes": PALETTE["orange"], "nose": PALETTE["green"], "mouth": PALETTE["sky"]}
_LEVELS = 64  # grey levels that the brightest point of an error map stands for
_QUALITY = 88


def draw_grid(grid: FaceGrid) -> Figure:
    """Draw a row of tiles a face: the upper zoomed part above each, the lower one below, then error map and scores."""
    above, below = _placed(grid)
    zoom = TILE * ASPECT + _GAP
    block = TILE + zoom * (bool(above) + bool(below)) + (TILE + _GAP) * grid.errors + _SCORE + _GAP
    side = _SIDE if grid.failure else 0.0
    width = side + len(grid.columns) * (TILE + _GAP) + _GAP
    height = _TITLE + len(grid.names) * block
    with settings():
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        for place, column in enumerate(grid.columns):
            left = side + _GAP + place * (TILE + _GAP)
            size = min(7.0, 7.0 * TILE / (_LETTER * len(column.title)))
            x, y = (left + TILE / 2) / width, 1 - 0.5 * _TITLE / height
            figure.text(x, y, column.title, size=size, weight="bold", ha="center", va="center")
            for face in range(len(grid.names)):
                _draw_cell(figure, grid, column, face, left, height - _TITLE - face * block, (above, below))
        if grid.failure:
            middle = (block - _SCORE) / 2 / height
            figure.text(0.5 * _SIDE / width, middle, "failure", size=7, rotation=90, ha="center", va="center")
            figure.add_artist(_rule(width, height, block))
    return figure


def grid_file(grid: FaceGrid, kind: str, pixels: int = 256) -> bytes:
    """Return the figure as "pdf", "png" or "webp", with `pixels` a tile; the same grid gives the same bytes."""
    figure, out, dpi = draw_grid(grid), io.BytesIO(), pixels / TILE
    with settings():
        if kind == "pdf":
            about: dict[str, Any] = {"CreationDate": None, "Creator": None, "Producer": None, "Subject": grid.caption}
            figure.savefig(out, format="pdf", dpi=dpi, metadata=about)
            return out.getvalue()
        figure.savefig(out, format="png", dpi=dpi, metadata={"Software": None})
    if kind == "webp":
        picture = Image.open(out).convert("RGB")
        out = io.BytesIO()
        picture.save(out, "WEBP", quality=_QUALITY, method=6)
    return out.getvalue()


def _placed(grid: FaceGrid) -> tuple[str, str]:
    """Return which part is zoomed above the tiles and which below, "" for none; the eyes are the upper ones."""
    if len(grid.zoom) == 2:
        return grid.zoom[0], grid.zoom[1]
    only = grid.zoom[0] if grid.zoom else ""
    return ("", only) if only == "mouth" else (only, "")


def _draw_cell(
    figure: Figure, grid: FaceGrid, column: Shown, face: int, left: float, top: float, zoom: tuple[str, str]
) -> None:
    """Draw one face of a column, from `top` downwards, all in inches."""
    picture, parts, at = column.pictures[face], grid.parts[face], top
    (above, below), tall = zoom, TILE * ASPECT
    upper = _show(figure, parts[above].cut(picture), left, at - tall, tall, _COLORS[above]) if above else None
    at -= (tall + _GAP) if above else 0
    tile = _show(figure, picture, left, at - TILE, TILE)
    at -= TILE + _GAP
    lower = _show(figure, parts[below].cut(picture), left, at - tall, tall, _COLORS[below]) if below else None
    at -= (tall + _GAP) if below else 0
    for axes, name, to in ((upper, above, 0), (lower, below, 1)):
        if axes is not None:
            _lead(figure, tile, axes, parts[name], _COLORS[name], to)
    if grid.errors:
        _draw_error(figure, grid, column, face, left, at - TILE)
        at -= TILE + _GAP
    width, height = figure.get_size_inches()
    text, strong = _score(column, face), bool(column.strong) and column.strong[face]
    weight = "bold" if strong else "normal"
    y = (at + _GAP - _SCORE / 2) / height
    figure.text((left + TILE / 2) / width, y, text, size=6.2, weight=weight, ha="center", va="center")


def _show(figure: Figure, picture: np.ndarray, left: float, bottom: float, tall: float, color: str = "") -> Axes:
    """Put a picture into a rectangle in inches, its pixels as squares, with a border of this colour."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, bottom / height, TILE / width, tall / height))
    axes.imshow(picture, interpolation="nearest", aspect="auto", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=bool(color), color=color or INK, linewidth=1.0)
    return axes


def _lead(figure: Figure, tile: Axes, zoomed: Axes, part: Part, color: str, to: int) -> None:
    """Frame a part in the tile and lead lines from its corners to those of its enlargement."""
    left, top = part.left - 0.5, part.top - 0.5
    tile.add_patch(Rectangle((left, top), part.width, part.height, fill=False, edgecolor=color, linewidth=0.7))
    y = top + part.height * to
    for x, corner in ((left, 0), (left + part.width, 1)):
        line = ConnectionPatch((x, y), (corner, to), tile.transData, zoomed.transAxes, color=color, linewidth=0.5)
        figure.add_artist(line)


def _draw_error(figure: Figure, grid: FaceGrid, column: Shown, face: int, left: float, bottom: float) -> None:
    """Draw how far a picture is from HR; under HR itself the scale."""
    width, height = figure.get_size_inches()
    hr = grid.columns[-1].pictures[face].astype(float)
    box = (left / width, bottom / height, TILE / width, TILE / height)
    if column is grid.columns[-1]:
        axes = figure.add_axes((box[0], box[1] + 0.1 * box[3], 0.12 * box[2], 0.8 * box[3]))
        axes.imshow(np.linspace(1, 0, 64)[:, None], cmap="magma", aspect="auto", extent=(0, 1, 0, _LEVELS))
        axes.set(xticks=[], yticks=[0, _LEVELS // 2, _LEVELS])
        axes.yaxis.tick_right()
        axes.tick_params(labelsize=5.5, length=2, width=0.5, pad=1)
        axes.set_title("grey levels", size=5.5, pad=4, loc="left")
    elif column is not grid.columns[0]:
        axes = figure.add_axes(box)
        apart = np.abs(column.pictures[face].astype(float) - hr).mean(axis=2)
        axes.imshow(apart, cmap="magma", vmin=0, vmax=_LEVELS, interpolation="nearest")
        axes.set_axis_off()


def _score(column: Shown, face: int) -> str:
    if not column.scores:
        return "PSNR / SSIM" if column.title.startswith("LR") else ""
    values: Sequence[float | None] = column.scores[face]
    texts = ["–" if value is None else f"{value:.{digits}f}" for value, digits in zip(values, (2, 4), strict=True)]  # noqa: RUF001
    return " / ".join(texts)


def _rule(width: float, height: float, block: float) -> Rectangle:
    """Return the line above the row of a failure."""
    return Rectangle((0, (block - _GAP / 2) / height), 1, 0.0, edgecolor=INK, linewidth=0.6, linestyle=(0, (4, 2)))
