"""One look for every figure: a fixed colour, marker and line per method, and the fonts and sizes of print.

A method's style is decided by its id, never by its place among others, so that it looks the same in every experiment:
styles.toml lists those that come with the suite, any other gets one from a hash. Colours are Okabe and Ito's, safe for
the colour-blind; marker and line repeat what the colour says, for grey prints.
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from bench.analysis.results import Results, RowResult
from bench.core.schema import from_dict, read_toml

WIDTH = 4.8  # inches: the text width of a plain article
WIDE = 7.16  # inches: both columns of an IEEE page
DPI = 200
PALETTE = {
    "black": "#000000",
    "sky": "#56B4E9",
    "vermillion": "#D55E00",
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "purple": "#CC79A7",
}
REFERENCE = "#7F7F7F"  # what others are held against: Bicubic, published numbers
FAINT = "#B8B8B8"  # rows that are there for completeness
GRID = "#DDDDDD"
INK = "#444444"
MARKERS = {  # Plotly's name -> matplotlib's
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "triangle-right": ">",
    "triangle-left": "<",
    "cross": "P",
    "x": "X",
    "pentagon": "p",
    "hexagon": "h",
    "star": "*",
}
DASHES: dict[str, tuple[float, ...]] = {  # Plotly's name -> matplotlib's lengths; none is a solid line
    "solid": (),
    "dash": (4, 1.5),
    "dot": (1, 1.2),
    "longdash": (7, 1.5),
    "dashdot": (5, 1.2, 1, 1.2),
}
_COLOURS = 256
_SETTINGS = {
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "text.parse_math": False,  # a label may hold a dollar sign
    "font.size": 8,
    "axes.labelsize": 8.5,
    "axes.titlesize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 7,
    "axes.linewidth": 0.7,
    "pdf.fonttype": 42,  # text stays text: journals refuse Type 3 fonts
}


@dataclass(frozen=True)
class Style:
    """How a method looks: a colour as #RRGGBB, and the names that Plotly has for its marker and its line."""

    color: str
    symbol: str
    dash: str
    width: float = 1.3

    @property
    def marker(self) -> str:
        """The marker by matplotlib's name."""
        return MARKERS[self.symbol]

    @property
    def dashes(self) -> tuple[float, ...]:
        """Lengths of dashes and gaps in line widths; empty for a solid line."""
        return DASHES[self.dash]

    @property
    def on_dark(self) -> str:
        """The colour on a dark page, where black is white."""
        return "#FFFFFF" if self.color == PALETTE["black"] else self.color

    @property
    def line(self) -> dict[str, Any]:
        """The style in matplotlib's words."""
        return {
            "color": self.color,
            "linewidth": self.width,
            "linestyle": (0, self.dashes) if self.dashes else "-",
            "marker": self.marker,
            "markersize": 4.5 if self.symbol != "star" else 7,
            "markeredgewidth": 0.3,
            "markeredgecolor": "white",
        }


@dataclass(frozen=True)
class _Listed:
    """styles.toml: colour, marker and line by a method's id, and by id and label of a row that changes its method."""

    methods: Mapping[str, tuple[str, str, str]]
    rows: Mapping[str, tuple[str, str, str]]


def style_of(method: str, label: str = "") -> Style:
    """Return the style of a method, or of the row of this label that changes the method; the same wherever it is."""
    key = f"{method}: {label}" if label else method
    listed = _listed()
    color, symbol, dash = (listed.rows if label else listed.methods).get(key) or _hashed(key)
    return Style({**PALETTE, "grey": REFERENCE}[color], symbol, dash, 1.0 if color == "grey" else 1.3)


def row_style(results: Results, row: RowResult) -> Style:
    """Return a row's style: its method's where it is the method as it is, else one of its own by its label."""
    return style_of(row.method, "" if row is results.plain(row.method) else row.label)


@functools.cache
def _listed() -> _Listed:
    path = Path(__file__).with_name("styles.toml")
    return from_dict(_Listed, read_toml(path), str(path))


def _hashed(key: str) -> tuple[str, str, str]:
    every = list(itertools.product(PALETTE, MARKERS, DASHES))
    return every[int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % len(every)]


def settings() -> AbstractContextManager[None]:
    """Set matplotlib's defaults with our sizes for as long as we draw, whatever the caller has set."""
    settings: dict[Any, Any] = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")}
    return matplotlib.rc_context(settings | dict(sns.axes_style("ticks")) | _SETTINGS)


def new_figure(size: tuple[float, float]) -> Figure:
    """Return an empty figure of this size in inches, with a canvas of its own."""
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """Return a figure as "png" or "pdf" without dates or versions: the same figure gives the same bytes.

    Its parts are placed once, however often it is saved.
    """
    kept: dict[str, dict[str, Any]] = {
        "png": {"metadata": {"Software": None}},
        "pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
    }
    out = io.BytesIO()
    with settings():
        if figure.get_layout_engine() is not None:
            figure.draw_without_rendering()
            figure.set_layout_engine(None)
        figure.savefig(out, format=kind, dpi=DPI, **kept[kind])
    return _in_few_colours(out) if kind == "png" else out.getvalue()


def _in_few_colours(picture: io.BytesIO) -> bytes:
    """Return a PNG of lines and letters with the 256 colours that fit it best, a third as large."""
    out = io.BytesIO()
    colours = Image.open(picture).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    colours.save(out, "PNG", optimize=True)
    return out.getvalue()
