"""Random changes to a training face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bench.core.errors import UserError
from bench.core.limits import within

Zoom = Annotated[float, within(1, 4)]


@dataclass(frozen=True)
class Augment:
    """Random changes to a training face (paper, section 4.1).

    `scale` is the range of the zoom: a window of 1/zoom of the side, at a random place, is resized to the full side.
    The paper says "random scaling"; the range 1.0-1.3 is that of SPARNet's released code. `rot90` turns by 0, 90, 180
    or 270 degrees with equal chance: the paper names it, SPARNet's code does not do it.
    """

    flip: bool = True
    scale: tuple[Zoom, Zoom] = (1.0, 1.3)
    rot90: bool = False

    def __post_init__(self) -> None:
        low, high = self.scale
        if low > high:
            raise UserError(f"scale: [{low}, {high}] given, expected the lower zoom first")
