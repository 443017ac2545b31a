"""An ablation as the factorial it is: main effects and interactions of modules that are there or not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from bench.analysis.claims import combined
from bench.analysis.intervals import Estimate
from bench.analysis.results import FaceSet, Results, RowResult
from bench.core.errors import UserError

Cell = tuple[bool, ...]  # which of the factors a row has
Effect = tuple[int, ...]  # the factors of an effect: (0,) is the first's main effect, (0, 2) an interaction
Rows = Mapping[Cell, RowResult]


def effects(cells: Mapping[Cell, float]) -> dict[Effect, float]:
    """Return every effect of a full 2^k factorial: the mean with a factor less the mean without.

    An interaction is half of how much one factor's effect changes by the other. Raises UserError for a missing cell.
    """
    contrasts = _contrasts(cells)
    return {effect: sum(sign * cells[cell] for cell, sign in signs.items()) for effect, signs in contrasts.items()}


def factorial_rows(results: Results) -> Rows:
    """Return which row has which of the experiment's modules; nothing when a combination of them has no row."""
    names = results.modules
    rows = {
        tuple(row.modules[name] for name in names): row
        for row in results.rows
        if row.modules.keys() == {*names} and not row.foreign
    }
    return rows if names and len(rows) == 2 ** len(names) else {}


def measured_effects(results: Results, test: FaceSet, metric: str) -> dict[Effect, Estimate]:
    """Return the effects of an experiment's modules with intervals; nothing without a scored row for each cell."""
    rows = factorial_rows(results)
    found = {
        effect: combined(results, [(rows[cell], sign) for cell, sign in signs.items()], test, metric)
        for effect, signs in (_contrasts(rows) if rows else {}).items()
    }
    whole = {effect: estimate for effect, estimate in found.items() if estimate is not None}
    return whole if len(whole) == len(found) else {}


def additivity(cells: Mapping[Cell, float]) -> tuple[float, float]:
    """Return the sum of the gains of single modules over none, and the gain of all together."""
    _contrasts(cells)
    factors = len(next(iter(cells)))
    none = cells[(False,) * factors]
    single = [tuple(place == factor for place in range(factors)) for factor in range(factors)]
    return math.fsum(cells[cell] - none for cell in single), cells[(True,) * factors] - none


def _contrasts(cells: Mapping[Cell, Any]) -> dict[Effect, dict[Cell, float]]:
    """Return the weight of each cell in each effect, main effects first."""
    factors = len(next(iter(cells), ()))
    every = list(itertools.product((False, True), repeat=factors))
    missing = [cell for cell in every if cell not in cells]
    if missing or not factors:
        shown = ", ".join("+".join("yes" if has else "no" for has in cell) for cell in missing)
        raise UserError(f"not a full factorial: no row with factors {shown or '(none given)'}")
    share = 1 / 2 ** (factors - 1)
    return {
        effect: {cell: share * math.prod(1 if cell[factor] else -1 for factor in effect) for cell in every}
        for size in range(1, factors + 1)
        for effect in itertools.combinations(range(factors), size)
    }
