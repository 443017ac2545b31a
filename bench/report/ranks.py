"""Rows of experiments ranked: blocks gathered from results, and the ranking as JSON values and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tabulate import tabulate

from bench.analysis.claims import scores_of
from bench.analysis.ranks import ENOUGH, Ranking
from bench.analysis.results import FaceSet, Results, RowResult
from bench.analysis.significance import NO_DIFFERENCE
from bench.core.errors import UserError, suggest
from bench.metrics.spec import Metric

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


def find_row(results: Results, name: str) -> RowResult:
    """Return the row of this label or method id, in any case; raise UserError for none, naming the nearest, or many."""
    wanted = name.casefold()
    found = [row for row in results.rows if row.label.casefold() == wanted]
    found = found or [row for row in results.rows if row.method.casefold() == wanted]
    if len(found) > 1:
        raise UserError(f"{results.folder}: several rows are '{name}': {', '.join(row.label for row in found)}")
    if not found:
        known = {word for row in results.rows for word in (row.label, row.method)}
        raise UserError(f"{results.folder}: no row '{name}': {suggest(name, known)}")
    return found[0]


def data_set_blocks(
    experiments: Mapping[str, Results], names: Sequence[str], metric: str, protocol: str | None
) -> Blocks:
    """Make a block of every experiment and test set on which all rows are scored: means over images and seeds.

    Rows are found by label or method id; without names they are those that every experiment has and that are scored
    anywhere. Images without a finite score in any row are left out.
    """
    labels = tuple(names) or _common(experiments, metric, protocol)
    values, kept, left, sets = [], [], [], []
    for name, results in experiments.items():
        rows = [find_row(results, label) for label in labels]
        for test in results.test:
            scores, missing = _scores(results, rows, test, metric, protocol)
            where = f"{name} on {test.dataset}"
            if missing:
                left.append(f"{where}: no {metric} of {', '.join(missing)}")
            elif scores.shape[1] == 0:
                left.append(f"{where}: no image has a finite {metric} in every row")
            else:
                values.append(scores.mean(axis=1))
                kept.append(where)
                sets.append((test.dataset, test.fingerprint))
    shown = tuple(find_row(next(iter(experiments.values())), label).label for label in labels)
    cautions = []
    if len(set(sets)) < len(sets):
        cautions.append("some blocks share a test set: they are not independent")
    if ENOUGH <= len(values) < _GOOD:
        cautions.append(f"with fewer than {_GOOD} data sets Friedman's p is a rough approximation")
    stacked = np.stack(values, axis=1) if values else np.empty((len(labels), 0))
    return Blocks("data sets", shown, stacked, tuple(kept), tuple(left), tuple(cautions))


def image_blocks(results: Results, test: FaceSet, names: Sequence[str], metric: str, protocol: str | None) -> Blocks:
    """Make a block of every image of one test set, means over seeds; images not finite in every row are left out.

    Ranks then tell about this test set and these trainings alone. Without names all rows that are scored are ranked.
    """
    rows = [find_row(results, name) for name in names] or list(results.rows)
    scores, missing = _scores(results, rows, test, metric, protocol)
    left = (f"rows without {metric} on {test.dataset}: {', '.join(missing)}",) if missing else ()
    shown = tuple(row.label for row in rows if row.label not in missing)
    told = "blocks are images, so this tells about one test set and these trainings, not about others"
    return Blocks("images", shown, scores, (f"{scores.shape[1]} images of {test.dataset}",), left, (told,))


def rank_json(blocks: Blocks, ranking: Ranking, metric: Metric, files: Sequence[object]) -> dict[str, Any]:
    """Return a ranking as plain JSON values; without a test p and the critical difference are null."""
    tested = ranking.blocks >= ENOUGH
    return {
        "metric": metric.name,
        "over": blocks.over,
        "blocks": ranking.blocks,
        "block_names": list(blocks.names),
        "left_out": list(blocks.left_out),
        "ranks": [{"row": row, "rank": mean} for row, mean in zip(ranking.rows, ranking.average, strict=True)],
        "friedman_p": ranking.p if tested else None,
        "critical_difference": ranking.critical if tested else None,
        "no_difference": [list(group) for group in ranking.groups],
        "cautions": list(blocks.cautions),
        "files": [str(file) for file in files],
    }


def rank_text(blocks: Blocks, ranking: Ranking, metric: Metric, level: float) -> str:
    """Return a ranking as text: the ranks, the test, and the rows that cannot be told apart."""
    rows = [[row, f"{mean:.2f}"] for row, mean in zip(ranking.rows, ranking.average, strict=True)]
    table = tabulate(rows, ["row", "rank"], tablefmt="simple", disable_numparse=True, colalign=("left", "right"))
    lines = [
        f"Average ranks of {metric.title} over {_count(blocks)}, 1 the best: {', '.join(blocks.names)}",
        *(f"Left out: {one}" for one in blocks.left_out),
        "",
        table,
        "",
        *_test_lines(blocks, ranking, level),
        *(f"Caution: {one}." for one in blocks.cautions),
    ]
    return "\n".join(lines)


def _test_lines(blocks: Blocks, ranking: Ranking, level: float) -> list[str]:
    if ranking.blocks < ENOUGH:
        hint = "" if blocks.over == "images" else "; --over images ranks over the images of one test set"
        return [f"{_count(blocks)}: too few for a test, which takes {ENOUGH}{hint}."]
    lines = [f"Friedman's test: p = {ranking.p:.2g}"]
    if ranking.p >= 1 - level:
        return [f"{lines[0]}: {NO_DIFFERENCE} between any rows."]
    lines.append(f"Critical difference of two ranks (Nemenyi, {100 * level:g}%): {ranking.critical:.2f}")
    lines += [f"  {NO_DIFFERENCE}: {', '.join(group)}" for group in ranking.groups]
    return lines


def _count(blocks: Blocks) -> str:
    count = len(blocks.values.T)
    return f"{count} {blocks.over}" if count != 1 else f"1 {blocks.over.removesuffix('s')}"


def _scores(
    results: Results, rows: Sequence[RowResult], test: FaceSet, metric: str, protocol: str | None
) -> tuple[np.ndarray, list[str]]:
    """Return scores [rows, images] averaged over seeds, of images finite in every row, and the rows without scores."""
    found = {row.label: scores_of(results, row, test, metric, protocol) for row in rows}
    means = [values.mean(axis=0) for values in found.values() if values is not None]
    scores = np.array(means) if means else np.empty((0, 0))
    return scores[:, np.isfinite(scores).all(axis=0)], [label for label, values in found.items() if values is None]


def _common(experiments: Mapping[str, Results], metric: str, protocol: str | None) -> tuple[str, ...]:
    """Return the labels of rows that are in every experiment and scored on some test set of one."""
    every = [{row.label for row in results.rows} for results in experiments.values()]
    scored = {
        row.label
        for results in experiments.values()
        for row in results.rows
        for test in results.test
        if scores_of(results, row, test, metric, protocol) is not None
    }
    first = next(iter(experiments.values()))
    return tuple(row.label for row in first.rows if all(row.label in some for some in every) and row.label in scored)
