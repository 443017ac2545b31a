"""From photos to stores: splits, recipes, manifests, and what goes wrong on the way."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core import paths
from bench.core.errors import UserError
from bench.core.stop import Interrupted
from bench.data import photoset, scan
from bench.data.detect import Face
from bench.data.manifest import read_manifest, write_manifest
from bench.data.photoset import PhotoOptions, prepare_photos
from bench.data.scan import ScanOptions
from bench.data.store import FaceStore, open_split
from tests.bench.data.pictures import pack, picture

QUIET = ScanOptions(quiet=True)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path / "root"))
    return tmp_path


def photo(seed: int, size: tuple[int, int] = (178, 218)) -> bytes:
    return picture(seed, size=size, kind="JPEG", quality=90)


def prepare(card: str, *sources: Path, detector: str | None = "center", **wanted: object) -> list[FaceStore]:
    return prepare_photos(card, PhotoOptions(list(sources), detector=detector, how=QUIET, **wanted))  # type: ignore[arg-type]


class Corner:
    """A detector that sees one face in a corner of each photo, and none in photos of 50 pixels."""

    version = "corner 1"
    calls = 0

    def detect(self, photos: list[np.ndarray], points: list[bytes]) -> list[list[Face]]:
        Corner.calls += len(photos)
        faces = [
            Face((10.0, 20.0, 90.0, 120.0), tuple(map(float, range(10))), 0.97),
            Face((120.0, 150.0, 170.0, 210.0), (), 0.91),
            Face((-90.0, 20.0, 80.0, 190.0), (), 0.99),  # most of it is not in the photo
        ]
        return [faces if photo.shape[1] != 50 else [] for photo in photos]


@pytest.fixture
def corner(monkeypatch: pytest.MonkeyPatch) -> type[Corner]:
    Corner.calls = 0
    monkeypatch.setattr(scan, "make_detector", lambda *_, **__: Corner())
    scan._detector.cache_clear()
    yield Corner  # type: ignore[misc]
    scan._detector.cache_clear()


def test_the_detectors_choice_becomes_rows_crops_and_counts(root: Path, corner: type[Corner]) -> None:
    files = {"000001.jpg": photo(1), "000002.jpg": photo(2, (50, 60)), "000003.jpg": b"junk", "000004.jpg": b""}
    (store,) = prepare("celeba", pack(root / "a.tar", files), detector=None, margin=1.2)
    assert store.names == ["000001"]
    row = store.rows[0]
    assert (row.box, row.square, row.probability) == ("10.0 20.0 90.0 120.0", "0 10 120", "0.97")
    with Image.open(io.BytesIO(files["000001.jpg"])) as image:
        expected = image.crop((0, 10, 120, 130)).resize((128, 128), Image.Resampling.BICUBIC)
    assert np.array_equal(store.faces[0], np.asarray(expected))
    counts = store.card.counts
    assert (counts["photos"], counts["faces"], counts["several faces"]) == (4, 1, 1)
    assert {reason: one["files"] for reason, one in counts["left out"].items()} == {
        "empty file": ["000004.jpg"],
        "no face": ["000002.jpg"],
        "not a picture": ["000003.jpg"],
    }
    manifest = read_manifest(store.path / "manifest.csv")
    assert [(one.file, one.problem, one.chosen) for one in manifest] == [
        ("000001.jpg", "", "nearest the centre"),
        ("000002.jpg", "no face", ""),
        ("000003.jpg", "not a picture", ""),
        ("000004.jpg", "empty file", ""),
    ]
    seen = manifest[0]
    assert (seen.faces, seen.detector, seen.version) == (2, "mtcnn min 40 p 0.9 centre", "corner 1")


def test_the_same_photos_and_manifest_give_the_same_faces_without_a_detector(
    root: Path, corner: type[Corner], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{number:06d}.jpg": photo(number) for number in range(1, 30)}
    source = pack(root / "a.tar", files)
    (first,) = prepare("celeba", source, detector=None)
    manifest = root / "manifest.csv"
    shutil.copy(first.path / "manifest.csv", manifest)
    folder = pack(root / "elsewhere" / "photos", dict(reversed(files.items())))
    calls = corner.calls
    for again in (source, folder, pack(root / "b.tar.gz", dict(reversed(files.items())))):
        monkeypatch.setenv("FSR_ROOT", str(root / f"root of {again.name}"))
        (store,) = prepare("celeba", again, detector=None, manifest=[manifest])
        assert store.fingerprint == first.fingerprint
        assert (store.path / "faces.npy").read_bytes() == (first.path / "faces.npy").read_bytes()
        assert (store.path / "manifest.csv").read_bytes() == manifest.read_bytes()
    assert corner.calls == calls


def test_a_manifest_that_does_not_fit_is_refused_and_nothing_is_left(root: Path, corner: type[Corner]) -> None:
    files = {f"{number:06d}.jpg": photo(number) for number in range(1, 5)}
    (store,) = prepare("celeba", pack(root / "a.tar", files), detector=None, name="one")
    manifest = store.path / "manifest.csv"
    other = pack(root / "b.tar", {"000001.jpg": photo(9), "000002.jpg": photo(2), "000007.jpg": photo(7)})
    with pytest.raises(UserError) as raised:
        prepare("celeba", other, manifest=[manifest], name="two")
    assert "2 of its 4 photos are not in the sources (000003.jpg, 000004.jpg)" in str(raised.value)
    assert "1 of its 4 photos have other bytes than it was made from (000001.jpg)" in str(raised.value)
    assert not (paths.prepared() / "two").exists()
    part = root / "part.csv"
    write_manifest(part, [row for row in read_manifest(manifest) if row.file == "000002.jpg"])
    (store,) = prepare("celeba", other, manifest=[part], name="two")
    assert store.names == ["000002"]
    assert store.card.counts["left out"]["not in the manifest"]["count"] == 2


def test_a_manifest_of_other_pixels_is_refused(root: Path, corner: type[Corner]) -> None:
    source = pack(root / "a.tar", {"000001.jpg": photo(1)})
    (store,) = prepare("celeba", source, detector=None, name="one")
    rows = [dataclasses.replace(row, width=300, height=400) for row in read_manifest(store.path / "manifest.csv")]
    write_manifest(root / "m.csv", rows)
    with pytest.raises(UserError, match="has 178x218 pixels, its manifest says 300x400"):
        prepare("celeba", source, manifest=[root / "m.csv"], name="two")
    assert not (paths.prepared() / "two").exists()


def test_the_cards_manifests_spare_the_detector_by_hash(
    root: Path, corner: type[Corner], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{number:06d}.jpg": photo(number) for number in range(1, 7)}
    (store,) = prepare("celeba", pack(root / "a.tar", files), detector=None, name="one")
    manifest = shutil.copy(store.path / "manifest.csv", root / "train.csv")
    monkeypatch.setattr(photoset, "manifest_paths", lambda name: {"train": Path(manifest)} if name == "celeba" else {})
    changed = pack(root / "b.tar", {**files, "000003.jpg": photo(33), "000009.jpg": photo(9)})
    calls = corner.calls
    (again,) = prepare("celeba", changed, detector=None, name="two")
    assert corner.calls == calls + 2 and len(again) == 7
    (anew,) = prepare("celeba", changed, detector=None, name="three", redetect=True)
    assert corner.calls == calls + 2 + 7 and anew.fingerprint == again.fingerprint
    (closer,) = prepare("celeba", changed, detector=None, name="three", margin=0.9)  # another margin needs no detector
    assert corner.calls == calls + 2 + 7 and closer.fingerprint != again.fingerprint
    (other,) = prepare("celeba", changed, name="four")  # another detector: the manifest's boxes are not its
    assert other.fingerprint != again.fingerprint


def test_of_many_photos_disk_and_time_are_told_beforehand(
    root: Path, corner: type[Corner], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fsr")
    for module in (photoset, scan):
        monkeypatch.setattr(module, "MANY", 5)
    monkeypatch.setattr(scan, "_FIRST", 5)
    (root / "many").mkdir()
    for i in range(12):
        (root / "many" / f"{i}.png").write_bytes(photo(i))
    prepare_photos("folder", PhotoOptions([root / "many"], "mine"))
    told = [record.getMessage() for record in caplog.records if "12 photos:" in record.getMessage()]
    assert [line.partition(" in ")[0] for line in told[:1]] == ["12 photos: their faces will take up to 0.0 GB"]
    assert len(told) == 2 and "finding faces takes 0 minutes more" in told[1]


def test_unchanged_sources_are_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = pack(root / "a.tar", {"000001.jpg": photo(1)})
    prepare("celeba", source)
    with monkeypatch.context() as patch:
        patch.setattr(photoset, "hash_photos", lambda *_: pytest.fail("read again"))
        assert len(prepare("celeba", source)[0]) == 1
    pack(source, {"000001.jpg": photo(1), "000002.jpg": photo(2)})
    assert len(prepare("celeba", source)[0]) == 2
    before = open_split("celeba", "train").fingerprint
    assert prepare("celeba", source, margin=0.8)[0].fingerprint != before


def test_strict_stops_at_what_would_be_left_out(root: Path) -> None:
    for files, message in (
        ({"000001.jpg": photo(1), "me.jpg": photo(2)}, r"a\.tar:me\.jpg: not one of its photos.*--strict"),
        ({"000001.jpg": photo(1), "000002.jpg": b""}, r"000002\.jpg: empty file \(1 such photos; --strict"),
    ):
        with pytest.raises(UserError, match=message):
            prepare("celeba", pack(root / "a.tar", files), strict=True)
    assert not (paths.prepared() / "celeba" / "train").exists()


def test_a_folder_of_ones_own(root: Path) -> None:
    folder = root / "shots"
    pack(folder, {"a/1.jpg": photo(1, (300, 200)), "b/1.jpg": photo(2, (300, 200))})
    (store,) = prepare("folder", folder, name="mine", split="train")
    assert (store.dataset, store.split, store.names) == ("mine", "train", ["a--1", "b--1"])
    names = {"": "--name is missing", "lfw": "another data set's", "../x": "expected at most 100 letters, digits"}
    for name, message in names.items():
        with pytest.raises(UserError, match=message):
            prepare("folder", folder, name=name)
    (folder / "a" / "1.png").write_bytes(picture(3, size=(300, 200)))
    (folder / "a" / "1.mov").write_bytes(b"no picture")
    (store,) = prepare("folder", folder, name="mine", split="train")
    assert store.names == ["a--1.jpg", "a--1.png", "b--1"] and store.card.counts["no pictures"] == 1


def test_names_that_are_not_utf8_and_very_long_ones(root: Path) -> None:
    folder = root / os.fsdecode(b"Ferien_\xe9t\xe9")
    folder.mkdir()
    for place, name in enumerate((b"Zo\xeb.png", b"x" * 251 + b".png", b"x" * 250 + b"y.png")):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(picture(place, size=(140, 140)))
    (store,) = prepare("folder", folder, name="mine")
    assert store.names[0] == "Zoë" and [len(name) for name in store.names] == [3, 200, 200]
    assert store.rows[0].source == "Ferien_été/Zoë.png"
    assert prepare("folder", folder, name="mine")[0].fingerprint == store.fingerprint
    with pytest.raises(UserError, match="at most 100 letters"):
        prepare("folder", folder, name="x" * 101)


def test_landmarks_beside_the_photos_are_a_detector(root: Path) -> None:
    points = "\n".join(f"{x} {y}" for x, y in [(61, 81), (141, 101), (101, 161)])
    text = f"version: 1\nn_points: 3\n{{\n{points}\n}}\n".encode()
    files = {
        "helen/testset/1.jpg": photo(1, (250, 250)),
        "helen/testset/1.pts": text,
        "helen/testset/2.jpg": photo(2, (250, 250)),
        "helen/trainset/3.jpg": photo(3, (250, 250)),
        "helen/trainset/3.PTS": text,
        "helen/testset/4.jpg": photo(4, (250, 250)),
        "helen/testset/4.pts": b"1 2 3\n4 5 6\n",
    }
    stores = {store.split: store for store in prepare("helen", pack(root / "helen.tar", files), detector="landmarks")}
    assert {split: store.names for split, store in stores.items()} == {"test": ["1"], "train": ["3"]}
    assert stores["test"].rows[0].box == "60.0 80.0 140.0 160.0"
    assert stores["test"].card.counts["left out"]["no .pts file with points beside it"]["files"] == ["2.jpg"]
    assert stores["test"].card.counts["no face"] == 2 and stores["test"].card.counts["corrupt"] == 0
    bad = "the .pts file beside it cannot be read: '1 2 3' in it, expected x and y of a point"
    assert stores["test"].card.counts["left out"][bad]["files"] == ["4.jpg"]


def test_a_real_world_set_is_cut_at_the_size_in_the_photo(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crowd(Corner):
        def detect(self, photos: list[np.ndarray], points: list[bytes]) -> list[list[Face]]:
            sides = {14.0: 20, 15.5: 60, 40.0: 100, 9.0: 150}
            faces = [Face((left, 30.0, left + side, 30.0 + side), (), 0.99) for side, left in sides.items()]
            return [faces for _ in photos]

    monkeypatch.setattr(scan, "make_detector", lambda *_, **__: Crowd())
    scan._detector.cache_clear()
    content = picture(1, size=(200, 100))
    (store,) = prepare("widerface", pack(root / "a.tar", {"WIDER_val/images/0--Parade/p.png": content}), detector=None)
    scan._detector.cache_clear()
    assert store.names == ["p-001", "p-002"] and store.faces.shape == (2, 16, 16, 3) and not store.has_truth
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    assert np.array_equal(store.faces[0], pixels[29:45, 19:35])  # nothing is resampled
    left_out = store.card.counts["left out"]
    assert list(left_out) == ["too large: over 18 pixels", "too small: under 14 pixels"]


def test_a_stopped_detection_goes_on_with_the_same_manifest(
    root: Path, corner: type[Corner], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pack(root / "a.tar", {f"{number:06d}.jpg": photo(number) for number in range(1, 36)})
    (whole,) = prepare("celeba", source, detector=None, name="whole")

    class Asked:
        def __enter__(self) -> Asked:
            self.left = 2
            return self

        def __exit__(self, *_: object) -> None: ...

        def check(self, message: str) -> None:
            self.left -= 1
            if not self.left:
                raise Interrupted(message, 2)

    calls = corner.calls
    with monkeypatch.context() as patch:
        patch.setattr(scan, "Stop", Asked)
        with pytest.raises(Interrupted, match=f"{2 * scan._GROUP} of 35 photos are done"):
            prepare("celeba", source, detector=None, name="cut")
    partial = paths.prepared() / "cut" / ".train.detected"
    partial.write_bytes(partial.read_bytes() + b'[{"width": 17')  # killed in the middle of a line
    (cut,) = prepare("celeba", source, detector=None, name="cut")
    assert corner.calls == calls + 35
    assert (cut.path / "manifest.csv").read_bytes() == (whole.path / "manifest.csv").read_bytes()
    assert cut.fingerprint == whole.fingerprint
    assert sorted(path.name for path in cut.path.parent.iterdir()) == ["train"]


CHILD = """
import sys, time
from pathlib import Path
from bench.data import store
from bench.data.photoset import PhotoOptions, prepare_photos
from bench.data.scan import ScanOptions
if __name__ == "__main__":
    real = store._write_faces
    def slow(*given):
        real(*given)
        print("writing", flush=True)
        time.sleep(float(sys.argv[2]))
    store._write_faces = slow
    made = prepare_photos("celeba", PhotoOptions([Path(sys.argv[1])], detector="center", how=ScanOptions(quiet=True)))
    print("made", len(made[0]), flush=True)
"""


def test_two_at_once_one_waits_and_a_killed_one_leaves_nothing(root: Path) -> None:
    source = pack(root / "a.tar", {f"{number:06d}.jpg": photo(number) for number in range(1, 4)})

    def start(seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CHILD, str(source), str(seconds)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    first = start(60)
    assert first.stdout is not None and first.stdout.readline() == "writing\n"
    second = start(0)
    time.sleep(1.5)
    assert second.poll() is None, "the second did not wait"
    assert not (paths.prepared() / "celeba" / "train").exists()
    first.kill()
    first.wait()
    out, _ = second.communicate(timeout=60)
    assert out == "writing\nmade 3\n"
    assert [path.name for path in (paths.prepared() / "celeba").iterdir()] == ["train"]


def test_a_photo_twice_and_two_of_one_name(root: Path) -> None:
    one, other = pack(root / "1.tar", {"a.jpg": photo(1)}), pack(root / "2.tar", {"x/a.jpg": photo(1)})
    (store,) = prepare("helen", one, other)
    assert store.names == ["a"]
    assert store.card.counts["left out"]["the same photo again"]["files"] == ["2.tar:x/a.jpg"]
    with pytest.raises(UserError, match="have one name but differ"):
        prepare("helen", one, pack(root / "3.tar", {"a.jpg": photo(2)}))


def test_photos_that_a_list_of_identities_lacks_are_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, listed = pack(root / "a.tar", {"a.jpg": photo(1), "b.jpg": photo(2)}), root / "ids.txt"
    listed.write_text("b.jpg 7\n")
    (store,) = prepare("folder", source, name="mine", identities=listed)
    assert [row.identity for row in store.rows] == ["", "7"]
    assert f"{listed}: 1 of 2 photos are not in it (a.jpg)" in caplog.messages
    listed.write_text("photos/a.jpg 7\n")
    with pytest.raises(UserError, match=r"lists names like 'photos/a.jpg', none of the 2 photos \('a.jpg', ...\)"):
        prepare("folder", source, name="mine", identities=listed)


@pytest.mark.parametrize("file", ["faces.npy", "faces.csv", "card.json", "inputs.json"])
def test_a_damaged_split_is_made_again(root: Path, file: str) -> None:
    source = pack(root / "a.tar", {"a.jpg": photo(1), "b.jpg": photo(2)})
    (store,) = prepare("folder", source, name="mine")
    path, content = store.path / file, (store.path / file).read_bytes()
    for damage in (None, b"", content[:-20], content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]):
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        (again,) = prepare("folder", source, name="mine")
        again.verify()
        assert again.fingerprint == store.fingerprint and path.read_bytes() == content
