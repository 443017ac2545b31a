"""NIQE's pristine Gaussian, fitted to pictures of one's own: `fsr fit-niqe`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.errors import UserError
from bench.core.files import read_json
from bench.data.decode import decode
from bench.data.sources import Reader, list_sources
from bench.data.store import open_split
from bench.metrics.niqe import BLOCK, FEATURES, STRIDE, fit
from bench.metrics.niqe_refit import CONVENTIONS

log = logging.getLogger("fsr")
_FEW = 10 * FEATURES  # blocks; the covariance has 666 numbers


def refit_pictures(path: Path, out: Path, block: int = BLOCK, stride: int = STRIDE) -> dict[str, Any]:
    """Fit to the pictures of a folder or archive, of any sizes, and write `out`; return what was made of what.

    Pictures smaller than a block are left out and counted as `too_small`. Raises UserError for a file that is no
    picture and when too few sharp blocks are left.
    """
    too_small: list[str] = []
    try:
        found = _refit(_read(path, block, too_small), out, block, stride)
    except UserError as error:
        left = f"; {len(too_small)} more are smaller than a block of {block}x{block}" if too_small else ""
        raise UserError(f"{error}{left}") from None
    return {**found, "too_small": len(too_small), "pictures_of": str(path)}


def refit_faces(
    dataset: str, split: str, faces: int | None, out: Path, block: int = BLOCK, stride: int = STRIDE
) -> dict[str, Any]:
    """Fit to the first `faces` faces (default: all) of a prepared set and write `out`; return what was made of what.

    Raises UserError when the set is not there or has changed, and when too few sharp blocks are left.
    """
    if faces is not None and faces < 1:
        raise UserError(f"--faces {faces}: expected at least 1")
    store = open_split(dataset, split)
    if not store.has_truth:
        raise UserError(f"{dataset}: low-resolution faces of the real world are not pristine pictures")
    store.verify()
    count = min(faces or len(store), len(store))
    found = _refit((np.array(face) for face in store.faces[:count]), out, block, stride)
    return {**found, "too_small": 0, "dataset": dataset, "split": split, "fingerprint": store.fingerprint_of(count)}


def refit_text(found: Mapping[str, Any]) -> str:
    """Return the result for a terminal."""
    left = f" ({found['too_small']} smaller than a block were left out)" if found["too_small"] else ""
    return (
        f"{found['path']}: {found['blocks']:,} sharp blocks of {found['block']}x{found['block']}, "
        f"{found['stride']} pixels apart, of {found['pictures']:,} pictures{left}\n"
        f"parameter hash {found['pristine']}\n"
        f"score with: --metric {found['metrics'][0]}"
    )


def _refit(pictures: Iterable[np.ndarray], out: Path, block: int, stride: int) -> dict[str, Any]:
    digest = fit(pictures, out, block, stride).digest
    written = read_json(out)
    if written["blocks"] < _FEW:
        log.warning("%d blocks are few for a covariance of 36x36, take %d or more", written["blocks"], _FEW)
    counts = {key: written[key] for key in ("block", "stride", "blocks", "pictures")}
    names = [f"{convention}:{out}" for convention in CONVENTIONS]
    return {"path": str(out), "pristine": digest, **counts, "metrics": names}


def _read(path: Path, block: int, too_small: list[str]) -> Iterator[np.ndarray]:
    """Yield a source's pictures, uint8 [H, W, 3]; note those smaller than a block."""
    listing = list_sources([path])
    for where, why in listing.skipped[:1]:
        raise UserError(f"{where}: {why}")
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
