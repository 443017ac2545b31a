"""The picture that README begins with: five faces, Bicubic, and the networks of the main committed experiment."""

from __future__ import annotations

from bench.analysis.failures import reference_row
from bench.analysis.results import Results
from bench.models.weights import find
from bench.report.face_choice import Wanted, face_grid
from bench.report.face_grid import grid_file

_FACES, _ROWS = 5, 4
_PIXELS = 128  # a tile: as many as a face has


def hero(results: Results) -> bytes | None:
    """Draw the first five kept faces as WebP: LR, four rows, HR; None where the experiment keeps no pictures."""
    wanted = hero_wanted(results)
    if not wanted.rows or not results.samples:
        return None
    return grid_file(face_grid(results, wanted), "webp", _PIXELS)


def hero_wanted(results: Results) -> Wanted:
    """Return what the picture shows: Bicubic, rows of which weights are kept, the control of as many parameters."""
    reference, kept = reference_row(results), [row for row in results.rows if any(find(run.folder) for run in row.runs)]
    rows = [
        row
        for row in results.rows
        if row is reference or row in kept or (row.match and row.match_by == "parameters" and not row.foreign)
    ]
    rows = [row for row in rows if row.scored_runs(results.pictured, results.protocol)][:_ROWS]
    return Wanted([row.label for row in rows], count=_FACES, zoom=("eyes",), kept_alone=True)
