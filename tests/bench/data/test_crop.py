from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import UserError
from bench.core.schema import from_dict
from bench.data.crop import Recipe, Square, cut, plan_crops, square_of
from bench.data.manifest import Row

PLAIN = Recipe(margin=1.0, least_side=0)


def row(box: tuple[float, float, float, float], width: int = 100, height: int = 80, **more: object) -> Row:
    return dataclasses.replace(Row("a.jpg", "0" * 64, width=width, height=height, box=box), **more)


def photo(width: int = 100, height: int = 80, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        ((10.0, 20.0, 30.0, 50.0), 1.0, Square(5, 20, 30)),  # the longer side decides, about the middle
        ((10.0, 20.0, 30.0, 50.0), 1.5, Square(-2, 13, 45)),
        ((10.2, 20.2, 30.7, 50.6), 1.0, Square(5, 20, 30)),  # whole pixels
    ],
)
def test_the_square_is_margin_times_the_longer_side_about_the_middle(
    box: tuple[float, float, float, float], margin: float, expected: Square
) -> None:
    recipe = dataclasses.replace(PLAIN, margin=margin, border="reflect")
    assert square_of(row(box), recipe) == expected


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-10.0, 20.0, 20.0, 50.0), Square(0, 20, 30)),
        ((90.0, 60.0, 110.0, 90.0), Square(70, 50, 30)),
        ((10.0, 10.0, 30.0, 130.0), Square(0, 0, 80)),  # larger than the photo: the largest that fits
    ],
)
def test_shift_moves_the_square_inside_the_photo(box: tuple[float, float, float, float], expected: Square) -> None:
    assert square_of(row(box), PLAIN) == expected


def test_skip_leaves_out_what_leaves_the_photo() -> None:
    skip = dataclasses.replace(PLAIN, border="skip")
    assert square_of(row((-1.0, 20.0, 29.0, 50.0)), skip) == "the square leaves the photo"
    assert square_of(row((0.0, 50.0, 30.0, 80.0)), skip) == Square(0, 50, 30)
    assert square_of(row((0.0, 51.0, 30.0, 81.0)), skip) == "the square leaves the photo"


def test_sizes_that_are_not_wanted_are_left_out() -> None:
    recipe = dataclasses.replace(PLAIN, least_side=20, most_side=40)
    files = {20: "a", 19: "b", 40: "c", 41: "d"}
    rows = [row((0.0, 0.0, side, side), file=name) for side, name in files.items()]
    crops, dropped = plan_crops([*rows, Row("e", "0" * 64, problem="no face")], recipe)
    assert [(crop.index, crop.row.file) for crop in crops] == [(0, "a"), (1, "c")]
    assert dropped == {"too small: under 20 pixels": ["b"], "too large: over 40 pixels": ["d"]}


def test_no_resampling_takes_the_pixels_as_they_are() -> None:
    recipe = dataclasses.replace(PLAIN, size=16, least_side=14, most_side=18, resample="none")
    square = square_of(row((40.0, 30.0, 54.0, 45.0)), recipe)
    assert square == Square(39, 30, 16)
    pixels = photo()
    assert np.array_equal(cut(pixels, square, 16), pixels[30:46, 39:55])
    assert square_of(row((0.0, 0.0, 15.0, 10.0), 15, 10), recipe) == "the photo is smaller than a face"


def test_a_cut_is_pillows_crop_and_bicubic_resize() -> None:
    pixels = photo()
    expected = Image.fromarray(pixels).crop((7, 9, 57, 59)).resize((128, 128), Image.Resampling.BICUBIC)
    assert np.array_equal(cut(pixels, Square(7, 9, 50), 128), np.asarray(expected))


@pytest.mark.parametrize(
    "square", [Square(-20, -7, 64), Square(60, 30, 64), Square(-150, -90, 128), Square(95, 75, 16)]
)
def test_outside_the_photo_it_is_mirrored_at_the_edge_pixels(square: Square) -> None:
    pixels = photo()
    reach = 400
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    top, left = square.top + reach, square.left + reach
    expected = padded[top : top + square.side, left : left + square.side]
    assert np.array_equal(cut(pixels, square, square.side), expected)


@pytest.mark.parametrize(("name", "value"), [("margin", 0.0), ("margin", float("nan")), ("min_face", 5), ("size", 4)])
def test_values_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{name}: {value}"):
        from_dict(Recipe, {name: value}, "recipe")
