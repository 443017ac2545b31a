"""Audit prepared faces: what became of the photos, how the crop compares, and which faces training and test share."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from bench.core import paths
from bench.core.files import read_json, write_bytes
from bench.core.progress import Bar
from bench.data.cards import ANY_FOLDER, Card, card_names, read_card
from bench.data.degrade import degrade, upsample
from bench.data.leaks import MOVES, WORDS, Prints, find_leaks, perceptual_hashes
from bench.data.store import SPLITS, FaceRow, FaceStore, prepared_datasets, read_faces
from bench.metrics.protocol import DEFAULT_PROTOCOL

SCALE = 8
FACES = 1000  # on which the Bicubic row is measured, at most
HASHES = "phash16-1"  # names the files that keep hashes; to be changed with the hash
_SHOWN = 5000  # faces from which hashing them is worth a progress bar
PAIRS = 50  # leaks that an audit lists for each pair of sets; all are counted


def audit(dataset: str, *, fresh: bool = False) -> dict[str, Any]:
    """Audit every prepared split of a data set: plain values, the same for the same faces beside the same other sets.

    Bicubic's PSNR and SSIM are a fingerprint of the crop: margins of 1.0 and 1.5 differ by more than a dB. What the
    audit.json beside the faces already says of the same faces is not computed again, unless `fresh`.
    """
    stores = open_splits(dataset)
    card = card_of(stores[0])
    path = paths.prepared() / dataset / "audit.json"
    earlier = read_json(path) if path.exists() and not fresh else {}
    sets = _compared_sets(stores)
    splits = {store.split: _audit_split(store, earlier) for store in stores}
    known = earlier.get("leakage") if earlier.get("sets") == sets and not _written_since(path, sets) else None
    return {
        "dataset": dataset,
        "title": card.title,
        "kind": card.kind,
        "stands_for": card.stands_for,
        "paper": {"psnr": card.bicubic.paper_psnr, "ssim": card.bicubic.paper_ssim} if card.bicubic else {},
        "splits": splits,
        "sets": sets,
        "leakage": known if known is not None else [_leakage(train, test) for train, test in _pairs(dataset)],
    }


def open_splits(dataset: str) -> list[FaceStore]:
    """Open the prepared splits of a data set, in the order train, val, test."""
    folder = paths.prepared() / dataset
    return [FaceStore.open(folder / split) for split in SPLITS if (folder / split / "card.json").exists()]


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
    pairs = [pair for pair in _pairs(store.dataset) if store.path in (pair[0].path, pair[1].path)]
    for train, test in pairs:
        leaks = find_leaks(prints_of(train), prints_of(test), same_dataset=train.dataset == test.dataset)
        for leak in leaks.pairs:
            if train.path == store.path:
                leaked.setdefault(leak.train, f"{test.dataset}/{test.split}/{leak.test} ({leak.kind})")
            elif test.path == store.path and train.dataset != store.dataset:
                leaked.setdefault(leak.test, f"{train.dataset}/{train.split}/{leak.train} ({leak.kind})")
    return leaked


def prints_of(store: FaceStore) -> Prints:
    """Return what leaks are found by; perceptual hashes, slow to make, are kept beside the faces.

    Real-world faces are too small for them: their hashes are random, and so near no face's.
    """
    rows = store.rows
    moved = store.split != "train"
    words = WORDS * (len(MOVES) if moved else 1)
    path = store.path / f"{HASHES}-{words}.npy"
    if not store.has_truth:
        draw = np.random.default_rng(int(store.fingerprint, 16))
        hashes = draw.integers(0, 2**64, (len(rows), WORDS), np.uint64)
    elif path.exists():
        hashes = np.load(path, allow_pickle=False)
    else:
        hashes = perceptual_hashes(_views(store), moved=moved)
        write_bytes(path, _npy(hashes))
    return Prints(
        tuple(row.name for row in rows), tuple(row.sha256 for row in rows), tuple(row.identity for row in rows), hashes
    )


def bicubic_row(store: FaceStore, faces: int = FACES) -> dict[str, Any]:
    """Return mean PSNR (dB) and SSIM of Bicubic at x8 on the first faces of a store; None for a mean that is infinite.

    Such is the PSNR of faces among which there is one of a single colour.
    """
    import torch

    from bench.runs.evaluate import score_pictures, to_tensor

    values: dict[str, list[float]] = {}
    count = min(faces, len(store))
    for start in range(0, count, 50):
        hr = np.array(store.faces[start : min(start + 50, count)])
        sr = to_tensor(upsample(degrade(hr, SCALE), SCALE), torch.device("cpu"))
        for name, scores in score_pictures(sr, hr, DEFAULT_PROTOCOL).items():
            values.setdefault(name, []).extend(scores)
    exact = {name: float(np.mean(scores)) for name, scores in values.items()}
    means = {name: round(mean, 4) if math.isfinite(mean) else None for name, mean in exact.items()}
    return {"scale": SCALE, "protocol": DEFAULT_PROTOCOL, "faces": count, **means}


def _audit_split(store: FaceStore, earlier: Mapping[str, Any]) -> dict[str, Any]:
    known = earlier.get("splits", {}).get(store.split, {})
    same = known.get("fingerprint") == store.fingerprint
    return {
        "faces": len(store),
        "size": store.size,
        "fingerprint": store.fingerprint,
        "recipe": store.card.recipe,
        "counts": store.card.counts,
        "side": _sides(store),
        "bicubic": known["bicubic"] if same else bicubic_row(store) if store.has_truth else None,
    }


def _compared_sets(stores: Sequence[FaceStore]) -> dict[str, str]:
    """Return the fingerprint of every set that leakage is looked for in: those of photographs, these among them."""
    compared = stores if _generated(stores[0]) else _photo_stores()
    return {f"{store.dataset}/{store.split}": store.fingerprint for store in compared}


def _written_since(audit_file: Path, sets: Mapping[str, str]) -> bool:
    """Tell whether a set is newer than the audit: identities and files may have changed where the faces have not."""
    written = audit_file.stat().st_mtime_ns
    return any((paths.prepared() / name / "faces.csv").stat().st_mtime_ns >= written for name in sets)


def _photo_stores() -> list[FaceStore]:
    stores = [store for name in prepared_datasets() for store in open_splits(name)]
    return [store for store in stores if not _generated(store)]


def _sides(store: FaceStore) -> dict[str, Any] | None:
    """Return the sides in pixels of the squares that were cut, before resizing; None for faces not from photos."""
    sides = [int(row.square.split()[2]) for row in store.rows if row.square]
    if not sides:
        return None
    quartiles = [int(value) for value in np.percentile(sides, (0, 25, 50, 75, 100), method="nearest")]
    return {"quartiles": quartiles, "enlarged": sum(side < store.size for side in sides)}


def _pairs(dataset: str) -> Iterator[tuple[FaceStore, FaceStore]]:
    """Yield (training set, validation or test set) for all prepared sets of photographs, one of them of `dataset`."""
    for train, test in permutations(_photo_stores(), 2):
        if train.split == "train" != test.split and dataset in (train.dataset, test.dataset):
            yield train, test


def _leakage(train: FaceStore, test: FaceStore) -> dict[str, Any]:
    leaks = find_leaks(prints_of(train), prints_of(test), same_dataset=train.dataset == test.dataset)
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
        for done, (row, face) in enumerate(zip(store.rows, read_faces(store.path / "faces.npy"), strict=True), 1):
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
