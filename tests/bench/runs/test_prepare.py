"""`fsr prepare`: leaving out leaks, and arguments that a data set has no use for."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cli.faces import prepare
from bench.cli.main import main
from bench.core import files, paths
from bench.core.errors import UserError
from bench.data import generated, photoset, scan
from bench.data import store as stores
from bench.data.detect import Face
from bench.data.photoset import PhotoOptions
from bench.data.scan import ScanOptions
from bench.data.store import FaceStore, check_disjoint, open_split
from bench.runs.audit import audit
from tests.bench.cli.test_cli import run_json
from tests.bench.data.pictures import pack, photograph, picture


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path / "root"))
    return tmp_path


TRAIN = {f"{number:06d}.jpg": photograph(number) for number in range(1, 6)}
CELEBA = {
    **TRAIN,
    "170000.jpg": TRAIN["000002.jpg"],  # val
    "200000.jpg": TRAIN["000001.jpg"],  # test
    "200001.jpg": photograph(20),
}
LFW = {"A_B_0001.jpg": photograph(3, quality=60), "C_D_0001.jpg": TRAIN["000004.jpg"], "E_F_0001.jpg": photograph(30)}


def wanted(*sources: Path, **more: Any) -> PhotoOptions:
    return PhotoOptions(list(sources), detector="center", how=ScanOptions(quiet=True), **more)


def names(dataset: str, *splits: str) -> dict[str, list[str]]:
    return {split: open_split(dataset, split).names for split in splits}


def left_out(store: FaceStore) -> Mapping[str, Any]:
    return dict(store.card.counts["left out"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_drop_leaks_takes_out_what_other_sets_have(root: Path) -> None:
    celeba, lfw = wanted(pack(root / "a.tar", CELEBA)), wanted(pack(root / "lfw.tar", LFW))
    prepare("lfw", lfw)
    whole = {store.split: store for store in prepare("celeba", celeba)}
    manifests = {split: (store.path / "manifest.csv").read_bytes() for split, store in whole.items()}
    pixels = {split: dict(zip(store.names, np.array(store.faces), strict=True)) for split, store in whole.items()}
    rows = {row.name: row for store in whole.values() for row in store.rows}

    made = {store.split: store for store in prepare("celeba", dataclasses.replace(celeba, drop_leaks=True))}
    assert names("celeba", "train", "val", "test") == {
        "train": ["000005"],  # 1 is in the test set, 2 in val, 3 and 4 in LFW
        "val": ["170000"],
        "test": ["200000", "200001"],  # never for its own training set's sake
    }
    counts = made["train"].card.counts
    assert (counts["photos"], counts["faces"]) == (5, 1) and len(made["train"]) == 1
    assert left_out(made["train"]) == {
        "a leak: the same as celeba/test": {"count": 1, "files": ["000001"]},
        "a leak: the same as celeba/val": {"count": 1, "files": ["000002"]},
        "a leak: the same as lfw/test": {"count": 2, "files": ["000003", "000004"]},
    }
    assert left_out(made["test"]) == {}
    for split, store in made.items():
        store.verify()
        assert (store.path / "manifest.csv").read_bytes() == manifests[split], "the manifest says what was found"
        for row, face in zip(store.rows, store.faces, strict=True):
            assert row == rows[row.name] and np.array_equal(face, pixels[split][row.name])
    assert made["train"].card.recipe == whole["train"].card.recipe
    assert made["train"].card.card == "celeba" and made["train"].card.sources == (str(root / "a.tar"),)
    check_disjoint(made["train"], made["test"])
    found = audit("celeba")
    assert [(one["exact"], one["near"]) for one in found["leakage"]] == [(0, 0)] * 3
    page = (paths.prepared() / "celeba" / "audit.md").read_text(encoding="utf-8")
    assert "2 left out, a leak: the same as lfw/test: 000003, 000004" in page

    folder = paths.prepared() / "celeba"
    before = contents(folder)
    assert not list(folder.glob(".*"))
    prepare("celeba", dataclasses.replace(celeba, drop_leaks=True))
    assert contents(folder) == before, "a second call gives the same"

    # The test set of one set, the training set of another: the test face goes where the flag is given to its set.
    prepare("celeba", celeba)
    assert names("celeba", "train") == {"train": whole["train"].names}, "without the flag all are back"
    (test,) = prepare("lfw", dataclasses.replace(lfw, drop_leaks=True))
    assert test.names == ["E_F_0001"]
    assert left_out(test) == {
        "a leak: the same as celeba/train": {"count": 2, "files": ["A_B_0001", "C_D_0001"]},
    }


def test_a_set_that_is_all_leaks_stays_whole_and_says_so(root: Path) -> None:
    prepare("celeba", wanted(pack(root / "a.tar", TRAIN)))
    given = wanted(pack(root / "b.tar", {"x.jpg": TRAIN["000001.jpg"]}), name="mine", drop_leaks=True)
    with pytest.raises(UserError, match=r"all of its faces \(1\) are in other sets.* or without --drop-leaks"):
        prepare("folder", given)
    assert names("mine", "test") == {"test": ["x"]}


def test_room_is_looked_for_before_photos_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = wanted(pack(root / "a.tar", TRAIN))
    disk = shutil.disk_usage(root)._replace(free=5 * 128 * 128 * 3 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk)
    monkeypatch.setattr(photoset, "hash_photos", lambda *_: pytest.fail("photos were read"))
    with pytest.raises(UserError, match=r"celeba: 5 faces need 0.2 MB, 0.2 MB are free; make room, or set FSR_ROOT"):
        prepare("celeba", given)


def test_drop_duplicates_keeps_the_first_of_each(root: Path) -> None:
    photos = {
        "a.jpg": photograph(1),
        "b.jpg": photograph(2),
        "c.jpg": photograph(1),
        "d.jpg": photograph(2, quality=40),
    }
    given = wanted(pack(root / "a.tar", photos), name="mine", split="train")
    (whole,) = prepare("folder", given)
    (store,) = prepare("folder", dataclasses.replace(given, drop_duplicates=True))
    assert store.names == ["a", "b"] and whole.names == ["a", "b", "c", "d"]
    assert left_out(store) == {"a duplicate: the same as an earlier face": {"count": 2, "files": ["c", "d"]}}
    assert audit("mine")["splits"]["train"]["duplicates"] == {"exact": 0, "near": 0, "pairs": []}
    assert prepare("folder", given)[0].names == whole.names, "without the flag all are back"


class Middle:
    """A detector that sees the middle of each photo, and counts how often it is asked."""

    version = "middle 1"
    calls = 0

    def detect(self, photos: list[np.ndarray], points: list[bytes]) -> list[list[Face]]:
        Middle.calls += len(photos)
        return [[Face((30.0, 50.0, 150.0, 170.0), (), 0.99)] for _ in photos]


@pytest.fixture
def middle(monkeypatch: pytest.MonkeyPatch) -> type[Middle]:
    monkeypatch.setattr(Middle, "calls", 0)
    monkeypatch.setattr(scan, "_detector", lambda *_: Middle())
    return Middle


def test_what_was_detected_before_serves_again_but_not_who_it_was(root: Path, middle: type[Middle]) -> None:
    files = {
        "000001.jpg": photograph(1),
        "000002.jpg": photograph(1),
        "000003.jpg": photograph(3),
        "200000.jpg": photograph(3),
    }
    given = dataclasses.replace(wanted(pack(root / "a.tar", files)), detector=None)
    prepare("celeba", given)
    assert middle.calls == 4
    (root / "identity.txt").write_text("000001.jpg 7\n000002.jpg 8\n")
    named = {
        store.split: store for store in prepare("celeba", dataclasses.replace(given, identities=root / "identity.txt"))
    }
    assert [row.identity for row in named["train"].rows] == ["7", "8", ""] and named["test"].names == ["200000"]
    prepare("celeba", given)
    assert [row.identity for row in open_split("celeba", "train").rows] == ["", "", ""]
    assert audit("celeba")["leakage"][0]["identity_check"] == "not known"
    assert middle.calls == 4, "the detector was asked once a photo"


def test_landmarks_that_have_changed_are_read_again(root: Path) -> None:
    def points(*corners: tuple[int, int]) -> bytes:
        return ("version: 1\n{\n" + "\n".join(f"{x} {y}" for x, y in corners) + "\n}\n").encode()

    def box(pts: bytes) -> str:
        source = pack(root / "helen.tar", {"testset/1.jpg": photograph(1), "testset/1.pts": pts})
        given = dataclasses.replace(wanted(source), detector="landmarks")
        return prepare("helen", given)[0].rows[0].box

    assert box(points((31, 41), (131, 61), (81, 141))) == "30.0 40.0 130.0 140.0"
    assert box(points((41, 41), (141, 61), (81, 141))) == "40.0 40.0 140.0 140.0"


def test_a_store_stays_whole_when_leaving_out_fails(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = wanted(pack(root / "a.tar", CELEBA))
    prepare("celeba", given)
    calls, real = [0], stores.write_csv

    def fail(path: Path, *rest: Any) -> None:
        """Stop the second writing of the training set's faces.csv: that of the store without the leaks."""
        if ".train." in str(path):
            calls[0] += 1
            if calls[0] == 2:
                raise OSError(28, "No space left on device")
        real(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(stores, "write_csv", fail)
        with pytest.raises(OSError, match="No space left"):
            prepare("celeba", dataclasses.replace(given, drop_leaks=True))
    assert calls[0] == 2
    train = open_split("celeba", "train")
    train.verify()
    assert train.names == [f"{number:06d}" for number in range(1, 6)]
    assert not list(train.path.parent.glob(".*"))
    prepare("celeba", dataclasses.replace(given, drop_leaks=True))  # the same command goes on from there
    assert names("celeba", "train") == {"train": ["000003", "000004", "000005"]}


@pytest.mark.parametrize(
    ("dataset", "given", "sizes", "message"),
    [
        ("celebb", wanted(Path("a.tar")), {}, "unknown data set 'celebb': did you mean 'celeba'.*folder --name"),
        ("celeba", wanted(Path("a.tar")), {"val": 3}, "--val: the size of celeba is that of its sources"),
        ("celeba", wanted(), {"train": None}, "no source given: fsr prepare celeba --source"),
        ("synthfaces", wanted(Path("a.tar")), {}, "--source: synthfaces is made from seeds"),
        ("synthfaces", PhotoOptions((), drop_leaks=True), {}, "--drop-leaks: synthfaces is made from seeds"),
        ("folder", wanted(Path("a.tar")), {}, "--name is missing"),
    ],
)
def test_arguments_that_do_not_fit(
    dataset: str, given: PhotoOptions | None, sizes: dict[str, int | None], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        prepare(dataset, given, sizes=sizes)
    assert not paths.prepared().exists()


def test_the_default_faces_take_sizes_and_are_audited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Made:
        def __init__(self, recipe: object, install: str) -> None: ...

        def face(self, seed: int) -> np.ndarray:
            return np.random.default_rng(seed).integers(0, 256, (128, 128, 3), np.uint8)

    monkeypatch.setattr(generated, "Generator", Made)
    made = prepare("synthfaces", sizes={"train": 3, "test": 2, "val": None}, quiet=True)
    assert {store.split: len(store) for store in made} == {"train": 3, "test": 2}
    page = (paths.prepared() / "synthfaces" / "audit.md").read_text(encoding="utf-8")
    assert page.startswith("# Audit of Default faces from a generator\n") and "Leakage" not in page

    def refuse(path: Path, value: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "write_bytes", refuse)  # a folder that may only be read, for another user than root
    (paths.prepared() / "synthfaces" / "audit.json").unlink()
    assert main(["data", "audit", "synthfaces"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("# Audit of Default faces from a generator\n")
    assert "audit.json: not kept (Permission denied)" in shown.err and "audit.md" not in shown.err


def test_prepare_drops_leaks_and_says_where_the_audit_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, other = (picture(seed, size=(90, 90)) for seed in (1, 2))
    source = str(pack(tmp_path / "a.tar", {"000001.png": photo, "000002.png": other, "200000.png": photo}))
    command = ["prepare", "celeba", "--source", source, "--detector", "center", "--processes", "1"]
    whole = run_json(command, capsys)
    assert {one["split"]: one["faces"] for one in whole} == {"train": 2, "test": 1}
    assert [one["counts"]["photos"] for one in whole] == [1, 2]
    found = run_json([*command, "--drop-leaks"], capsys)
    assert {one["split"]: one["faces"] for one in found} == {"train": 1, "test": 1}
    assert main([*command, "--drop-leaks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{paths.prepared() / 'celeba' / 'test'}: 1 faces, fingerprint ")
    assert lines[-1] == f"audit: {paths.prepared() / 'celeba' / 'audit.md'}"
    assert (paths.prepared() / "celeba" / "audit.md").exists()
