"""Find faces that two sets share, or one holds twice: the same file, the photo in another guise, the same person.

Exact: equal SHA-256 of the photo's file. Near: perceptual hashes (pHash as ImageHash has it, 16 x 16 bits) at most
`NEAR` bits apart; detectors put the box of a copy elsewhere, so the test face is hashed at several places and sizes
(`MOVES`), and mirrored copies are found as well. Identities are compared where one list names those of both sets.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from PIL import Image

HASH_SIDE = 16
WORDS = HASH_SIDE**2 // 64  # of a hash

# Chosen on 14,963 faces of five sets, 112 million pairs: at 38 bits 12 to 14 pairs are listed, to the eye one photo;
# the first false pair comes at 40 bits, and at 44, 50 and 54 bits 0.03, 0.3 and 2 pairs in a million are false.
#
# Of copies with the box as in the original are found: those with JPEG 30-90, a size of 0.5-2, brightness or contrast
# +-20 %, grey, mirrored, shifted by 3 % or scaled by 5 %: all; shifted by 5 %: 60 %. With the box detected again, as
# datasets/README.md lists: 88 to 96 %, 19 to 55 % without moving.
NEAR = 38
MOST = 100  # training faces that are listed for one test face, the nearest ones, for each kind

_WINDOW = 4 * HASH_SIDE  # pixels, what pHash reduces a picture to
_SIDES = (72, 68, 76)  # pixels a view is resized to before a window is cut from it, leaving room to move
_SHIFTS = (0, -1, 1, -2, 2)  # pixels
MOVES = tuple((side, x, y) for y, x, side in product(_SHIFTS, _SHIFTS, _SIDES))  # the first one moves nothing
_COARSE, _LOOSE = len(_SIDES), 96  # only pairs within so many bits after the first few moves are compared in all
_UNMOVED = 70  # within a set that is not moved, only faces so near to an earlier one are moved
_BLOCK = (64, 8192)  # test and training faces that are compared at a time; few enough for the processor's cache
_DECIMALS = 6  # of a DCT coefficient; finer differences are rounding, as in a picture of one colour
# The 16 lowest of the 64 frequencies of the DCT, type II, as scipy scales it: float64 [16, 64].
_DCT = 2 * np.cos(np.pi * np.outer(np.arange(HASH_SIDE), 2 * np.arange(_WINDOW) + 1) / (2 * _WINDOW))

Kind = Literal["exact", "near"]
IdentityCheck = Literal["compared", "not comparable", "not known"]


@dataclass(frozen=True)
class Prints:
    """What is compared of a set's faces, in order; a text is empty where nothing is known.

    `sha256` is that of a photo's file, `files` where it lies, `hashes` what `perceptual_hashes` returns: uint64 [N, 4],
    or [N, 4 * 75] with the face moved, which is made use of in a test set.
    """

    names: tuple[str, ...]
    sha256: tuple[str, ...]
    identities: tuple[str, ...]
    hashes: np.ndarray
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leak:
    """A training face and a test face that are one photo, by name; `distance` is in bits of 256, 0 where exact."""

    kind: Kind
    train: str
    test: str
    distance: int


@dataclass(frozen=True)
class Duplicate:
    """Two faces of one set that are one photo, by name, in the set's order; `distance` as in a `Leak`."""

    kind: Kind
    first: str
    again: str
    distance: int


@dataclass(frozen=True)
class Leaks:
    """What two sets share.

    `pairs` are in the order of the test set, the nearest first; `identities` are those in both sets, sorted.
    `identity_check` says whether they could be compared: not of two lists, and not where a set knows none.
    """

    pairs: tuple[Leak, ...]
    identities: tuple[str, ...]
    identity_check: IdentityCheck

    @property
    def exact(self) -> int:
        """The number of test faces whose file is in the training set."""
        return len({leak.test for leak in self.pairs if leak.kind == "exact"})

    @property
    def near(self) -> int:
        """The number of test faces of which the training set has a near-duplicate in another file."""
        return len({leak.test for leak in self.pairs if leak.kind == "near"})


def perceptual_hashes(views: Iterable[np.ndarray], moved: bool = False) -> np.ndarray:
    """Return the hashes of pictures of faces' boxes, uint8 [S, S, 3] each, as uint64 [N, 4].

    With `moved`, for test sets, as uint64 [N, 4 * 75]: the face as it is, then shifted and scaled. A hash holds the
    signs of the 16 x 16 lowest DCT coefficients against their median, those of even horizontal frequency first: they
    stay, and the others turn, when the picture is mirrored.
    """
    moves = MOVES if moved else MOVES[:1]
    rows = [_hashes_of(view, moves) for view in views]
    return np.array(rows, np.uint64).reshape(len(rows), len(moves) * WORDS)


def find_leaks(train: Prints, test: Prints, *, same_list: bool) -> Leaks:
    """Find what `test` shares with `train`; a pair that is exact is not listed as near again.

    Each test face is listed with its nearest training faces, `MOST` at most of each kind; identities are compared where
    the `same_list` names those of both. Memory does not grow with the product of the sets.
    """
    hits: list[tuple[int, Kind, int, int]] = [(i, "exact", 0, j) for i, j in _exact(train, test)]
    hits += [(i, "near", bits, j) for i, bits, j in _near(train, test).tolist()]
    pairs = [Leak(kind, train.names[j], test.names[i], bits) for i, kind, bits, j in sorted(hits)]
    check = _identity_check(train, test, same_list)
    shared = set(train.identities) & set(test.identities) - {""} if check == "compared" else set()
    return Leaks(tuple(pairs), tuple(sorted(shared)), check)


def find_duplicates(faces: Prints, moved: Callable[[int], np.ndarray] | None = None) -> tuple[Duplicate, ...]:
    """Return the faces of one set that an earlier face of it is the same as, each with the nearest such face.

    Exact: the same face, counted in order, of two files of the same bytes; several faces of one file are none. Where
    `faces` holds hashes that are not moved, `moved` gives those of a face, uint64 [4 * 75], where they are needed.
    """
    twins: dict[int, tuple[Kind, int, int]] = {j: ("exact", 0, i) for j, i in _copies(faces).items()}
    near = _near(faces, faces, NEAR if moved is None else _UNMOVED, inside=True)
    for j, bits, i in (near if moved is None else _near_moved(faces, near, moved)).tolist():
        twins.setdefault(j, ("near", bits, i))
    names = faces.names
    return tuple(Duplicate(kind, names[i], names[j], bits) for j, (kind, bits, i) in sorted(twins.items()))


def _identity_check(train: Prints, test: Prints, same_list: bool) -> IdentityCheck:
    if not (any(train.identities) and any(test.identities)):
        return "not known"
    return "compared" if same_list else "not comparable"


def _hashes_of(view: np.ndarray, moves: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """Return the hashes of one view under each of `moves` (side, x, y), one after the other."""
    grey = Image.fromarray(view).convert("L")
    sizes = {
        side: np.asarray(grey.resize((side, side), Image.Resampling.LANCZOS)) for side in {side for side, _, _ in moves}
    }
    windows = np.empty((len(moves), _WINDOW, _WINDOW))
    for window, (side, x, y) in zip(windows, moves, strict=True):
        left, top = (side - _WINDOW) // 2 + x, (side - _WINDOW) // 2 + y
        window[:] = sizes[side][top : top + _WINDOW, left : left + _WINDOW]
    low = np.round(_DCT @ (windows @ _DCT.T), _DECIMALS)
    bits = low > np.median(low, axis=(1, 2), keepdims=True)
    halves = [bits[:, :, start::2].reshape(len(moves), -1) for start in (0, 1)]
    return np.packbits(np.concatenate(halves, axis=1), axis=1).view(np.uint64).ravel()


def _exact(train: Prints, test: Prints) -> list[tuple[int, int]]:
    """Return places (test, train) of equal files."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for j, digest in enumerate(train.sha256):
        if digest:
            places[digest].append(j)
    return [(i, j) for i, digest in enumerate(test.sha256) for j in places.get(digest, ())[:MOST]]


def _copies(faces: Prints) -> dict[int, int]:
    """Return the place of each face that is the n-th of a file whose bytes an earlier file has -> of the n-th there."""
    firsts: dict[tuple[str, int], int] = {}
    count: defaultdict[str, int] = defaultdict(int)
    copies = {}
    for index, (digest, file) in enumerate(zip(faces.sha256, faces.files or faces.names, strict=True)):
        count[file] += 1
        first = firsts.setdefault((digest, count[file]), index) if digest else index
        if first != index:
            copies[index] = first
    return copies


def _near(train: Prints, test: Prints, limit: int = NEAR, inside: bool = False) -> np.ndarray:
    """Return int [K, 3]: test face, bits and training face of pairs `limit` bits apart at most, block by block of both.

    With `inside`, both are one set, and a face is compared with those before it.
    """
    rows, columns = _BLOCK
    known = np.ascontiguousarray(train.hashes[:, :WORDS].T)
    parts = [np.empty((0, 3), np.int64)]
    for first in range(0, len(test.names), rows):
        hashes = test.hashes[first : first + rows]
        moves = hashes.reshape(len(hashes), -1, WORDS).transpose(1, 2, 0)
        hits = parts[0]
        for start in range(0, first + len(hashes) if inside else len(train.names), columns):
            block = _near_in_block(known[:, start : start + columns], moves, limit) + np.array([first, 0, start])
            if inside:
                new = block[block[:, 2] < block[:, 0]]
            else:
                new = [hit for hit in block if not _same_file(test.sha256[hit[0]], train.sha256[hit[2]])]
            if len(new):
                hits = _nearest(np.concatenate([hits, new]))
        parts.append(hits)
    return np.concatenate(parts)


def _near_moved(faces: Prints, pairs: np.ndarray, moved: Callable[[int], np.ndarray]) -> np.ndarray:
    """Return of pairs of one set, int [K, 3] sorted by the later face, those that are near when that face is moved."""
    parts = [pairs[:0]]
    for own in np.split(pairs, np.flatnonzero(np.diff(pairs[:, 0])) + 1) if len(pairs) else ():
        moves, known = moved(int(own[0, 0])).reshape(-1, WORDS).T, faces.hashes[own[:, 2], :WORDS].T
        bits = _distance(moves[:, :, None], known[:, None, :]).min(axis=0)
        parts.append(_nearest(np.stack([own[:, 0], bits, own[:, 2]], axis=1)[bits <= NEAR]))
    return np.concatenate(parts)


def _near_in_block(train: np.ndarray, moves: np.ndarray, limit: int) -> np.ndarray:
    """Return the pairs of hashes [WORDS, M] and moved ones [V, WORDS, N] within `limit` as int [K, 3]: n, bits, m."""
    coarse = _least(_distance(move[:, :, None], train[:, None, :]) for move in moves[:_COARSE])
    test_places, train_places = np.divmod(np.flatnonzero(coarse <= _LOOSE), train.shape[1])
    candidates = train[:, train_places]
    bits = _least(_distance(move[:, test_places], candidates) for move in moves)
    near = bits <= limit
    return np.stack([test_places[near], bits[near].astype(np.int64), train_places[near]], axis=1)


def _nearest(hits: np.ndarray) -> np.ndarray:
    """Return of hits (test, bits, train) the `MOST` nearest of each test face, sorted."""
    hits = hits[np.lexsort(hits.T[::-1])]
    first = np.searchsorted(hits[:, 0], hits[:, 0])
    return hits[np.arange(len(hits)) - first < MOST]


def _same_file(sha256: str, other: str) -> bool:
    return bool(sha256) and sha256 == other


def _least(distances: Iterable[np.ndarray]) -> np.ndarray:
    return functools.reduce(np.minimum, distances)


def _distance(hashes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return, as uint8, how many bits differ, as they are or with one mirrored; words are the first axis."""
    ones = [_ones(first ^ second) for first, second in zip(hashes, other, strict=True)]
    even, odd = ones[0] + ones[1], ones[2] + ones[3]
    distance: np.ndarray = even + np.minimum(odd, np.uint8(128) - odd)
    return distance


def _ones_of_bytes(words: np.ndarray) -> np.ndarray:
    """Count the ones in each uint64, as uint8, as numpy before 2.0 can."""
    bits = np.unpackbits(np.ascontiguousarray(words)[..., None].view(np.uint8), axis=-1)
    return np.asarray(bits.sum(axis=-1, dtype=np.uint8))


_ones = np.bitwise_count if hasattr(np, "bitwise_count") else _ones_of_bytes
