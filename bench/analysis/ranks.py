"""Rows ranked over several data sets: Friedman's test and Nemenyi's critical difference.

Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006, section 3.2: within each block (a
data set) rows get ranks, and average ranks are compared. What a block measures and how wide its scores are spread does
not matter, so that data sets of different difficulty can be put together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bench.analysis.claims import find_row, scores_of
from bench.analysis.results import FaceSet, Results, RowResult
from bench.core.errors import UserError

ENOUGH = 3  # blocks: with fewer no test is made
_GOOD = 10  # blocks from which on Friedman's chi-square is a good approximation (Demsar 2006, section 3.2.2)


@dataclass(frozen=True)
class Blocks:
    """Scores [rows, blocks], what each block is (`over`: data sets or images), what is left out and what to know."""

    over: str
    rows: tuple[str, ...]
    values: np.ndarray
    names: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranking:
    """Rows from the best average rank to the worst, over `blocks` blocks.

    `p` is Friedman's, of all rows being alike. Between two rows whose average ranks are `critical` or less apart no
    difference can be claimed; `groups` are the largest sets of such rows, or all rows where p claims nothing. With
    fewer than 3 blocks there is no test: p and critical are NaN, groups empty.
    """

    rows: tuple[str, ...]
    average: tuple[float, ...]
    blocks: int
    p: float
    critical: float
    groups: tuple[tuple[str, ...], ...]


def rank(values: np.ndarray, rows: Sequence[str], higher_is_better: bool, level: float = 0.95) -> Ranking:
    """Rank `rows` by scores [rows, blocks], 1 the best; equal scores share their ranks' mean.

    Friedman's p is by chi-square, on the safe side for fewer than about 10 blocks, and 1 where all scores are equal.
    Raises UserError for fewer than three rows (two are compared by an interval), rows of one name, scores that are not
    numbers, and a level outside (0, 1).
    """
    if len(rows) < 3:
        raise UserError(f"{len(rows)} rows: ranks take at least three; `fsr power` compares two by their interval")
    if not 0 < level < 1:
        raise UserError(f"level {level:g}: expected a number between 0 and 1, e.g. 0.95")
    if len(set(rows)) < len(rows):
        raise UserError("two rows of one name: ranks tell rows apart by their names")
    if np.isnan(values).any():
        raise UserError("a score is not a number: ranks take every row on every block")
    average = stats.rankdata(-values if higher_is_better else values, axis=0).mean(axis=1)
    order = np.argsort(average, kind="stable")
    names, ranks, blocks = tuple(rows[place] for place in order), tuple(average[order].tolist()), values.shape[1]
    if blocks < ENOUGH:
        return Ranking(names, ranks, blocks, math.nan, math.nan, ())
    critical = critical_difference(len(rows), blocks, level)
    p = 1.0 if (values == values[:1]).all() else float(stats.friedmanchisquare(*values).pvalue)
    return Ranking(names, ranks, blocks, p, critical, _groups(names, ranks, critical) if p < 1 - level else (names,))


def critical_difference(rows: int, blocks: int, level: float = 0.95) -> float:
    """Return how far apart two average ranks must be to claim a difference (Nemenyi 1963; Demsar 2006, 3.2.2)."""
    q = float(stats.studentized_range.ppf(level, rows, math.inf)) / math.sqrt(2)
    return q * math.sqrt(rows * (rows + 1) / (6 * blocks))


def _groups(rows: Sequence[str], ranks: Sequence[float], critical: float) -> tuple[tuple[str, ...], ...]:
    """Return the longest runs of rows, two at least, whose first and last are `critical` apart; none within another."""
    runs: list[tuple[int, int]] = []
    for start, low in enumerate(ranks):
        end = max(place for place, high in enumerate(ranks) if high - low <= critical)
        if end > start and (not runs or end > runs[-1][1]):
            runs.append((start, end))
    return tuple(tuple(rows[start : end + 1]) for start, end in runs)


def data_set_blocks(
    experiments: Mapping[str, Results], names: Sequence[str], metric: str, protocol: str | None
) -> Blocks:
    """Make a block of every experiment and test set on which all rows are scored: means over images and seeds.

    Rows are found by label or method id; without names they are those that every experiment has and that are scored
    anywhere. Images without a finite score in any row are left out.
    """
    labels = tuple(names) or _common(experiments, metric, protocol)
    blocks, left_out, sets = {}, [], set()
    for name, results in experiments.items():
        rows = [find_row(results, label) for label in labels]
        for test in results.test:
            scores, missing = _scores(results, rows, test, metric, protocol)
            where = f"{name} on {test.dataset}"
            if missing:
                left_out.append(f"{where}: no {metric} of {', '.join(missing)}")
            elif scores.shape[1] == 0:
                left_out.append(f"{where}: no image has a finite {metric} in every row")
            else:
                blocks[where] = scores.mean(axis=1)
                sets.add((test.dataset, test.fingerprint))
    cautions = ["some blocks share a test set: they are not independent"] if len(sets) < len(blocks) else []
    if ENOUGH <= len(blocks) < _GOOD:
        cautions.append(f"with fewer than {_GOOD} data sets Friedman's p is a rough approximation")
    values = np.stack([*blocks.values()], axis=1) if blocks else np.empty((len(labels), 0))
    shown = tuple(find_row(next(iter(experiments.values())), label).label for label in labels)
    return Blocks("data sets", shown, values, tuple(blocks), tuple(left_out), tuple(cautions))


def image_blocks(results: Results, test: FaceSet, names: Sequence[str], metric: str, protocol: str | None) -> Blocks:
    """Make a block of every image of one test set, means over seeds; images not finite in every row are left out.

    Ranks then tell about this test set and these seeds alone. Without names all rows that are scored are ranked.
    """
    rows = [find_row(results, name) for name in names] or list(results.rows)
    scores, missing = _scores(results, rows, test, metric, protocol)
    left_out = (f"rows without {metric} on {test.dataset}: {', '.join(missing)}",) if missing else ()
    shown = tuple(row.label for row in rows if row.label not in missing)
    caution = "blocks are images, so this tells about one test set and these seeds, not about others"
    return Blocks("images", shown, scores, (f"{scores.shape[1]} images of {test.dataset}",), left_out, (caution,))


def _scores(
    results: Results, rows: Sequence[RowResult], test: FaceSet, metric: str, protocol: str | None
) -> tuple[np.ndarray, list[str]]:
    """Return scores [rows, images] averaged over seeds, of images finite in every row, and the rows without scores."""
    scored = {row.label: scores_of(results, row, test, metric, protocol) for row in rows}
    means = [values.mean(axis=0) for values in scored.values() if values is not None]
    scores = np.array(means) if means else np.empty((0, 0))
    return scores[:, np.isfinite(scores).all(axis=0)], [label for label, values in scored.items() if values is None]


def _common(experiments: Mapping[str, Results], metric: str, protocol: str | None) -> tuple[str, ...]:
    """Return the labels of rows that are in every experiment and scored on some test set of one."""
    every = [{row.label for row in results.rows} for results in experiments.values()]
    scored = {
        row.label
        for results in experiments.values()
        for row in results.rows
        if any(scores_of(results, row, test, metric, protocol) is not None for test in results.test)
    }
    first = next(iter(experiments.values()))
    return tuple(row.label for row in first.rows if row.label in scored.intersection(*every))
