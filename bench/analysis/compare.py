"""Two scores of `fsr score --json` beside each other, paired by image."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.analysis.intervals import Group, interval
from bench.core.errors import UserError
from bench.core.files import read_json
from bench.core.limits import shown
from bench.data.kin import clusters_of
from bench.metrics.catalogue import get_metric

_SAME = ("protocol", "dataset", "split", "scale", "degradation")  # or they are scores of different things
_Values = Mapping[tuple[str, str], Mapping[str, float]]  # (protocol, metric) -> image -> value


def compare_scores(a: Path, b: Path) -> dict[str, Any]:
    """Return by how much the scores in file `a` are above those in `b`, with 95% intervals over the images of both.

    Each file is one network's: nothing tells how other seeds of it would score, and the intervals are about these two
    alone. Faces of one photo or person, where that is known of the data set, count as drawn together.

    Raises UserError for a file of another kind or one that contradicts itself, and for scores under different
    protocols, on different faces or on none that both have.
    """
    first, second = _read(a), _read(b)
    _check_same(a, first, b, second)
    ours, theirs = _values(a, first), _values(b, second)
    names = [{image for column in values.values() for image in column} for values in (ours, theirs)]
    paired = names[0] & names[1]
    if names[0] == names[1] and first.get("fingerprint") != second.get("fingerprint"):
        raise UserError(f"{a} and {b}: images of the same names and other contents: other ground truth")
    both = [pair for pair in ours if pair in theirs]
    for pair in both:
        _check_mean(a, first, *pair, ours[pair])
        _check_mean(b, second, *pair, theirs[pair])
    whose = first if first.get("dataset") else second
    about = str(whose.get("dataset") or ""), str(whose.get("split") or "test")
    rows = [_row(*pair, ours[pair], theirs[pair], about) for pair in both]
    rows = [row for row in rows if row["n"]]
    if not rows:
        raise UserError(f"{a} and {b}: no metric of an image that both have")
    return {
        "a": str(a),
        "b": str(b),
        "about": {"a": _describe(first, names[0]), "b": _describe(second, names[1])},
        "identical": all(ours[pair] == theirs[pair] for pair in both),
        "paired": len(paired),
        "unpaired": [len(own - paired) for own in names],
        "failures": [len(scored.get("failures", ())) for scored in (first, second)],
        "intervals": "images",
        "metrics": rows,
    }


def _check_same(a: Path, first: Mapping[str, Any], b: Path, second: Mapping[str, Any]) -> None:
    """Raise UserError for scores of different things.

    Pictures scored against a folder of originals name no data set; whose they are is known by their fingerprint.
    """
    named = [given for given in (first, second) if given.get("dataset")]
    of_pictures = len(named) == 1 and first.get("fingerprint") == second.get("fingerprint")
    if len(named) == 1 and not of_pictures:
        dataset = named[0]["dataset"]
        raise UserError(
            f"{a} and {b}: one is of pictures whose originals are not the faces of {dataset}; score them against "
            f"those that `fsr data export {dataset} --hr DIR` writes"
        )
    for key in _SAME[:1] if of_pictures else _SAME:
        if first.get(key) != second.get(key):
            raise UserError(f"{a} and {b}: {key} is {first.get(key)} and {second.get(key)}, expected the same")


def _row(
    protocol: str, metric: str, ours: Mapping[str, float], theirs: Mapping[str, float], about: tuple[str, str]
) -> dict[str, Any]:
    spec, images = get_metric(metric), sorted(ours.keys() & theirs.keys())
    a, b = (np.array([[values[image] for image in images]]) for values in (ours, theirs))
    clusters = clusters_of(*about, images) if about[0] else ()
    estimate = interval([Group(a), Group(b)], [1.0, -1.0], None, clusters)
    sign = 1 if spec.higher_is_better else -1
    finite = np.isfinite(a) & np.isfinite(b)
    bounds = [value if math.isfinite(value) else None for value in (estimate.low, estimate.high)]
    return {
        "metric": metric,
        "protocol": protocol,
        "a": float(a[finite].mean()) if estimate.n else None,
        "b": float(b[finite].mean()) if estimate.n else None,
        "difference": estimate.mean if estimate.n else None,
        "ci95": bounds,
        "n": estimate.n,
        "wins": int((sign * (a - b)[finite] > 0).sum()),
        "losses": int((sign * (a - b)[finite] < 0).sum()),
    }


def _describe(given: Mapping[str, Any], images: Collection[str]) -> str:
    """Say what was scored: the method and its weights, or the pictures, the faces and how many."""
    scored = given.get("label") or given.get("method") or given.get("sr") or "unnamed pictures"
    weights = f" ({given['weights']})" if given.get("weights") else ""
    faces = " ".join(str(given[key]) for key in ("dataset", "split") if given.get(key)) or given.get("hr")
    return f"{scored}{weights}, {len(images)} faces" + (f" of {faces}" if faces else "")


def _read(path: Path) -> dict[str, Any]:
    if path.is_file() and not path.stat().st_size:
        raise UserError(f"{path}: empty: the command that writes it did not finish; run it again")
    given = read_json(path)
    if not isinstance(given, dict) or not isinstance(given.get("images"), list):
        raise UserError(f"{path}: no scores of images; expected what `fsr score --json` prints")
    if not isinstance(failing := given.get("failures", []), list):
        raise UserError(f"{path}: failures: {shown(failing)} given, expected a list of faces")
    return given


def _values(path: Path, given: Mapping[str, Any]) -> _Values:
    values: dict[tuple[str, str], dict[str, float]] = {}
    try:
        for row in given["images"]:
            column = values.setdefault((str(row["protocol"]), str(row["metric"])), {})
            image = str(row["image"])
            if image in column:
                raise UserError(f"{path}: image '{image}' has two values of {row['metric']}, expected one")
            column[image] = math.nan if row["value"] is None else float(row["value"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: images: expected rows of image, metric, protocol and value") from None
    return values


def _check_mean(path: Path, given: Mapping[str, Any], protocol: str, metric: str, values: Mapping[str, float]) -> None:
    """Raise UserError where a file states a mean that its images do not have, as far as digits are printed."""
    try:
        tables = [given.get("metrics", {})] if given.get("protocol") == protocol else []
        tables.append(given.get("protocols", {}).get(protocol, {}))
        stated = [table[metric]["mean"] for table in tables if metric in table]
        finite = [value for value in values.values() if math.isfinite(value)]
        mean = math.fsum(finite) / len(finite) if finite else None
        close = 0.5 * 10.0 ** -get_metric(metric).decimals
        wrong = [one for one in stated if one != mean and (one is None or mean is None or not abs(one - mean) <= close)]
    except (AttributeError, KeyError, TypeError, OverflowError):
        raise UserError(f"{path}: metrics: expected a table of means, as `fsr score --json` prints it") from None
    if wrong:
        found = f"the mean of {metric} is {shown(wrong[0])}, that of its images {shown(mean)}"
        raise UserError(f"{path}: {found}: edited or damaged; score the pictures again")
