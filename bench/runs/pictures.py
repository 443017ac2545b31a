"""Sample pictures of runs: PNG while runs are made, WebP (two thirds of the size) where they are kept."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bench.core.files import write_bytes
from bench.core.names import writable


def write_png(path: Path, picture: np.ndarray, **texts: str) -> None:
    """Write uint8 [H, W, 3] as a PNG file, in one step, with `texts` in its header."""
    _write(path, png_bytes(picture, **texts))


def png_bytes(picture: np.ndarray, **texts: str) -> bytes:
    """Return uint8 [H, W, 3] as a PNG file with `texts` in its header; the same picture gives the same bytes."""
    out, info = io.BytesIO(), PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.fromarray(picture).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def write_webp(path: Path, picture: np.ndarray) -> None:
    """Write uint8 [H, W, 3] as a lossless WebP file, in one step."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "WEBP", lossless=True, quality=100, method=6, exact=True)
    _write(path, out.getvalue())


def shown_levels(picture: np.ndarray) -> np.ndarray:
    """Return uint8 values rounded to multiples of 3 (0 and 255 among them), at most one grey level off.

    This is what a picture grid shows, and its own result: a grid of rounded pictures has the same bytes.
    """
    return ((picture.astype(np.uint16) + 1) // 3 * 3).astype(np.uint8)


def picture_path(folder: Path, name: str) -> Path:
    """Return where the picture `name` lies in `folder`, in whichever format it is there; else where it is expected."""
    webp = folder / f"{writable(name)}.webp"
    return webp if webp.exists() else webp.with_name(f"{writable(name)}.png")


def _write(path: Path, content: bytes) -> None:
    """Replace a picture, but leave one alone that is the same: reports are drawn again when a picture has changed."""
    path = path.with_name(writable(path.name))
    if not path.exists() or path.read_bytes() != content:
        write_bytes(path, content)
