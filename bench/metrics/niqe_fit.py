"""NIQE's pristine Gaussian, fitted to pictures of one's own: `fsr fit-niqe`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.errors import UserError
from bench.core.files import write_json
from bench.data.decode import decode
from bench.data.sources import HARMLESS, Reader, list_sources
from bench.data.store import open_split
from bench.metrics.niqe import BLOCK, CONVENTIONS, STRIDE, read_pristine
from bench.metrics.niqe_features import FEATURES, sharp_blocks

log = logging.getLogger("fsr")
_FEW = 10 * FEATURES  # blocks; the covariance has 666 numbers


def fit(pictures: Iterable[np.ndarray], out: Path, block: int = BLOCK, stride: int = STRIDE) -> dict[str, Any]:
    """Fit a pristine Gaussian to pictures, uint8 [H, W, 3] each, and write `out`; return what was made of what.

    Blocks lie `stride` pixels apart (published: side by side). Of each picture those count that are sharper (mean local
    deviation) than 0.75 of its sharpest. Raises UserError when fewer than 37 are left, whose covariance would be
    singular, for a picture smaller than a block, and for sides that can't be halved.
    """
    for name, value, least in (("block", block, 16), ("stride", stride, 2)):
        if value < least or value % 2:
            raise UserError(f"{name} {value}: expected an even number of pixels, at least {least}")
    parts = [sharp_blocks(picture, block, stride) for picture in pictures]
    blocks = np.concatenate([np.empty((0, FEATURES)), *parts])
    if len(blocks) <= FEATURES:
        raise UserError(f"only {len(blocks)} sharp blocks in {len(parts)} pictures: more than {FEATURES} are needed")
    if len(blocks) < _FEW:
        log.warning("%d blocks are few for a covariance of 36x36, take %d or more", len(blocks), _FEW)
    counts = {"block": block, "stride": stride, "blocks": len(blocks), "pictures": len(parts)}
    source = f"{len(blocks)} blocks of {block}x{block} of {len(parts)} pictures"
    mean, covariance = blocks.mean(axis=0).tolist(), np.cov(blocks, rowvar=False).tolist()
    write_json(out, {"source": source, **counts, "mean": mean, "covariance": covariance})
    names = [f"{convention}:{out}" for convention in CONVENTIONS]
    return {"path": str(out), "pristine": read_pristine(out).digest, **counts, "metrics": names}


def fit_files(path: Path, out: Path, block: int = BLOCK, stride: int = STRIDE) -> dict[str, Any]:
    """Fit to the pictures of a folder or archive, of any sizes, as `fit` does.

    Pictures smaller than a block are left out and counted as `too_small`. Raises UserError for a file that is no
    picture too.
    """
    too_small: list[str] = []
    try:
        fitted = fit(_read(path, block, too_small), out, block, stride)
    except UserError as error:
        left = f"; {len(too_small)} more are smaller than a block of {block}x{block}" if too_small else ""
        raise UserError(f"{error}{left}") from None
    return {**fitted, "too_small": len(too_small), "pictures_of": str(path)}


def fit_faces(
    dataset: str, split: str, faces: int | None, out: Path, block: int = BLOCK, stride: int = STRIDE
) -> dict[str, Any]:
    """Fit to the first `faces` faces (default: all) of a prepared set, as `fit` does.

    Raises UserError when the set is not there or has changed too.
    """
    if faces is not None and faces < 1:
        raise UserError(f"--faces {faces}: expected at least 1")
    store = open_split(dataset, split)
    if not store.has_truth:
        raise UserError(f"{dataset}: low-resolution faces of the real world are not pristine pictures")
    store.verify()
    count = min(faces or len(store), len(store))
    fitted = fit(map(np.array, store.faces[:count]), out, block, stride)
    return {**fitted, "too_small": 0, "dataset": dataset, "split": split, "fingerprint": store.fingerprint_of(count)}


def _read(path: Path, block: int, too_small: list[str]) -> Iterator[np.ndarray]:
    """Yield a source's pictures, uint8 [H, W, 3]; note those smaller than a block."""
    listing = list_sources([path])
    for where, why in listing.skipped:
        if why not in HARMLESS:
            raise UserError(f"{where}: {why}")
        log.warning("%s: left out: %s", where, why)
    with Reader() as reader:
        for entry in sorted(listing.photos, key=lambda photo: photo.order):
            try:
                pixels = decode(reader.read(entry)).pixels
            except UserError as error:
                raise UserError(f"{entry.where}: {error}") from None
            if min(pixels.shape[:2]) < block:
                too_small.append(entry.where)
            else:
                yield pixels
