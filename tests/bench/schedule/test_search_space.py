"""Spaces of a search: what they accept, what they refuse in one line, and that draws repeat."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.schedule.search.space import Dimension, Space, read_space, searchable

pytestmark = pytest.mark.usefixtures("tiny")
DOCS = (Path(__file__).parents[3] / "docs" / "search.md").read_text(encoding="utf-8")
RATE = Dimension("training.learning_rate", "loguniform", (1e-5, 1e-1))
WIDTH = Dimension("options.width", "choice", (0.5, 1.0))


def read(tmp_path: Path, text: str, method: str = "tiny") -> Space:
    (tmp_path / "space.toml").write_text(text)
    return read_space(tmp_path / "space.toml", method)


def test_a_space_is_read_from_tables_and_from_dotted_keys(tmp_path: Path) -> None:
    tables = """
    trials = 3
    seed = 7
    [training]
    learning_rate = { loguniform = [1e-4, 1e-2] }
    augment = { flip = { choice = [true, false] } }
    [options]
    width = { uniform = [0.5, 2] }
    """
    dotted = """
    trials = 3
    seed = 7
    training.learning_rate = { loguniform = [1e-4, 1e-2] }
    "training.augment.flip" = { choice = [true, false] }
    options.width = { uniform = [0.5, 2] }
    """
    found = read(tmp_path, tables)
    assert found == read(tmp_path, dotted)
    assert (found.trials, found.seed) == (3, 7)
    assert [(one.key, one.kind, one.values) for one in found.dimensions] == [
        ("training.learning_rate", "loguniform", (1e-4, 1e-2)),
        ("training.augment.flip", "choice", (True, False)),
        ("options.width", "uniform", (0.5, 2)),
    ]


def test_the_example_of_the_documentation_is_a_space(tmp_path: Path) -> None:
    space = read(tmp_path, DOCS.split("```toml\n")[1].split("```")[0], "msfnet-8")
    assert space.trials == 16 and len(space.draw()) == 16
    assert {one.kind for one in space.dimensions} == {"choice", "uniform", "loguniform", "randint"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing to search: give a key"),
        ("trails = 3", "unknown key 'trails': did you mean 'trials'"),
        ("trials = 0\noptions.width = { choice = [1, 2] }", "trials: 0 given, expected at least 1"),
        ("trials = 2.5\noptions.width = { choice = [1, 2] }", "trials: 2.5 given, expected a whole number"),
        ("seed = -1\noptions.width = { choice = [1, 2] }", "seed: -1 given, expected at least 0"),
        ("training.learning_rte = { choice = [1, 2] }", "did you mean 'training.learning_rate'"),
        ("learning_rate = { choice = [1, 2] }", "did you mean 'training.learning_rate'"),
        ("options.widht = { choice = [1, 2] }", "did you mean 'options.width'"),
        ("options.scale = { choice = [4, 8] }", "unknown key 'options.scale'"),
        ("training.iterations = { randint = [1, 9] }", "training.iterations is the budget"),
        ("training.validate_every = { randint = [1, 9] }", "training.validate_every is the budget"),
        ("training.learning_rate = 1e-3", "0.001 given, expected a table, e.g. { choice = [0.001, ...] }"),
        ("training.clip = { unifrom = [0, 1] }", "unknown key 'unifrom': did you mean 'uniform'"),
        ("training.clip = { uniform = [0, 1], choice = [0, 1] }", "choice and uniform given, expected one of"),
        ("training.clip = {}", "nothing given, expected one of choice, uniform, loguniform, randint"),
        ("training.clip = { choice = [1] }", "choice: [1] given, expected two or more different values"),
        ("training.clip = { choice = [1, 2, 1] }", "expected two or more different values"),
        ("training.clip = { uniform = [1, 1] }", "uniform: [1, 1] given, expected two numbers with low < high"),
        ("training.clip = { uniform = [0, inf] }", "expected two numbers with low < high"),
        ("training.clip = { loguniform = [0, 1] }", "loguniform: [0, 1] given, expected numbers above 0"),
        ("training.clip = { uniform = [1] }", "training.clip: uniform: [1] given"),
        ("training.clip = { choice = ['a', 'b'] }", "training.clip: choice: 'a' given, expected a number"),
        ("training.batch = { uniform = [1, 8] }", "uniform draws fractions, expected a whole number"),
        ("training.batch = { randint = [1.5, 8] }", "randint: [1.5, 8] given"),
        ("training.schedule = { choice = ['cosine', 'linaer'] }", "'linaer' given, expected one of 'constant'"),
        ("options.explode = { randint = [0, 1] }", "randint: 0 given, expected true or false"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert str(error.value).startswith("space.toml: ") and "\n" not in str(error.value)


def test_every_key_that_can_be_searched_is_known_by_name() -> None:
    known = searchable("tiny")
    assert {"training.learning_rate", "training.augment.rot90", "options.width", "options.explode"} <= set(known)
    assert not {"training.iterations", "training.augment", "options.scale"} & set(known)


def test_trials_are_the_same_everywhere() -> None:
    depth = Dimension("options.deep_blocks", "randint", (4, 12))
    ema = Dimension("training.ema", "uniform", (0.0, 0.9))
    drawn = Space((RATE, WIDTH, depth, ema), trials=2).draw()
    assert [list(one.values()) for one in drawn] == [[0.09321, 1.0, 11, 0.6252], [0.0001595, 1.0, 10, 0.7772]]


def test_more_trials_keep_the_first_and_another_seed_changes_them() -> None:
    few, many, other = (Space((RATE, WIDTH), *how).draw() for how in ((4, 0), (9, 0), (4, 1)))
    assert many[:4] == few
    assert all(a != b for a, b in zip(few, other, strict=True))


def test_a_dimension_added_leaves_the_others_as_they_were() -> None:
    alone, both = Space((RATE,), 5).draw(), Space((RATE, WIDTH), 5).draw()
    assert [one[RATE.key] for one in alone] == [one[RATE.key] for one in both]


def test_no_trial_is_drawn_twice() -> None:
    flip = Dimension("training.augment.flip", "choice", (True, False))
    drawn = Space((WIDTH, flip), trials=16).draw()
    assert len(drawn) == 4
    assert {(one[WIDTH.key], one[flip.key]) for one in drawn} == {(w, f) for w in (0.5, 1.0) for f in (True, False)}


def test_draws_lie_within_their_ends_and_fill_them_evenly() -> None:
    batch = Dimension("training.batch", "randint", (1, 4))
    clip = Dimension("training.clip", "uniform", (2.0, 4.0))
    drawn = Space((RATE, clip, batch), trials=400).draw()
    rates, clips, batches = ([one[d.key] for one in drawn] for d in (RATE, clip, batch))
    assert min(rates) >= 1e-5 and max(rates) <= 1e-1
    assert min(clips) >= 2.0 and max(clips) <= 4.0
    for decade in range(-5, -1):  # a quarter each: 100 of 400, standard deviation 9
        assert 60 < sum(decade <= math.log10(rate) < decade + 1 for rate in rates) < 140
    assert {batches.count(size) > 60 for size in (1, 2, 3, 4)} == {True} and set(batches) == {1, 2, 3, 4}
    assert 2.9 < sum(clips) / 400 < 3.1
    assert all(rate == float(f"{rate:.4g}") for rate in rates)


@pytest.mark.parametrize("kind", ["uniform", "loguniform"])
def test_rounding_stays_within_the_ends(kind: str) -> None:
    one = Dimension("training.learning_rate", kind, (0.123456, 0.123489))  # type: ignore[arg-type]
    assert all(0.123456 <= one.at(place / 50) <= 0.123489 for place in range(50))
