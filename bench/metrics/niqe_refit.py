"""NIQE with pristine pictures of one's own: the metrics `niqe-pooled:FILE.json` of a file that `fsr fit-niqe` wrote.

Rows keep the name `niqe-pooled:<file's stem>@<hash of its bytes>`, which means one Gaussian wherever the file lies. A
copy under that hash is kept in the cache folder, so that worker processes and later commands find it by that name.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from bench.core import paths
from bench.core.errors import UserError, reason
from bench.core.files import write_bytes
from bench.metrics.niqe import BLOCK, Pristine, make_metrics, read_pristine
from bench.metrics.spec import Described, UnavailableError

log = logging.getLogger("fsr")
CONVENTIONS = ("niqe-pooled", "niqe", "niqe-tiled")
_KEPT = re.compile(r"([\w.-]+)@([0-9a-f]{12})")  # what rows call a file
_known: dict[str, Pristine] = {}  # by hash


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

    metrics = dict(zip(CONVENTIONS, make_metrics(reference, known.block if known else BLOCK, label), strict=True))
    return metrics[convention]


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
        try:
            copy = read_pristine(_copy(digest))
        except UserError:
            return None
        if copy.digest != digest:
            return None
        _known[digest] = copy
    return _known[digest]


def _copy(digest: str) -> Path:
    return paths.cache() / "niqe" / f"{digest}.json"
