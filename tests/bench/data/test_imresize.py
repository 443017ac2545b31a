from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from bench.data.imresize import imresize

# What MATLAB's imresize returned for a uint8 matrix. The numbers are those that the tests of GNU Octave's image
# package 2.14.0 (imresize.m) record as "reference results from matlab", with an allowance of one level: MATLAB's
# arithmetic on integers is not quite exact.
MATRIX = """
116 227 153  69 146 194  59 130 139 106
  2  47 137 249  90  75  16  24 158  44
155  68  46  84 166 156  69 204  32 152
 71 221 137 230 210 153 192 115  30 118
107 143 108  52  51  73 101  21 175  90
 54 158 143  77  26 168 113 229 165 225
  9  47 133 135 130 207 236  43  19  73
129  60  59 243  64 181 249  56  32  86
"""
MATLAB_HALF = """
105 140 126  81 109
110 134 153 114  93
108 108  94 127 146
 67 126 162 149  62
"""
MATLAB_THIRD = """
115 135  97 101
113 119 124 125
 81 157 118  64
"""
MATLAB_FOUR_THIRDS = """
116 203 221 141  62 110 180 191  70 104 143 136 111 106
 26  78 126 156 200 139 103 103  33  28  92 158  67  46
 51  35  51 112 195 146 101  87  29  57 100 114  81  74
159 110  63  50  82 148 179 152  83 173 147  27 143 170
 70 171 189 134 217 226 193 158 186 157  83  25 114 135
 91 152 162 116 118 114 102  98 138  65  60 127  92  84
 90 130 144 111  52  24  50 101  94  86 129 190 146 135
 41 114 157 139  89  37  82 178 125 192 203 154 213 227
  4  33  89 141 127 118 151 213 232 119  35  34  81  92
 88  61  54  97 203 129 115 203 255 119  18  24  70  81
147  91  43  68 247 125  80 191 255 130  33  37  83  94
"""


def read(text: str) -> np.ndarray:
    return np.array([line.split() for line in text.split("\n") if line], np.uint8)


def resize_plane(plane: np.ndarray, size: tuple[int, int], factor: float | None = None) -> np.ndarray:
    return imresize(plane[None, :, :, None], size, factor and (factor, factor))[0, :, :, 0]


@pytest.mark.parametrize("factor, expected", [(1 / 2, MATLAB_HALF), (1 / 3, MATLAB_THIRD), (4 / 3, MATLAB_FOUR_THIRDS)])
def test_equals_matlab(factor: float, expected: str) -> None:
    assert np.array_equal(resize_plane(read(MATRIX), read(expected).shape, factor), read(expected))


def test_equals_matlab_for_a_size_and_three_channels() -> None:
    """From the same tests: [10 6] to three rows and three columns gives 10.28, 8, 5.72 in each row (in double)."""
    row = np.repeat(np.array([10, 6], np.uint8), 3).reshape(1, 1, 2, 3)
    expected = np.repeat(np.array([10, 8, 6], np.uint8), 3).reshape(1, 1, 3, 3)
    assert np.array_equal(imresize(row, (3, 3)), np.repeat(expected, 3, axis=1))
    assert np.array_equal(imresize(row.transpose(0, 2, 1, 3), (3, 3)), np.repeat(expected, 3, 1).transpose(0, 2, 1, 3))


def cubic(x: Fraction) -> Fraction:
    x = abs(x)
    if x <= 1:
        return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
    if x <= 2:
        return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2
    return Fraction(0)


def pixel(line: list[Fraction], place: int, factor: Fraction) -> Fraction:
    """One pixel of a resized line, straight from the definition and without rounding."""
    narrow = min(factor, Fraction(1))
    centre = (place + Fraction(1, 2)) / factor - Fraction(1, 2)
    total = weights = Fraction(0)
    for tap in range(int(centre - 2 / narrow) - 2, int(centre + 2 / narrow) + 3):
        weight, source = cubic(narrow * (centre - tap)), tap
        while not 0 <= source < len(line):
            source = -1 - source if source < 0 else 2 * len(line) - 1 - source
        total += weight * line[source]
        weights += weight
    return total / weights


def by_definition(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize by exact fractions, rounding and clipping after each pass."""
    factors = [Fraction(out, length) for out, length in zip(size, plane.shape, strict=True)]
    values = [[Fraction(int(value)) for value in row] for row in plane]

    def resize(lines: list[list[Fraction]], axis: int) -> list[list[Fraction]]:
        return [[pixel(line, place, factors[axis]) for place in range(size[axis])] for line in lines]

    def turn(lines: list[list[Fraction]]) -> list[list[Fraction]]:
        return [list(line) for line in zip(*lines, strict=True)]

    def level(value: Fraction) -> Fraction:
        return Fraction(min(max((value + Fraction(1, 2)).__floor__(), 0), 255))

    rows_first = factors[0] <= factors[1]
    for axis in (0, 1) if rows_first else (1, 0):
        values = turn(resize(turn(values), 0)) if axis == 0 else resize(values, 1)
        values = [[level(value) for value in row] for row in values]
    return np.array([[int(value) for value in row] for row in values], np.uint8)


@pytest.mark.parametrize("size", [(12, 16), (6, 8), (3, 4), (36, 48), (24, 8), (5, 7)])
def test_equals_the_definition_in_exact_fractions(size: tuple[int, int]) -> None:
    plane = np.random.default_rng(2).integers(0, 256, (24, 32), dtype=np.uint8)
    assert np.array_equal(resize_plane(plane, size), by_definition(plane, size))
