from __future__ import annotations

import contextlib
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import UserError
from bench.data.store import (
    FaceRow,
    FaceStore,
    check_disjoint,
    fingerprint_of,
    open_split,
    prepared_datasets,
    read_faces,
    write_store,
)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    return tmp_path / "datasets" / "prepared"


def faces(count: int, seed: int = 0) -> list[tuple[FaceRow, np.ndarray]]:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 128, 128, 3), dtype=np.uint8)
    return [(FaceRow(f"f{i}", f"x.tar:f{i}.jpg", f"hash{seed}-{i}"), pixels[i]) for i in range(count)]


def write(path: Path, given: list[tuple[FaceRow, np.ndarray]], card: dict[str, object]) -> FaceStore:
    return write_store(path, [row for row, _ in given], enumerate(face for _, face in given), card)


def test_what_is_written_is_read(root: Path) -> None:
    given = faces(3)
    written = write(root / "mine" / "train", given, {"recipe": {"crop": 5}})
    store = open_split("mine", "train")
    assert (store.dataset, store.split, store.names, len(store)) == ("mine", "train", ["f0", "f1", "f2"], 3)
    assert store.rows == [row for row, _ in given]
    assert np.array_equal(store.faces, np.stack([face for _, face in given]))
    assert isinstance(store.faces, np.memmap)
    assert store.fingerprint == written.fingerprint == fingerprint_of(store.names, store.faces)
    assert prepared_datasets() == ["mine"]
    store.verify()


def test_a_prefix_keeps_its_fingerprint_when_the_store_grows(root: Path) -> None:
    small = write(root / "mine" / "train", faces(5)[:2], {}).fingerprint
    grown = write(root / "mine" / "train", faces(5), {})
    assert grown.fingerprint_of(2) == small != grown.fingerprint == grown.fingerprint_of(9)


def test_it_travels_between_processes_as_a_path(root: Path) -> None:
    store = write(root / "mine" / "train", faces(40), {})
    sent = pickle.dumps(store)
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent).faces, store.faces)


def test_a_changed_pixel_is_noticed(root: Path) -> None:
    store = write(root / "mine" / "train", faces(2), {})
    path = store.path / "faces.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="the faces have changed: fingerprint"):
        FaceStore.open(store.path).verify()


@pytest.mark.parametrize("file", ["faces.npy", "faces.csv", "card.json"])
def test_a_cut_off_file_is_named(root: Path, file: str) -> None:
    store = write(root / "mine" / "train", faces(2), {})
    path = store.path / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=re.escape(str(store.path))):
        FaceStore.open(store.path).verify()


def test_any_changed_byte_of_the_small_files_is_noticed_on_opening(root: Path) -> None:
    store = write(root / "mine" / "train", faces(2), {"recipe": {"margin": 1.5}})
    for file in ("card.json", "faces.csv", "faces.npy"):
        path = store.path / file
        content = path.read_bytes()
        for place in range(min(len(content), 128 + 2000)):
            if file == "faces.npy" and place >= 128:  # pixels are what verify() is for
                break
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
            with contextlib.suppress(UserError):
                changed = FaceStore.open(store.path)
                assert file != "faces.csv", place
                assert (changed.rows, changed.card) == (store.rows, store.card), place  # layout of JSON alone
                assert np.array_equal(changed.faces, store.faces), place  # the header's spaces
        path.write_bytes(content)
    FaceStore.open(store.path).verify()


@pytest.mark.parametrize("file", ["faces.npy", "faces.csv", "card.json"])
@pytest.mark.parametrize("content", [b"", b"\0" * 3000, b"\xff\xfe{"])
def test_files_of_something_else_are_told(root: Path, file: str, content: bytes) -> None:
    store = write(root / "mine" / "train", faces(1), {})
    (store.path / file).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(str(store.path))):
        FaceStore.open(store.path)


def test_a_set_is_called_as_its_folder_is(root: Path) -> None:
    store = write(root / "mine" / "train", faces(2), {})
    (root / "mine").rename(root / "yours")
    (root / "yours" / "train").rename(root / "yours" / "val")
    moved = open_split("yours", "val")
    assert (moved.dataset, moved.split, moved.fingerprint) == ("yours", "val", store.fingerprint)
    moved.verify()


def test_another_layout_is_refused(root: Path) -> None:
    store = write(root / "mine" / "train", faces(2), {})
    card = store.path / "card.json"
    card.write_text(card.read_text().replace('"layout": 2', '"layout": 0'))
    with pytest.raises(UserError, match="not a face store of layout 2"):
        FaceStore.open(store.path)


def test_a_write_that_fails_leaves_the_old_store_and_nothing_else(root: Path) -> None:
    old = write(root / "mine" / "train", faces(2), {}).fingerprint

    def broken() -> Iterator[tuple[int, np.ndarray]]:
        yield 0, faces(1)[0][1]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: '.*/mine/train'"):
        write_store(root / "mine" / "train", [row for row, _ in faces(2)], broken(), {})
    assert open_split("mine", "train").fingerprint == old
    assert [path.name for path in (root / "mine").iterdir()] == ["train"]


def test_faces_may_come_in_any_order_but_each_must_come(root: Path) -> None:
    given = faces(5)
    rows, pixels = [row for row, _ in given], [face for _, face in given]
    shuffled = [(index, pixels[index]) for index in (3, 0, 4, 2, 1)]
    store = write_store(root / "mine" / "train", rows, shuffled, {})
    assert store.fingerprint == write(root / "mine" / "val", given, {}).fingerprint
    assert np.array_equal(store.faces, np.stack(pixels))
    assert np.array_equal(np.stack(list(read_faces(store.path / "faces.npy"))), np.stack(pixels))
    with pytest.raises(ValueError, match="1 of 5 faces were not given"):
        write_store(root / "mine" / "test", rows, shuffled[:4], {})


def test_a_real_world_set_has_small_faces_and_no_truth(root: Path) -> None:
    given = [(row, face[:16, :16]) for row, face in faces(2)]
    rows, small = [row for row, _ in given], enumerate(face for _, face in given)
    store = write_store(root / "wild" / "test", rows, small, {"kind": "real-world"}, size=16)
    assert (store.size, store.has_truth, store.faces.shape) == (16, False, (2, 16, 16, 3))
    store.verify()


def test_no_face_is_an_error(root: Path) -> None:
    with pytest.raises(UserError, match="no face left"):
        write(root / "mine" / "train", [], {})


def test_a_photo_in_two_splits_is_refused(root: Path) -> None:
    train, test = write(root / "a" / "train", faces(3), {}), write(root / "a" / "test", faces(2), {})
    with pytest.raises(UserError, match=r"2 of its 2 photos are in .*train too \(f0 = f0, f1 = f1\)"):
        check_disjoint(train, test)
    check_disjoint(train, write(root / "a" / "val", faces(3, seed=1), {}))


def test_what_is_missing_is_told_with_the_way_out(root: Path) -> None:
    with pytest.raises(UserError, match="run `fsr prepare celeba --source"):
        open_split("celeba", "test")
    write(root / "mine" / "train", faces(1), {})
    with pytest.raises(UserError, match="run `fsr prepare folder --name mine --source"):
        open_split("mine", "test")
    with pytest.raises(UserError, match="did you mean 'mine'"):
        open_split("mone", "test")
    with pytest.raises(UserError, match="did you mean 'test'"):
        open_split("mine", "tset")
