"""Careless values: each field of each file a user writes, and each option, refuses in one line what nobody means."""

from __future__ import annotations

import dataclasses
import time
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer

from bench.cli import main as cli
from bench.cli.speed import app
from bench.core.errors import UserError
from bench.core.limits import Rule
from bench.core.schema import from_dict, override_setting
from bench.data.cards import Card
from bench.data.crop import Recipe
from bench.metrics.protocol import Protocol
from bench.papers.paper import Paper
from bench.report.draw import KINDS
from bench.runs.config import Training
from bench.runs.experiment import Experiment, Profile
from bench.schedule.search.space import Space
from tests.bench.cli.test_cli import error_of
from tests.bench.conftest import EXPERIMENT

ROOTS = (Experiment, Profile, Card, Recipe, Protocol, Paper, Space)
NEVER: dict[Any, tuple[Any, ...]] = {
    int: ("1", True, 1.5, float("inf"), float("nan"), None, [1], -(2**31), 2**63, 10**5000),
    float: ("1", True, float("inf"), float("-inf"), float("nan"), [1.0], -1e30, 1e30, 10**400),
    str: (1, True, None, ["a"]),
    bool: (1, 0, "true", 1.0),
}


def fields(cls: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any, tuple[Rule, ...]]]:
    """Yield the place, type and rules of each leaf of a class."""
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        yield from leaves(hint, (*path, name))


def leaves(hint: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any, tuple[Rule, ...]]]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        for place, inner, rules in leaves(arguments[0], path):
            yield place, inner, (*rules, *(hint.__metadata__ if place == path else ()))
    elif dataclasses.is_dataclass(hint):
        yield from fields(hint, path)
    elif type(None) in arguments:
        yield from leaves(arguments[0], path)
    elif origin is tuple:
        yield from leaves(arguments[0], (*path, 0))
    elif origin is Mapping and arguments[1] is not Any:
        yield from leaves(arguments[1], (*path, "x"))
    elif hint in NEVER or origin is Literal:
        yield path, hint, ()


LEAVES = [(root, *leaf) for root in ROOTS for leaf in fields(root)]


def nested(path: tuple[str | int, ...], value: Any) -> Any:
    for key in reversed(path):
        value = [value, value] if key == 0 else {key: value}
    return value


@pytest.mark.parametrize(
    ("root", "path", "kind", "rules"),
    LEAVES,
    ids=[f"{leaf[0].__name__}-{'.'.join(map(str, leaf[1]))}" for leaf in LEAVES],
)
def test_no_field_takes_what_cannot_be_meant(
    root: Any, path: tuple[str | int, ...], kind: Any, rules: tuple[Rule, ...]
) -> None:
    assert rules or kind not in (int, float), "a number has its range"
    bad = NEVER.get(kind, ("typo", "", 1, None))
    optional = [value for value in bad if value is not None]
    began = time.monotonic()
    for value in [*optional, *([""] if kind is str and rules and not rules[-1].holds("") else [])]:
        with pytest.raises(UserError) as error:
            from_dict(root, nested(path, value), "file.toml")
        line = str(error.value)
        assert line.startswith("file.toml: ") and "given, expected" in line, (value, line)
        assert "\n" not in line and len(line) < 300
    assert time.monotonic() - began < 2


def test_kinds_of_experiments_are_those_that_are_drawn() -> None:
    assert set(typing.get_args(typing.get_type_hints(Experiment)["kind"])) == set(KINDS)


@pytest.mark.parametrize("text", ["10" * 3000, "0x" + "f" * 5000, "[" * 3000, "1e400", "nan", "-inf", "1\nx = 2"])
def test_settings_without_end_are_values_like_others(text: str) -> None:
    settings: dict[str, Any] = {"iterations": 5}
    override_setting(settings, f"learning_rate={text}")
    with pytest.raises(UserError) as error:
        from_dict(Training, settings, "quick.toml")
    assert "learning_rate: " in str(error.value) and len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("kind = 'ablaton'", "kind: 'ablaton' given, expected one of 'ablation'"),
        ("factors = { Wide = 'widht' }", "unknown option of a factor 'widht': did you mean 'width'?"),
        ("[[rows]]\nmethod = 'tiny'", "two are called 'Tiny'"),
        ("[[rows]]\nmethod = 'tiny'\nlabel = 'Bicubic'", "two are called 'Bicubic'"),
        ("[[rows]]\nmethod = 'tiny'\nlabel = \"a\\nb\"", "rows[3]: label: 'a\\nb' given, expected a line of text"),
        ("[[rows]]\nmethod = 'tiny'\nlabel = 'W'\noptions = { width = 1e30 }", "method 'tiny': cannot be built with"),
        ("[[rows]]\nmethod = 'tiny'\nlabel = 'W'\noptions = { width = 1e9 }", "GiB of memory, the device (cpu) has"),
        ("[[rows]]\nmethod = 'tiny'\nlabel = 'W'\ntraining = { clip = nan }", "training[clip]: nan given"),
    ],
)
def test_careless_experiments_are_refused_before_anything_runs(
    job: list[str], capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    kind, rows = EXPERIMENT.split("[[rows]]", 1)
    text = EXPERIMENT + change if change.startswith("[[") else f"{kind}{change}\n[[rows]]{rows}"
    text = text.replace('kind = "ablation"\n', "") if change.startswith("kind") else text
    Path(job[0]).write_text(text)
    assert message in error_of(["run", *job], capsys)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.batch=100000000", "training with batch 100,000,000 takes at least"),
        ("training.batch=1e11", "expected a whole number"),
        ("training.validate_every=1 --set training.iterations=900000000", "validate_every: 1 given, expected at least"),
        ("training.learning_rate=1e400", "--set training.learning_rate=1e400: training: learning_rate: inf given"),
        ("seeds=[0,0]", "seeds: [0, 0] given, expected different values"),
    ],
)
def test_careless_settings_are_refused_before_anything_runs(
    job: list[str], capsys: pytest.CaptureFixture[str], setting: str, message: str
) -> None:
    assert message in error_of(["run", *job, "--set", *setting.split()], capsys)


def options() -> Iterator[tuple[str, str, str]]:
    """Yield each command with each of its options that takes a value, and what that is."""
    group = typer.main.get_command(app)
    commands = {name: cli.Commands().get_command(None, name) for name in cli.COMMANDS if name != "bench"}  # type: ignore[arg-type]
    commands |= {f"bench {name}": command for name, command in group.commands.items()}  # type: ignore[attr-defined]
    for name, command in commands.items():
        for param in command.params:  # type: ignore[union-attr]
            if param.param_type_name == "option" and not getattr(param, "is_flag", False):
                yield name, param.opts[0], str(param.metavar)


@pytest.mark.parametrize(("command", "name", "metavar"), list(options()))
def test_no_option_takes_what_cannot_be_meant(
    command: str, name: str, metavar: str, capsys: pytest.CaptureFixture[str]
) -> None:
    numeric = metavar in ("N", "X", "P", "SD", "S", "N|auto")
    for value in ["", " ", *(("inf", "nan", "-1", "1e30", "9" * 30, "0x", "1e400") if numeric else ())]:
        line = error_of([*command.split(), name, value], capsys)
        assert name in line and len(line) < 200, (value, line)
