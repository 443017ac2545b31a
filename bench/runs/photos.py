"""The photos that `fsr upscale` is given, each once, with the names of their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import UserError
from bench.core.names import distinct_stems, readable, writable
from bench.data.sources import Entry, Reader, list_sources


@dataclass(frozen=True)
class Photo:
    """A photo: its name as it was given, what the names of its files begin with, and why it cannot be read, or ""."""

    name: str
    stem: str
    entry: Entry | None
    problem: str = ""


def find_photos(given: Sequence[Path], out: Path) -> list[Photo]:
    """List photos and folders of photos, each photo once; what lies in `out`, inside such a folder, is passed over.

    The files of photos in subfolders begin with their path, "/" as "--", and those of photos of one name with its
    ending too. What cannot be read has its problem. Raises UserError for what is not there, and a folder
    without photos.
    """
    photos: dict[Path, tuple[str, Entry]] = {}
    problems: dict[Path, Photo] = {}
    for path in given:
        if path.is_dir():
            _add_folder(path, out.resolve(), photos, problems)
        elif path.is_file():
            entry = Entry(readable(path.name), path.parent, path.stat().st_size, 0, path.name)
            photos.setdefault(path.resolve(), (readable(path), entry))
        elif path.exists():
            raise UserError(f"{path}: neither a file nor a folder, but a pipe or a device; save the photo as a file")
        else:
            raise UserError(f"{path}: no such photo or folder")
    if not photos and not problems:
        raise UserError(f"{', '.join(map(readable, given))}: no photos but those in --out {out}")
    with Reader() as reader:
        for place, (name, entry) in photos.items():
            if problem := reader.problem(entry):
                problems[place] = Photo(name, "", None, problem)
    sound = [place for place in photos if place not in problems]
    stems = dict(zip(sound, distinct_stems([writable(photos[place][1].path) for place in sound]), strict=True))
    listed = [
        problems.pop(place) if place in problems else Photo(name, stems[place], entry)
        for place, (name, entry) in photos.items()
    ]
    return [*listed, *problems.values()]


def _add_folder(folder: Path, out: Path, photos: dict[Path, tuple[str, Entry]], problems: dict[Path, Photo]) -> None:
    """Add the photos of a folder by where they really lie, and the files that cannot be used."""
    real = folder.resolve()
    if real == out:
        raise UserError(f"--out {out}: the photos are there too; give another folder")
    listing = list_sources([folder])
    for entry in listing.photos:
        place = entry.file.resolve()
        if not (out.is_relative_to(real) and place.is_relative_to(out)):
            photos.setdefault(place, (readable(entry.file), entry))
    for where, why in listing.skipped:  # which names them from the folder's own name on
        place = listing.photos[0].source / where.partition("/")[2]
        problems.setdefault(place.absolute(), Photo(readable(place), "", None, why))
