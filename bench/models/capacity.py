"""Networks of matched size: what a method gains only counts beside a baseline that is as large."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from bench.core.errors import UserError
from bench.models import registry
from bench.models.cost import count_method, count_parameters
from bench.models.meta import on_meta
from bench.models.spec import Size

_STEPS = 100  # widths that are tried lie 1/100 apart
_WIDEST = 8


def method_size(method: str, options: Mapping[str, Any], by: Size = "parameters") -> int:
    """Return how many parameters a method has with these options, or its multiply-adds of one 128x128 picture."""
    if by == "multiply-adds":
        return count_method(method, options)[1].published
    return on_meta(lambda: count_parameters(registry.build(method, options)))


def match_width(method: str, options: Mapping[str, Any], size: int, by: Size = "parameters") -> float:
    """Return the option `width`, in hundredths, at which a method comes nearest to `size` parameters or multiply-adds.

    Channel counts are rounded, so narrow networks match only about. Raises UserError for a method without that option,
    and when even a width of 8 is too small.
    """
    if "width" not in options:
        raise UserError(f"method '{method}' has no option 'width', by which its size could be matched")

    @functools.cache
    def count(step: int) -> int:
        return method_size(method, {**options, "width": step / _STEPS}, by)

    # Either grows about as the square of the width: begin there and walk.
    given = max(1, round(options["width"] * _STEPS))
    step = max(1, round(given * math.sqrt(size / count(given))))
    while step > 1 and count(step) >= size:
        step -= 1
    while count(step) < size:
        step += 1
        if step > _WIDEST * _STEPS:
            raise UserError(f"method '{method}': no width up to {_WIDEST} gives {size:,} {by}")
    nearest = min((step - 1 or step, step), key=lambda tried: abs(count(tried) - size))
    return float(nearest / _STEPS)
