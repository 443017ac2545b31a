"""Small pictures and archives that the tests of photos share."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def picture(
    seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (12, 10), kind: str = "PNG", **how: object
) -> bytes:
    """Return a picture of random pixels, `size` (width, height), as a file of a kind that Pillow knows."""
    draw = np.random.default_rng(seed)
    image = Image.fromarray(draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)
    return save(image, kind, **how)


def textured(seed: int, size: tuple[int, int] = (178, 218)) -> Image.Image:
    """Return a random picture, `size` (width, height), with coarse and fine structure, as photographs have it."""
    draw, total = np.random.default_rng(seed), np.zeros((size[1], size[0], 3))
    for cells, weight in ((7, 0.5), (17, 0.3), (41, 0.2)):
        noise = draw.integers(0, 256, (cells, cells, 3), np.uint8)
        total += weight * np.asarray(Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC))
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def photograph(seed: int, size: tuple[int, int] = (178, 218), quality: int = 95, mirrored: bool = False) -> bytes:
    """Return a `textured` picture as a JPEG file."""
    whole = textured(seed, size)
    return save(ImageOps.mirror(whole) if mirrored else whole, "JPEG", quality=quality)


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


def with_names(path: Path, names: dict[str, bytes]) -> None:
    """Give the members of an archive other names, of as many bytes."""
    content = path.read_bytes()
    for old, new in names.items():
        if path.suffix == ".tar":  # a checksum of the header's bytes goes with the name
            at = content.index(old.encode() + b"\0")
            header = bytearray(content[at : at + 512])
            header[: len(new)], header[148:156] = new, b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            content = content[:at] + header + content[at + 512 :]
        else:
            content = content.replace(old.encode(), new)
    path.write_bytes(content)
