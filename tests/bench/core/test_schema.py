"""What users write is checked against annotations: one line says where, what was found and what was expected."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from bench.core import schema
from bench.core.errors import UserError
from bench.core.schema import from_dict, read_toml, resolve_options


@dataclass(frozen=True)
class Budget:
    iterations: int
    rate: float = 0.1

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise UserError(f"iterations: {self.iterations} given, expected at least 1")


@dataclass(frozen=True)
class Plan:
    name: str
    kind: Literal["long", "short"] = "short"
    seeds: tuple[int, ...] = (0,)
    ends: tuple[float, float] = (0.0, 1.0)
    budget: Budget | None = None
    more: tuple[Budget, ...] = ()
    by_name: Mapping[str, Budget] | None = None
    options: Mapping[str, Any] | None = None


class Network:
    def __init__(self, *, width: float = 1.0, convs: Literal[2, 1] = 2, kernel: tuple[int, ...] = (3,)) -> None: ...


@pytest.fixture
def no_pydantic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    schema._validator.cache_clear()
    monkeypatch.setitem(sys.modules, "pydantic", None)
    yield
    schema._validator.cache_clear()


GIVEN = {
    "name": "a",
    "seeds": [1, 2],
    "ends": [0.5, 2],
    "budget": {"iterations": 5, "rate": 1},
    "more": [{"iterations": 6}],
    "by_name": {"b": {"iterations": 7}},
    "options": {"width": [1, 2]},
}


def check_built() -> None:
    plan = from_dict(Plan, GIVEN, "plan.toml")
    assert plan == Plan(
        "a",
        seeds=(1, 2),
        ends=(0.5, 2),
        budget=Budget(5, 1.0),
        more=(Budget(6),),
        by_name={"b": Budget(7)},
        options=GIVEN["options"],
    )
    assert plan.budget is not None
    assert isinstance(plan.budget.rate, float), "an int would give another hash"


def test_plain_values_become_classes() -> None:
    check_built()
    assert resolve_options(Network, {"width": 2, "kernel": [3, 5]}, "m") == {"width": 2.0, "convs": 2, "kernel": (3, 5)}


@pytest.mark.usefixtures("no_pydantic")
def test_the_same_values_come_without_pydantic() -> None:
    check_built()
    with pytest.raises(UserError, match="unknown key 'nam': did you mean 'name'"):
        from_dict(Plan, {"nam": "a"}, "plan.toml")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": 1}, "p: name: 1 given, expected a text"),
        ({}, "p: key 'name' is missing"),
        ({"name": "a", "sedes": [1]}, "p: unknown key 'sedes': did you mean 'seeds'?"),
        ({"name": "a", "seeds": [1, True]}, "p: seeds: [1, True] given, expected a list of a whole number"),
        ({"name": "a", "ends": [0.5]}, "p: ends: [0.5] given, expected a list of 2, each a number"),
        ({"name": "a", "kind": "lng"}, "p: kind: 'lng' given, expected one of 'long', 'short'"),
        ({"name": "a", "budget": 3}, "p: budget: 3 given, expected a table"),
        ({"name": "a", "budget": {"iterations": "3"}}, "p: budget: iterations: '3' given, expected a whole number"),
        ({"name": "a", "more": {}}, "p: more: {} given, expected a list of tables"),
        (
            {"name": "a", "more": [{"iterations": 1}, {"iterations": 0}]},
            "p: more[1]: iterations: 0 given, expected at least 1",
        ),
        ({"name": "a", "by_name": {"b": {"rat": 1}}}, "p: by_name.b: unknown key 'rat': did you mean 'rate'?"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as told:
        from_dict(Plan, given, "p")
    assert str(told.value) == message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"widht": 1}, "m: unknown option 'widht': did you mean 'width'?"),
        ({"width": True}, "m, option 'width': True given, expected a number"),
        ({"convs": True}, "m, option 'convs': True given, expected one of 2, 1"),
        ({"width": float("nan")}, "m, option 'width': nan given, expected a finite number"),
        (
            {"kernel": [3, 2**63]},
            "m, option 'kernel'[1]: 9223372036854775808 given, expected a number of at most 19 digits",
        ),
        ({"kernel": 3}, "m, option 'kernel': 3 given, expected a list of a whole number"),
    ],
)
def test_options_are_held_to_the_constructor(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as told:
        resolve_options(Network, given, "m")
    assert str(told.value) == message


def test_toml_of_other_programs_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfname = 'a'\r\n\r\n")
    assert read_toml(tmp_path / "a.toml") == {"name": "a"}
