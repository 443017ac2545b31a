"""`fsr upscale`: find the faces of photos, shrink them as the benchmark does, and enlarge them by a trained network.

A photo or a face that something goes wrong with never ends the others: what happened stands beside it in the result.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.core.errors import UserError, reason
from bench.core.progress import Bar
from bench.core.schema import from_dict
from bench.core.stop import contained, guarded
from bench.data.cards import card_names, read_card
from bench.data.crop import Recipe, Square, cut, square_of
from bench.data.decode import decode
from bench.data.degrade import upsample
from bench.data.detect import FaceDetector, drop_overlapping, make_detector
from bench.data.manifest import Row, sort_key
from bench.data.scan import NO_FACE
from bench.data.sources import Reader
from bench.metrics.protocol import DEFAULT_PROTOCOL, get_protocol
from bench.runs.evaluate import Enlarger, low_resolution
from bench.runs.networks import ArchivedNetwork, archived_networks, open_run, reference, run_record
from bench.runs.photos import Photo
from bench.runs.pictures import write_png
from bench.runs.soundness import far_out, is_finite, share_out

log = logging.getLogger("fsr")
SIZE = 16  # pixels of the network's input; the committed networks have seen no other
# Of faces of 40 pixels and more in crowds, some of those below 0.95 are hands and hair; and of 2,130 faces in photos of
# several, true neighbours share at most 0.36 of the smaller box, boxes that stand for nobody 0.49 and more.
LEAST_PROBABILITY = 0.95
MOST_OVERLAP = 0.4
_OWNER = "fsr-photo"  # the text in a picture that says which photo it was made from, by hashes of its path and bytes


def choose_network(run: Path | None = None) -> ArchivedNetwork:
    """Return the network of a finished run's folder, by default the best committed one; raise UserError for none."""
    if run is not None:
        return open_run(run)
    if networks := archived_networks():
        return networks[0]
    way_out = "train one (make ablation) and give its run's folder, e.g. --run results/ablation/RUN"
    raise UserError(f"{reference()}: no trained network there; {way_out}")


def make_recipe(
    *,
    detect: bool = True,
    margin: float | None = None,
    min_face: int | None = None,
    min_probability: float | None = None,
) -> Recipe:
    """Return how faces are found and cut: as the first card of whole photographs says, but all of a photo, any square.

    Without `detect` a photo is one face, its largest square in the middle. Raises UserError for values out of range.
    """
    card = next(card for card in map(read_card, card_names()) if "center" in card.margins)
    probability = LEAST_PROBABILITY if min_probability is None else min_probability
    given: dict[str, Any] = {**card.recipe, "choose": "all", "least_side": 1, "least_probability": probability}
    if not detect:
        given |= {"detector": "center", "margin": card.margins["center"]}
    given |= {} if margin is None else {"margin": margin}
    given |= {} if min_face is None else {"min_face": min_face}
    return from_dict(Recipe, given, "upscale")


def upscale(
    photos: Sequence[Photo],
    network: ArchivedNetwork,
    recipe: Recipe,
    out: Path,
    device: torch.device,
    *,
    size: int = SIZE,
    most_overlap: float = MOST_OVERLAP,
    everything: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Super-resolve the faces of photos, write them into `out`, and return what was done, as JSON has it.

    `size` is the side of the network's input in pixels. A face's square that is larger goes the way of a data set's
    test faces: PIL bicubic to `size` x scale pixels, then the default degradation. One that is not has nothing to be
    shrunk: it is taken as it is, or brought to `size` by PIL bicubic. Of faces that overlap by more than `most_overlap`
    of the smaller box the likeliest is taken. With `everything` the input (enlarged by nearest) and, of what was
    shrunk, the crop are written too. Where the network's output is not finite Bicubic's picture is written. A photo
    that cannot be read, or has no face, and a face that cannot be written say so. Raises UserError when there is no
    detector and for a size that the network cannot take.
    """
    detector = make_detector(
        recipe.detector, min_face=recipe.min_face, least_probability=recipe.least_probability, device=str(device)
    )
    if not quiet:
        log.info("loading and checking %s (%s)", network.label, network.folder)
    enlarge = Enlarger(network.load(device), device, run_record(network.folder).config.chance)
    _check_size(network, enlarge, size)
    job = _Job(network, enlarge, detector, recipe, size, most_overlap, out, everything)
    done = []
    with Reader() as reader, Bar("upscale", len(photos), quiet=quiet or len(photos) == 1) as bar:
        for photo in photos:
            done.append(job.upscale(photo, reader))
            bar.update(len(done))
    if enlarge.chance:
        log.warning("%s: %s", network.label, enlarge.chance)
    return {
        "network": _describe(network),
        "size": size,
        "output": size * network.scale,
        "detector": recipe.detection,
        "margin": recipe.margin,
        "max_overlap": most_overlap,
        "out": str(out),
        "photos": done,
        "summary": _summarize(done),
    }


def _check_size(network: ArchivedNetwork, enlarge: Enlarger, size: int) -> None:
    """Raise UserError where the network does not turn an input of `size` pixels into a picture of `size` x scale."""
    try:
        with contained():
            (sr,) = enlarge(np.full((1, size, size, 3), 128, np.uint8))
    except Exception as error:
        problem = f"--size {size}: {network.label} cannot take {size}x{size} pixels ({reason(error)})"
        raise UserError(f"{problem}; multiples of 4 fit the networks here") from None
    side = size * network.scale
    if sr.shape[1:] != (3, side, side):
        shape = "x".join(map(str, sr.shape[1:]))
        raise UserError(f"{network.folder}: its network gives {shape} values a face, expected 3x{side}x{side}")


@dataclass(frozen=True)
class _Job:
    """What all photos share."""

    network: ArchivedNetwork
    enlarge: Enlarger
    detector: FaceDetector
    recipe: Recipe
    size: int
    most_overlap: float
    out: Path
    everything: bool

    def upscale(self, photo: Photo, reader: Reader) -> dict[str, Any]:
        """Write the faces of a photo; return its name, size, problem if any, what was left out, and its faces.

        `stem` is what the names of its files begin with.
        """
        about: dict[str, Any] = {"photo": photo.name, "width": None, "height": None, "problem": photo.problem or None}
        about |= {"converted": [], "left_out": {}, "stem": photo.stem, "renamed": False, "faces": []}
        if photo.entry is None:
            return about
        try:
            content = reader.read(photo.entry)
            decoded = decode(content, reduced=True)
            about["height"], about["width"] = decoded.pixels.shape[:2]
            about["converted"] = list(decoded.kinds)
            with guarded("face detection"):
                squares, about["left_out"] = self._find(decoded.pixels)
            if not squares:
                small = about["left_out"].get("small")
                return {**about, "problem": f"{NO_FACE} of {self.recipe.min_face} pixels" if small else NO_FACE}
            inputs = [self._shrink(decoded.pixels, square) for _, square in squares]
            with guarded(self.network.label):
                outputs = torch.cat(list(self.enlarge(np.stack([lr for lr, _ in inputs]))))
        except UserError as error:
            return {**about, "problem": str(error).removeprefix(f"{photo.entry.where}: ")}
        owner = " ".join(hashlib.sha256(each).hexdigest()[:16] for each in (_path_of(photo), content))
        about["stem"] = self._free_stem(photo.stem, len(squares), owner)
        about["renamed"] = about["stem"] != photo.stem
        pictures = self._to_pictures(outputs, np.stack([lr for lr, _ in inputs]))
        faces = []
        for number, (found, (lr, hr), sr, output) in enumerate(zip(squares, inputs, pictures, outputs, strict=True), 1):
            made = {"sr": sr}
            if self.everything:
                made["lr"] = lr.repeat(self.network.scale, 0).repeat(self.network.scale, 1)
                made |= {} if hr is None else {"hr": hr}
            names = {kind: f"{about['stem']}_face{number}_{kind}.png" for kind in made}
            faces.append({**self._describe(*found, output), **self._write(made, names, owner)})
        return {**about, "faces": faces}

    def _find(self, pixels: np.ndarray) -> tuple[list[tuple[Row, Square]], dict[str, int]]:
        """Return the faces of a photo, uint8 [H, W, 3], and their squares, from top to bottom, and how many are not.

        The detector's own limit holds for where it begins to look, not for the boxes that it ends with.
        """
        height, width = pixels.shape[:2]
        inside = [face for face in self.detector.detect([pixels], [b""])[0] if face.has_middle_in(width, height)]
        least = self.recipe.min_face if self.recipe.detector == "mtcnn" else 0
        large = [face for face in inside if face.side >= least]
        apart = drop_overlapping(large, self.most_overlap)
        left_out = {"small": len(inside) - len(large), "overlapping": len(large) - len(apart)}
        rows = [Row("", "", width=width, height=height, probability=face.probability, box=face.box) for face in apart]
        squares = [(row, square_of(row, self.recipe)) for row in sorted(rows, key=sort_key)]
        return [(row, square) for row, square in squares if isinstance(square, Square)], {
            why: count for why, count in left_out.items() if count
        }

    def _shrink(self, pixels: np.ndarray, square: Square) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the network's input, uint8 [size, size, 3], and the crop that it was shrunk from, if it was."""
        if square.side <= self.size:
            return cut(pixels, square, self.size), None
        hr = cut(pixels, square, self.size * self.network.scale)
        return low_resolution(hr[None], self.network.scale)[0], hr

    def _to_pictures(self, sr: torch.Tensor, lr: np.ndarray) -> np.ndarray:
        """Return outputs [N, 3, H, W] as pictures, uint8 [N, H, W, 3]: of inputs without a finite one, Bicubic's."""
        # A picture becomes 8-bit as it does for those of a report.
        eight_bit = get_protocol(DEFAULT_PROTOCOL).to_uint8(torch.nan_to_num(sr))
        pictures = np.array(eight_bit.permute(0, 2, 3, 1).cpu().numpy())
        broken = ~is_finite(sr).cpu().numpy()
        if broken.any():
            pictures[broken] = upsample(lr[broken], self.network.scale)
        return pictures

    def _describe(self, row: Row, square: Square, sr: torch.Tensor) -> dict[str, Any]:
        """Return where a face was, how its square was brought to the network's size, and how sound its output is."""
        finite = bool(is_finite(sr[None]))
        return {
            "box": list(row.box or ()),
            "probability": row.probability,
            "square": [square.left, square.top, square.side],
            "shrunk": square.side > self.size,
            "enlarged": square.side < self.size,
            "finite": finite,
            "range": [float(f"{value:.6g}") for value in (sr.min(), sr.max())] if finite else None,
            "far_out": finite and bool(far_out(sr[None])),
            "far_out_share": round(float(share_out(sr[None])), 6),
            "written": "network" if finite else "bicubic",
        }

    def _free_stem(self, stem: str, faces: int, owner: str) -> str:
        """Return `stem`, or where a picture of that name is of another photo, the first of stem-2, ... without one."""
        kinds, number, name = ("sr", "lr", "hr") if self.everything else ("sr",), 1, stem
        while any(
            _is_anothers(self.out / f"{name}_face{face}_{kind}.png", owner)
            for face in range(1, faces + 1)
            for kind in kinds
        ):
            number += 1
            name = f"{stem}-{number}"
        return name

    def _write(self, made: dict[str, np.ndarray], names: dict[str, str], owner: str) -> dict[str, Any]:
        """Write the pictures of a face; return their files and why one could not be written."""
        files: dict[str, str] = {}
        for kind, picture in made.items():
            path = self.out / names[kind]
            try:
                write_png(path, picture, **{_OWNER: owner})
            except OSError as error:
                return {"problem": f"{path}: cannot be written ({error.strerror or reason(error)})", "files": files}
            files[kind] = str(path)
        return {"problem": None, "files": files}


def _path_of(photo: Photo) -> bytes:
    assert photo.entry is not None
    return bytes(photo.entry.file.resolve())


def _is_anothers(path: Path, owner: str) -> bool:
    """Tell whether a file is there that was made neither from a photo of this path nor of these bytes."""
    try:
        with Image.open(path) as picture:
            marks = str(picture.info.get(_OWNER, "")).split()
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # writing will say why it cannot
        return False
    except (OSError, SyntaxError, ValueError):  # no picture of ours
        return True
    return not set(marks) & set(owner.split())


def _summarize(photos: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the numbers of photos and faces, of what was left out, and of what a reader must know."""
    faces = [face for photo in photos for face in photo["faces"]]
    left_out: Counter[str] = sum((Counter(photo["left_out"]) for photo in photos), Counter())
    without = [photo for photo in photos if (photo["problem"] or "").startswith(NO_FACE)]
    skipped = Counter(photo["problem"] for photo in photos if photo["problem"] and photo not in without)
    return {
        "photos": len(photos),
        "faces": len(faces),
        "without_face": len(without),
        "skipped": dict(skipped),
        "left_out": dict(left_out),
        "fallen_back": sum(not face["finite"] for face in faces),
        "far_out": sum(face["far_out"] for face in faces),
        "not_written": sum(face["problem"] is not None for face in faces),
    }


def _describe(network: ArchivedNetwork) -> dict[str, Any]:
    """Return which network it is, what it was trained on, and what its training photos' licence allows."""
    config = run_record(network.folder).config
    trained, licence = None, ""
    if config.train is not None and config.training is not None:
        budget = {"iterations": config.training.iterations, "batch": config.training.batch}
        trained = {"dataset": config.train.dataset, "faces": config.train.faces, **budget}
        if config.train.dataset in card_names():
            licence = read_card(config.train.dataset).licence
    return {
        "folder": str(network.folder),
        "experiment": network.experiment,
        "label": network.label,
        "method": network.method,
        "options": dict(network.options),
        "scale": network.scale,
        "psnr": network.psnr if math.isfinite(network.psnr) else None,
        "trained_on": trained,
        "research_only": "research" in licence.lower(),
    }
