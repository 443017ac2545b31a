"""`fsr upscale` where something is missing, damaged, doubtful or in the way: it is said, and ends nothing else."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.cli.main import main
from bench.data import decode
from bench.data.detect import Face
from bench.models import registry
from bench.runs import pictures
from bench.runs.networks import ArchivedNetwork, archived_networks
from tests.bench.cli.test_cli import error_of, run_json
from tests.bench.runs.upscale.conftest import make_run, photo, pixels

pytestmark = pytest.mark.usefixtures("tiny")


def test_photos_without_a_face_or_damaged_do_not_stop_the_others(
    root: Path, network: ArchivedNetwork, two_faces: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    photo(root / "in" / "empty.png", 100, 100)
    photo(root / "in" / "group.png")
    assert main(["upscale", "in"]) == 0
    out = capsys.readouterr().out
    assert "in/empty.png: no face\nin/group.png: 2 faces\n" in out
    assert "\n2 photos, 2 faces; 1 without a face\n" in out
    (root / "in" / "bad.jpg").write_bytes(b"junk")
    (root / "in" / "old.zip").write_bytes(b"junk")
    capsys.readouterr()
    assert main(["upscale", "in", "--json"]) == 1
    out, err = capsys.readouterr()
    problems = {one["photo"]: one["problem"] for one in json.loads(out)["photos"]}
    nested = "an archive inside another: give it as a source of its own"
    assert problems == {
        "in/bad.jpg": "not a picture",
        "in/empty.png": "no face",
        "in/group.png": None,
        "in/old.zip": nested,
    }
    assert err == f"fsr: 2 of 4 photos skipped: in/bad.jpg: not a picture, in/old.zip: {nested}\n"


def test_no_face_anywhere_is_one_line_and_code_2(
    root: Path, network: ArchivedNetwork, two_faces: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    photo(root / "empty.png", 100, 100)
    for more in ([], ["--json"]):
        assert error_of(["upscale", "empty.png", *more], capsys) == (
            "fsr: no face found in empty.png (mtcnn min 40 p 0.95 all); --min-face 20 finds smaller ones, "
            "--min-probability 0.8 less sure ones, --no-detect takes a photo as one face"
        )
    (root / "bad.jpg").write_bytes(b"junk")
    assert error_of(["upscale", "bad.jpg"], capsys) == "fsr: 1 of 1 photo skipped: bad.jpg: not a picture"
    assert main(["upscale", "bad.jpg", "empty.png"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("fsr: no face found in empty.png") and last.endswith(
        "1 of 2 photos skipped: bad.jpg: not a picture"
    )
    assert not (root / "upscaled").exists()


def test_each_photo_once_under_a_name_of_its_own(
    root: Path, network: ArchivedNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate(("a.png", "sub/a.png", "sub/deep/b.png")):
        photo(root / "in" / name, 16, 16, seed)
    given = ["upscale", "in", "in/a.png", "--no-detect", "--out", "in/made"]
    for _ in range(2):  # the second time there are pictures in in/made, which are no photos
        found = run_json(given, capsys)
        assert [one["faces"][0]["files"]["sr"] for one in found["photos"]] == [
            f"in/made/{stem}_face1_sr.png" for stem in ("a", "sub--a", "sub--deep--b")
        ]
    above = run_json(["upscale", "in/sub", "--no-detect", "--out", "in"], capsys)["photos"]
    assert [one["faces"][0]["files"]["sr"] for one in above] == ["in/a_face1_sr.png", "in/deep--b_face1_sr.png"]
    for path in (root / "in").glob("*_sr.png"):
        path.unlink()
    same = run_json(["upscale", "in/a.png", "in/sub/a.png", "--no-detect"], capsys)["photos"]
    assert [one["faces"][0]["files"]["sr"] for one in same] == [
        f"upscaled/{stem}_face1_sr.png" for stem in ("a", "a-2")
    ]
    assert "the photos are there too" in error_of(["upscale", "in", "--out", "in"], capsys)
    (root / "in" / "a.png").unlink()
    for path in (root / "in" / "sub").rglob("*.png"):
        path.unlink()
    assert error_of(["upscale", "in", "--out", "in/made"], capsys) == "fsr: in: no photos but those in --out in/made"


def test_a_folder_as_a_telephone_leaves_it(
    root: Path, network: ArchivedNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(root / "in" / "IMG_1.JPG", 16, 16)
    photo(root / "in" / "IMG_2.jpg", 16, 16)
    photo(root / "in" / "IMG_2.png", 16, 16, 1)
    photo(root / "in" / ("x" * 251 + ".png"), 16, 16, 2)
    for name, content in {"IMG_1.MOV": b"film", "IMG_1.AAE": b"<plist/>", "._IMG_1.JPG": b"Mac", "x": b"?"}.items():
        (root / "in" / name).write_bytes(content)
    assert main(["upscale", "in", "--no-detect"]) == 0
    assert "3 files that are no photos passed over: 1 .aae, 1 .mov, 1 x" in capsys.readouterr().err
    made = sorted(path.name for path in (root / "upscaled").iterdir())
    assert made[:3] == [f"{stem}_face1_sr.png" for stem in ("IMG_1", "IMG_2.jpg", "IMG_2.png")]
    assert made[3].startswith("x" * 150) and made[3].endswith("_face1_sr.png") and len(made) == 4
    (root / "in" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert main(["upscale", "in", "--no-detect", "--out", "again"]) == 1
    assert "in/IMG_1.HEIC: a HEIC picture: pip install pillow-heif" in capsys.readouterr().err
    assert (root / "again" / "IMG_1_face1_sr.png").exists()


def test_photos_that_cannot_be_read_are_told_before_a_network_is_loaded(
    root: Path, network: ArchivedNetwork, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    decode._formats.cache_clear()
    monkeypatch.setattr(ArchivedNetwork, "load", lambda *_: pytest.fail("loaded"))
    for number in range(4):
        (root / f"{number}.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    problem = "a HEIC picture: pip install pillow-heif, or save it as JPEG"
    four = ", ".join(f"./{number}.HEIC: {problem}".removeprefix("./") for number in range(4))
    names = [f"{number}.HEIC" for number in range(4)]
    assert error_of(["upscale", *names, "--no-detect"], capsys) == f"fsr: 4 of 4 photos skipped: {four}"
    (root / "5.HEIC").write_bytes(b"")
    more = error_of(["upscale", *names, "5.HEIC", "--no-detect"], capsys)
    assert more.endswith(f"2.HEIC: {problem}, ...") and "3.HEIC" not in more
    decode._formats.cache_clear()


def test_files_are_named_as_the_folder_was_given(
    root: Path, network: ArchivedNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(root / "here" / "in" / "a.png", 16, 16)
    for name in ("old.zip", "sub/raw.cr2"):
        (root / "here" / "in" / name).parent.mkdir(exist_ok=True)
        (root / "here" / "in" / name).write_bytes(b"junk")
    capsys.readouterr()
    assert main(["upscale", "here/in", "here/in/old.zip", "--no-detect", "--json"]) == 1
    names = [one["photo"] for one in json.loads(capsys.readouterr().out)["photos"]]
    assert sorted(names) == ["here/in/a.png", "here/in/old.zip", "here/in/sub/raw.cr2"]


def test_a_photo_too_large_for_the_memory_is_reduced(
    root: Path, network: ArchivedNetwork, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(root / "large.png", 240, 200).save(root / "large.jpg")
    monkeypatch.setenv("FSR_PHOTO_GB", "3e-4")
    (about,) = run_json(["upscale", "large.jpg", "--no-detect"], capsys)["photos"]
    assert (about["width"], about["height"], about["faces"][0]["square"]) == (120, 100, [10, 0, 100])
    assert "FSR_PHOTO_GB allows 0.0003; set it higher" in error_of(["upscale", "large.png", "--no-detect"], capsys)


def test_what_is_missing_is_said_before_anything_is_done(
    root: Path, network: ArchivedNetwork, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(root / "a.png", 16, 16)
    (root / "none").mkdir()
    assert error_of(["upscale", "b.png"], capsys) == "fsr: b.png: no such photo or folder"
    assert error_of(["upscale", "none"], capsys) == "fsr: none: no files in it; expected photos"
    os.mkfifo(root / "c.png")
    assert error_of(["upscale", "c.png"], capsys).startswith("fsr: c.png: neither a file nor a folder, but a pipe")
    (root / "link").symlink_to("gone")
    for out, problem in (
        ("/dev/null", "/dev/null is no folder; give another"),
        ("a.png/b/c", "a.png is no folder; give another"),
        ("link", "link is a link to gone, which is not there; make that folder or remove the link"),
    ):
        command = ["upscale", "a.png", "--no-detect", "--out", out]
        assert error_of(command, capsys) == f"fsr: --out {out}: {problem}"
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    message = error_of(["upscale", "a.png"], capsys)
    assert "needs facenet-pytorch, which is not installed: pip install" in message
    monkeypatch.setattr("bench.runs.upscale.archived_networks", list)
    message = error_of(["upscale", "a.png", "--no-detect"], capsys)
    assert "results/reference: no trained network there; train one (make ablation)" in message and "--run" in message
    assert not (root / "upscaled").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--margin", "0.2"], "margin: 0.2 given, expected 0.5 to 10"),
        (["--min-face", "3"], "--min-face: 3 given, expected 12 to 10,000"),
        (["--min-probability", "1.5"], "--min-probability: 1.5 given, expected 0 to 1"),
        (["--max-overlap", "nan"], "--max-overlap: nan given, expected 0 to 1"),
        (["--no-detect", "--max-overlap", "0"], "--max-overlap: not together with --no-detect"),
        (["--no-detect", "--out", "a.png/made"], "--out a.png/made: a.png is no folder; give another"),
        (["--no-detect", "--margin", "1"], "--margin: not together with --no-detect"),
        (["--no-detect", "--min-face", "20"], "--min-face: not together with --no-detect"),
        (["--no-detect", "--size", "4"], "--size: 4 given, expected 8 to 256"),
        (["--no-detect", "--sise", "4"], "did you mean '--size'?"),
    ],
)
def test_bad_values(
    root: Path,
    network: ArchivedNetwork,
    given: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photo(root / "a.png", 16, 16)
    arguments = ["upscale", "a.png", *given]
    monkeypatch.setattr(sys, "argv", ["fsr", *arguments])  # where the parser looks for the command
    assert message in error_of(arguments, capsys)


def test_a_network_that_cannot_take_the_size(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(root / "a.png", 40, 40)
    given = ["upscale", "a.png", "--no-detect", "--run"]
    run = make_run(root / "sparnet", "sparnet", width=0.125)
    message = error_of([*given, str(run), "--size", "17"], capsys)
    assert "--size 17: SPARNet cannot take 17x17 pixels (RuntimeError" in message
    assert main([*given, str(run), "--size", "20"]) == 0 and pixels("upscaled/a_face1_sr.png").shape == (160, 160, 3)


FICKLE = """
import sys
import torch.nn.functional as F
from torch import nn
from bench import register

@register("fickle", title="Fickle", year=2024, scales=(4, 8))
class Fickle(nn.Module):
    def __init__(self, scale: int = 8) -> None:
        super().__init__()
        self.scale, self.weight = scale, nn.Linear(1, 1)

    def forward(self, lr):
        sr = F.interpolate(lr, scale_factor=8, mode="nearest")
        for face, red in zip(sr, (lr.mean((1, 2, 3)) * 255).round().tolist()):
            if red == 10: face *= 1e17
            if red == 20: face[0, 0, 0] = float("nan")
            if red == 30: face[:, :64] = -0.6
            if red == 40: raise ValueError("forty")
            if red == 50: sys.exit(0)
            if red == 128 and self.scale == 4: return sr,
        return sr
"""


def test_what_is_no_picture_is_never_silent_and_ends_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Infinity falls back to Bicubic, what is far out of range is told; a network that fails on a face is skipped."""
    (root / "fickle.py").write_text(FICKLE)
    registry.add_plugin(root / "fickle.py")
    run = make_run(root / "results" / "mine" / "fickle", "fickle")
    for level in range(0, 60, 10):
        (root / "in").mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (level,) * 3).save(root / "in" / f"{level}.png")
    given = ["upscale", "in", "--no-detect", "--run", str(run)]
    assert main([*given, "--json"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    about = {one["photo"]: one["faces"][0] if one["faces"] else one["problem"] for one in found["photos"]}
    assert about["in/40.png"] == "Fickle failed (ValueError: forty)"
    ended = "Fickle failed (EndedError: fickle.py, line 20, ended the program (SystemExit: 0))"
    assert about["in/50.png"] == ended
    whole, far, nan, half = (about[f"in/{level}.png"] for level in (0, 10, 20, 30))
    assert (whole["finite"], whole["far_out"], whole["written"]) == (True, False, "network")
    assert (far["finite"], far["far_out"], far["written"], far["far_out_share"]) == (True, True, "network", 1.0)
    assert far["range"][1] == pytest.approx(10 / 255 * 1e17, rel=1e-4)
    assert (nan["finite"], nan["far_out"], nan["written"], nan["range"]) == (False, False, "bicubic", None)
    assert (half["far_out"], half["far_out_share"], half["range"][0]) == (True, 0.5, pytest.approx(-0.6))
    assert (pixels("upscaled/20_face1_sr.png") == 20).all() and (pixels("upscaled/10_face1_sr.png") == 255).all()
    skipped = {"Fickle failed (ValueError: forty)": 1, ended: 1}
    assert found["summary"] == {
        **{"photos": 6, "faces": 4, "without_face": 0, "skipped": skipped, "left_out": {}},
        **{"fallen_back": 1, "far_out": 2, "not_written": 0},
    }
    assert err.splitlines() == [
        "fsr: 1 of 4 faces: the network's output is not finite, Bicubic was written: in/20.png face 1",
        "fsr: 2 of 4 faces: the network's output is far out of a picture's range: in/10.png face 1, in/30.png face 1",
        f"fsr: 2 of 6 photos skipped: in/40.png: Fickle failed (ValueError: forty), in/50.png: {ended}",
    ]
    odd = make_run(root / "results" / "mine" / "odd", "fickle", scale=4)
    message = error_of(["upscale", "in", "--no-detect", "--run", str(odd)], capsys)
    assert message.startswith(
        "fsr: --size 16: Fickle cannot take 16x16 pixels (TypeError: forward gives tuple, expected"
    )
    for level in (40, 50):
        (root / "in" / f"{level}.png").unlink()
    assert main(given) == 0, "everything is written, with warnings"
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:7] == [
        "in/0.png: 1 face; 16 px, taken as it is",
        "in/10.png: 1 face; 16 px, taken as it is; WARNING: the network's values go from 3.92e+15 to 3.92e+15 where a "
        "picture's go from 0 to 1, 100% of them far out of range",
        "in/20.png: 1 face; 16 px, taken as it is; WARNING: the network's output is not finite, Bicubic was written",
        "in/30.png: 1 face; 16 px, taken as it is; WARNING: the network's values go from -0.6 to 0.118 where a "
        "picture's go from 0 to 1, 50% of them far out of range",
        "4 photos, 4 faces; 1 face by Bicubic; 2 faces far out of range",
    ]


def test_small_unsure_and_double_faces_are_left_out_and_counted(
    root: Path, network: ArchivedNetwork, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """MTCNN gives boxes smaller than it was asked for, and boxes that stand for one face and for nobody."""
    boxes = {(20, 5, 100, 85): 0.97, (30, 40, 90, 110): 0.99, (150, 40, 189, 90): 0.98, (200, 100, 225, 125): 0.99}
    boxes |= {(150, 100, 189, 139): 1.0}

    class Detector:
        def detect(self, photos: list[np.ndarray], points: list[bytes]) -> list[list[Face]]:
            if photos[0].shape[0] == 77:
                raise IndexError("in somebody's code")
            return [[Face(tuple(map(float, box)), (), probability) for box, probability in boxes.items()]]  # type: ignore[arg-type]

    monkeypatch.setattr("bench.runs.upscale.make_detector", lambda *_, **__: Detector())
    photo(root / "in" / "group.png")
    photo(root / "in" / "odd.png", 240, 77)

    def boxes_of(*more: str) -> list[list[float]]:
        main(["upscale", "in", "--json", *more])
        return [face["box"] for face in json.loads(capsys.readouterr().out)["photos"][0]["faces"]]

    assert boxes_of() == [[30, 40, 90, 110], [150, 40, 189, 90]]
    assert boxes_of("--max-overlap", "1", "--min-face", "39") == sorted(
        (list(map(float, box)) for box in boxes if box[0] != 200), key=lambda box: (box[1], box[0])
    )
    assert len(boxes_of("--min-face", "20")) == 4
    assert main(["upscale", "in"]) == 1
    out, err = capsys.readouterr()
    assert "in/group.png: 2 faces; 2 smaller (--min-face) left out; 1 overlapping a likelier one (--max-overlap)" in out
    assert "1 of 2 photos skipped: in/odd.png: face detection failed (IndexError: in somebody's code)" in err
    boxes = {(200, 100, 225, 125): 0.99}
    message = error_of(["upscale", "in/group.png"], capsys)
    assert message.startswith("fsr: no face found in in/group.png (mtcnn min 40 p 0.95 all, 1 smaller left out)")


def test_pictures_of_other_photos_are_never_replaced(
    root: Path, network: ArchivedNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same photo's are: that of the same place, as when it was edited, or of the same bytes, as when it moved."""
    photo(root / "one" / "a.png", 16, 16, 1)
    photo(root / "two" / "a.png", 16, 16, 2)

    def stem(path: str, *more: str) -> str:
        (about,) = run_json(["upscale", path, "--no-detect", *more], capsys)["photos"]
        assert about["faces"][0]["files"]["sr"] == f"upscaled/{about['stem']}_face1_sr.png"
        return str(about["stem"])

    assert stem("one/a.png") == "a" and stem("two/a.png") == "a-2"
    before = pixels("upscaled/a_face1_sr.png")
    assert stem("one/a.png") == "a" and stem("two/a.png", "--all") == "a-2"
    photo(root / "one" / "a.png", 16, 16, 3)
    assert stem("one/a.png") == "a" and not np.array_equal(pixels("upscaled/a_face1_sr.png"), before)
    (root / "two").rename(root / "three")
    assert stem("three/a.png") == "a-2"
    photo(root / "upscaled" / "b_face1_sr.png", 9, 9)  # a picture of one's own
    photo(root / "b.png", 16, 16)
    assert main(["upscale", "b.png", "--no-detect"]) == 0
    assert "written as b-2_..., for pictures of another photo have its name" in capsys.readouterr().out
    assert pixels("upscaled/b_face1_sr.png").shape == (9, 9, 3)


def test_a_face_that_cannot_be_written_does_not_end_the_others(
    root: Path, network: ArchivedNetwork, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        photo(root / "in" / f"{name}.png", 16, 16)

    def write(path: Path, picture: np.ndarray, **texts: str) -> None:
        if path.name.startswith("b"):
            raise OSError(errno.ENOSPC, "No space left on device")
        pictures.write_png(path, picture, **texts)

    monkeypatch.setattr("bench.runs.upscale.write_png", write)
    assert main(["upscale", "in", "--no-detect"]) == 1
    out, err = capsys.readouterr()
    problem = "upscaled/b_face1_sr.png: cannot be written (No space left on device)"
    assert err.splitlines()[-1] == f"fsr: 1 face not written: {problem}"
    assert f"in/b.png: 1 face; 16 px, taken as it is; {problem}\n" in out
    assert "\n3 photos, 3 faces; 1 face not written\nwritten: upscaled/a_face1_sr.png, upscaled/c_" in out


@pytest.mark.parametrize("hue", [130, 240, 290])
def test_the_committed_network_on_a_face_in_a_saturated_frame(
    root: Path, hue: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """On such frames a sum without a bound leaves all range."""
    data = pytest.importorskip("skimage.data")
    frame = Image.new("HSV", (16, 16), (hue * 255 // 360, 255, 255)).convert("RGB")
    frame.paste(Image.fromarray(data.astronaut()).crop((170, 60, 280, 170)).resize((10, 10)), (3, 3))
    frame.save("framed.png")
    (face,) = run_json(["upscale", "framed.png", "--no-detect", "--device", "cpu"], capsys)["photos"][0]["faces"]
    lr = torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        sr = archived_networks()[0].load(torch.device("cpu"))(lr)
    assert face["finite"] and not face["far_out"] and face["written"] == "network"
    assert face["range"] == pytest.approx([float(sr.min()), float(sr.max())], rel=1e-3, abs=1e-3)
    assert -0.5 <= face["range"][0] < face["range"][1] <= 1.5
