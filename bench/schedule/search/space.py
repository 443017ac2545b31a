"""The space of a search: a TOML file, read into Optuna's distributions and drawn from by Optuna's samplers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from bench.core.errors import UserError
from bench.core.limits import within
from bench.core.schema import canonical_json, from_dict, read_toml

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

INSTALL = "optuna is not installed: pip install 'fsr-bench[search]'"
_FIXED = {
    "training.iterations": "the budget, the same for every trial; give it with --set",
    "training.validate_every": "the budget, the same for every trial; give it with --set",
    "options.scale": "what is searched for, not how",
}
End = Annotated[float, within(-1e9, 1e9)]
WholeEnd = Annotated[int, within(-(10**9), 10**9)]
_DRAWS_EACH = 100  # draws a trial before a space counts as exhausted


@dataclass(frozen=True)
class Range:
    """How a key's values are drawn: from a list, or between two ends (both included), even or even in the logarithm."""

    choice: tuple[Any, ...] | None = None
    uniform: tuple[End, End] | None = None
    loguniform: tuple[End, End] | None = None
    randint: tuple[WholeEnd, WholeEnd] | None = None

    def __post_init__(self) -> None:
        kinds = [name for name, ends in vars(self).items() if ends is not None]
        if len(kinds) != 1:
            raise UserError(f"{' and '.join(kinds) or 'nothing'} given, expected one of {', '.join(vars(self))}")
        wrong = ""
        if self.choice is not None:
            wrong = "two or more different values" if len(self._labels) < max(2, len(self.choice)) else ""
        elif not self.ends[0] < self.ends[1]:
            wrong = "two numbers with low < high"
        elif self.loguniform and self.loguniform[0] <= 0:
            wrong = "numbers above 0"
        if wrong:
            raise UserError(f"{kinds[0]}: {list(self.ends)} given, expected {wrong}")

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that all others lie between, or all values of a choice."""
        return self.choice or self.uniform or self.loguniform or self.randint or ()

    @property
    def _labels(self) -> dict[Any, Any]:
        """What stands for each value of a choice in Optuna, which knows no lists."""
        plain = bool | int | float | str
        return {value if isinstance(value, plain) else canonical_json(value): value for value in self.choice or ()}

    def distribution(self) -> BaseDistribution:
        """Return Optuna's distribution; of a choice it draws labels."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choice is not None:
            return CategoricalDistribution(list(self._labels))
        if self.randint is not None:
            return IntDistribution(*self.randint)
        low, high = self.ends
        return FloatDistribution(low, high, log=self.loguniform is not None)

    def value(self, drawn: Any) -> Any:
        """Return the value that a drawn one stands for: a label's own, a number rounded to 4 digits within its ends."""
        if self.choice is not None:
            return self._labels[drawn]
        if self.randint is not None:
            return drawn
        # The last digits of exp and log differ between machines, and with them a run's id would.
        return min(max(float(f"{drawn:.4g}"), float(self.ends[0])), float(self.ends[1]))


@dataclass(frozen=True)
class Space:
    """What a search draws from: so many trials, by this sampler, from this seed; keys of a profile and their ranges.

    "random" draws every trial by itself. "tpe" (Bergstra et al., NeurIPS 2011) draws near what did well before.
    """

    trials: Annotated[int, within(1, 100_000)] = 16
    seed: Annotated[int, within(0, 2**32 - 1)] = 0
    sampler: Literal["random", "tpe"] = "random"
    ranges: Mapping[str, Range] = field(default_factory=dict)

    def study(self) -> Study:
        """Return a new study. Its draws repeat: they depend on the seed and, with "tpe", on what it is told."""
        try:
            import optuna
        except ImportError:
            raise UserError(INSTALL) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        samplers = optuna.samplers
        sampler = samplers.TPESampler(seed=self.seed) if self.sampler == "tpe" else samplers.RandomSampler(self.seed)
        return optuna.create_study(direction="maximize", sampler=sampler)

    def draw(self, study: Study, seen: list[dict[str, Any]]) -> tuple[Trial, dict[str, Any]] | None:
        """Return the study's next trial and its values, which are none of `seen`; None where there are no more."""
        from optuna.trial import TrialState

        for _ in range(_DRAWS_EACH):
            trial = study.ask({key: domain.distribution() for key, domain in self.ranges.items()})
            values = {key: domain.value(trial.params[key]) for key, domain in self.ranges.items()}
            if values not in seen:
                return trial, values
            study.tell(trial, state=TrialState.FAIL)
        return None


def read_space(path: Path) -> Space:
    """Read a space from a TOML file of `trials`, `seed`, `sampler` and tables of a profile, `training` and `options`.

    Raises UserError for an unknown key (with the nearest known one), keys that are no range and ranges that are none.
    """
    given = read_toml(path)
    tables = {name: given.pop(name) for name in ("training", "options") if name in given}
    ranges = {key: domain for name, table in tables.items() for key, domain in _walk(table, name, path.name)}
    space = dataclasses.replace(from_dict(Space, given, path.name), ranges=ranges)
    if not ranges:
        raise UserError(
            f"{path.name}: nothing to search: give a key, e.g. training.learning_rate = {{ loguniform = [1e-4, 1e-2] }}"
        )
    return space


def _walk(given: Any, key: str, where: str) -> Iterator[tuple[str, Range]]:
    """Yield the keys of nested tables with their ranges."""
    if key in _FIXED:
        raise UserError(f"{where}: {key} is {_FIXED[key]}")
    if not isinstance(given, Mapping):
        raise UserError(f"{where}: {key}: {given!r} given, expected a table, e.g. {{ choice = [{given!r}, ...] }}")
    if "." in key and not any(isinstance(value, Mapping) for value in given.values()):
        yield key, from_dict(Range, given, f"{where}: {key}")
        return
    for name, value in given.items():
        yield from _walk(value, f"{key}.{name}", where)
