"""Make face stores from photographs: list, hash, detect, crop, store."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import PIL
from PIL import features

from bench.core import paths
from bench.core.errors import UserError
from bench.core.files import read_json, read_unpacked, write_json
from bench.core.names import distinct_stems, listed, readable
from bench.core.schema import canonical_json, from_dict
from bench.data.cards import ANY_FOLDER, Card, card_names, manifest_paths, read_card
from bench.data.crop import TOO_SMALL, Crop, Recipe, crop_faces, plan_crops
from bench.data.decode import reading
from bench.data.detect import BAD_POINTS
from bench.data.layouts import Placed, read_identities
from bench.data.manifest import Row, by_photo, check_photos, read_manifest, write_manifest
from bench.data.scan import MANY, NO_FACE, NO_POINTS, ScanOptions, hash_photos, scan
from bench.data.sources import Entry, Listing, list_sources
from bench.data.store import FaceRow, FaceStore, alone, check_room, write_store

log = logging.getLogger("fsr")
_NAMED = 20  # files that a card names for each reason
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
Skipped = list[tuple[str, str]]  # where, reason


@dataclass(frozen=True)
class PhotoOptions:
    """What is asked for, beyond a card's defaults.

    `manifest`: files to crop from, with no detector. `split`: that of photos whose layout does not tell. `redetect`:
    the manifests that come with the card stay unused. `drop_leaks`: leave out faces that a test or training set has
    too, `drop_duplicates` those that their own split has already. `strict`: fail where a file would be skipped.
    """

    sources: Sequence[Path]
    name: str = ""
    split: str = "test"
    detector: str | None = None
    margin: float | None = None
    border: str | None = None
    manifest: Sequence[Path] = ()
    identities: Path | None = None
    redetect: bool = False
    drop_leaks: bool = False
    strict: bool = False
    drop_duplicates: bool = False
    how: ScanOptions = field(default_factory=ScanOptions)


def prepare_photos(card_name: str, wanted: PhotoOptions) -> list[FaceStore]:
    """Make the stores of the splits whose photos are in the sources; other splits stay as they are.

    A split whose sources and recipe have not changed since is not read again. Raises UserError for bad sources, photos
    of one name that differ, a manifest that does not fit, or when no face is found.
    """
    card, name = read_card(card_name), _name_of(card_name, wanted.name)
    recipe = _recipe(card, wanted)
    listing = list_sources(wanted.sources)
    splits, skipped = _place(card_name, card, listing, wanted)
    folder = paths.prepared() / name
    with alone(folder):
        points = listing.sidecars.values() if recipe.detector == "landmarks" else ()
        inputs = {split: _inputs(card_name, photos, points, recipe, wanted) for split, photos in splits.items()}
        # What leaks depends on the other sets too, so leaks are looked for among all faces each time.
        if not (wanted.drop_leaks or wanted.drop_duplicates) and all(
            _unchanged(folder / split, inputs[split]) for split in splits
        ):
            return [FaceStore.open(folder / split) for split in sorted(splits)]
        number = sum(map(len, splits.values()))
        check_room(folder, number, recipe.size)
        if number > MANY and not wanted.how.quiet:
            need = number * 3 * recipe.size**2 / 1e9
            log.info("%s photos: their faces will take up to %.1f GB in %s", f"{number:,}", need, folder)
        job = _Job(card_name, card, recipe, wanted, listing, skipped)
        photos = [photo for split in sorted(splits) for photo in splits[split]]
        hashes, kept, again = hash_photos(photos, wanted.how.quiet)
        job.skipped.extend(again)
        known = job.known_rows(hashes, folder)
        stores = []
        for split in sorted(splits):
            own = {file: photo for file, photo in kept.items() if photo.split == split}
            stores.append(job.prepare(folder / split, own, hashes, known, inputs[split]))
        return stores


@dataclass(frozen=True)
class _Job:
    """What all splits share on their way from photos to stores."""

    card_name: str
    card: Card
    recipe: Recipe
    wanted: PhotoOptions
    listing: Listing
    skipped: Skipped

    def known_rows(self, hashes: Mapping[str, str], folder: Path) -> list[Row]:
        """Return the rows of the manifests that were given, checked against the photos.

        Where none was, those that this detector has left in the manifests that come with the card and, being slow, in
        an earlier preparation in `folder`, so that another margin needs no detection; identities are not taken on.
        """
        if self.wanted.manifest:
            rows = [row for path in self.wanted.manifest for row in read_manifest(path)]
            check_photos(rows, hashes, ", ".join(map(str, self.wanted.manifest)))
            return rows
        known: dict[str, list[Row]] = {}
        if not self.wanted.redetect:
            earlier = listed(folder, "*/manifest.csv") if self.recipe.detector == "mtcnn" else []
            for path in [*manifest_paths(self.card_name).values(), *earlier]:
                own = read_manifest(path, self.recipe.detection)
                if path in earlier:  # what could not be read then may be now: another reader, more memory
                    again = ("", NO_FACE, NO_POINTS)
                    own = [dataclasses.replace(row, identity="") for row in own if row.problem in again]
                for digest, rows in by_photo(own).items():
                    known.setdefault(digest, [row for row in rows if row.file == rows[0].file])  # not its copies'
        return [row for rows in known.values() for row in rows]

    def prepare(
        self, path: Path, photos: Mapping[str, Placed], hashes: Mapping[str, str], known: Sequence[Row], inputs: object
    ) -> FaceStore:
        """Make the store `path` of the photos (by file) of one split."""
        detected = path.with_name(f".{path.name}.detected")
        rows, skipped = self._rows(photos, hashes, known, detected)
        crops, dropped = plan_crops(rows, self.recipe)
        if not crops:
            detected.unlink(missing_ok=True)
        self._check(rows, crops, dropped)
        how, entries = self.wanted.how, {file: photo.entry for file, photo in photos.items()}
        store = write_store(
            path,
            _face_rows(crops, photos),
            crop_faces(crops, entries, self.recipe.size, jobs=how.jobs, quiet=how.quiet),
            {
                "card": self.card_name,
                "kind": self.card.kind,
                "recipe": dataclasses.asdict(self.recipe),
                "counts": self._count(rows, crops, dropped, skipped),
                "sources": tuple(
                    readable(source.absolute()) for source in self.wanted.sources
                ),  # links keep their names
                "identities": _identity_list(self.card_name, self.wanted),
                "versions": {"pillow": PIL.__version__, "libjpeg-turbo": features.version("libjpeg_turbo")},
            },
            size=self.recipe.size,
            extra={
                "manifest.csv": partial(write_manifest, rows=rows),
                "inputs.json": partial(write_json, value=inputs),
            },
        )
        detected.unlink(missing_ok=True)
        return store

    def _rows(
        self, photos: Mapping[str, Placed], hashes: Mapping[str, str], known: Sequence[Row], detected: Path
    ) -> tuple[list[Row], Skipped]:
        """Return the manifest's rows of these photos, and the photos that a given manifest does not list."""
        if not self.wanted.manifest:
            sidecars = self.listing.sidecars
            return scan(photos, hashes, by_photo(known), self.recipe, detected, sidecars, self.wanted.how), []
        listed = {row.file for row in known}
        unlisted = [(photo.entry.where, "not in the manifest") for file, photo in photos.items() if file not in listed]
        return [row for row in known if row.file in photos], unlisted

    def _count(
        self, rows: Sequence[Row], crops: Sequence[Crop], dropped: Mapping[str, Sequence[str]], skipped: Skipped
    ) -> dict[str, Any]:
        others = self.listing.others.total()
        return _count(rows, crops, dropped, [*self.skipped, *skipped]) | ({"no pictures": others} if others else {})

    def _check(self, rows: Sequence[Row], crops: Sequence[Crop], dropped: Mapping[str, Sequence[str]]) -> None:
        """Raise UserError where nothing is left, or, when asked to be strict, where something is left out."""
        reasons = [(row.file, row.problem) for row in rows if row.problem]
        reasons += [(file, why) for why, files in dropped.items() for file in files]
        if not crops:
            first = f", e.g. {reasons[0][0]}: {reasons[0][1]}" if reasons else ""
            raise UserError(f"no face in any of the {len({row.file for row in rows})} photos{first}")
        if self.wanted.strict and reasons:
            raise UserError(f"{reasons[0][0]}: {reasons[0][1]} ({len(reasons)} such photos; --strict)")


def _name_of(card_name: str, name: str) -> str:
    """Return the data set's name: the card's, or one's own."""
    if card_name == ANY_FOLDER and not name:
        raise UserError("--name is missing: fsr prepare folder --name mine --source DIR")
    if name and (name in card_names() or name == ANY_FOLDER) and name != card_name:
        raise UserError(f"--name {name}: that is another data set's; choose a name of your own")
    if name and not _NAME.fullmatch(name):
        raise UserError(f"--name {name}: expected at most 100 letters, digits, '.', '_' and '-'")
    return name or card_name


def _recipe(card: Card, wanted: PhotoOptions) -> Recipe:
    given = dict(card.recipe)
    own = given.get("detector", Recipe().detector)
    if wanted.detector not in (None, own):
        given["detector"] = wanted.detector
        given["margin"] = card.margins.get(str(wanted.detector), given.get("margin", Recipe().margin))
    if wanted.margin is not None:
        given["margin"] = wanted.margin
    if wanted.border is not None:
        given["border"] = wanted.border
    return from_dict(Recipe, given, "recipe")


def _place(
    card_name: str, card: Card, listing: Listing, wanted: PhotoOptions
) -> tuple[dict[str, list[Placed]], Skipped]:
    """Return photos by split, and the files that are none of this data set's."""
    skipped = list(listing.skipped)
    identities = read_identities(wanted.identities) if wanted.identities else {}
    splits: dict[str, list[Placed]] = {}
    for entry in listing.photos:
        placed = card.layout.place(entry, wanted.split)
        if isinstance(placed, str):
            skipped.append((entry.where, placed))
        else:
            identity = identities.get(placed.file, placed.identity)
            splits.setdefault(placed.split, []).append(dataclasses.replace(placed, identity=identity))
    if not splits:
        reason = f" ({skipped[0][1]})" if skipped else ""
        raise UserError(f"no photo of {card_name} in {', '.join(map(str, wanted.sources))}{reason}")
    if wanted.strict and skipped:
        raise UserError(f"{skipped[0][0]}: {skipped[0][1]} ({len(skipped)} such files; --strict)")
    if wanted.identities:
        _check_listed(wanted.identities, identities, [photo.file for photos in splits.values() for photo in photos])
    return splits, skipped


def _check_listed(path: Path, identities: Mapping[str, str], files: Sequence[str]) -> None:
    """Say how many photos a list of identities lacks; raise UserError when it has none of them."""
    missing = [file for file in files if file not in identities]
    if len(missing) == len(files):
        first = f"names like '{next(iter(identities))}'" if identities else "nothing"
        raise UserError(f"{path}: lists {first}, none of the {len(files)} photos ('{files[0]}', ...)")
    if missing:
        log.warning("%s: %d of %d photos are not in it (%s)", path, len(missing), len(files), ", ".join(missing[:3]))


def _identity_list(card_name: str, wanted: PhotoOptions) -> str:
    """Return what tells the list that the photos' identities are from: a hash of given files, else the card's name."""
    given = [wanted.identities] if wanted.identities else wanted.manifest
    if given:
        return hashlib.sha256(b"".join(map(read_unpacked, given))).hexdigest()
    return "" if card_name == ANY_FOLDER else card_name


def _face_rows(crops: Sequence[Crop], photos: Mapping[str, Placed]) -> list[FaceRow]:
    """Return the store's rows; a face is called by its photo's name, and by a number where a photo has several."""
    seen: dict[str, int] = {}
    files = list(dict.fromkeys(crop.row.file for crop in crops))
    names = dict(zip(files, distinct_stems(files), strict=True))
    rows = []
    for crop in crops:
        row = crop.row
        name = names[row.file]
        if row.chosen == "all":
            seen[name] = seen.get(name, 0) + 1
            name = f"{name}-{seen[name]:03d}"
        square = f"{crop.square.left} {crop.square.top} {crop.square.side}"
        box, marks = (" ".join(map(str, values)) for values in (row.box or (), row.landmarks))
        source = photos[row.file].entry.where
        rows.append(FaceRow(name, source, row.sha256, box, square, marks, str(row.probability), row.identity))
    return rows


def _count(
    rows: Sequence[Row], crops: Sequence[Crop], dropped: Mapping[str, Sequence[str]], skipped: Skipped
) -> dict[str, Any]:
    """Return what became of the photos: numbers, and what was left out by reason (the first files of each)."""
    photos = {row.file: row for row in rows}
    problems = Counter(row.problem for row in photos.values() if row.problem)
    faceless = problems[NO_FACE] + problems[NO_POINTS]
    faceless += sum(count for problem, count in problems.items() if problem.startswith(BAD_POINTS))
    kinds = Counter(kind for row in photos.values() for kind in row.kinds)
    left_out: dict[str, list[str]] = {}
    reasons = [(file, row.problem) for file, row in photos.items() if row.problem]
    reasons += [(file, reason) for reason, files in dropped.items() for file in files]
    for file, reason in [*reasons, *skipped]:
        left_out.setdefault(reason, []).append(file)
    return {
        "photos": len(photos),
        "corrupt": problems.total() - faceless,
        "no face": faceless,
        "several faces": sum(row.faces > 1 for row in photos.values()),
        "too small": sum(len(files) for reason, files in dropped.items() if reason.startswith(TOO_SMALL)),
        "grey": kinds["grey"],
        "faces": len(crops),
        "converted": dict(sorted(kinds.items())),
        "left out": {
            reason: {"count": len(files), "files": list(dict.fromkeys(files))[:_NAMED]}
            for reason, files in sorted(left_out.items())
        },
    }


def _inputs(
    card_name: str, photos: Sequence[Placed], points: Iterable[Entry], recipe: Recipe, wanted: PhotoOptions
) -> dict[str, str]:
    """Return what tells whether a split must be made again: names, sizes and times of files, and all that is asked."""
    card_manifests = () if wanted.redetect else manifest_paths(card_name).values()
    given = wanted.manifest or card_manifests
    asked = [dataclasses.asdict(recipe), wanted.redetect, wanted.drop_leaks, wanted.strict]
    asked += ["drop duplicates"] if wanted.drop_duplicates else []
    digest = hashlib.sha256(canonical_json(asked).encode() + reading().encode())
    for path in [*given, *([wanted.identities] if wanted.identities else [])]:
        digest.update(read_unpacked(path) if path.exists() else b"")
    for source in sorted({photo.entry.source for photo in photos}):
        about = source.stat()
        digest.update(os.fsencode(source.resolve()) + f" {about.st_size} {about.st_mtime_ns}\n".encode())
    for entry, identity in [*((photo.entry, photo.identity) for photo in photos), *((entry, "") for entry in points)]:
        time = entry.file.stat().st_mtime_ns if entry.source.is_dir() else 0
        digest.update(f"{entry.where} {entry.size} {time} {identity}\n".encode())
    return {"inputs": digest.hexdigest()}


def _unchanged(path: Path, inputs: Mapping[str, str]) -> bool:
    """Tell whether a split is whole and made of the same; a damaged one is told."""
    try:
        same: bool = (path / "inputs.json").exists() and read_json(path / "inputs.json") == inputs
        if same:
            FaceStore.open(path).verify()
    except UserError as error:
        log.warning("prepared again: %s", error)
        return False
    return same
