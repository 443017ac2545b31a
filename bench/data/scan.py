"""From photos to manifest rows: every photo is hashed, and those that no manifest knows are looked at by a detector.

Detection is the slow part. It goes in fixed groups of photos, spread over processes with one thread each; every group
that is done is appended to a file, so that a killed scan goes on from there and ends with the same rows.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import os
import posixpath
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError
from bench.core.files import write_bytes, write_text
from bench.core.names import fold
from bench.core.parallel import ordered_map
from bench.core.progress import Bar
from bench.core.provenance import choose_device
from bench.core.stop import Stop
from bench.data.decode import decode
from bench.data.detect import Face, FaceDetector, choose_faces, make_detector, read_points
from bench.data.layouts import Placed
from bench.data.manifest import Row, sort_key
from bench.data.sources import Entry, Reader

if TYPE_CHECKING:
    from bench.data.crop import Recipe

log = logging.getLogger("fsr")
NO_FACE = "no face"
NO_POINTS = "no .pts file with points beside it"
# Photos that are looked at together. On a CPU larger groups do not fit its cache, and take memory.
MANY = 5_000  # photos from which on it is told beforehand what they take
_FIRST = 100  # photos that the time is measured on
_GROUP, _GROUP_ON_GPU = 5, 50
_SIGNS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # of NVIDIA's driver, of one under Windows, of AMD's


@dataclass(frozen=True)
class ScanOptions:
    """How a scan is done, which does not change its rows: processes, device, and whether bars are shown."""

    jobs: int = 1
    device: str = "auto"
    quiet: bool = False


def hash_photos(
    photos: Sequence[Placed], quiet: bool = False
) -> tuple[dict[str, str], dict[str, Placed], list[tuple[str, str]]]:
    """Return SHA-256 a file, the photo a file, and (where, reason) of photos that are there again.

    Raises UserError when two photos have one name and different bytes.
    """
    hashes: dict[str, str] = {}
    kept: dict[str, Placed] = {}
    again: list[tuple[str, str]] = []
    with Reader() as reader, Bar("hash", len(photos), quiet=quiet) as bar:
        for done, photo in enumerate(sorted(photos, key=_order), 1):
            digest = hashlib.sha256(reader.read(photo.entry)).hexdigest()
            if hashes.setdefault(photo.file, digest) != digest:
                where, other = photo.entry.where, kept[photo.file].entry.where
                raise UserError(f"{where} and {other} have one name but differ; rename or leave out one")
            if photo.file in kept:
                again.append((photo.entry.where, "the same photo again"))
            kept.setdefault(photo.file, photo)
            bar.update(done)
    return hashes, kept, again


def scan(
    photos: Mapping[str, Placed],
    hashes: Mapping[str, str],
    known: Mapping[str, Sequence[Row]],
    recipe: Recipe,
    partial: Path,
    sidecars: Mapping[str, Entry],
    how: ScanOptions,
) -> list[Row]:
    """Return the rows of all photos (file -> photo), sorted; those whose hash is in `known` are not looked at again.

    `partial` is the file that keeps what is found until the caller removes it. Raises Interrupted when asked to stop.
    """
    rows: list[Row] = []
    unknown: list[Placed] = []
    for file, photo in photos.items():
        own = known.get(hashes[file], ())
        rows += [dataclasses.replace(row, file=file, identity=photo.identity or row.identity) for row in own]
        if not own:
            unknown.append(photo)
    if unknown:
        for photo, result in _detect_all(sorted(unknown, key=_order), recipe, partial, sidecars, how):
            rows += _rows_of(photo, hashes[photo.file], result, recipe)
    return sorted(rows, key=sort_key)


def _order(photo: Placed) -> tuple[str, int]:
    return photo.entry.order


def _detect_all(
    photos: Sequence[Placed], recipe: Recipe, partial: Path, sidecars: Mapping[str, Entry], how: ScanOptions
) -> Iterator[tuple[Placed, dict[str, Any]]]:
    """Yield each photo with what was found in it, from the partial file as far as that goes."""
    device = _choose_device(recipe, how)
    size = _GROUP if device == "cpu" else _GROUP_ON_GPU
    groups = [photos[start : start + size] for start in range(0, len(photos), size)]
    done = _read_partial(partial, _key(photos, recipe, size))
    count = sum(map(len, done))
    if done:
        log.info("detection goes on after %d of %d photos", count, len(photos))
    for group, result in zip(groups, done, strict=False):
        yield from zip(group, result, strict=True)
    start = len(done)
    jobs = max(1, min(how.jobs if device == "cpu" else 1, len(groups) - start))
    work = functools.partial(detect_group, recipe=recipe, device=device)
    with (
        Stop() as stop,
        Reader() as reader,
        partial.open("a", encoding="utf-8") as file,
        Bar("detect", len(photos), start=count, quiet=how.quiet) as bar,
    ):
        points = _read_points(photos, reader, sidecars) if recipe.detector == "landmarks" else {}
        contents = (
            [(reader.read(photo.entry), points.get(photo.file, b"")) for photo in group] for group in groups[start:]
        )
        new, began, told = 0, time.monotonic(), how.quiet or len(photos) - count <= MANY
        results = ordered_map(work, contents, jobs=jobs, preload=("facenet_pytorch",))
        for group, result in zip(groups[start:], results, strict=True):
            file.write(json.dumps(result, separators=(",", ":")) + "\n")
            file.flush()
            yield from zip(group, result, strict=True)
            count += len(group)
            bar.update(count)
            new += len(group)
            if not told and new >= _FIRST:
                left = (time.monotonic() - began) / new * (len(photos) - count) / 60
                log.info("%s photos: finding faces takes %.0f minutes more, as the first did", f"{len(photos):,}", left)
                told = True
            stop.check(f"{count} of {len(photos)} photos are done")


def _choose_device(recipe: Recipe, how: ScanOptions) -> str:
    """Return the device that the detector runs on: for MTCNN, CUDA where there is one.

    Torch is asked only where there is a sign of a GPU: this process need not hold it in memory beside the others.
    """
    if recipe.detector != "mtcnn" or (how.device == "auto" and not any(map(os.path.exists, _SIGNS))):
        return "cpu"
    return str(choose_device(how.device))


def _read_points(photos: Sequence[Placed], reader: Reader, sidecars: Mapping[str, Entry]) -> dict[str, bytes]:
    """Return the .pts file of each photo that has one, all at once: archives may hold them far from their photos."""
    beside = {photo.file: sidecars.get(fold(posixpath.splitext(photo.entry.path)[0])) for photo in photos}
    wanted = [(entry.order, file, entry) for file, entry in beside.items() if entry is not None]
    return {file: reader.read(entry) for _, file, entry in sorted(wanted, key=lambda row: row[:2])}


def detect_group(contents: Sequence[tuple[bytes, bytes]], recipe: Recipe, device: str) -> list[dict[str, Any]]:
    """Decode photos and find their faces: for each width, height, kinds, problem, faces, version (plain values)."""
    detector = _detector(recipe.detector, recipe.min_face, recipe.least_probability, device)
    results: list[dict[str, Any]] = []
    photos, points, whole = [], [], []
    for content, pts in contents:
        try:
            photo = decode(content)
            if pts:
                read_points(pts)
        except UserError as error:
            results.append({"problem": str(error)})
            continue
        height, width = photo.pixels.shape[:2]
        results.append({"width": width, "height": height, "kinds": photo.kinds, "version": detector.version})
        photos.append(photo.pixels)
        points.append(pts)
        whole.append(results[-1])
    for result, faces in zip(whole, detector.detect(photos, points), strict=True):
        result["faces"] = [dataclasses.astuple(face) for face in faces]
    return results


@functools.lru_cache(maxsize=1)
def _detector(name: str, min_face: int, least_probability: float, device: str) -> FaceDetector:
    """Make the detector once a process; on a CPU one thread, since the processes fill the cores."""
    detector = make_detector(name, min_face=min_face, least_probability=least_probability, device=device)
    if name == "mtcnn":
        import torch

        torch.set_num_threads(1)
    return detector


def _rows_of(photo: Placed, digest: str, result: Mapping[str, Any], recipe: Recipe) -> list[Row]:
    seen = [Face(tuple(box), tuple(marks), probability) for box, marks, probability in result.get("faces", ())]
    width, height = result.get("width", 0), result.get("height", 0)
    none = NO_POINTS if recipe.detector == "landmarks" else NO_FACE
    faces = [face for face in seen if face.has_middle_in(width, height)]  # a square cannot be cut about another's
    row = Row(
        file=photo.file,
        sha256=digest,
        identity=photo.identity,
        width=width,
        height=height,
        kinds=tuple(result.get("kinds", ())),
        problem=result.get("problem", "") or ("" if faces else none),
        faces=len(faces),
        detector=recipe.detection,
        version=result.get("version", ""),
    )
    if not faces:
        return [row]
    chosen, why = choose_faces(faces, recipe.choose, width, height)
    return [
        dataclasses.replace(row, chosen=why, probability=face.probability, box=face.box, landmarks=face.landmarks)
        for face in chosen
    ]


def _key(photos: Sequence[Placed], recipe: Recipe, size: int) -> str:
    """Return what a partial file belongs to: these photos in this order, in groups of this size, and this detector."""
    digest = hashlib.sha256(f"{recipe.detection} {size}".encode())
    for photo in photos:
        digest.update(f"{photo.entry.path}\0{photo.entry.size}\0".encode())
    return digest.hexdigest()


def _read_partial(path: Path, key: str) -> list[list[dict[str, Any]]]:
    """Return the groups that an earlier scan has done, leaving `path` whole: a torn last line is cut off."""
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    if lines[0].decode(errors="replace") != key:
        write_text(path, key + "\n")
        return []
    whole = lines[1:-1]  # what follows the last line feed was not finished
    write_bytes(path, b"\n".join([lines[0], *whole, b""]))
    return [json.loads(line) for line in whole]
