"""NIQE, the distance of a picture's local statistics from those of pristine pictures, honest for small faces.

NIQE is the distance between the Gaussian of a picture's blocks (see bench.metrics.niqe_features) and that of pristine
pictures. A face of 128x128 holds a single block of the standard 96x96, and one block has no covariance, so three
conventions are told apart:

- `niqe-pooled`: one Gaussian over all blocks of the whole test set, four overlapping blocks a face. Defined, and the
  default in tables.
- `niqe`: the standard blocks, a single block's covariance taken as 0, as published values of such faces must have been
  made. It sees 56% of a face of 128x128.
- `niqe-tiled`: blocks of 32x32, of which a face has sixteen. The pristine Gaussian was made of larger blocks.

A Gaussian of one's own pristine pictures (`fsr fit-niqe`) makes the metrics `niqe-pooled:FILE.json` and so on. Rows
keep the name `niqe-pooled:<file's stem>@<hash of its bytes>`, which means one Gaussian wherever the file lies. A copy
under that hash is kept in the cache folder, so that worker processes and later commands find it by that name.

Source: Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer", 2013.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.core import paths
from bench.core.errors import UserError, reason
from bench.core.files import read_json, write_bytes
from bench.metrics.niqe_features import FEATURES, block_count, blocks_of, describe
from bench.metrics.spec import Described, Description, UnavailableError

log = logging.getLogger("fsr")
BLOCK, STRIDE = 96, 32  # pixels; NIQE's own blocks, and how far apart niqe-pooled lays them
CONVENTIONS = ("niqe-pooled", "niqe", "niqe-tiled")
PARAMETERS = Path(__file__).with_name("niqe_parameters.json")
_OTHER_BLOCK = "blocks of {0}x{0} against a pristine Gaussian of {1}x{1}"
_REFITTED = "not the published pristine pictures: compares with values of the same file alone"
_ONE_BLOCK = "one block of 96x96 in a face of 128x128: no covariance, and 44% of the face is not seen"
_KEPT = re.compile(r"([\w.-]+)@([0-9a-f]{12})")  # what rows call a file
_known: dict[str, Pristine] = {}  # by hash


@dataclass(frozen=True)
class Pristine:
    """The Gaussian of pristine blocks: `mean` [36], `covariance` [36, 36]; `digest` names the file it is from.

    `block` is the side of the blocks that it was fitted to.
    """

    mean: np.ndarray
    covariance: np.ndarray
    digest: str
    block: int = BLOCK


def read_pristine(path: Path) -> Pristine:
    """Read a pristine Gaussian; raise UserError for a file of another kind. Without `block` it is of 96x96."""
    given = read_json(path)
    try:
        mean, covariance = (np.array(given[key], np.float64) for key in ("mean", "covariance"))
        block = int(given.get("block", BLOCK))
    except (AttributeError, KeyError, TypeError, ValueError):
        mean = covariance = np.empty(0)
    if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES) or not np.isfinite(covariance).all():
        raise UserError(f"{path}: not NIQE parameters: expected a mean of 36 numbers and a covariance of 36x36")
    return Pristine(mean, covariance, hashlib.sha256(path.read_bytes()).hexdigest()[:12], block)


@functools.cache
def pristine() -> Pristine:
    """Return the published pristine Gaussian, read once."""
    return read_pristine(PARAMETERS)


def distances(features: np.ndarray, reference: Pristine) -> np.ndarray:
    """Return NIQE of each picture [N, blocks * 36]: float64 [N], NaN without a block that is not flat.

    A picture of one block has a covariance of 0.
    """
    single = _precision(np.zeros((FEATURES, FEATURES)), reference)
    values = np.full(len(features), np.nan)
    for place, blocks in enumerate(blocks_of(features)):
        blocks = blocks[np.isfinite(blocks).all(axis=1)]
        if len(blocks):
            precision = _precision(np.cov(blocks, rowvar=False), reference) if len(blocks) > 1 else single
            off = reference.mean - blocks.mean(axis=0)
            values[place] = np.sqrt(off @ precision @ off)
    return values


def pooled(features: np.ndarray, reference: Pristine) -> np.ndarray:
    """Return each picture's part in the NIQE of the whole set [N, blocks * 36]: float64 [N], whose mean is that NIQE.

    A part is the set's value plus the picture's influence on it (the derivative by the weight of its blocks), so that
    intervals over pictures hold for the set's value to first order; a part alone means nothing. Pictures of flat blocks
    alone have NaN, and so has everything when fewer than two blocks are left.
    """
    blocks = blocks_of(features)
    whole = np.isfinite(blocks).all(axis=2)
    every = blocks[whole]
    if len(every) < 2:
        return np.full(len(features), np.nan)
    mean, covariance = every.mean(axis=0), np.cov(every, rowvar=False)
    precision, off = _precision(covariance, reference), reference.mean - mean
    value = float(np.sqrt(off @ precision @ off))
    direction = precision @ off
    along = (blocks - mean) @ direction
    influence = -2 * along - 0.5 * (along**2 - direction @ covariance @ direction)
    if value:  # 0: the very blocks that the Gaussian was fitted to
        influence = influence / (2 * value)
    counts = whole.sum(axis=1)
    parts = np.where(whole, influence, 0).sum(axis=1) * (counts > 0).sum() / len(every)
    parts = np.where(counts > 0, parts, np.nan)
    return np.asarray(value + parts - np.nanmean(parts))


def _precision(covariance: np.ndarray, reference: Pristine) -> np.ndarray:
    """Return the inverse of the mean of a covariance and the pristine one."""
    return np.linalg.pinv((reference.covariance + covariance) / 2, hermitian=True)


def _parameters(block: int, stride: int, covariance: str, reference: Callable[[], Pristine]) -> Mapping[str, Any]:
    known = reference()
    return {
        "block": block,
        "stride": stride,
        "blocks_at_128x128": block_count(block, stride, 128, 128),
        "covariance": covariance,
        "pristine": known.digest,
        "pristine_block": known.block,
    }


def make_metrics(
    reference: Callable[[], Pristine] = pristine, pristine_block: int = BLOCK, label: str = ""
) -> tuple[Described, ...]:
    """Return the metrics of `CONVENTIONS` with the Gaussian that `reference` gives, fitted to blocks of that side.

    A `label` is added to names and titles and marks a Gaussian that is not the published one.
    """

    def make(name: str, title: str, block: int, stride: int, covariance: str, caution: str = "") -> Described:
        function = pooled if name == "niqe-pooled" else distances
        off = "" if block == pristine_block else _OTHER_BLOCK.format(block, pristine_block)
        return Described(
            f"{name}:{label}" if label else name,
            f"NIQE ({title}, {label.partition('@')[0]})" if label else f"NIQE ({title})",
            *("", False, 3, ()),
            "Mittal, Soundararajan and Bovik 2013" + (", refitted" if label else ""),
            partial(_parameters, block, stride, covariance, reference),
            "; ".join(filter(None, (caution, off, _REFITTED if label else ""))),
            description=Description(f"niqe-{block}-{stride}", partial(describe, block=block, stride=stride)),
            compare=lambda sr: function(sr, reference()),
        )

    return (
        make("niqe-pooled", "pooled", BLOCK, STRIDE, "of all blocks of the set"),
        make("niqe", "one block", BLOCK, BLOCK, "of a picture's blocks, 0 for one block", _ONE_BLOCK),
        make("niqe-tiled", "tiled", STRIDE, STRIDE, "of a picture's blocks"),
    )


METRICS = make_metrics()


def refitted_metric(convention: str, given: str) -> Described:
    """Return a convention of NIQE with the Gaussian `given`: a file's path, or the label that rows have.

    Raises UserError for a file that is missing or of another kind. Of a label whose file never was on this machine the
    metric is described, but it has no values (UnavailableError).
    """
    path, kept = Path(given), _KEPT.fullmatch(given)
    if kept and not path.exists():
        label, known = given, _find(kept[2])
    else:
        known = read_pristine(path)
        label = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', path.stem) or 'refit'}@{known.digest}"
        _keep(path, known)

    def reference() -> Pristine:
        if known is None:
            raise UnavailableError(f"its parameters are not here: give the file, as in --metric {convention}:FILE.json")
        return known

    return make_metrics(reference, known.block if known else BLOCK, label)[CONVENTIONS.index(convention)]


def _keep(path: Path, known: Pristine) -> None:
    """Remember a Gaussian under its hash, here and in the cache folder."""
    _known[known.digest] = known
    try:
        if not _copy(known.digest).exists():
            write_bytes(_copy(known.digest), path.read_bytes())
    except OSError as error:
        log.warning("%s is not kept for other processes: %s", path, reason(error))


def _find(digest: str) -> Pristine | None:
    """Return the Gaussian of a hash, None where it is not known or its copy is damaged."""
    if digest not in _known:
        with contextlib.suppress(UserError):
            if (copy := read_pristine(_copy(digest))).digest == digest:
                _known[digest] = copy
    return _known.get(digest)


def _copy(digest: str) -> Path:
    return paths.cache() / "niqe" / f"{digest}.json"
