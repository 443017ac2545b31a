"""Landmarks beside a face store: found once, grown, never read from a damaged file."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sys
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.core import files, locks
from bench.core.errors import UserError
from bench.data.landmarks import move_landmarks
from bench.data.store import FaceRow, FaceStore, write_store
from bench.metrics import faces as models
from bench.runs import priors
from bench.runs.priors import faces_without, find_landmarks, landmark_recipe, landmarks_of
from tests.bench.conftest import REAL, needs_photos, smooth_faces


def face(shift: int = 0) -> np.ndarray:
    """Return the astronaut's face (NASA, public domain), cut `shift` pixels to the left: uint8 [128, 128, 3]."""
    from skimage.data import astronaut

    box = (152 - shift, 45, 296 - shift, 189)
    return np.asarray(Image.fromarray(astronaut()).resize((128, 128), Image.Resampling.BICUBIC, box=box))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Return four faces and, third, a picture without one."""
    return np.stack([face(0), face(4), smooth_faces(1, 0)[0], face(8), face(12)])


def write(root: Path, pictures: np.ndarray) -> FaceStore:
    rows = [FaceRow(f"face-{i}") for i in range(len(pictures))]
    return write_store(root / "mine" / "train", rows, enumerate(pictures), {})


@pytest.fixture
def store(tmp_path: Path, pictures: np.ndarray) -> FaceStore:
    return write(tmp_path, pictures)


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which every search for landmarks adds how many faces it searched."""
    counts: list[int] = []

    def count(faces: np.ndarray) -> np.ndarray:
        counts.append(len(faces))
        return find_landmarks(faces)

    monkeypatch.setattr(priors, "find_landmarks", count)
    return counts


def kept(store: FaceStore) -> tuple[Path, Path]:
    return store.path.with_name("train-landmarks.npy"), store.path.with_name("train-landmarks.json")


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype == np.float32 and np.array_equal(a, b, equal_nan=True)


def test_landmarks_are_dlibs_in_its_own_box(pictures: np.ndarray) -> None:
    dlib, predictor = models.landmark_predictor()
    (box,) = dlib.get_frontal_face_detector()(pictures[0], 1)
    expected = [(point.x, point.y) for point in predictor(pictures[0], box).parts()]
    points = find_landmarks(pictures)
    assert points.shape == (5, 68, 2) and points.dtype == np.float32
    assert points[0].tolist() == [list(map(float, point)) for point in expected]
    assert np.isnan(points[2]).all() and faces_without(points) == 1
    shift = points[3].mean(axis=0) - points[0].mean(axis=0)
    assert shift == pytest.approx([8 * 128 / 144, 0], abs=1.5)


def test_a_mirrored_face_has_its_landmarks_mirrored(pictures: np.ndarray) -> None:
    """dlib on the mirrored picture finds what ours are moved to, each under its own number."""
    straight, mirrored = find_landmarks(np.stack([pictures[0], pictures[0][:, ::-1]]))
    moved = move_landmarks(torch.from_numpy(straight)[None], torch.tensor([[128, 0, 0, 1, 0]]), 128)[0].numpy()
    apart = np.linalg.norm(moved - mirrored, axis=1)
    assert apart.mean() < 2.5 and apart.max() < 7
    assert (moved[36:42, 0] < moved[42:48, 0].min()).all()


def test_landmarks_are_found_once(store: FaceStore, searched: list[int], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fsr")
    first = landmarks_of(store, 5, quiet=True)
    assert "mine/train: no landmarks in 1 of 5 faces" in caplog.text
    assert same(first, landmarks_of(store, 5)) and same(first[:2], landmarks_of(store, 2))
    assert same(first, find_landmarks(np.array(store.faces)))
    assert searched == [5]
    array, record = kept(store)
    said = json.loads(record.read_text())
    assert (said["faces"], said["without"], said["fingerprint"]) == (5, 1, store.fingerprint)
    assert said["digest"] == hashlib.sha256(array.read_bytes()).hexdigest()
    assert said["recipe"]["predictor"] == models.predictor_sha256() and len(models.predictor_sha256()) == 64
    assert same(np.load(array), first)


def test_only_what_is_missing_is_found(tmp_path: Path, pictures: np.ndarray, searched: list[int]) -> None:
    """More faces are asked for, then the store grows, as generated ones do."""
    short = write(tmp_path, pictures[:4])
    landmarks_of(short, 2)
    landmarks_of(short, 4)
    grown = write(tmp_path, pictures)
    assert same(landmarks_of(grown, 5), find_landmarks(pictures))
    assert searched == [2, 2, 1]


def test_faces_that_change_are_searched_anew(tmp_path: Path, pictures: np.ndarray, searched: list[int]) -> None:
    landmarks_of(write(tmp_path, pictures), 5)
    other = write(tmp_path, pictures[::-1])
    assert same(landmarks_of(other, 5), find_landmarks(pictures[::-1]))
    shrunk = write(tmp_path, pictures[:3])
    assert same(landmarks_of(shrunk, 3), find_landmarks(pictures[:3]))
    assert searched == [5, 5, 3]


def flip_a_bit(array: Path, record: Path) -> None:
    content = bytearray(array.read_bytes())
    content[-9] ^= 4
    array.write_bytes(content)


def cut_short(array: Path, record: Path) -> None:
    array.write_bytes(array.read_bytes()[:-100])


def write_other_shape(array: Path, record: Path) -> None:
    np.save(array, np.zeros((5, 5, 2), np.float32))
    said = json.loads(record.read_text())
    record.write_text(json.dumps({**said, "digest": hashlib.sha256(array.read_bytes()).hexdigest()}))


def write_half_a_record(array: Path, record: Path) -> None:
    record.write_text(record.read_text()[:40])


def change_recipe(array: Path, record: Path) -> None:
    record.write_text(record.read_text().replace("doubled", "halved"))


def lose_array(array: Path, record: Path) -> None:
    array.unlink()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (flip_a_bit, "damaged: its SHA-256"),
        (cut_short, "damaged: its SHA-256"),
        (write_other_shape, r"holds float32 \[5, 5, 2\]"),
        (write_half_a_record, "not valid JSON"),
        (change_recipe, "made by another recipe"),
        (lose_array, "No such file"),
    ],
)
def test_a_damaged_file_is_made_anew(
    store: FaceStore,
    searched: list[int],
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path, Path], None],
    told: str,
) -> None:
    first = landmarks_of(store, 5)
    damage(*kept(store))
    caplog.set_level(logging.INFO, "fsr")
    assert same(landmarks_of(store, 5), first) and same(landmarks_of(store, 5), first)
    assert searched == [5, 5]
    (line,) = [record for record in caplog.records if "found anew" in record.message]
    assert re.search(told, line.message)


def test_a_folder_that_cannot_be_written(
    store: FaceStore, searched: list[int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "fsr")

    def refuse(path: Path) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(locks, "open_new", refuse)
    assert faces_without(landmarks_of(store, 4)) == 1
    assert [record.message.count("landmarks are not kept: ") for record in caplog.records].count(1) == 1
    monkeypatch.undo()
    caplog.clear()
    monkeypatch.setattr(files, "open_new", refuse)
    assert len(landmarks_of(store, 4)) == 4
    assert [record.message.count("landmarks are not kept: ") for record in caplog.records].count(1) == 1
    assert not any(path.exists() for path in kept(store))


def test_many_faces_are_shared_among_the_cores(
    store: FaceStore, monkeypatch: pytest.MonkeyPatch, pictures: np.ndarray
) -> None:
    seen = []

    def in_one(function: Callable[[np.ndarray], np.ndarray], items: Iterable[np.ndarray], **how: object) -> object:
        seen.append(how["jobs"])
        return map(function, items)

    monkeypatch.setattr(priors, "ordered_map", in_one)
    monkeypatch.setattr(priors, "_GROUP", 2)
    monkeypatch.setattr(priors, "cores", lambda: 2)
    landmarks_of(store, 1)
    monkeypatch.setattr(priors, "_FEW", 3)
    assert same(landmarks_of(store, 5), find_landmarks(pictures))
    assert seen == [1, 2]


@pytest.mark.slow
def test_several_processes_find_the_same(
    store: FaceStore, monkeypatch: pytest.MonkeyPatch, pictures: np.ndarray
) -> None:
    monkeypatch.setattr(priors, "_FEW", 1)
    monkeypatch.setattr(priors, "_GROUP", 3)
    monkeypatch.setattr(priors, "cores", lambda: 2)
    assert same(landmarks_of(store, 5), find_landmarks(pictures))


def without_dlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)


def test_the_recipe_names_predictor_and_box(monkeypatch: pytest.MonkeyPatch) -> None:
    own = landmark_recipe()
    assert len(own) == 12 and own == landmark_recipe()
    monkeypatch.setattr(priors, "DOUBLINGS", 2)
    assert landmark_recipe() != own
    monkeypatch.undo()
    monkeypatch.setattr(priors, "predictor_sha256", lambda: "0" * 64)
    assert landmark_recipe() != own


def test_without_dlib_the_extra_is_named(store: FaceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    without_dlib(monkeypatch)
    for ask in (landmark_recipe, lambda: landmarks_of(store, 5)):
        with pytest.raises(UserError, match=r"dlib is not installed: pip install 'fsr-bench\[identity\]'"):
            ask()


def test_what_is_kept_is_read_without_dlib(store: FaceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, first = landmark_recipe(), landmarks_of(store, 5)
    without_dlib(monkeypatch)
    assert same(landmarks_of(store, 5, recipe=recipe), first)
    with pytest.raises(UserError, match=r"fsr-bench\[identity\]"):
        landmarks_of(store, 5, recipe="0123456789ab")
    monkeypatch.undo()
    with pytest.raises(UserError, match=f"not there under recipe 0123456789ab, and made here it would be {recipe}"):
        landmarks_of(store, 5, recipe="0123456789ab")
    assert same(landmarks_of(store, 5, recipe=recipe), first)


def test_faces_that_have_no_landmarks_to_find(store: FaceStore, tmp_path: Path) -> None:
    for count in (0, 6):
        with pytest.raises(UserError, match=f"landmarks of {count} faces asked for, expected 1 to 5"):
            landmarks_of(store, count)
    small = np.zeros((1, 16, 16, 3), np.uint8)
    card = {"kind": "real-world"}
    found = write_store(tmp_path / "web" / "test", [FaceRow("a")], enumerate(small), card, size=16)
    with pytest.raises(UserError, match="no ground truth"):
        landmarks_of(found, 1)


@needs_photos
@pytest.mark.photos
def test_most_photographs_have_landmarks() -> None:
    """CelebA, the width of its photos about their centre: nearly all have a face, eyes above nose above mouth."""
    with tarfile.open(REAL / "celeba_val.tar") as archive:
        members = [member for member in archive if member.isfile() and member.name.endswith(".jpg")][:40]
        photos = [Image.open(archive.extractfile(member)).convert("RGB") for member in members]  # type: ignore[arg-type]
    cut = [photo.resize((128, 128), Image.Resampling.BICUBIC, box=(0, 20, 178, 198)) for photo in photos]
    points = find_landmarks(np.stack([np.asarray(face) for face in cut]))
    assert faces_without(points) <= 4
    found = points[~np.isnan(points[:, 0, 0])]
    eyes, nose, mouth = (found[:, part, 1].mean(axis=1) for part in (range(36, 48), [33], range(48, 68)))
    assert (eyes < nose).all() and (nose < mouth).all()
