"""Which faces and rows a figure of faces shows, what each tile holds, and what its caption says of the choice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.analysis.claims import find_row, scores_of
from bench.analysis.failures import reference_row
from bench.analysis.results import FaceSet, Results, RowResult
from bench.core.errors import UserError, suggest
from bench.report.face_source import FaceSource
from bench.report.highlight import highlights
from bench.report.paper_table import set_title
from bench.report.words import listed
from bench.report.zoom import Part, check_parts, find_parts

MOST_COLUMNS = 7
FIRST, WORST, BEST = "first", "worst", "best"


@dataclass(frozen=True)
class Wanted:
    """What is asked for: rows by label or method id, faces by name or a rule (first, worst, best) and their number.

    `failure` adds the face on which the last row gains least, `test` is a data set, "" for the one that is pictured;
    with `kept_alone` no face is chosen that would have to be made anew.
    """

    rows: Sequence[str] = ()
    faces: Sequence[str] = (FIRST,)
    count: int = 5
    zoom: Sequence[str] = ("eyes", "mouth")
    failure: bool = False
    errors: bool = False
    test: str = ""
    kept_alone: bool = False


@dataclass(frozen=True)
class Shown:
    """One column: a title and a picture a face; below each its PSNR and SSIM, which the best of a face has in bold."""

    title: str
    pictures: Sequence[np.ndarray]
    scores: Sequence[tuple[float | None, float | None]] = ()
    strong: Sequence[bool] = ()


@dataclass(frozen=True)
class FaceGrid:
    """What a figure of faces holds: columns from LR to HR, the parts that are zoomed, and the caption.

    `failure` tells that the last face is there as a failure, `errors` that error maps are drawn.
    """

    columns: Sequence[Shown]
    names: Sequence[str]
    parts: Sequence[Mapping[str, Part]]
    caption: str
    failure: bool = False
    errors: bool = False
    zoom: tuple[str, ...] = field(default=())


def face_grid(results: Results, wanted: Wanted) -> FaceGrid:
    """Choose faces and rows, and put the figure's contents together.

    Raises UserError for a row, face, part or test set that is not there, for more than seven columns, and where a row
    has neither pictures of the faces nor weights to make them.
    """
    zoom, test = check_parts(wanted.zoom), _test_set(results, wanted.test)
    source = FaceSource(results, test)
    rows = _rows(source, wanted.rows)
    names, chosen = _choose(source, rows, wanted)
    made = [source.enlarged(row, names) for row in rows]
    hr = [source.original(name) for name in names]
    low = [source.low(name) for name in names]
    across, down = low[0].shape[1::-1]
    scores = [[(source.score(run, "psnr", name), source.score(run, "ssim", name)) for name in names] for run, _ in made]
    best = [_best([own[place][0] for own in scores]) for place in range(len(names))]
    columns = [Shown(f"LR {across}x{down}", [_squares(small, large) for small, large in zip(low, hr, strict=True)])]
    for row, (_, pictures), own in zip(rows, made, scores, strict=True):
        strong = [value[0] is not None and round(value[0], 2) == top for value, top in zip(own, best, strict=True)]
        columns.append(Shown(row.label, pictures, own, strong))
    columns.append(Shown("HR", hr))
    parts, found = find_parts(np.stack(hr), zoom)
    caption = f"Faces of {set_title(results, test)}: {chosen}. {_below(results, wanted.errors)}"
    caption += f" Zoomed: {listed(list(zoom))}, {found}." if zoom else ""
    return FaceGrid(columns, names, parts, caption, wanted.failure, wanted.errors, zoom)


def _below(results: Results, errors: bool) -> str:
    text = f"Below each PSNR (dB) and SSIM, protocol {results.protocol}, the best PSNR of a face in bold."
    return f"{text} Error maps are the mean absolute difference from HR over the colours." if errors else text


def _test_set(results: Results, name: str) -> FaceSet:
    sets = {results.pictured.dataset: results.pictured}
    sets |= {test.dataset: test for test in results.test if test.dataset not in sets}
    if name and name not in sets:
        raise UserError(f"{results.folder}: not tested on '{name}': {suggest(name, sets)}")
    test = sets[name] if name else results.pictured
    if not test.truth:
        raise UserError(f"{test.dataset}: real-world faces have no originals to show beside; give --data")
    return test


def _rows(source: FaceSource, asked: Sequence[str]) -> list[RowResult]:
    """Return the rows that are asked for, or the reference and those that matter, as many as there is room for."""
    results, room = source.results, MOST_COLUMNS - 2
    rows = list(dict.fromkeys(find_row(results, name) for name in asked))
    if len(rows) > room:
        raise UserError(f"--rows: {len(rows)} given, expected {room} at most beside LR and HR")
    if rows:
        return rows

    def mean(row: RowResult) -> float:
        scores = scores_of(results, row, source.test, "psnr")
        return -math.inf if scores is None or not np.isfinite(scores).all() else float(scores.mean())

    scored = [row for row in results.rows if mean(row) > -math.inf]
    matter = highlights(results, scored, mean, "the best mean")
    reference = reference_row(results)
    shown = [row for row in scored if row is reference or row in matter]
    if not shown:
        raise UserError(f"{results.folder}: no row is scored on {source.test.dataset} yet")
    return shown[:room] if shown[room:] == [] else [*shown[: room - 1], shown[-1]]


def _choose(source: FaceSource, rows: Sequence[RowResult], wanted: Wanted) -> tuple[list[str], str]:
    """Return the faces' names and, in words, how they were chosen."""
    rule = wanted.faces[0] if len(wanted.faces) == 1 and wanted.faces[0] in (FIRST, WORST, BEST) else ""
    choices = source.kept if wanted.kept_alone else source.choices(rows) if rule or wanted.failure else ()
    last = rows[-1]
    if (rule or wanted.failure) and not choices:
        raise UserError(f"{source.results.folder}: keeps no pictures of {source.test.dataset}; see --data")
    if not rule:
        names = list(dict.fromkeys(wanted.faces))
        text = f"{len(names)} chosen by hand"
    elif rule == FIRST:
        names = list(choices[: wanted.count])
        text = f"the first {len(names)} of the set, chosen by no result"
    else:
        values = _psnr(source, last, choices)
        names = sorted(choices, key=values.__getitem__, reverse=rule == BEST)[: wanted.count]
        where = "lowest" if rule == WORST else "highest"
        text = f"the {len(names)} of {len(choices):,} on which {last.label}'s PSNR is {where}"
    if wanted.failure:
        base = reference_row(source.results) or rows[0]
        ours, theirs = _psnr(source, last, choices), _psnr(source, base, choices)
        rest = [name for name in choices if name not in names]
        if not rest:
            raise UserError("--failure: all faces are shown already; give fewer by --count")
        worst = min(rest, key=lambda name: ours[name] - theirs[name])
        names.append(worst)
        text += f"; in the last row the one of {len(choices):,} on which {last.label} gains least over {base.label} "
        text += f"({ours[worst] - theirs[worst]:+.2f} dB)"
    return names, text


def _psnr(source: FaceSource, row: RowResult, names: Sequence[str]) -> dict[str, float]:
    """Return the PSNR of faces by the run of a row that is shown; minus infinity where there is none."""
    run = source.shown_run(row, names)
    found = {name: source.score(run, "psnr", name) for name in names}
    return {name: -math.inf if value is None or math.isnan(value) else value for name, value in found.items()}


def _best(values: Sequence[float | None]) -> float | None:
    known = [round(value, 2) for value in values if value is not None and math.isfinite(value)]
    return max(known, default=None)


def _squares(low: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """Return LR with every pixel as a square, as large as HR."""
    scale = len(hr) // len(low)
    return low.repeat(scale, axis=0).repeat(scale, axis=1)
