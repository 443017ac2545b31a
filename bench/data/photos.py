"""Read photos straight from archives and folders, in the order of their names, one at a time.

Nothing is ever unpacked to disk. What can't be used is named, counted and skipped; what is not plain 8-bit RGB is
converted and counted.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bench.errors import UserError

_NO_PHOTO = {".txt", ".csv", ".md", ".json", ".pts", ".html", ".pdf"}
_ARCHIVES = (".tar", ".tar.gz", ".tgz")


@dataclass
class Tally:
    """What was read, skipped (name and reason) and converted (kind -> number); with `strict` a skip raises."""

    strict: bool = False
    read: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    converted: dict[str, int] = field(default_factory=dict)

    def skip(self, name: str, reason: str) -> None:
        """Note a file that is not used; raise UserError when nothing may be skipped."""
        if self.strict:
            raise UserError(f"{name}: {reason} (--strict)")
        self.skipped.append((name, reason))

    def to_json(self) -> dict[str, Any]:
        """Return the numbers, and the skipped files by reason (the first hundred names of each)."""
        reasons: dict[str, list[str]] = {}
        for name, reason in self.skipped:
            reasons.setdefault(reason, []).append(name)
        return {
            "read": self.read,
            "skipped": len(self.skipped),
            "converted": dict(sorted(self.converted.items())),
            "skipped_files": {
                reason: {"count": len(names), "names": names[:100]} for reason, names in sorted(reasons.items())
            },
        }


@dataclass(frozen=True)
class Entry:
    """A file in a source: its name without folders, and how to read it."""

    name: str
    where: str
    container: Path
    member: tarfile.TarInfo | None

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return self.member.size if self.member is not None else self.container.stat().st_size


@dataclass(frozen=True)
class Photo:
    """A decoded photo: `pixels` is uint8 RGB [H, W, 3], `sha256` that of the file."""

    name: str
    where: str
    sha256: str
    pixels: np.ndarray


def list_entries(sources: Sequence[Path], tally: Tally) -> list[Entry]:
    """List the files of tar archives and folders, sorted by name.

    Raises UserError for a source that is missing, empty, unreadable or a truncated archive: going on would silently
    lose photos.
    """
    if not sources:
        raise UserError("no source given: --source FILE.tar or --source DIR")
    found: list[Entry] = []
    for source in sources:
        own = _list_folder(source) if source.is_dir() else _list_archive(source, tally)
        if not own:
            raise UserError(f"{source}: no files in it; expected photos")
        found += own
    return sorted(found, key=lambda entry: (entry.name, entry.where))


def read_photos(entries: Sequence[Entry], tally: Tally) -> Iterator[Photo]:
    """Yield the photos of `entries`, which must be sorted by name.

    Two files of one name are one photo when their bytes are equal; otherwise UserError is raised.
    """
    archives: dict[Path, tarfile.TarFile] = {}
    last = ("", "", "")
    try:
        for entry in entries:
            content = _read(entry, archives)
            digest = hashlib.sha256(content).hexdigest()
            if entry.name == last[0]:
                if digest != last[1]:
                    raise UserError(f"{entry.where} and {last[2]} have one name but differ; rename or leave out one")
                tally.skip(entry.where, "the same photo again")
                continue
            last = (entry.name, digest, entry.where)
            try:
                pixels = decode(content, tally)
            except UserError as error:
                tally.skip(entry.where, str(error))
                continue
            tally.read += 1
            yield Photo(entry.name, entry.where, digest, pixels)
    finally:
        for archive in archives.values():
            archive.close()


def decode(content: bytes, tally: Tally) -> np.ndarray:
    """Decode a picture to uint8 RGB [H, W, 3], turned upright; count what was converted.

    Raises UserError, the reason as its text, for what is no whole picture or is absurdly large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                image.load()
                return _to_rgb(image, tally)
    except UnidentifiedImageError:
        raise UserError("empty file" if not content else "not a picture") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UserError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except (OSError, ValueError, SyntaxError, IndexError, EOFError, zlib.error):
        raise UserError("damaged picture") from None


def _to_rgb(image: Image.Image, tally: Tally) -> np.ndarray:
    kinds = []
    upright = ImageOps.exif_transpose(image)
    if image.getexif().get(0x0112, 1) != 1:
        kinds.append("rotated by EXIF")
    if upright.mode.startswith("I") or upright.mode == "F":
        kinds.append("16-bit")
        values = np.asarray(upright, np.float64)
        top = 65535 if values.max() > 255 else 255
        upright = Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))
    elif upright.mode in ("L", "1"):
        kinds.append("grey")
    elif upright.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV"):
        kinds.append({"P": "palette"}.get(upright.mode, upright.mode))
    if upright.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in upright.info:
        kinds.append("alpha")
        upright = upright.convert("RGBA")  # the transparent part keeps its colour; nothing is blended in
    for kind in kinds:
        tally.converted[kind] = tally.converted.get(kind, 0) + 1
    return np.asarray(upright.convert("RGB"))


def _list_folder(folder: Path) -> list[Entry]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    photos = [path for path in files if path.suffix.lower() not in {*_NO_PHOTO, ".tar", ".gz", ".tgz", ".zip"}]
    archives = [path.name for path in files if path.name.lower().endswith((*_ARCHIVES, ".zip"))]
    if archives and not photos:
        raise UserError(f"{folder}: holds archives ({archives[0]}) and no photos; give each archive as a --source")
    return [Entry(path.name, f"{folder.name}/{path.relative_to(folder).as_posix()}", path, None) for path in photos]


def _list_archive(path: Path, tally: Tally) -> list[Entry]:
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    found = []
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                where = f"{path.name}:{member.name}"
                if member.isdir() or name.name.startswith(".") or name.suffix.lower() in _NO_PHOTO:
                    continue
                if name.is_absolute() or ".." in name.parts or "\\" in member.name or not member.isfile():
                    tally.skip(where, "unsafe: a link, or a path out of the archive")
                    continue
                found.append(Entry(name.name, where, path, member))
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: not a whole tar archive ({error}); fetch it again") from None
    return found


def _read(entry: Entry, archives: dict[Path, tarfile.TarFile]) -> bytes:
    if entry.member is None:
        try:
            return entry.container.read_bytes()
        except PermissionError:
            raise UserError(f"{entry.container}: may not be read") from None
    if entry.container not in archives:
        archives[entry.container] = tarfile.open(entry.container)  # noqa: SIM115 - closed by read_photos
    try:
        file = archives[entry.container].extractfile(entry.member)
        content = file.read() if file is not None else b""
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{entry.where}: cannot be read ({error}); fetch the archive again") from None
    if len(content) != entry.size:
        raise UserError(f"{entry.where}: cut off after {len(content)} of {entry.size} bytes; fetch the archive again")
    return content
