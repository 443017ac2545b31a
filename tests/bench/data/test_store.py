from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from bench.data.store import (
    FaceRow,
    FaceStore,
    check_disjoint,
    fingerprint_of,
    open_split,
    prepared_datasets,
    write_store,
)
from bench.errors import UserError


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    return tmp_path / "datasets" / "prepared"


def faces(count: int, seed: int = 0) -> list[tuple[FaceRow, np.ndarray]]:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 128, 128, 3), dtype=np.uint8)
    return [(FaceRow(f"f{i}", f"x.tar:f{i}.jpg", f"hash{seed}-{i}"), pixels[i]) for i in range(count)]


def test_what_is_written_is_read(root: Path) -> None:
    given = faces(3)
    written = write_store(root / "mine" / "train", given, {"recipe": {"crop": 5}})
    store = open_split("mine", "train")
    assert (store.dataset, store.split, store.names, len(store)) == ("mine", "train", ["f0", "f1", "f2"], 3)
    assert store.rows == [row for row, _ in given]
    assert np.array_equal(store.faces, np.stack([face for _, face in given]))
    assert isinstance(store.faces, np.memmap)
    assert store.fingerprint == written.fingerprint == fingerprint_of(store.names, store.faces)
    assert prepared_datasets() == ["mine"]
    store.verify()


def test_a_prefix_keeps_its_fingerprint_when_the_store_grows(root: Path) -> None:
    small = write_store(root / "mine" / "train", faces(5)[:2], {}).fingerprint
    grown = write_store(root / "mine" / "train", faces(5), {})
    assert grown.fingerprint_of(2) == small != grown.fingerprint == grown.fingerprint_of(9)


def test_it_travels_between_processes_as_a_path(root: Path) -> None:
    store = write_store(root / "mine" / "train", faces(40), {})
    sent = pickle.dumps(store)
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent).faces, store.faces)


def test_a_changed_pixel_is_noticed(root: Path) -> None:
    store = write_store(root / "mine" / "train", faces(2), {})
    path = store.path / "faces.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="the faces have changed: fingerprint"):
        FaceStore.open(store.path).verify()


@pytest.mark.parametrize("file", ["faces.npy", "faces.csv", "card.json"])
def test_a_cut_off_file_is_named(root: Path, file: str) -> None:
    store = write_store(root / "mine" / "train", faces(2), {})
    path = store.path / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=re.escape(str(store.path))):
        FaceStore.open(store.path).verify()


def test_another_layout_is_refused(root: Path) -> None:
    store = write_store(root / "mine" / "train", faces(2), {})
    card = store.path / "card.json"
    card.write_text(card.read_text().replace('"layout": 1', '"layout": 0'))
    with pytest.raises(UserError, match="not a face store of layout 1"):
        FaceStore.open(store.path)


def test_a_write_that_fails_leaves_the_old_store_and_nothing_else(root: Path) -> None:
    old = write_store(root / "mine" / "train", faces(2), {}).fingerprint

    def broken() -> object:
        yield faces(1)[0]
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_store(root / "mine" / "train", broken(), {})  # type: ignore[arg-type]
    assert open_split("mine", "train").fingerprint == old
    assert [path.name for path in (root / "mine").iterdir()] == ["train"]


def test_no_face_is_an_error(root: Path) -> None:
    with pytest.raises(UserError, match="no face left"):
        write_store(root / "mine" / "train", [], {})


def test_a_photo_in_two_splits_is_refused(root: Path) -> None:
    train, test = write_store(root / "a" / "train", faces(3), {}), write_store(root / "a" / "test", faces(2), {})
    with pytest.raises(UserError, match=r"2 of its 2 photos are in .*train too \(f0 = f0, f1 = f1\)"):
        check_disjoint(train, test)
    check_disjoint(train, write_store(root / "a" / "val", faces(3, seed=1), {}))


def test_what_is_missing_is_told_with_the_way_out(root: Path) -> None:
    with pytest.raises(UserError, match="run `fsr prepare celeba --source"):
        open_split("celeba", "test")
    write_store(root / "mine" / "train", faces(1), {})
    with pytest.raises(UserError, match="did you mean 'mine'"):
        open_split("mone", "test")
    with pytest.raises(UserError, match="did you mean 'test'"):
        open_split("mine", "tset")
