"""Maps drawn from landmarks, against plain loops and PIL's polygons."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from methods.layers.priors import fill_polygon, heat_maps, label_maps, parsing_maps

STAR = [(64 + 50 * math.sin(4 * math.pi * i / 5), 62 - 50 * math.cos(4 * math.pi * i / 5)) for i in range(5)]
SHAPES = {
    "triangle": [(20.3, 15.1), (101.7, 40.2), (33.4, 110.6)],
    "rectangle": [(10, 20), (90, 20), (90, 70), (10, 70)],
    "hollow": [(10.2, 10.4), (110.1, 12.3), (60.7, 60.2), (112.9, 115.6), (14.2, 108.8)],
    "beyond the border": [(-30.4, 40.1), (150.2, -20.7), (140.3, 160.9), (50.5, 90.2)],
}


def face(seed: int = 0) -> torch.Tensor:
    """Return landmarks laid out as a face's: [1, 68, 2]."""
    draw = np.random.default_rng(seed)

    def arc(count: int, centre: tuple[float, float], radii: tuple[float, float], turn: tuple[float, float]) -> list:
        angles = np.linspace(*turn, count)
        return [(centre[0] + radii[0] * math.cos(at), centre[1] + radii[1] * math.sin(at)) for at in angles]

    up, round_ = (math.pi, 2 * math.pi), (math.pi, 3 * math.pi - math.pi / 3)
    points = arc(17, (64, 56), (46, 60), (math.pi, 0))
    points += arc(5, (44, 44), (14, 6), up) + arc(5, (84, 44), (14, 6), up)
    points += [(64, 52 + 8 * i) for i in range(4)] + [(54 + 5 * i, 82) for i in range(5)]
    points += arc(6, (44, 54), (9, 4), round_) + arc(6, (84, 54), (9, 4), round_)
    points += arc(12, (64, 98), (18, 7), (math.pi, 3 * math.pi - math.pi / 6))
    points += arc(8, (64, 98), (12, 2), (math.pi, 3 * math.pi - math.pi / 4))
    return torch.tensor(np.array(points) + draw.uniform(-0.4, 0.4, (68, 2)), dtype=torch.float32)[None]


Polygon = list[tuple[float, float]]


def distance_to(polygon: Polygon) -> np.ndarray:
    """Return how far each pixel's centre is from the polygon's outline: [128, 128]."""
    pixels = np.stack(np.meshgrid(np.arange(128), np.arange(128)), axis=-1).astype(float)
    distances = []
    for start, end in zip(np.array(polygon), np.roll(np.array(polygon), -1, axis=0), strict=True):
        along = ((pixels - start) @ (end - start)) / max(((end - start) ** 2).sum(), 1e-9)
        distances.append(np.linalg.norm(pixels - start - along.clip(0, 1)[..., None] * (end - start), axis=-1))
    return np.min(distances, axis=0)


def check_but_for_the_outline(got: np.ndarray, *polygons: Polygon) -> None:
    """Compare with PIL, which knows whole pixels alone and fills those that the outline touches as well.

    So it draws nine times as large, and what it has at our pixels' centres counts, but for those at the outline.
    """
    picture = Image.new("1", (128 * 9, 128 * 9))
    for polygon in polygons:
        ImageDraw.Draw(picture).polygon([tuple(round(9 * at + 4) for at in point) for point in polygon], fill=1)
    expected = np.asarray(picture)[4::9, 4::9]
    away = np.min([distance_to(polygon) for polygon in polygons], axis=0) > 0.25
    assert expected[away].any() and not expected[away].all()
    assert np.array_equal(got[away], expected[away])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reverse", [False, True])
def test_polygons_are_pils_but_for_their_outline(shape: str, reverse: bool) -> None:
    corners = SHAPES[shape][:: -1 if reverse else 1]
    got = fill_polygon(torch.tensor(corners, dtype=torch.float32)[None], 128, 128)[0].numpy()
    check_but_for_the_outline(got, corners)


def test_a_polygon_has_the_area_of_its_corners() -> None:
    """Pixels whose centre is inside: no bias outwards, as PIL's have."""
    for corners in (SHAPES["triangle"], SHAPES["hollow"]):
        x, y = np.array(corners).T
        area = abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
        got = fill_polygon(torch.tensor(corners, dtype=torch.float32)[None], 128, 128).sum().item()
        assert got == pytest.approx(area, rel=0.01)
    assert fill_polygon(torch.tensor([SHAPES["rectangle"]]).float(), 128, 128).sum() == 80 * 50


def test_a_polygon_that_crosses_itself_has_no_hole() -> None:
    assert fill_polygon(torch.tensor([STAR]), 128, 128)[0, 62, 64]


def test_parsing_maps_are_the_polygons_of_the_landmarks() -> None:
    points = face()
    at = [tuple(point) for point in points[0].tolist()]
    skin, eyes, mouth = parsing_maps(points, 128)[0].numpy() > 0
    check_but_for_the_outline(skin, [*at[:17], *at[26:16:-1]])
    check_but_for_the_outline(mouth, [at[27], *at[31:36]], at[48:60])
    bands = []
    for brow, eye in ((at[17:22], at[36:42]), (at[22:27], at[42:48])):
        middle = np.mean(eye, axis=0)
        below = [tuple(np.array(point) + (middle - point) / 4) for point in brow]
        bands.append([*brow, *below[::-1]])
    check_but_for_the_outline(eyes, at[36:42], at[42:48], *bands)


def test_label_maps_are_polygons_of_which_the_last_one_counts() -> None:
    points = face()
    at = [tuple(point) for point in points[0].tolist()]
    polygons = [[*at[:17], *at[26:16:-1]]]
    for brow, eye in ((at[17:22], at[36:42]), (at[22:27], at[42:48])):
        middle = np.mean(eye, axis=0)
        below = [tuple(np.array(point) + (middle - point) / 4) for point in brow]
        polygons.append([*brow, *below[::-1]])
    polygons += [at[36:42], at[42:48], [at[27], *at[31:36]]]
    polygons += [[*at[48:55], *at[64:59:-1]], at[60:68], [*at[54:60], at[48], at[60], *at[67:63:-1]]]
    picture = Image.new("L", (128 * 9, 128 * 9))
    for label, polygon in enumerate(polygons, start=1):
        ImageDraw.Draw(picture).polygon([tuple(round(9 * x + 4) for x in point) for point in polygon], fill=label)
    expected = np.asarray(picture)[4::9, 4::9]
    away = np.min([distance_to(polygon) for polygon in polygons], axis=0) > 0.25
    maps = label_maps(points, 128)[0].numpy()
    assert maps.shape == (11, 128, 128) and (maps.sum(axis=0) == 1).all() and not maps[10].any()
    assert set(np.unique(expected[away])) == set(range(10))
    assert np.array_equal(maps.argmax(axis=0)[away], expected[away])


@pytest.mark.parametrize("size", [16, 64])
def test_smaller_maps_are_the_shrunken_large_one(size: int) -> None:
    large, small = parsing_maps(face(), 128)[0], parsing_maps(face(), size)[0]
    means = torch.nn.functional.avg_pool2d(large, 128 // size)
    assert small.shape == (3, size, size) and set(small.unique().tolist()) == {0, 1}
    assert (small[means == 1] == 1).all() and (small[means == 0] == 0).all()


def test_each_face_of_a_batch_is_its_own() -> None:
    several = torch.cat([face(0), face(1), face(2).flip(0) + 5])
    for make in (parsing_maps, heat_maps, label_maps):
        batch = make(several, 32)
        assert all(torch.equal(batch[i : i + 1], make(several[i : i + 1], 32)) for i in range(3))


def test_heat_maps_are_gaussians_around_a_quarter_of_the_landmark() -> None:
    points = face()
    points[0, 0] = torch.tensor([-6.0, 131.0])  # not clipped: the map shows the side of it
    maps = heat_maps(points, 32)
    assert maps.shape == (1, 68, 32, 32) and maps.dtype == torch.float32
    for i in (0, 8, 30, 45):
        x, y = (points[0, i] / 4).tolist()
        for row, column in ((0, 0), (31, 0), (round(y) % 32, round(x) % 32), (12, 20)):
            expected = math.exp(-((column - x) ** 2 + (row - y) ** 2) / 2)
            assert maps[0, i, row, column].item() == pytest.approx(expected, abs=1e-6)
    wide = heat_maps(points, 64, sigma=2.5)[0, 30]
    x, y = (points[0, 30] / 2).tolist()
    assert wide[40, 30].item() == pytest.approx(math.exp(-((30 - x) ** 2 + (40 - y) ** 2) / (2 * 2.5**2)), abs=1e-6)


def test_a_face_without_landmarks_has_empty_maps() -> None:
    points = torch.cat([face(), torch.full((1, 68, 2), math.nan)])
    for maps in (heat_maps(points, 32), parsing_maps(points, 128), label_maps(points, 128)[:, :10]):
        assert maps[0].amax(dim=(1, 2)).min() > 0.5 and not maps[1].any() and not maps.isnan().any()
