from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.core.schema import canonical_json, from_dict, read_toml
from bench.data.augment import Augment
from bench.runs.config import DataRef, RunConfig, Training


def config(**changes: object) -> RunConfig:
    data = DataRef("synthfaces", "train", 10, "ab12")
    base = RunConfig("tiny", {"width": 1.0}, 8, 0, "sparnet", Training(iterations=5), data, data)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def test_equal_configs_have_equal_ids_whatever_the_order_of_options() -> None:
    one, other = config(options={"a": 1, "b": 2}), config(options={"b": 2, "a": 1})
    assert one.id == other.id
    assert one.name == f"tiny-s0-{one.id}"


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "other"},
        {"seed": 1},
        {"options": {"width": 0.5}},
        {"protocol": "x"},
        {"training": Training(iterations=6)},
        {"training": Training(iterations=5, augment=Augment(rot90=True))},
        {"train": DataRef("synthfaces", "train", 11, "ab12")},
        {"train": DataRef("synthfaces", "train", 10, "ab13")},
    ],
)
def test_everything_that_decides_a_run_changes_its_id(changes: dict[str, object]) -> None:
    assert config(**changes).id != config().id


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json({"a": float("nan")})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"iterations": 5, "bach": 2}, "unknown key 'bach': did you mean 'batch'?"),
        ({}, "key 'iterations' is missing"),
        ({"iterations": 0}, "iterations: 0 given, expected 1 to 1,000,000,000"),
        ({"iterations": -3}, "iterations: -3 given"),
        ({"iterations": 2.5}, "iterations: 2.5 given, expected a whole number"),
        ({"iterations": 5, "batch": True}, "batch: True given, expected a whole number"),
        ({"iterations": 5, "schedule": "cosin"}, "expected one of 'constant', 'linear', 'cosine', 'onecycle'"),
        ({"iterations": 5, "betas": [0.9, 1.0]}, "betas[1]: 1.0 given, expected at least 0, less than 1"),
        ({"iterations": 5, "augment": {"scale": [0.5, 1.0]}}, "augment: scale[0]: 0.5 given, expected 1 to 4"),
        ({"iterations": 5, "augment": {"rot": True}}, "unknown key 'rot': did you mean 'rot90'?"),
        ({"iterations": 5, "augment": 3}, "expected a table"),
    ],
)
def test_bad_settings_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        from_dict(Training, given, "quick.toml")
    assert str(error.value).startswith("quick.toml")
    assert message in str(error.value)


def test_damaged_toml_names_file_and_place(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("a = \n")
    with pytest.raises(UserError, match=r"x\.toml: not valid TOML: .*line 1"):
        read_toml(path)


def test_the_name_of_a_run_fits_a_disk() -> None:
    run = dataclasses.replace(config(), method="m" * 250)
    assert run.name.endswith(f"-s{run.seed}-{run.id}") and len(run.name) < 230
    assert config().name == f"{config().method}-s{config().seed}-{config().id}"
