"""The photos that `fsr upscale` is given, each once, with the names of their files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.core.errors import UserError
from bench.data.sources import Entry, list_sources


@dataclass(frozen=True)
class Photo:
    """A photo: its name as it was given, what the names of its files begin with, and why it cannot be read, or ""."""

    name: str
    stem: str
    entry: Entry | None
    problem: str = ""


def find_photos(given: Sequence[Path], out: Path) -> list[Photo]:
    """List photos and folders of photos, each photo once; what lies in `out`, inside such a folder, is passed over.

    The files of photos in subfolders begin with their path, "/" as "--". Raises UserError for what is not there, a
    folder without photos, and two photos whose files would have one name.
    """
    photos: dict[Path, Photo] = {}
    for path in given:
        for place, photo in _list_folder(path, out.resolve()) if path.is_dir() else [_only(path)]:
            photos.setdefault(place, photo)
    if not photos:
        raise UserError(f"{', '.join(map(str, given))}: no photos but those in --out {out}")
    stems: dict[str, Photo] = {}
    for photo in photos.values():
        if stems.setdefault(photo.stem, photo) is not photo:
            other = stems[photo.stem].name
            raise UserError(
                f"{photo.name} and {other} would both be written as '{photo.stem}_face1_sr.png'; rename one"
            )
    return list(photos.values())


def _only(path: Path) -> tuple[Path, Photo]:
    if not path.is_file():
        raise UserError(f"{path}: no such photo or folder")
    return path.resolve(), Photo(str(path), path.stem, Entry(path.name, path.parent, path.stat().st_size, 0))


def _list_folder(folder: Path, out: Path) -> Iterator[tuple[Path, Photo]]:
    """Yield where each photo of a folder really lies, and the photo; files that cannot be used are photos too."""
    real = folder.resolve()
    if real == out:
        raise UserError(f"--out {out}: the photos are there too; give another folder")
    listing = list_sources([folder])
    for entry in listing.photos:
        place = (folder / entry.path).resolve()
        if not (out.is_relative_to(real) and place.is_relative_to(out)):
            stem = PurePosixPath(entry.path).with_suffix("").as_posix().replace("/", "--")
            yield place, Photo(str(folder / entry.path), stem, entry)
    for where, why in listing.skipped:
        yield Path(where), Photo(where, where, None, why)
