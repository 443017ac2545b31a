"""Audit prepared faces: what became of the photos, how the crop compares, and which faces training and test share."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from bench.core import paths
from bench.core.errors import UserError
from bench.core.files import keep, read_csv, read_json
from bench.core.progress import Bar
from bench.core.schema import from_dict
from bench.data.cards import ANY_FOLDER, Card, card_names, read_card
from bench.data.crop import Recipe
from bench.data.degrade import degrade, upsample
from bench.data.leaks import MOVES, WORDS, Duplicate, Prints, find_duplicates, find_leaks, perceptual_hashes
from bench.data.manifest import COLUMNS
from bench.data.store import FaceRow, FaceStore, prepared_splits
from bench.metrics.protocol import DEFAULT_PROTOCOL

log = logging.getLogger("fsr")
SCALE = 8
FACES = 2000  # on which the Bicubic row is measured, at most: drawn at random where there are more
HASHES = "phash16-2"  # names the files that keep hashes; to be changed with the hash
_KEY = 2  # words of a hash file's row that name the picture
_SHOWN = 5000  # faces from which hashing them is worth a progress bar
PAIRS = 50  # leaks that an audit lists for each pair of sets, and duplicates of each split; all are counted


def audit(dataset: str, *, fresh: bool = False) -> dict[str, Any]:
    """Audit every prepared split of a data set: plain values, the same for the same faces beside the same other sets.

    Bicubic's PSNR and SSIM are a fingerprint of the crop: margins of 1.0 and 1.5 differ by more than a dB. What the
    audit.json beside the faces already says of the same faces is not computed again, unless `fresh`.
    """
    stores = open_splits(dataset)
    card, own = card_of(stores[0]), dataset not in card_names()
    photos = [] if _generated(stores[0]) else _photo_stores()
    sets = {f"{store.dataset}/{store.split}": store.fingerprint for store in photos or stores}
    path = paths.prepared() / dataset / "audit.json"
    earlier = {} if fresh else _earlier(path)
    splits = {
        store.split: _audit_split(store, earlier.get("splits", {}).get(store.split, {}), path) for store in stores
    }
    known = earlier.get("leakage") if earlier.get("sets") == sets and not _written_since(path, sets) else None
    return {
        "dataset": dataset,
        "title": f"{dataset} ({card.title})" if own else card.title,
        "kind": card.kind,
        "stands_for": "" if own else card.stands_for,
        "paper": {"psnr": card.bicubic.paper_psnr, "ssim": card.bicubic.paper_ssim} if card.bicubic else {},
        "splits": splits,
        "sets": sets,
        "leakage": known if known is not None else [_leakage(train, test) for train, test in _pairs(dataset, photos)],
    }


def open_splits(dataset: str) -> list[FaceStore]:
    """Open the prepared splits of a data set, in the order train, val, test."""
    return [FaceStore.open(path) for path in prepared_splits(dataset)]


def card_of(store: FaceStore) -> Card:
    """Return the card that a store was made by; a data set of one's own has that of `folder`."""
    name = store.card.card or store.dataset
    return read_card(name if name in card_names() else ANY_FOLDER)


def leaked_names(store: FaceStore) -> dict[str, str]:
    """Return what --drop-leaks takes out of a store: name of the face -> what it is the same as.

    Training faces that are in any validation or test set go, and test faces that are in another data set's training
    set: a data set's own test set never changes for its training set's sake.
    """
    leaked: dict[str, str] = {}
    pairs = [pair for pair in _pairs(store.dataset, _photo_stores()) if store.path in (pair[0].path, pair[1].path)]
    for train, test in pairs:
        for leak in find_leaks(prints_of(train), prints_of(test), same_list=False).pairs:
            if train.path == store.path:
                leaked.setdefault(leak.train, f"{test.dataset}/{test.split}/{leak.test} ({leak.kind})")
            elif test.path == store.path and train.dataset != store.dataset:
                leaked.setdefault(leak.test, f"{train.dataset}/{train.split}/{leak.train} ({leak.kind})")
    return leaked


def duplicate_names(store: FaceStore) -> dict[str, str]:
    """Return what --drop-duplicates takes out of a store: name of the face -> the earlier face that it equals."""
    return {twin.again: f"{twin.first} ({twin.kind})" for twin in _twins(store)}


def _twins(store: FaceStore) -> tuple[Duplicate, ...]:
    def moved(index: int) -> np.ndarray:
        view = _box_view(store.rows[index], store.faces[index])
        return np.asarray(perceptual_hashes([view], moved=True)[0])

    return find_duplicates(prints_of(store), moved if store.split == "train" and store.has_truth else None)


def prints_of(store: FaceStore) -> Prints:
    """Return what leaks are found by.

    Real-world faces are too small for perceptual hashes: theirs are random, and so near no face's.
    """
    rows = store.rows
    if store.has_truth:
        hashes = _kept_hashes(store)
    else:
        hashes = np.random.default_rng(int(store.fingerprint, 16)).integers(0, 2**64, (len(rows), WORDS), np.uint64)
    names, files, digests, identities = zip(
        *((row.name, row.source, row.sha256, row.identity) for row in rows), strict=True
    )
    return Prints(names, digests, identities, hashes, files)


def _kept_hashes(store: FaceStore) -> np.ndarray:
    """Return the perceptual hashes of a store's faces, which are slow to make and kept beside the store.

    A file's first row names the store's fingerprint, each other one the picture, so that faces that are prepared again,
    or some of them, are not hashed again.
    """
    moved = store.split != "train"
    words = WORDS * (len(MOVES) if moved else 1)
    path = store.path.with_name(f"{store.split}-{HASHES}-{words}.npy")
    head = np.frombuffer(bytes.fromhex(store.fingerprint)[: 8 * _KEY], np.uint64)
    kept = np.empty((0, _KEY + words), np.uint64)
    with contextlib.suppress(OSError, ValueError, EOFError):  # not there, or damaged
        read = np.load(path, allow_pickle=False)
        kept = read if read.shape[1:] == kept.shape[1:] and read.dtype == kept.dtype else kept
    if len(kept) == len(store) + 1 and np.array_equal(kept[0, :_KEY], head):
        return np.asarray(kept[1:, _KEY:])
    known = {row[:_KEY].tobytes(): row[_KEY:] for row in kept[1:]}
    keys = [head.tobytes()]
    hashes = [np.zeros(words, np.uint64)]
    for view in _views(store):
        keys.append(hashlib.blake2b(f"{view.shape}".encode() + view.tobytes(), digest_size=8 * _KEY).digest())
        hashes.append(known[keys[-1]] if keys[-1] in known else perceptual_hashes([view], moved=moved)[0])
    rows = np.concatenate([np.frombuffer(b"".join(keys), np.uint64).reshape(-1, _KEY), np.array(hashes)], axis=1)
    keep(path, _npy(rows))
    return rows[:, _KEY:][1:]


def bicubic_row(store: FaceStore, faces: int = FACES) -> dict[str, Any]:
    """Return mean PSNR (dB) and SSIM of Bicubic at x8 on a store's faces; None for a mean that is infinite.

    Such is the PSNR of faces among which there is one of a single colour. Of more than `faces` faces, so many are drawn
    with seed 0, and `half` says how far the mean of all may be away (95%); `of` is how many there are.
    """
    import torch

    from bench.runs.evaluate import score_pictures, to_tensor

    count = min(faces, len(store))
    drawn = np.sort(np.random.default_rng(0).choice(len(store), count, replace=False))
    values: dict[str, list[float]] = {}
    for start in range(0, count, 50):
        hr = np.array(store.faces[drawn[start : start + 50]])
        sr = to_tensor(upsample(degrade(hr, SCALE), SCALE), torch.device("cpu"))
        for name, scores in score_pictures(sr, hr, DEFAULT_PROTOCOL).items():
            values.setdefault(name, []).extend(scores)
    row = {"scale": SCALE, "protocol": DEFAULT_PROTOCOL, "faces": count}
    row |= {name: _finite(float(np.mean(scores))) for name, scores in values.items()}
    if count < len(store):
        # The error of a mean of `count` faces drawn from a finite set without replacement.
        error = math.sqrt((1 - count / len(store)) / count)
        half = {name: _finite(1.96 * error * float(np.std(scores, ddof=1))) for name, scores in values.items()}
        row |= {"of": len(store), "half": half}
    return row


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _earlier(path: Path) -> dict[str, Any]:
    """Return an earlier audit, as far as there is one."""
    try:
        read = read_json(path)
    except UserError:
        return {}
    return read if isinstance(read, dict) else {}


def _audit_split(store: FaceStore, known: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Audit one split, of which `known` is what an earlier audit in `path` says."""
    known = known if known.get("fingerprint") == store.fingerprint else {}
    row, twins = known.get("bicubic"), known.get("duplicates")
    if not row or (row["faces"], row.get("of", len(store))) != (min(FACES, len(store)), len(store)):
        row = bicubic_row(store) if store.has_truth else None
    if twins is None or _written_since(path, [f"{store.dataset}/{store.split}"]):
        twins = None if _generated(store) else _duplicates(store)
    return {
        "faces": len(store),
        "size": store.size,
        "fingerprint": store.fingerprint,
        "recipe": store.card.recipe,
        "boxes": _detectors(store),
        "counts": store.card.counts,
        "side": _sides(store),
        "bicubic": row,
        "duplicates": twins,
    }


def _detectors(store: FaceStore) -> list[str]:
    """Return who found the boxes that were cut, where that was not the recipe's detector: a manifest was given."""
    path = store.path / "manifest.csv"
    if not path.exists():
        return []
    known = {row["detector"] for row in read_csv(path, COLUMNS) if not row["problem"]}
    return sorted(known - {from_dict(Recipe, store.card.recipe, str(store.path)).detection})


def _duplicates(store: FaceStore) -> dict[str, Any]:
    twins = _twins(store)
    count = {kind: sum(twin.kind == kind for twin in twins) for kind in ("exact", "near")}
    return {
        "exact": count["exact"],
        "near": count["near"] if store.has_truth else None,
        "pairs": [
            {"kind": twin.kind, "first": twin.first, "again": twin.again, "bits": twin.distance}
            for twin in twins[:PAIRS]
        ],
    }


def _written_since(audit_file: Path, sets: Iterable[str]) -> bool:
    """Tell whether a set is newer than the audit: identities and files may have changed where the faces have not."""
    written = audit_file.stat().st_mtime_ns
    return any((paths.prepared() / name / "faces.csv").stat().st_mtime_ns >= written for name in sets)


def _photo_stores() -> list[FaceStore]:
    """Open every prepared set of photographs; one that cannot be opened is told and left out."""
    stores = []
    for path in prepared_splits():
        try:
            stores.append(FaceStore.open(path))
        except UserError as error:
            log.warning("not audited: %s", error)
    return [store for store in stores if not _generated(store)]


def _sides(store: FaceStore) -> dict[str, Any] | None:
    """Return the sides in pixels of the squares that were cut, before resizing; None for faces not from photos."""
    sides = [int(row.square.split()[2]) for row in store.rows if row.square]
    if not sides:
        return None
    quartiles = [int(value) for value in np.percentile(sides, (0, 25, 50, 75, 100), method="nearest")]
    return {"quartiles": quartiles, "enlarged": sum(side < store.size for side in sides)}


def _pairs(dataset: str, photos: Sequence[FaceStore]) -> Iterator[tuple[FaceStore, FaceStore]]:
    """Yield (training set, validation or test set) of `photos`, one of the two of `dataset`."""
    for train, test in permutations(photos, 2):
        if train.split == "train" != test.split and dataset in (train.dataset, test.dataset):
            yield train, test


def _leakage(train: FaceStore, test: FaceStore) -> dict[str, Any]:
    lists = train.card.identities, test.card.identities
    same_list = train.dataset == test.dataset or (lists[0] == lists[1] != "")
    leaks = find_leaks(prints_of(train), prints_of(test), same_list=same_list)
    return {
        "train": f"{train.dataset}/{train.split}",
        "test": f"{test.dataset}/{test.split}",
        "exact": leaks.exact,
        "near": leaks.near if train.has_truth and test.has_truth else None,
        "identities": len(leaks.identities) if leaks.identity_check == "compared" else None,
        "identity_check": leaks.identity_check,
        "pairs": [
            {"kind": leak.kind, "train": leak.train, "test": leak.test, "bits": leak.distance}
            for leak in leaks.pairs[:PAIRS]
        ],
    }


def _views(store: FaceStore) -> Iterator[np.ndarray]:
    """Yield the part of each face that the detector's box covers, so that sets of any margin compare."""
    title = f"hash {store.dataset} {store.split}"
    with Bar(title, len(store), quiet=len(store) < _SHOWN) as bar:
        for done, (row, face) in enumerate(zip(store.rows, store.read(), strict=True), 1):
            yield _box_view(row, face)
            bar.update(done)


def _box_view(row: FaceRow, face: np.ndarray) -> np.ndarray:
    """Return the part of a face, uint8 [size, size, 3], that its box covers: a square; all of it without a box."""
    if not row.box or not row.square:
        return face
    left, top, right, bottom = map(float, row.box.split())
    x, y, side = map(int, row.square.split())
    scale = len(face) / side
    wanted = min(max(round(max(right - left, bottom - top) * scale), 1), len(face))
    middles = ((left + right) / 2 - x, (top + bottom) / 2 - y)
    start_x, start_y = (min(max(round(middle * scale - wanted / 2), 0), len(face) - wanted) for middle in middles)
    return face[start_y : start_y + wanted, start_x : start_x + wanted]


def _generated(store: FaceStore) -> bool:
    return not any(row.sha256 for row in store.rows[:1])


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()
