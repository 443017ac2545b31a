"""Spaces of a search: what they accept, what they refuse in one line, and that draws repeat."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from bench.core.errors import UserError
from bench.schedule.search.space import Range, Space, read_space

DOCS = (Path(__file__).parents[3] / "docs" / "search.md").read_text(encoding="utf-8")
RATE = Range(loguniform=(1e-5, 1e-1))
WIDTH = Range(choice=(0.5, 1.0))
BETAS = Range(choice=([0.8, 0.9], [0.9, 0.99]))


def read(tmp_path: Path, text: str) -> Space:
    (tmp_path / "space.toml").write_text(text)
    return read_space(tmp_path / "space.toml")


def draw(**about: Any) -> list[dict[str, Any]]:
    """Return the values of a space's trials; the study is told that each was as good as its learning rate."""
    space = Space(**about)
    study, drawn = space.study(), list[dict[str, Any]]()
    while len(drawn) < space.trials and (pair := space.draw(study, drawn)) is not None:
        trial, values = pair
        study.tell(trial, values.get("training.learning_rate", 0.0))
        drawn.append(values)
    return drawn


def test_a_space_is_read_from_tables_of_a_profile(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        """
        trials = 3
        seed = 7
        sampler = "tpe"
        training.learning_rate = { loguniform = [1e-4, 1e-2] }
        training.augment.flip = { choice = [true, false] }
        [options]
        width = { uniform = [0.5, 2] }
        """,
    )
    assert (space.trials, space.seed, space.sampler) == (3, 7, "tpe")
    assert {key: list(domain.ends) for key, domain in space.ranges.items()} == {
        "training.learning_rate": [1e-4, 1e-2],
        "training.augment.flip": [True, False],
        "options.width": [0.5, 2],
    }


def test_the_example_of_the_documentation_is_a_space(tmp_path: Path) -> None:
    space = read(tmp_path, DOCS.split("```toml\n")[1].split("```")[0])
    assert len(draw(ranges=space.ranges)) == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing to search: give a key"),
        ("trails = 3", "unknown key 'trails': did you mean 'trials'"),
        ("trials = 0\noptions.width = { choice = [1, 2] }", "trials: 0 given, expected 1 to 100,000"),
        ("seed = -1\noptions.width = { choice = [1, 2] }", "seed: -1 given, expected 0 to 4,294,967,295"),
        ("options.scale = { choice = [4, 8] }", "options.scale is what is searched for"),
        ("training.iterations = { randint = [1, 9] }", "training.iterations is the budget"),
        ("training.learning_rate = 1e-3", "0.001 given, expected a table, e.g. { choice = [0.001, ...] }"),
        ("training.clip = { unifrom = [0, 1] }", "training.clip: unknown key 'unifrom': did you mean 'uniform'"),
        ("training.clip = { uniform = [0, 1], choice = [0, 1] }", "choice and uniform given, expected one of"),
        ("training.clip = {}", "nothing given, expected one of choice, uniform, loguniform, randint"),
        ("training.clip = { choice = [1, 2, 1] }", "expected two or more different values"),
        ("training.clip = { uniform = [1, 1] }", "uniform: [1, 1] given, expected two numbers with low < high"),
        ("training.clip = { uniform = [0, inf] }", "uniform[1]: inf given, expected a finite number"),
        ("training.clip = { loguniform = [0, 1] }", "loguniform: [0, 1] given, expected numbers above 0"),
        ("training.batch = { randint = [1.5, 8] }", "randint: [1.5, 8] given"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert str(error.value).startswith("space.toml: ") and "\n" not in str(error.value)


def test_trials_are_the_same_everywhere() -> None:
    depth, ema = Range(randint=(4, 12)), Range(uniform=(0.0, 0.9))
    drawn = draw(trials=2, ranges={"rate": RATE, "width": WIDTH, "betas": BETAS, "depth": depth, "ema": ema})
    assert [list(values.values()) for values in drawn] == [
        [0.001568, 0.5, [0.8, 0.9], 9, 0.3938],
        [0.03691, 0.5, [0.8, 0.9], 9, 0.833],
    ]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_more_trials_keep_the_first_and_another_seed_changes_them(sampler: str) -> None:
    ranges = {"training.learning_rate": RATE, "options.width": WIDTH}
    few, many, other = (
        draw(trials=trials, seed=seed, sampler=sampler, ranges=ranges) for trials, seed in ((12, 0), (15, 0), (12, 1))
    )
    assert many[:12] == few
    assert all(a != b for a, b in zip(few, other, strict=True))


def test_tpe_draws_near_what_did_well() -> None:
    about = {"trials": 30, "ranges": {"training.learning_rate": RATE}}
    random, tpe = ([*map(sum, map(dict.values, draw(sampler=name, **about)))][10:] for name in ("random", "tpe"))
    assert sorted(tpe)[10] > 3 * sorted(random)[10], "medians: the highest rate was said to be best"


def test_no_trial_is_drawn_twice() -> None:
    flip = Range(choice=(True, False))
    drawn = draw(trials=16, ranges={"width": WIDTH, "flip": flip})
    assert len(drawn) == 4
    assert {tuple(values.values()) for values in drawn} == set(itertools.product((0.5, 1.0), (True, False)))


def test_rounding_stays_within_the_ends() -> None:
    narrow = Range(uniform=(0.123456, 0.123489))
    assert all(0.123456 <= narrow.value(0.123456 + place * 1e-6) <= 0.123489 for place in range(34))
    assert RATE.value(0.00123456) == 0.001235
