"""What a value must be beyond its type, said once: fields of records are annotated by it, options checked by it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from bench.core.errors import UserError

_LARGEST = 2**63  # of whole numbers, as files and other programs hold them
_SHOWN = 60  # characters


@dataclass(frozen=True)
class Rule:
    """A test that values must pass, and the words for those that do."""

    holds: Callable[[Any], bool]
    expected: str

    def check(self, value: Any, where: str) -> None:
        """Raise UserError, beginning with `where`, for a value that does not pass."""
        try:
            passes = self.holds(value)
        except TypeError:  # types are told apart before, where pydantic is installed
            passes = False
        if not passes:
            raise UserError(f"{where}: {shown(value)} given, expected {self.expected}")


def within(
    least: float | None = None, most: float | None = None, *, above: float | None = None, below: float | None = None
) -> Rule:
    """Return the rule of numbers from `least` to `most`, or `above` and `below` ends that do not belong."""
    ends = {"at least": (operator.ge, least), "more than": (operator.gt, above)} | {
        "at most": (operator.le, most),
        "less than": (operator.lt, below),
    }
    given = [(words, compare, end) for words, (compare, end) in ends.items() if end is not None]
    expected = ", ".join(f"{words} {_number(end)}" for words, _, end in given)
    if least is not None and most is not None:
        expected = f"{_number(least)} to {_number(most)}"
    return Rule(lambda value: all(compare(value, end) for _, compare, end in given), expected)


def _number(end: float) -> str:
    return f"{int(end) if end == int(end) else end:,}"


def _is_line(text: str) -> bool:
    return bool(text.strip()) and text.isprintable()


def _are_different(values: Any) -> bool:
    return all(value not in values[:place] for place, value in enumerate(values))


DIFFERENT = Rule(_are_different, "different values")
NOT_EMPTY = Rule(bool, "at least one")
Line = Annotated[str, Rule(_is_line, "a line of text that is not empty")]
LineOrNothing = Annotated[str, Rule(lambda text: not text or _is_line(text), "a line of text")]
Count = Annotated[int, within(1, 10**9)]
Seed = Annotated[int, within(0, _LARGEST - 1)]


def check_plain(value: Any, where: str) -> None:
    """Raise UserError for what no setting may hold: NaN, infinity, and whole numbers of more than 64 bits."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where}: {value} given, expected a finite number")
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        raise UserError(f"{where}: {shown(value)} given, expected a number of at most 19 digits")
    items = value.items() if isinstance(value, Mapping) else ()
    for key, item in items or (enumerate(value) if isinstance(value, list | tuple) else ()):
        check_plain(item, f"{where}[{key}]")


def shown(value: Any) -> str:
    """Return a value as a message names it, a long one cut short."""
    try:
        text = repr(value)
    except ValueError:  # thousands of digits
        text = hex(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
