"""The names and sizes of the small experiment that is archived, and helpers of its tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

NAME = "small-short-photos"
FACES, PICTURED = 3, 2


def write_quickly(path: Path, picture: np.ndarray) -> None:
    """Write a picture that need not be small: packing it well takes a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, lossless=True, quality=0, method=0)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.is_file()}
