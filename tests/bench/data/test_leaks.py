"""Leaks between sets: what is planted is found, and nothing else."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from bench.data import leaks
from bench.data.leaks import (
    HASH_SIDE,
    MOVES,
    NEAR,
    WORDS,
    Duplicate,
    Leak,
    Prints,
    find_duplicates,
    find_leaks,
    perceptual_hashes,
)
from tests.bench.data.pictures import textured

SIZE, COUNT = 110, 6


def photos(seed: int) -> np.ndarray:
    return np.stack([np.asarray(textured(100 * seed + place, (200, 200))) for place in range(COUNT)])


def prints(
    hashes: np.ndarray, letter: str, sha256: Sequence[str] | None = None, identities: Sequence[str] | None = None
) -> Prints:
    count = len(hashes)
    names = tuple(f"{letter}{index}" for index in range(count))
    return Prints(names, tuple(sha256 or [""] * count), tuple(identities or [""] * count), hashes)


def random_hashes(count: int, seed: int, moves: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (count, moves * WORDS), dtype=np.uint64)


def flip(hashes: np.ndarray, bits: Sequence[int]) -> np.ndarray:
    flat = np.unpackbits(hashes.view(np.uint8))
    flat[list(bits)] ^= 1
    return np.packbits(flat).view(np.uint64)


def brute_force(train: np.ndarray, test: np.ndarray, threshold: int) -> list[tuple[int, int, int]]:
    """Compare all bits of all pairs, as pictures of bits, of which the odd columns turn in a mirror."""

    def pictures(row: np.ndarray) -> np.ndarray:
        halves = np.unpackbits(row.view(np.uint8)).reshape(-1, 2, HASH_SIDE, HASH_SIDE // 2)
        return np.stack([halves[:, 0], halves[:, 1]], axis=-1).reshape(-1, HASH_SIDE, HASH_SIDE)

    odd_columns = (np.arange(HASH_SIDE) % 2).astype(np.uint8)
    known, found = pictures(train), []
    for i, row in enumerate(test):
        moved = pictures(row)
        every = np.concatenate([moved, moved ^ odd_columns])
        for j, own in enumerate(known):
            least = int((every != own).sum(axis=(1, 2)).min())
            if least <= threshold:
                found.append((i, least, j))
    return sorted(found)


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return photos(1)


def view(face: np.ndarray, left: int = 45, top: int = 45, side: int = SIZE) -> np.ndarray:
    image = Image.fromarray(face).crop((left, top, left + side, top + side))
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def copies_found(faces: np.ndarray, copies: Sequence[np.ndarray], moved: bool = True) -> list[tuple[int, int]]:
    """Return places (train, test) of the near pairs of faces in training and copies in test."""
    train = prints(perceptual_hashes(map(view, faces)), "a")
    test = prints(perceptual_hashes(copies, moved=moved), "b")
    found = find_leaks(train, test, same_list=False).pairs
    return [(int(leak.train[1:]), int(leak.test[1:])) for leak in found]


def jpeg(picture: np.ndarray) -> np.ndarray:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=40)
    return np.asarray(Image.open(out))


DISTURBANCES = {
    "the same": view,
    "jpeg": lambda face: jpeg(view(face)),
    "smaller": lambda face: np.asarray(Image.fromarray(view(face)).resize((60, 60), Image.Resampling.BICUBIC)),
    "darker": lambda face: np.asarray(ImageEnhance.Brightness(Image.fromarray(view(face))).enhance(0.8)),
    "mirrored": lambda face: np.asarray(ImageOps.mirror(Image.fromarray(view(face)))),
    "shifted": lambda face: view(face, 47, 43),
    "scaled": lambda face: view(face, 42, 42, 116),
    "shifted and mirrored": lambda face: view(face, 47, 43)[:, ::-1],
}


@pytest.mark.parametrize("name", DISTURBANCES)
def test_copies_are_found_each_with_its_own_face(faces: np.ndarray, name: str) -> None:
    copies = [np.ascontiguousarray(DISTURBANCES[name](face)) for face in faces]
    assert copies_found(faces, copies) == [(index, index) for index in range(len(faces))]


def test_upside_down_and_other_faces_are_not_found(faces: np.ndarray) -> None:
    assert copies_found(faces, [np.ascontiguousarray(view(face)[::-1]) for face in faces]) == []
    assert copies_found(faces, [view(face) for face in photos(100)]) == []


def test_moving_finds_what_the_first_hash_alone_does_not(faces: np.ndarray) -> None:
    copies = [view(face, 48, 42, 112) for face in faces]
    assert len(copies_found(faces, copies, moved=False)) < len(copies_found(faces, copies)) == len(faces)


def test_hashes_are_those_of_imagehash(faces: np.ndarray) -> None:
    imagehash = pytest.importorskip("imagehash")
    for face in faces[:5]:
        hashes = perceptual_hashes([view(face)], moved=True).reshape(len(MOVES), WORDS)
        for (side, x, y), own in zip(MOVES, hashes, strict=True):
            left, top = (side - 64) // 2 + x, (side - 64) // 2 + y
            grey = Image.fromarray(view(face)).convert("L").resize((side, side), Image.Resampling.LANCZOS)
            bits = imagehash.phash(grey.crop((left, top, left + 64, top + 64)), hash_size=HASH_SIDE).hash
            halves = np.unpackbits(own.view(np.uint8)).reshape(2, HASH_SIDE, HASH_SIDE // 2).astype(bool)
            assert np.array_equal(halves[0], bits[:, ::2]) and np.array_equal(halves[1], bits[:, 1::2])


def test_a_face_of_one_colour_has_a_hash_without_noise() -> None:
    hashes = perceptual_hashes([np.full((90, 90, 3), level, np.uint8) for level in (9, 77, 200)], moved=True)
    assert set(hashes.ravel().tolist()) == {0, 128}, "one bit, that of the mean"


def test_faces_that_a_set_holds_twice() -> None:
    hashes = random_hashes(9, 1)
    hashes[3] = flip(hashes[1], range(30))
    hashes[5] = flip(hashes[3], range(30, 60))  # near 3 and, 60 bits away, not near 1
    hashes[6] = flip(hashes[1], range(20))
    hashes[8] = hashes[7]
    sha256 = ["x", "", "x", "", "y", "", "", "y", "y"]
    files = ["a", "b", "c", "d", "e", "f", "g", "h", "h"]  # the last two are faces of one photo, which is e's too
    given = dataclasses.replace(prints(hashes, "a", sha256), files=tuple(files))
    assert find_duplicates(given) == (
        Duplicate("exact", "a0", "a2", 0),
        Duplicate("near", "a1", "a3", 30),
        Duplicate("near", "a3", "a5", 30),
        Duplicate("near", "a3", "a6", 10),
        Duplicate("exact", "a4", "a7", 0),
        Duplicate("near", "a7", "a8", 0),
    )


def test_a_training_face_is_moved_where_it_is_loosely_like_an_earlier_one() -> None:
    hashes, moved = random_hashes(40, 5), random_hashes(40, 6, len(MOVES))
    for again, first, unmoved, bits in ((20, 3, 60, 12), (21, 4, 60, 50), (22, 5, 90, 5), (23, 6, 9, 2)):
        hashes[again] = flip(hashes[first], range(unmoved))
        moved[again, 40:44] = flip(hashes[first], range(bits))
    asked: list[int] = []
    twins = find_duplicates(prints(hashes, "a"), lambda index: asked.append(index) or moved[index])  # type: ignore[func-returns-value]
    assert twins == (Duplicate("near", "a3", "a20", 12), Duplicate("near", "a6", "a23", 2))
    assert asked == [20, 21, 23], "hashing costs more than comparing"


def test_duplicates_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, hashes = np.random.default_rng(3), random_hashes(60, 4, len(MOVES))
    for index in range(1, 60, 2):
        place = WORDS * draw.integers(len(MOVES))
        earlier = hashes[draw.integers(index), :WORDS]
        hashes[index, :WORDS] = flip(earlier, draw.choice(256, 70, replace=False))
        hashes[index, place : place + WORDS] = flip(earlier, draw.choice(256, index, replace=False))
    pairs = [(i, bits, j) for i, bits, j in brute_force(hashes[:, :WORDS], hashes, NEAR) if j < i]
    expected = {i: (bits, j) for i, bits, j in reversed(pairs)}  # of the pairs of a face the nearest
    monkeypatch.setattr(leaks, "_BLOCK", (7, 9))
    twins = find_duplicates(prints(hashes, "a"))
    assert {int(one.again[1:]): (one.distance, int(one.first[1:])) for one in twins} == expected
    assert len(expected) > 10


def test_exact_pairs_are_listed_once_and_unknown_files_are_no_pair() -> None:
    train = prints(random_hashes(4, 1), "a", ["x", "", "y", "x"])
    test = prints(train.hashes[[1, 0, 2]], "b", ["", "x", "z"])
    found = find_leaks(train, test, same_list=True)
    assert found.pairs == (
        Leak("near", "a1", "b0", 0),
        Leak("exact", "a0", "b1", 0),
        Leak("exact", "a3", "b1", 0),
        Leak("near", "a2", "b2", 0),
    )
    assert (found.exact, found.near) == (1, 2)


@functools.cache
def planted() -> tuple[np.ndarray, np.ndarray, list[tuple[int, int, int]]]:
    """Return hashes of 70 training and 30 moved test faces, half of which resemble some of the former; the pairs."""
    draw = np.random.default_rng(5)
    train, test = random_hashes(70, 6), random_hashes(30, 7, len(MOVES))
    for index in range(15):
        own = train[draw.integers(50)]
        first = WORDS * (index % 3)
        test[index, first : first + WORDS] = flip(own, draw.choice(256, 80, replace=False))
        place = WORDS * draw.integers(len(MOVES))
        test[index, place : place + WORDS] = flip(own, draw.choice(256, 5 * index, replace=False))
        if index % 3 == 0:
            train[50 + index] = flip(own, [*range(128, 256), *draw.choice(128, 10, replace=False)])  # its mirror image
    return train, test, brute_force(train, test, NEAR)


@pytest.mark.parametrize(("block", "ones"), [((7, 9), "_ones"), ((64, 8192), "_ones"), ((64, 8192), "_ones_of_bytes")])
def test_blocks_give_what_brute_force_gives(monkeypatch: pytest.MonkeyPatch, block: tuple[int, int], ones: str) -> None:
    train, test, expected = planted()
    assert len({bits for _, bits, _ in expected}) > 8
    monkeypatch.setattr(leaks, "_BLOCK", block)
    monkeypatch.setattr(leaks, "_ones", getattr(leaks, ones))
    found = find_leaks(prints(train, "a"), prints(test, "b"), same_list=False)
    listed = [(int(leak.test[1:]), leak.distance, int(leak.train[1:])) for leak in found.pairs]
    assert listed == expected


def test_only_the_nearest_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    own = random_hashes(1, 1)[0]
    train = np.stack([flip(own, range(count)) for count in reversed(range(25))])
    monkeypatch.setattr(leaks, "_BLOCK", (2, 4))
    monkeypatch.setattr(leaks, "MOST", 10)
    found = find_leaks(prints(train, "a"), prints(own[None], "b"), same_list=False)
    assert [leak.distance for leak in found.pairs] == list(range(10))
    same = find_leaks(prints(train, "a", ["x"] * 25), prints(own[None], "b", ["x"]), same_list=False)
    assert [leak.train for leak in same.pairs] == [f"a{index}" for index in range(10)]


def test_identities_are_compared_where_one_list_names_both() -> None:
    train = prints(random_hashes(4, 1), "a", identities=["7", "3", "", "9"])
    test = prints(random_hashes(5, 2), "b", identities=["9", "", "3", "9", "4"])
    found = find_leaks(train, test, same_list=True)
    assert (found.identities, found.identity_check) == (("3", "9"), "compared")
    other = find_leaks(train, test, same_list=False)
    assert (other.identities, other.identity_check) == ((), "not comparable")


def test_identities_that_one_set_lacks_are_not_known() -> None:
    train, test = prints(random_hashes(2, 1), "a", identities=["7", ""]), prints(random_hashes(2, 2), "b")
    assert find_leaks(train, test, same_list=True).identity_check == "not known"
    assert find_leaks(test, train, same_list=True).identity_check == "not known"
