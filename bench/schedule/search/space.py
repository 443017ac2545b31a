"""The space of a search: which keys of a profile vary, over which values, and what each trial draws.

Trial k of a seed is the same on every machine: it is drawn from a hash of (seed, k, key) and rounded to four digits.
"""

from __future__ import annotations

import dataclasses
import math
import random
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.core.errors import UserError, suggest
from bench.core.schema import check_value, describe, from_dict, read_toml
from bench.models import registry
from bench.runs.config import Training

Kind = Literal["choice", "uniform", "loguniform", "randint"]
KINDS: tuple[Kind, ...] = typing.get_args(Kind)
_BUDGET = ("training.iterations", "training.validate_every")
_DRAWS_EACH = 100  # draws a trial before a space counts as exhausted


@dataclass(frozen=True)
class Distribution:
    """How a key's values are drawn: from a list, or between two ends (both included), even or even in the logarithm."""

    choice: tuple[Any, ...] | None = None
    uniform: tuple[float, float] | None = None
    loguniform: tuple[float, float] | None = None
    randint: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise UserError(f"{' and '.join(given) or 'nothing'} given, expected one of {', '.join(KINDS)}")
        if self.choice is not None and (len(self.choice) < 2 or _repeats(self.choice)):
            raise UserError(f"choice: {list(self.choice)} given, expected two or more different values")
        for ends in (self.uniform, self.loguniform, self.randint):
            if ends is not None and not (ends[0] < ends[1] and all(map(math.isfinite, ends))):
                raise UserError(f"{given[0]}: {list(ends)} given, expected two numbers with low < high")
        if self.loguniform is not None and self.loguniform[0] <= 0:
            raise UserError(f"loguniform: {list(self.loguniform)} given, expected numbers above 0")


@dataclass(frozen=True)
class Dimension:
    """One key that varies. `values` are the choices, or the low and the high end."""

    key: str
    kind: Kind
    values: tuple[Any, ...]

    @property
    def name(self) -> str:
        """The key without its table, e.g. `learning_rate`."""
        return self.key.split(".", 1)[1]

    @property
    def numeric(self) -> bool:
        """Whether values lie on an axis, rather than in a list."""
        return self.kind != "choice"

    def at(self, place: float) -> Any:
        """Return the value at `place`, from 0 up to, not including, 1."""
        if self.kind == "choice":
            return self.values[int(place * len(self.values))]
        low, high = self.values
        if self.kind == "randint":
            return low + int(place * (high - low + 1))
        if self.kind == "uniform":
            value = low + place * (high - low)
        else:
            value = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
        # The last digits of exp and log differ between machines, and with them a run's id would.
        return min(max(float(f"{value:.4g}"), float(low)), float(high))


@dataclass(frozen=True)
class Space:
    """What a search draws from: so many trials, from this seed, in these dimensions."""

    dimensions: tuple[Dimension, ...]
    trials: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise UserError(f"trials: {self.trials} given, expected at least 1")
        if self.seed < 0:
            raise UserError(f"seed: {self.seed} given, expected at least 0")
        if not self.dimensions:
            raise UserError(
                "nothing to search: give a key, e.g. training.learning_rate = { loguniform = [1e-4, 1e-2] }"
            )

    def draw(self) -> list[dict[str, Any]]:
        """Return the values of every trial, no two alike; fewer than `trials` where the space has no more to give."""
        drawn: list[dict[str, Any]] = []
        for index in range(self.trials * _DRAWS_EACH):
            values = {one.key: one.at(_place(self.seed, index, one.key)) for one in self.dimensions}
            if values not in drawn:
                drawn.append(values)
            if len(drawn) == self.trials:
                break
        return drawn


def read_space(path: Path, method: str) -> Space:
    """Read a space for `method` from a TOML file of `trials`, `seed` and dotted keys of a profile.

    Keys are those of `training` and the method's own options. Raises UserError for an unknown key (with the nearest
    known one), values of the wrong type, and ranges that are none.
    """
    given, known = read_toml(path), searchable(method)
    head = {key: value for key, value in given.items() if key in ("trials", "seed")}
    for key, value in head.items():
        check_value(value, int, f"{path.name}: {key}")
    found = _walk({key: value for key, value in given.items() if key not in head}, "", known, path.name)
    try:
        return Space(tuple(found), **head)
    except UserError as error:
        raise UserError(f"{path.name}: {error}") from None


def searchable(method: str) -> dict[str, Any]:
    """Return every key that can be searched for `method` -> the type of its values."""
    load = registry.load(method)
    hints = typing.get_type_hints(load.__init__)
    options = {f"options.{name}": hints.get(name, Any) for name in registry.options(method) if name != "scale"}
    training = {key: hint for key, hint in _leaves(Training, "training.") if key not in _BUDGET}
    return training | options


def _leaves(cls: type, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, hint in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from _leaves(hint, f"{prefix}{name}.")
        else:
            yield prefix + name, hint


def _walk(tables: Mapping[str, Any], prefix: str, known: Mapping[str, Any], where: str) -> Iterator[Dimension]:
    """Yield the dimensions of nested tables; `training.clip` may be a table in a table or one quoted key."""
    for name, value in tables.items():
        key = prefix + name
        if key in known:
            yield _dimension(key, value, known[key], where)
        elif isinstance(value, Mapping) and any(one.startswith(f"{key}.") for one in known):
            yield from _walk(value, f"{key}.", known, where)
        elif key in _BUDGET:
            raise UserError(f"{where}: {key} is the budget, the same for every trial; give it with --set")
        else:
            raise UserError(f"{where}: unknown key '{key}': {suggest(key, [*known, 'trials', 'seed'])}")


def _dimension(key: str, value: Any, hint: Any, where: str) -> Dimension:
    place = f"{where}: {key}"
    if not isinstance(value, Mapping):
        raise UserError(f"{place}: {value!r} given, expected a table, e.g. {{ choice = [{value!r}, ...] }}")
    found = from_dict(Distribution, value, place)
    kind = next(kind for kind in KINDS if getattr(found, kind) is not None)
    values = tuple(getattr(found, kind))
    if kind in ("uniform", "loguniform"):
        _check_takes_fractions(hint, place, kind)
    else:
        for one in values:
            check_value(one, hint, f"{place}: {kind}")
    return Dimension(key, kind, values)


def _check_takes_fractions(hint: Any, place: str, kind: Kind) -> None:
    try:
        check_value(0.5, hint, place)
    except UserError:
        raise UserError(f"{place}: {kind} draws fractions, expected {describe(hint)}; use choice or randint") from None


def _place(seed: int, index: int, key: str) -> float:
    return random.Random(f"{seed}/{index}/{key}").random()


def _repeats(values: tuple[Any, ...]) -> bool:
    return any(value in values[:place] for place, value in enumerate(values))
