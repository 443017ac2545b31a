"""Families of claims: p values corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NO_DIFFERENCE = "no difference can be claimed"


def holm(values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number, in the order given.

    Holm, A simple sequentially rejective multiple test procedure, 1979: the smallest times the number of all, the next
    times one less, and so on, none below the one before it.
    """
    order = np.argsort(values)
    stepped = np.maximum.accumulate(np.sort(values) * np.arange(len(values), 0, -1))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(stepped, 1)
    return [float(value) for value in adjusted]
