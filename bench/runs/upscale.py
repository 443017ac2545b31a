"""`fsr upscale`: find the faces of photos, shrink them as the benchmark does, and enlarge them by a trained network."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.core.errors import UserError, reason
from bench.core.progress import Bar
from bench.core.schema import from_dict
from bench.data.cards import card_names, read_card
from bench.data.crop import Recipe, Square, cut, square_of
from bench.data.decode import decode
from bench.data.detect import FaceDetector, make_detector
from bench.data.manifest import Row, sort_key
from bench.data.scan import NO_FACE
from bench.data.sources import Reader
from bench.metrics.protocol import DEFAULT_PROTOCOL, get_protocol
from bench.runs.evaluate import Enlarger, low_resolution
from bench.runs.networks import ArchivedNetwork, archived_networks, open_run, reference, run_record
from bench.runs.photos import Photo
from bench.runs.pictures import write_png

log = logging.getLogger("fsr")
SIZE = 16  # pixels of the network's input; the committed networks have seen no other
_SIZES = (8, 256)


def choose_network(run: Path | None = None) -> ArchivedNetwork:
    """Return the network of a finished run's folder, by default the best committed one; raise UserError for none."""
    if run is not None:
        return open_run(run)
    if networks := archived_networks():
        return networks[0]
    way_out = "train one (make ablation) and give its run's folder, e.g. --run results/ablation/RUN"
    raise UserError(f"{reference()}: no trained network there; {way_out}")


def make_recipe(*, detect: bool = True, margin: float | None = None, min_face: int | None = None) -> Recipe:
    """Return how faces are found and cut: as the first card of photographs says, but all of a photo, of any size.

    Without `detect` a photo is one face, its largest square in the middle. Raises UserError for values out of range.
    """
    card = next(card for card in map(read_card, card_names()) if "detector" in card.recipe)
    given: dict[str, Any] = {**card.recipe, "choose": "all", "least_side": 1}
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
    everything: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Super-resolve the faces of photos, write them into `out`, and return what was done, as JSON has it.

    `size` is the side of the network's input in pixels. A face's square that is larger goes the way of a data set's
    test faces: PIL bicubic to `size` x scale pixels, then the default degradation. One that is not has nothing to be
    shrunk: it is taken as it is, or brought to `size` by PIL bicubic. With `everything` the input (enlarged by nearest)
    and, of what was shrunk, the crop are written too. A photo that cannot be read, or has no face, says so. Raises
    UserError when there is no detector and for a size that the network cannot take.
    """
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise UserError(f"--size {size}: expected {_SIZES[0]} to {_SIZES[1]} pixels")
    detector = make_detector(
        recipe.detector, min_face=recipe.min_face, least_probability=recipe.least_probability, device=str(device)
    )
    enlarge = Enlarger(network.load(device), device, run_record(network.folder).config.chance)
    job = _Job(network, enlarge, detector, recipe, size, out, everything)
    done = []
    with Reader() as reader, Bar("upscale", len(photos), quiet=quiet) as bar:
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
        "out": str(out),
        "photos": done,
    }


@dataclass(frozen=True)
class _Job:
    """What all photos share."""

    network: ArchivedNetwork
    enlarge: Enlarger
    detector: FaceDetector
    recipe: Recipe
    size: int
    out: Path
    everything: bool

    def upscale(self, photo: Photo, reader: Reader) -> dict[str, Any]:
        """Write the faces of a photo; return its name, size, problem if any, and faces."""
        about: dict[str, Any] = {"photo": photo.name, "width": None, "height": None, "problem": photo.problem or None}
        if photo.entry is None:
            return {**about, "faces": []}
        try:
            pixels = decode(reader.read(photo.entry), reduced=True).pixels
        except UserError as error:
            return {**about, "problem": str(error).removeprefix(f"{photo.entry.where}: "), "faces": []}
        about["height"], about["width"] = pixels.shape[:2]
        if squares := self._find(pixels):
            return {**about, "faces": self._write(photo.stem, pixels, squares)}
        return {**about, "problem": NO_FACE, "faces": []}

    def _find(self, pixels: np.ndarray) -> list[tuple[Row, Square]]:
        """Return the faces of a photo, uint8 [H, W, 3], and their squares, from top to bottom."""
        height, width = pixels.shape[:2]
        rows = [
            Row("", "", width=width, height=height, probability=face.probability, box=face.box)
            for face in self.detector.detect([pixels], [b""])[0]
            if face.has_middle_in(width, height)
        ]
        squares = [(row, square_of(row, self.recipe)) for row in sorted(rows, key=sort_key)]
        return [(row, square) for row, square in squares if isinstance(square, Square)]

    def _write(self, stem: str, pixels: np.ndarray, squares: Sequence[tuple[Row, Square]]) -> list[dict[str, Any]]:
        """Super-resolve and write the faces of a photo; return what is known of each, and its files."""
        inputs = [self._shrink(pixels, square) for _, square in squares]
        pictures = self._super_resolve(np.stack([lr for lr, _ in inputs]))
        faces = []
        for number, ((row, square), (lr, hr), sr) in enumerate(zip(squares, inputs, pictures, strict=True), 1):
            made = {"sr": sr}
            if self.everything:
                made["lr"] = lr.repeat(self.network.scale, 0).repeat(self.network.scale, 1)
                made |= {} if hr is None else {"hr": hr}
            files = {kind: self.out / f"{stem}_face{number}_{kind}.png" for kind in made}
            for kind, picture in made.items():
                write_png(files[kind], picture)
            faces.append(
                {
                    "box": list(row.box or ()),
                    "probability": row.probability,
                    "square": [square.left, square.top, square.side],
                    "shrunk": hr is not None,
                    "files": {kind: str(file) for kind, file in files.items()},
                }
            )
        return faces

    def _shrink(self, pixels: np.ndarray, square: Square) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the network's input, uint8 [size, size, 3], and the crop that it was shrunk from, if it was."""
        if square.side <= self.size:
            return cut(pixels, square, self.size), None
        hr = cut(pixels, square, self.size * self.network.scale)
        return low_resolution(hr[None], self.network.scale)[0], hr

    def _super_resolve(self, lr: np.ndarray) -> np.ndarray:
        """Return the network's pictures of uint8 [N, h, w, 3]: uint8 [N, h scale, w scale, 3]."""
        try:
            sr = torch.cat(list(self.enlarge(lr)))
        except RuntimeError as error:
            problem = f"--size {self.size}: {self.network.label} cannot take {self.size}x{self.size} pixels"
            raise UserError(f"{problem} ({reason(error)}); multiples of 4 fit the networks here") from None
        side = self.size * self.network.scale
        if sr.shape[-2:] != (side, side) or not bool(torch.isfinite(sr).all()):
            output = f"{sr.shape[-1]}x{sr.shape[-2]} pixels or values that are not finite"
            raise UserError(f"{self.network.folder}: its network gives {output}, expected {side}x{side} finite ones")
        # A picture becomes 8-bit as it does for those of a report.
        return np.asarray(get_protocol(DEFAULT_PROTOCOL).to_uint8(sr).permute(0, 2, 3, 1).cpu().numpy())


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
