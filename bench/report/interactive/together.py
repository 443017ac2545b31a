"""All experiments of a page as one more, for its leaderboard: rows of other budgets beside each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bench.report.interactive.record import Cell, Interval, PageExperiment, PageRow, Scores

NAME = "all experiments"


def together(experiments: Sequence[PageExperiment]) -> PageExperiment:
    """Return the rows of all experiments as those of one, without figures or faces.

    A row keeps the differences from rows of its own experiment: others had another budget, and are not paired with it.
    """
    first = experiments[0]
    sets = {one.key: one for experiment in experiments for one in experiment.sets if one.key in experiment.scores}
    keys = {key: dict.fromkeys(name for own in experiments for name in own.scores.get(key, ())) for key in sets}
    return dataclasses.replace(
        first,
        name=NAME,
        title=NAME,
        profile="",
        budget="each its own",
        answer=(
            "Rows of all experiments, each with the budget of its own: means are of the same faces, not of equal "
            "training.",
        ),
        caution="",
        best=None,
        claims=(),
        sets=tuple(sets.values()),
        rows=tuple(_named(row, experiment) for experiment in experiments for row in experiment.rows),
        scores={key: {name: _joined(experiments, key, name) for name in names} for key, names in keys.items()},
        curves=(),
        curves_about="",
        effects={},
        images={},
        faces={},
    )


def _named(row: PageRow, experiment: PageExperiment) -> PageRow:
    return dataclasses.replace(row, label=f"{row.label} ({experiment.name})")


def _joined(experiments: Sequence[PageExperiment], key: str, name: str) -> Scores:
    """Return the scores of all experiments on a set, differences in blocks along the diagonal."""
    parts = [(len(one.rows), one.scores.get(key, {}).get(name)) for one in experiments]
    cells: list[Cell | None] = []
    gains: list[tuple[Interval | None, ...]] = []
    width, before = sum(count for count, _ in parts), 0
    for count, scores in parts:
        after = width - before - count
        cells += [None] * count if scores is None else list(scores.cells)
        rows = [(None,) * count] * count if scores is None else scores.gains
        gains += [((None,) * before + tuple(row) + (None,) * after) for row in rows]
        before += count
    return Scores(tuple(cells), tuple(gains))
