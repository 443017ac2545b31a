"""Audits: every number against a second computation, what is kept between two audits, and planted leaks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.cli.faces import prepare
from bench.core import paths
from bench.core.files import read_json, write_json
from bench.data.photoset import PhotoOptions
from bench.data.scan import ScanOptions
from bench.data.store import FaceRow, FaceStore, open_split, write_store
from bench.runs import audit as audits
from bench.runs.audit import audit, bicubic_row, card_of, leaked_names, open_splits
from bench.runs.prepare import write_audit
from tests.bench.conftest import smooth_faces
from tests.bench.data.pictures import pack, photograph, picture, save, textured

QUIET = ScanOptions(quiet=True)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path / "root"))
    return tmp_path


def made(card: str, source: Path, files: Mapping[str, bytes], **wanted: object) -> list[FaceStore]:
    """Prepare and audit photos by cutting their middle."""
    return prepare(card, PhotoOptions([pack(source, files)], detector="center", how=QUIET, **wanted))  # type: ignore[arg-type]


def pair_of(found: Mapping[str, Any], train: str, test: str) -> Mapping[str, Any]:
    (pair,) = [one for one in found["leakage"] if (one["train"], one["test"]) == (train, test)]
    return dict(pair)


def plant(dataset: str, change: Mapping[tuple[str, ...], object]) -> None:
    """Change values deep in the audit.json of a data set."""
    path = paths.prepared() / dataset / "audit.json"
    found = read_json(path)
    for (*way, last), value in change.items():
        place = found
        for key in way:
            place = place[int(key)] if isinstance(place, list) else place[key]
        place[last] = value
    write_json(path, found)


def test_counts_sides_and_what_the_card_says(root: Path) -> None:
    sizes = {1: (300, 200), 2: (100, 100), 3: (140, 400), 4: (128, 128), 5: (600, 500), 6: (40, 40)}
    files = {f"{number:06d}.jpg": photograph(number, size) for number, size in sizes.items()}
    files |= {"000007.jpg": b"junk", "000008.jpg": picture(8, "L", (150, 150), "JPEG"), "me.jpg": photograph(9)}
    (store,) = made("celeba", root / "a.tar", files)
    found = audit("celeba")
    about = {name: found[name] for name in ("dataset", "title", "kind", "paper")}
    paper = {"psnr": 23.572, "ssim": 0.637}
    assert about == {"dataset": "celeba", "title": "CelebA", "kind": "reference", "paper": paper}
    assert list(found["splits"]) == ["train"]
    split = found["splits"]["train"]
    assert (split["faces"], split["size"], split["fingerprint"]) == (6, 128, store.fingerprint)
    assert split["recipe"]["detector"] == "center" and split["recipe"]["margin"] == 1.0
    counts = split["counts"]
    names = ("photos", "corrupt", "no face", "too small", "grey", "faces")
    assert [counts[name] for name in names] == [8, 1, 0, 1, 1, 6]
    assert {reason: left["files"] for reason, left in counts["left out"].items()} == {
        "not one of its photos: expected 000001.jpg to 202599.jpg": ["a.tar:me.jpg"],
        "not a picture": ["000007.jpg"],
        "too small: under 64 pixels": ["000006.jpg"],
    }
    # Sides 200, 100, 140, 128, 500, 150: a side of just 128 is not enlarged.
    assert split["side"] == {"quartiles": [100, 128, 140, 200, 500], "enlarged": 1}
    assert found["sets"] == {"celeba/train": store.fingerprint} and found["leakage"] == []
    assert read_json(paths.prepared() / "celeba" / "audit.json") == found


def luma(face: np.ndarray) -> np.ndarray:
    """MATLAB's luma in whole numbers, by integers alone."""
    weighed = face.astype(np.int64) @ np.array([65481, 128553, 24966]) + 16 * 255000
    return np.asarray((weighed // 255000).astype(np.float64))


def test_bicubic_is_that_of_the_faces_computed_otherwise() -> None:
    from skimage.metrics import structural_similarity

    count = 53  # more than a batch
    rows = [FaceRow(f"f{index}", sha256="x") for index in range(count)]
    store = write_store(paths.prepared() / "mine" / "test", rows, enumerate(smooth_faces(count, 3)), {})
    psnrs, ssims = [], []
    for face in store.faces:
        small = Image.fromarray(face).resize((16, 16), Image.Resampling.BICUBIC)
        x, y = luma(np.asarray(small.resize((128, 128), Image.Resampling.BICUBIC))), luma(face)
        psnrs.append(10 * np.log10(255**2 / ((x - y) ** 2).mean()))
        how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        ssims.append(structural_similarity(x, y, **how))
    row = audit("mine")["splits"]["test"]["bicubic"]
    assert (row["faces"], row["scale"], row["protocol"]) == (count, 8, "sparnet")
    assert row["psnr"] == pytest.approx(np.mean(psnrs), abs=1e-4)
    assert row["ssim"] == pytest.approx(np.mean(ssims), abs=1e-4)
    assert "of" not in row and "half" not in row, "all of them are measured"
    # Of more faces some are drawn, the same ones each time; the interval is that of a draw without replacement.
    drawn = np.random.default_rng(0).choice(count, 40, replace=False)
    sample = bicubic_row(store, 40)
    assert (sample["faces"], sample["of"]) == (40, count) and sample == bicubic_row(store, 40)
    assert sample["psnr"] == pytest.approx(np.mean(np.array(psnrs)[drawn]), abs=1e-4)
    error = np.std(np.array(psnrs)[drawn], ddof=1) * np.sqrt(1 / 40 - 1 / count)
    assert sample["half"]["psnr"] == pytest.approx(1.96 * error, abs=1e-4)
    assert abs(sample["psnr"] - row["psnr"]) < sample["half"]["psnr"]


def test_a_face_that_bicubic_gives_back_whole_is_no_crash(root: Path) -> None:
    files = {"1.png": save(Image.new("RGB", (150, 150), (9, 99, 199))), "2.png": picture(2, size=(150, 150))}
    made("folder", root / "a.tar", files, name="mine")
    row = audit("mine")["splits"]["test"]["bicubic"]
    assert row["psnr"] is None, "the mean is infinite, which JSON cannot say"
    assert 0 < row["ssim"] < 1
    assert "| test | 2 | – |" in " ".join((paths.prepared() / "mine" / "audit.md").read_text("utf-8").split())  # noqa: RUF001


def test_what_is_known_of_the_same_faces_is_kept_and_fresh_is_fresh(root: Path) -> None:
    files = {"000001.jpg": photograph(1), "200000.jpg": photograph(2), "200001.jpg": photograph(3)}
    made("celeba", root / "a.tar", files)
    true = audit("celeba", fresh=True)
    wrong = {("splits", "test", "bicubic", "psnr"): 99.0, ("leakage", "0", "exact"): 77}
    plant("celeba", wrong)
    kept = audit("celeba")
    assert kept["splits"]["test"]["bicubic"]["psnr"] == 99.0 and kept["leakage"][0]["exact"] == 77
    assert kept["splits"]["train"] == true["splits"]["train"]
    assert audit("celeba", fresh=True) == true
    plant("celeba", {("splits", "test", "faces"): 99, ("title",): "Wrong", ("paper",): {"psnr": 1}})
    assert {**audit("celeba"), "leakage": true["leakage"], "splits": true["splits"]} == true, "only slow parts are kept"
    assert audit("celeba")["splits"]["test"]["faces"] == 2
    # Other test faces: their row and the leaks are made anew, that of the training faces is kept.
    plant("celeba", {("splits", "train", "bicubic", "psnr"): 98.0})
    made("celeba", root / "a.tar", {**files, "200001.jpg": photograph(4)})
    changed = audit("celeba")
    test = open_split("celeba", "test")
    assert changed["splits"]["test"]["bicubic"] == bicubic_row(test)
    assert changed["splits"]["test"]["fingerprint"] == test.fingerprint != true["splits"]["test"]["fingerprint"]
    assert changed["splits"]["train"]["bicubic"]["psnr"] == 98.0
    assert changed["leakage"][0]["exact"] == 0


def test_identities_that_are_told_later_are_compared(root: Path) -> None:
    files = {"000001.jpg": photograph(1), "200000.jpg": photograph(2)}
    before = made("celeba", root / "a.tar", files)
    (pair,) = audit("celeba")["leakage"]
    assert (pair["identities"], pair["identity_check"]) == (None, "not known")
    (root / "identity.txt").write_text("000001.jpg 7\n200000.jpg 7\n")
    after = made("celeba", root / "a.tar", files, identities=root / "identity.txt")
    assert [store.fingerprint for store in after] == [store.fingerprint for store in before], "the faces are the same"
    (pair,) = audit("celeba")["leakage"]
    assert (pair["identities"], pair["identity_check"]) == (1, "compared")
    assert read_json(paths.prepared() / "celeba" / "audit.json")["leakage"] == [pair]


def test_planted_leaks_across_sets_and_splits(root: Path) -> None:
    (root / "identity.txt").write_text("000001.jpg 7\n000002.jpg 8\n200000.jpg 8\n200001.jpg 9\n")
    training = {f"{number:06d}.jpg": photograph(number) for number in range(1, 7)}
    tests = {"200000.jpg": photograph(20), "200001.jpg": training["000005.jpg"]}
    made("celeba", root / "a.tar", {**training, **tests}, identities=root / "identity.txt")
    found = audit("celeba")
    assert set(found["sets"]) == {"celeba/train", "celeba/test"}
    own = pair_of(found, "celeba/train", "celeba/test")
    assert own["pairs"] == [{"kind": "exact", "train": "000005", "test": "200001", "bits": 0}]
    assert (own["exact"], own["near"], own["identities"], own["identity_check"]) == (1, 0, 1, "compared")

    photos = {
        "lfw/A_B/A_B_0001.jpg": training["000001.jpg"],
        "lfw/C_D/C_D_0001.jpg": photograph(2, quality=15),
        "lfw/E_F/E_F_0001.jpg": photograph(3, mirrored=True),
        "lfw/G_H/G_H_0001.jpg": photograph(30),
    }
    made("lfw", root / "lfw.tar", photos)
    again = audit("celeba")
    assert again["sets"] == {**found["sets"], "lfw/test": open_split("lfw", "test").fingerprint}
    assert pair_of(again, "celeba/train", "celeba/test") == own
    other = pair_of(again, "celeba/train", "lfw/test")
    assert (other["exact"], other["near"]) == (1, 2)
    assert (other["identities"], other["identity_check"]) == (None, "not comparable")
    assert [(pair["kind"], pair["train"], pair["test"]) for pair in other["pairs"]] == [
        ("exact", "000001", "A_B_0001"),
        ("near", "000002", "C_D_0001"),
        ("near", "000003", "E_F_0001"),
    ]
    assert all(0 <= pair["bits"] <= 38 for pair in other["pairs"])
    lfw = audit("lfw")
    assert lfw["leakage"] == [other], "pairs of other sets are not lfw's"
    assert lfw["sets"] == again["sets"]

    write_audit("celeba")
    shutil.rmtree(paths.prepared() / "lfw")
    assert audit("celeba")["leakage"] == [own], "what was found in a set that is gone is gone"
    made("lfw", root / "lfw.tar", photos)
    made("celeba", root / "a.tar", {**training, **tests})  # without identities
    checks = {one["test"]: one["identity_check"] for one in audit("celeba")["leakage"]}
    assert checks == {"celeba/test": "not known", "lfw/test": "not known"}


def test_a_real_world_set_has_no_bicubic_row_and_no_near_duplicates(root: Path) -> None:
    training = {f"{number:06d}.jpg": photograph(number) for number in range(1, 4)}
    made("celeba", root / "a.tar", training)
    files = {"x.jpg": training["000002.jpg"], "y.jpg": photograph(3, quality=60)}
    (store,) = made("webface", root / "web.tar", files)
    assert store.size == 16
    found = audit("webface")
    assert found["kind"] == "real-world" and found["paper"] == {}
    split = found["splits"]["test"]
    assert (split["bicubic"], split["size"], split["faces"]) == (None, 16, 2)
    assert split["side"] == {"quartiles": [178] * 5, "enlarged": 0}
    (pair,) = found["leakage"]
    assert (pair["exact"], pair["near"]) == (1, None)
    assert [(one["kind"], one["train"], one["test"]) for one in pair["pairs"]] == [("exact", "000002", "x")]


def test_the_card_of_a_set_of_ones_own(root: Path) -> None:
    (own,) = made("folder", root / "a.tar", {"a.jpg": photograph(1)}, name="mine")
    (named,) = made("celeba", root / "b.tar", {"000001.jpg": photograph(1)}, name="mine2")
    assert [card_of(store).title for store in (own, named)] == ["A folder of photos", "CelebA"]
    assert [audit(store.dataset)["title"] for store in (own, named)] == ["mine (A folder of photos)", "mine2 (CelebA)"]
    assert audit("mine2")["paper"] and not audit("mine")["paper"]


def test_a_set_under_another_name_is_called_so(root: Path) -> None:
    made("webface", root / "a.tar", {"a.jpg": photograph(1)}, name="web2")
    found = audit("web2")
    assert (found["title"], found["stands_for"]) == ("web2 (WebFace)", ""), "the card's words are of other photos"
    page = (paths.prepared() / "web2" / "audit.md").read_text("utf-8")
    assert page.startswith("# Audit of web2 (WebFace)\n\n| Split") and "Recipe: detector center, margin" in page


def test_identities_of_one_list_are_compared_under_any_names(root: Path) -> None:
    for name, lines in {"list": "a.jpg 7\nb.jpg 7\n", "other": "a.jpg 7\nb.jpg 7\nc.jpg 9\n"}.items():
        (root / f"{name}.txt").write_text(lines)
    made("folder", root / "a.tar", {"a.jpg": photograph(1)}, name="one", split="train", identities=root / "list.txt")
    for name, given in {"two": {"identities": root / "list.txt"}, "three": {"identities": root / "other.txt"}}.items():
        made("folder", root / f"{name}.tar", {"b.jpg": photograph(2)}, name=name, **given)
    made("lfw", root / "lfw.tar", {"A_B_0001.jpg": photograph(3)}, name="names", split="train")
    made("lfw", root / "lfw2.tar", {"A_B_0002.jpg": photograph(4)})
    pairs = {(pair["train"], pair["test"]): pair for name in ("one", "names") for pair in audit(name)["leakage"]}
    checks = {key: (pair["identities"], pair["identity_check"]) for key, pair in pairs.items()}
    assert checks[("one/train", "two/test")] == (1, "compared")
    assert checks[("one/train", "three/test")] == (None, "not comparable")
    assert checks[("names/train", "lfw/test")] == (1, "compared"), "both are named by their photos, as the card says"
    assert checks[("one/train", "lfw/test")] == (None, "not comparable")


def test_faces_that_a_split_has_twice_are_counted_and_named(root: Path) -> None:
    files = {"a.jpg": photograph(1), "b.jpg": photograph(2), "c.jpg": photograph(1), "d.jpg": photograph(2, quality=40)}
    for split in ("train", "test"):
        made("folder", root / f"{split}.tar", files, name=f"my-{split}", split=split)
        assert audit(f"my-{split}")["splits"][split]["duplicates"] == {
            "exact": 1,
            "near": 1,
            "pairs": [
                {"kind": "exact", "first": "a", "again": "c", "bits": 0},
                {"kind": "near", "first": "b", "again": "d", "bits": pytest.approx(10, abs=12)},
            ],
        }
    made("folder", root / "one.tar", {"a.jpg": photograph(1)}, name="one")
    assert audit("one")["splits"]["test"]["duplicates"] == {"exact": 0, "near": 0, "pairs": []}


def test_the_boxes_of_somebody_elses_manifest_are_told(root: Path) -> None:
    files = {"000001.jpg": photograph(1)}
    (store,) = made("celeba", root / "a.tar", files)
    manifest = root / "theirs.csv"
    manifest.write_text((store.path / "manifest.csv").read_text().replace(",center,", ",by hand,"))
    prepare("celeba", PhotoOptions([root / "a.tar"], manifest=[manifest], how=QUIET))
    assert audit("celeba")["splits"]["train"]["boxes"] == ["by hand"]
    page = (paths.prepared() / "celeba" / "audit.md").read_text("utf-8")
    assert "Recipe: boxes of a manifest (detector by hand), margin 1.39" in page and "probability" not in page


def test_a_face_is_hashed_once_whatever_is_prepared_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []
    real = audits.perceptual_hashes

    def counted(views: Any, moved: bool = False) -> np.ndarray:
        hashed.append(len(views))
        return real(views, moved)

    monkeypatch.setattr(audits, "perceptual_hashes", counted)
    source = pack(root / "a", {f"{name}.jpg": photograph(seed) for seed, name in enumerate("abcdefg")})
    (store,) = made("folder", source, {}, name="mine")
    first = audits.prints_of(store)
    assert sum(hashed) == 7 and first.hashes.shape == (7, 300)
    for change in ({"drop_leaks": True}, {"drop_leaks": True, "drop_duplicates": True}, {"identities": root / "ids"}):
        (root / "ids").write_text("a.jpg 7\n")
        (store,) = made("folder", source, {}, name="mine", **change)
        assert np.array_equal(audits.prints_of(store).hashes, first.hashes)
    assert sum(hashed) == 7
    (source / "c.jpg").unlink()
    (store,) = made("folder", source, {"h.jpg": photograph(9)}, name="mine")
    assert store.names == list("abdefgh") and sum(hashed) == 8, "one new face"
    assert np.array_equal(audits.prints_of(store).hashes[:6], np.delete(first.hashes, 2, axis=0))
    (path,) = store.path.parent.glob("test-phash*.npy")
    for damage in (b"", path.read_bytes()[:-100], path.read_bytes()[:50], b"junk"):
        path.write_bytes(damage)
        assert np.array_equal(audits.prints_of(store).hashes[:6], np.delete(first.hashes, 2, axis=0))
    assert sum(hashed) == 8 + 4 * 7

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path.unlink()
    monkeypatch.setattr("bench.core.files.write_bytes", refuse)
    assert len(audits.prints_of(store).hashes) == 7, "a folder that may only be read"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"splits": {}, "sets": 3}', '{"splits": {"test": {}}}'])
def test_a_damaged_audit_is_made_anew(root: Path, text: str) -> None:
    made("folder", root / "a.tar", {"a.jpg": photograph(1)}, name="mine")
    path = paths.prepared() / "mine" / "audit.json"
    whole = path.read_text()
    path.write_text(text)
    assert write_audit("mine") == json.loads(whole) and path.read_text() == whole


def test_the_audit_is_plain_and_the_same_elsewhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{number:06d}.jpg": photograph(number) for number in (1, 2, 200000, 200001)} | {"me.jpg": photograph(9)}
    texts = []
    for place in ("here", "there"):
        monkeypatch.setenv("FSR_ROOT", str(root / place))
        (root / place).mkdir()
        made("lfw", root / place / "lfw.tar", {"A_B_0001.jpg": photograph(1)})
        made("celeba", root / place / "a.tar", files)
        found = audit("celeba")
        texts.append(json.dumps(found, allow_nan=False))
        assert json.loads(texts[-1]) == found, "no tuple and no other type that JSON changes"
        texts.append((paths.prepared() / "celeba" / "audit.md").read_text("utf-8"))
    assert texts[:2] == texts[2:]
    assert str(root) not in "".join(texts)


def test_generated_faces_are_compared_with_nothing(root: Path) -> None:
    made("celeba", root / "a.tar", {"000001.jpg": photograph(1)})
    for split in ("train", "test"):
        rows = [FaceRow(f"seed-{split}")]
        write_store(paths.prepared() / "synthfaces" / split, rows, enumerate(smooth_faces(1, 0)), {})
    found = audit("synthfaces")
    assert set(found["sets"]) == {"synthfaces/train", "synthfaces/test"} and found["leakage"] == []
    assert [split["side"] for split in found["splits"].values()] == [None, None]
    assert list(found["splits"]) == ["train", "test"], "in the order of the splits"
    assert set(audit("celeba")["sets"]) == {"celeba/train"}


def test_leaked_names_say_what_they_are_the_same_as(root: Path) -> None:
    training = {f"{number:06d}.jpg": photograph(number) for number in range(1, 4)}
    made("celeba", root / "a.tar", {**training, "200000.jpg": training["000001.jpg"]})
    made("lfw", root / "lfw.tar", {"A_B_0001.jpg": photograph(2, quality=60)})
    train, test = open_splits("celeba")
    assert leaked_names(train) == {"000001": "celeba/test/200000 (exact)", "000002": "lfw/test/A_B_0001 (near)"}
    assert leaked_names(test) == {}
    assert leaked_names(open_split("lfw", "test")) == {"A_B_0001": "celeba/train/000002 (near)"}


def test_the_views_that_are_hashed_are_the_detectors_boxes(root: Path) -> None:
    pixels = np.asarray(textured(1, (200, 200)))
    rows = [
        FaceRow("box", sha256="1", box="80.0 60.0 180.0 160.0", square="30 10 200"),
        FaceRow("at the edge", sha256="2", box="-40.0 0.0 60.0 80.0", square="0 0 200"),
        FaceRow("no box", sha256="3"),
    ]
    face = np.asarray(Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC))
    faces = enumerate([face] * 3)
    store = write_store(paths.prepared() / "mine" / "train", rows, faces, {})
    views = list(audits._views(store))
    assert [view.shape[0] for view in views] == [64, 64, 128]
    assert np.array_equal(views[0], face[32:96, 32:96])
    assert np.array_equal(views[1], face[0:64, 0:64])
