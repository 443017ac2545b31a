"""The forest plot of claims: lines of a table with a drawing each, which needs no script and prints well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.interactive.record import Claim, Number

WIDTH = 100.0  # of a drawing, in its own units
_MARGIN = 0.06  # of the range, on both sides


@dataclass(frozen=True)
class Line:
    """A claim and where its parts lie in its drawing, from 0 to WIDTH; what it does not have is None."""

    claim: Claim
    zero: float
    low: float
    mean: float
    high: float
    paper: float | None
    band: tuple[float, float] | None


@dataclass(frozen=True)
class Group:
    """Claims of one unit, which share a scale; `least` and `most` are its ends."""

    unit: str
    least: float
    most: float
    lines: tuple[Line, ...]


def forest(claims: Sequence[Claim]) -> list[Group]:
    """Return the claims by unit, each group on a scale that holds 0 and all that is drawn of them."""
    groups = []
    for unit in dict.fromkeys(claim.unit for claim in claims):
        own = [claim for claim in claims if claim.unit == unit]
        ends = [
            0.0,
            *(
                v
                for claim in own
                for v in (*claim.effect, claim.published, *(claim.band or ()))
                if isinstance(v, float | int)
            ),
        ]
        margin = _MARGIN * (max(ends) - min(ends) or 1)
        least, most = min(ends) - margin, max(ends) + margin
        groups.append(Group(unit, least, most, tuple(_line(claim, least, most) for claim in own)))
    return groups


def _line(claim: Claim, least: float, most: float) -> Line:
    def place(value: Number, other: float) -> float:
        known = value if isinstance(value, float | int) else other
        return round(WIDTH * (known - least) / (most - least), 2)

    mean = claim.effect[0] if isinstance(claim.effect[0], float | int) else 0.0
    low, high = (place(end, mean) for end in claim.effect[1:])
    paper = None if claim.published is None else place(claim.published, 0.0)
    band = None if claim.band is None else (place(claim.band[0], 0.0), place(claim.band[1], 0.0))
    return Line(claim, place(0.0, 0.0), low, place(mean, 0.0), high, paper, band)
