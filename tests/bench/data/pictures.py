"""Small pictures and archives that the tests of photos share."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def picture(
    seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (12, 10), kind: str = "PNG", **how: object
) -> bytes:
    """Return a picture of random pixels, `size` (width, height), as a file of a kind that Pillow knows."""
    draw = np.random.default_rng(seed)
    image = Image.fromarray(draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)
    return save(image, kind, **how)


def save(image: Image.Image, kind: str = "PNG", **how: object) -> bytes:
    """Return an image as a file."""
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files, in their order, to a folder, a tar, a tar.gz or a zip, as the suffix of `path` says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in files.items():
                packed.writestr(name, content)
    elif path.suffix in (".tar", ".gz", ".tgz"):
        with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path
