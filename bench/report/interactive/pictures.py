"""The faces of the viewer: ground truth, LR and what rows made of it, as small pictures inside the page."""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from PIL import Image

from bench.analysis.claims import scores_of
from bench.analysis.results import FaceSet, Results, RowResult
from bench.core.errors import UserError
from bench.data.degrade import degrade
from bench.data.store import FaceStore, open_split
from bench.report.interactive.record import Face
from bench.runs.experiment import KEPT
from bench.runs.pictures import picture_path
from bench.runs.records import read_experiment_record

QUALITY = 85  # of WebP: on average 2 to 3 grey levels off
EXTREMES = 20  # worst and best faces of each row that the viewer lists
MOST = 96  # faces of a page whose originals it holds beside those of the picture grid


def faces_of(results: Results, test: FaceSet) -> dict[str, Face]:
    """Return the faces of a set that the viewer can show, by name: those with kept pictures, and extreme ones.

    The faces of the picture grid are kept with the experiment. The originals of others that runs have kept, and of each
    row's worst and best, come from the face store, where it is there and the results do not say that other faces are to
    be shown; what rows made of them is shown only where a run has kept it.
    """
    faces = dict(_kept(results)) if test == results.pictured else {}
    if results.drawn is None:
        faces |= _from_store(results, test, faces)
    return faces


def _kept(results: Results) -> Iterator[tuple[str, Face]]:
    folder = results.folder / "samples"
    for name in results.samples:
        pair = [picture_path(folder, f"{name}_{kind}") for kind in ("hr", "lr")]
        if all(path.exists() for path in pair):
            hr, lr = (_uri(_opened(path), path.stem.endswith("lr")) for path in pair)
            yield name, Face(hr, lr, _made(results, name))


def _made(results: Results, name: str) -> dict[str, str]:
    """Return what rows made of a face: each row's first scored run that has kept it."""
    made = {}
    for place, row in enumerate(results.rows):
        paths = (
            picture_path(run.folder / "samples", name) for run in row.scored_runs(results.test[0], results.protocol)
        )
        if (path := next((path for path in paths if path.exists()), None)) is not None:
            made[str(place)] = _uri(_opened(path))
    return made


def _from_store(results: Results, test: FaceSet, known: Mapping[str, Face]) -> dict[str, Face]:
    """Return the extreme faces of rows from the face store; none where the store is not the one that was scored."""
    try:
        store = open_split(test.dataset, test.split)
        same = len(store) >= test.faces and store.fingerprint_of(test.faces) == test.fingerprint
    except (UserError, OSError):
        return {}
    if not (same and store.has_truth):
        return {}
    share = MOST // max(1, sum(one.truth for one in results.test))
    kept = store.names[: min(KEPT, test.faces)] if test == results.test[0] else []
    names = [name for name in dict.fromkeys([*kept, *_extremes(results, test)]) if name not in known][:share]
    places = {row.name: place for place, row in enumerate(store.rows[: test.faces])}
    scale = read_experiment_record(results.folder).scale
    return {name: _face(results, store, places[name], name, scale) for name in names if name in places}


def _face(results: Results, store: FaceStore, place: int, name: str, scale: int) -> Face:
    hr = np.asarray(store.faces[place])
    return Face(_uri(hr), _uri(degrade(hr[None], scale)[0], True), _made(results, name))


def _extremes(results: Results, test: FaceSet) -> Iterable[str]:
    """Return each row's worst and best faces, the most extreme of all rows first, each name once."""
    orders = [order for row in results.rows if (order := _order(results, row, test))]
    ranks = range(min(EXTREMES, test.faces))
    return dict.fromkeys(order[end] for rank, order in itertools.product(ranks, orders) for end in (rank, -1 - rank))


def _order(results: Results, row: RowResult, test: FaceSet) -> list[str]:
    """Return the faces of a set from a row's worst to its best."""
    scores = scores_of(results, row, test, "psnr")
    if scores is None:
        return []
    names = sorted(row.scored_runs(test, results.protocol)[0].values(test, results.protocol, "psnr"))
    means = [float(mean) if math.isfinite(mean) else -math.inf for mean in scores.mean(axis=0)]
    return [names[place] for place in sorted(range(len(names)), key=means.__getitem__)]


def _opened(path: object) -> np.ndarray:
    try:
        with Image.open(str(path)) as file:
            return np.asarray(file.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises for damage
        raise UserError(f"{path}: not a whole picture ({error}); run the experiment again") from None


def _uri(pixels: np.ndarray, exact: bool = False) -> str:
    """Return a picture as a data URI: WebP, with `exact` without loss."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", lossless=exact, quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
