"""Landmarks move as pixels do: faces of coloured dots, one a landmark, are cut and the dots looked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.core.errors import UserError
from bench.data.augment import Augment
from bench.data.batches import Batches, cut_by_products
from bench.data.landmarks import MIRRORED, POINTS, move_landmarks

SIZE, REACH = 128, 6  # pixels around a dot, in which no other one is
SPREAD = 1.5  # of a dot
ALL = Augment(flip=True, scale=(1.0, 1.3), rot90=True)
AUGMENTS = {
    "nothing": Augment(flip=False, scale=(1.0, 1.0), rot90=False),
    "zoom": Augment(flip=False, scale=(1.1, 1.3), rot90=False),
    "mirror": Augment(flip=True, scale=(1.0, 1.0), rot90=False),
    "turns": Augment(flip=False, scale=(1.0, 1.0), rot90=True),
    "all": ALL,
}


def dotted(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return faces, uint8 [count, 128, 128, 3], with a dot for each landmark, and the landmarks [count, 68, 2].

    Red is as bright in every dot; green and blue tell the landmark's number in nine steps each.
    """
    draw = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(9), np.arange(8)), axis=-1).reshape(-1, 2)[:POINTS] * 14.0 + 8
    points = grid + draw.uniform(-0.5, 0.5, (count, POINTS, 2))
    pixels = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1)
    faces = np.zeros((count, SIZE, SIZE, 3))
    for face, own in zip(faces, points, strict=True):
        for number, point in enumerate(own):
            dot = np.exp(-((pixels - point) ** 2).sum(axis=-1) / (2 * SPREAD**2))
            face[..., 0] += 200 * dot
            face[..., 1] += 200 * dot * (number // 9 + 1) / 9
            face[..., 2] += 200 * dot * (number % 9 + 1) / 9
    return faces.round().astype(np.uint8), points.astype(np.float32)


def measured(hr: torch.Tensor, point: torch.Tensor) -> tuple[np.ndarray, int] | None:
    """Return where the dot near `point` is in a face [3, H, W], x then y, and its number; None too near the border."""
    x, y = point.round().int().tolist()
    if not all(REACH <= at < SIZE - REACH for at in (x, y)):
        return None
    window = hr[:, y - REACH : y + REACH + 1, x - REACH : x + REACH + 1].double().numpy()
    places = np.arange(-REACH, REACH + 1)
    red = window[0]
    away = np.array([(red.sum(axis=0) * places).sum(), (red.sum(axis=1) * places).sum()]) / red.sum()
    green, blue = (round(window[channel].sum() / red.sum() * 9) - 1 for channel in (1, 2))
    return np.array([x, y]) + away, 9 * green + blue


def check(hr: torch.Tensor, points: torch.Tensor) -> tuple[int, bool]:
    """Check the dots of one face; return how many were in the picture, and whether it is a mirrored one."""
    seen = {i: found for i, point in enumerate(points) if (found := measured(hr, point)) is not None}
    for i, (place, _) in seen.items():
        assert np.abs(place - points[i].numpy()).max() < 0.04, f"landmark {i}: {place} at {points[i]}"
    straight = all(number == i for i, (_, number) in seen.items())
    assert straight or all(number == MIRRORED[i] for i, (_, number) in seen.items())
    return len(seen), not straight


@pytest.mark.parametrize("name", AUGMENTS)
def test_every_dot_is_where_its_landmark_is(name: str) -> None:
    faces, points = dotted(4)
    batches = Batches(
        faces, batch=6, scale=8, seed=3, augment=AUGMENTS[name], device=torch.device("cpu"), landmarks=points
    )
    count, mirrored = 0, set()
    for k in range(2):
        moved = batches.landmarks_of(k)
        assert moved is not None and moved.dtype == torch.float32 and moved.shape == (6, POINTS, 2)
        for hr, own in zip(batches[k][1], moved, strict=True):
            seen, mirror = check(hr, own)
            count += seen
            mirrored.add(mirror)
    assert count > 12 * POINTS * 0.5
    assert mirrored == ({False, True} if AUGMENTS[name].flip else {False})


def test_other_devices_cut_the_same_place() -> None:
    """The products that stand in for a CPU's cuts move a dot as far."""
    faces, points = dotted(1)
    cuts = torch.tensor([[99, 3, 20, 1, 3], [110, 18, 0, 0, 1]])
    pixels = torch.from_numpy(faces).permute(0, 3, 1, 2).expand(2, -1, -1, -1)
    moved = move_landmarks(torch.from_numpy(points).expand(2, -1, -1), cuts, SIZE)
    assert [check(hr, own)[1] for hr, own in zip(cut_by_products(pixels, cuts), moved, strict=True)] == [True, False]


def test_landmarks_leave_pixels_alone_and_depend_on_seed_and_k_alone() -> None:
    faces, points = dotted(5)
    given = {"batch": 2, "scale": 8, "augment": ALL, "device": torch.device("cpu")}
    plain, both, again = (
        Batches(faces, seed=1, landmarks=landmarks, **given)  # type: ignore[arg-type]
        for landmarks in (None, points, points)
    )
    assert plain.landmarks_of(0) is None
    later = again.landmarks_of(5), again.landmarks_of(2)
    for k, expected in zip((5, 2), later, strict=True):
        own = both.landmarks_of(k)
        assert own is not None and expected is not None and torch.equal(own, expected)
        assert all(map(torch.equal, plain[k], both[k]))
    other = Batches(faces, seed=2, landmarks=points, **given).landmarks_of(2)  # type: ignore[arg-type]
    assert other is not None and expected is not None and not torch.equal(other, expected)


def test_faces_without_landmarks_stay_without() -> None:
    faces, points = dotted(2)
    points[1] = np.nan
    batches = Batches(faces, batch=2, scale=8, seed=0, augment=ALL, device=torch.device("cpu"), landmarks=points)
    for k in range(8):
        moved = batches.landmarks_of(k)
        assert moved is not None
        assert sorted(moved.isnan().flatten(1).float().mean(dim=1).tolist()) == [0, 1]


def test_a_mirrored_left_eye_is_the_right_one() -> None:
    pairs = {0: 16, 8: 8, 17: 26, 21: 22, 27: 27, 31: 35, 36: 45, 37: 44, 39: 42, 40: 47, 41: 46}
    pairs |= {48: 54, 51: 51, 57: 57, 59: 55, 60: 64, 62: 62, 66: 66, 67: 65}
    assert {i: MIRRORED[i] for i in pairs} == pairs
    assert sorted(MIRRORED) == list(range(POINTS)) and all(MIRRORED[MIRRORED[i]] == i for i in range(POINTS))
    points = torch.zeros(1, POINTS, 2)
    points[0, 36], points[0, 45] = torch.tensor([30.0, 50.0]), torch.tensor([90.0, 60.0])
    moved = move_landmarks(points, torch.tensor([[SIZE, 0, 0, 1, 0]]), SIZE)[0]
    assert moved[36].tolist() == [127 - 90, 60] and moved[45].tolist() == [127 - 30, 50]


def test_landmarks_of_other_faces_are_refused() -> None:
    faces, points = dotted(2)
    with pytest.raises(UserError, match=r"landmarks are \[1, 68, 2\], expected \[2, 68, 2\]"):
        Batches(faces, batch=1, scale=8, seed=0, augment=ALL, device=torch.device("cpu"), landmarks=points[:1])
