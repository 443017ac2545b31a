"""`fsr upscale`: which pixels go into the network, which pictures come out, and what is said."""

from __future__ import annotations

import dataclasses
import errno
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.cli.main import main
from bench.data import scan
from bench.data.detect import Face
from bench.data.photoset import PhotoOptions, prepare_photos
from bench.data.scan import ScanOptions
from bench.models import registry, weights
from bench.runs import pictures
from bench.runs.config import DataRef, RunConfig, Training
from bench.runs.networks import ArchivedNetwork, archived_networks, open_run
from bench.runs.records import RunRecord, RunState, write_run_record
from tests.bench.cli.test_cli import error_of, run_json
from tests.bench.conftest import smooth_faces
from tests.bench.data.pictures import pack

pytestmark = pytest.mark.usefixtures("tiny")
BOXES = [(150.0, 40.0, 190.0, 90.0), (20.0, 5.0, 100.0, 85.0)]  # the second is higher up, so it is face 1
SQUARES = [(5, 0, 111), (135, 30, 70)]  # 1.39 x the longer side: 111.2, moved down to the top edge, and 69.5


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of the test, with no results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    return tmp_path


def make_run(folder: Path, method: str = "tiny", dataset: str = "celeba", **options: Any) -> Path:
    """Write a finished run with random weights; return its folder."""
    torch.manual_seed(0)
    options = registry.options(method, options)
    data = [DataRef(dataset, split, 12000, "f" * 64) for split in ("train", "val")]
    config = RunConfig(method, options, 8, 0, "sparnet", Training(3000), *data)
    write_run_record(folder, dataclasses.replace(RunRecord.new(config), status=RunState.FINISHED))
    weights.save_parts(folder, registry.build(method, options).state_dict(), {})
    return folder


@pytest.fixture
def network(root: Path, monkeypatch: pytest.MonkeyPatch) -> ArchivedNetwork:
    """Commit two networks, of which this one is the best."""
    found = [
        dataclasses.replace(open_run(make_run(root / "kept" / name, width=width)), experiment="photos", psnr=psnr)
        for name, width, psnr in (("best", 1.0, 24.126), ("other", 0.5, 23.0))
    ]
    monkeypatch.setattr("bench.runs.upscale.archived_networks", lambda: found)
    return found[0]


class TwoFaces:
    """A detector that sees two faces in a photo of 240 pixels, and a third whose middle is outside; else none."""

    version = "two 1"

    def detect(self, photos: Sequence[np.ndarray], points: Sequence[bytes]) -> list[list[Face]]:
        boxes = [*BOXES, (-90.0, 20.0, 80.0, 190.0)]
        faces = [Face(box, (), 0.95 + place / 100) for place, box in enumerate(boxes)]
        return [faces if photo.shape[1] == 240 else [] for photo in photos]


@pytest.fixture
def two_faces(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Put that detector in MTCNN's place; return what it was asked for."""
    asked: list[dict[str, Any]] = []

    def make(name: str, **how: Any) -> TwoFaces:
        asked.append({"name": name, **how})
        return TwoFaces()

    monkeypatch.setattr("bench.runs.upscale.make_detector", make)
    return asked


def photo(path: Path, width: int = 240, height: int = 200, seed: int = 0) -> Image.Image:
    """Write a smooth picture as PNG; return it."""
    picture = Image.fromarray(smooth_faces(1, seed, 240)[0]).resize((width, height), Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return picture


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "RGB" and image.format == "PNG"
        return np.asarray(image)


def resized(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BICUBIC)


def network_output(network: ArchivedNetwork, *lr: Image.Image) -> np.ndarray:
    """Return the network's pictures as they are saved, by nothing of `fsr upscale`: uint8 [N, H, W, 3]."""
    batch = torch.stack([torch.from_numpy(np.array(one)).permute(2, 0, 1) / 255 for one in lr])
    with torch.no_grad():
        sr = network.load(torch.device("cpu"))(batch.contiguous(memory_format=torch.channels_last))
    return np.asarray((sr.double().clamp(0, 1) * 255 + 5e-4).floor().to(torch.uint8).permute(0, 2, 3, 1))


def test_faces_are_cut_shrunk_and_super_resolved_to_the_byte(
    root: Path, network: ArchivedNetwork, two_faces: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = photo(root / "group.png")
    found = run_json(["upscale", "group.png", "--all", "--device", "cpu"], capsys)
    crops = [picture.crop((left, top, left + side, top + side)) for left, top, side in SQUARES]
    hr = [resized(crop, 128) for crop in crops]
    lr = [resized(one, 16) for one in hr]
    for number, (large, small, sr) in enumerate(zip(hr, lr, network_output(network, *lr), strict=True), 1):
        files = {kind: pixels(f"upscaled/group_face{number}_{kind}.png") for kind in ("hr", "lr", "sr")}
        assert np.array_equal(files["hr"], np.asarray(large))
        assert np.array_equal(files["lr"], np.asarray(small.resize((128, 128), Image.Resampling.NEAREST)))
        assert files["sr"].shape == (128, 128, 3) and np.array_equal(files["sr"], sr)
    assert len(list((root / "upscaled").iterdir())) == 6
    assert two_faces == [{"name": "mtcnn", "min_face": 40, "least_probability": 0.95, "device": "cpu"}]

    about = found.pop("network")
    assert about.pop("folder").endswith("best") and about.pop("options")["width"] == 1.0
    assert about == {
        "experiment": "photos",
        "label": "Tiny",
        "method": "tiny",
        "scale": 8,
        "psnr": 24.126,
        "trained_on": {"dataset": "celeba", "faces": 12000, "iterations": 3000, "batch": 16},
        "research_only": True,
    }
    faces = [
        {
            "box": list(box),
            "probability": probability,
            "square": list(square),
            "shrunk": True,
            "enlarged": False,
            "finite": True,
            "far_out": False,
            "far_out_share": 0.0,
            "written": "network",
            "problem": None,
            "files": {kind: f"upscaled/group_face{number}_{kind}.png" for kind in ("sr", "lr", "hr")},
        }
        for number, box, probability, square in zip((1, 2), reversed(BOXES), (0.96, 0.95), SQUARES, strict=True)
    ]
    for face in found["photos"][0]["faces"]:
        least, most = face.pop("range")
        assert -0.5 < least < most < 1.5
    assert found == {
        "size": 16,
        "output": 128,
        "detector": "mtcnn min 40 p 0.95 all",
        "margin": 1.39,
        "max_overlap": 0.4,
        "out": "upscaled",
        "photos": [
            {
                "photo": "group.png",
                "width": 240,
                "height": 200,
                "problem": None,
                "converted": [],
                "left_out": {},
                "stem": "group",
                "renamed": False,
                "faces": faces,
            }
        ],
        "summary": {
            **{"photos": 1, "faces": 2, "without_face": 0, "skipped": {}, "left_out": {}},
            **{"fallen_back": 0, "far_out": 0, "not_written": 0},
        },
    }


def test_the_crop_is_that_of_a_prepared_test_face(
    root: Path, network: ArchivedNetwork, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(root / "200000.png")
    for module in ("bench.runs.upscale", "bench.data.scan"):
        monkeypatch.setattr(f"{module}.make_detector", lambda *_, **__: TwoFaces())
    scan._detector.cache_clear()
    content = (root / "200000.png").read_bytes()
    try:
        (store,) = prepare_photos(
            "celeba", PhotoOptions([pack(root / "a.tar", {"200000.png": content})], how=ScanOptions(quiet=True))
        )
    finally:
        scan._detector.cache_clear()
    assert store.rows[0].box == "150.0 40.0 190.0 90.0"  # CelebA's rule takes the one nearest the centre
    run_json(["upscale", "200000.png", "--all"], capsys)
    assert np.array_equal(pixels("upscaled/200000_face2_hr.png"), store.faces[0])


def test_the_text_names_the_network_its_licence_and_the_files(
    root: Path, network: ArchivedNetwork, two_faces: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    photo(root / "group.png")
    assert main(["upscale", "group.png", "--out", "made"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "Tiny (tiny, x8) of experiment photos: trained on 12,000 faces of celeba, 3,000 iterations of batch 16; "
        "24.13 dB on its test faces",
        "for research only: so are the photos that it was trained on",
        "group.png: 2 faces",
        "  face 1: 111 px, shrunk to 16: less detail than in the photo",
        "  face 2: 70 px, shrunk to 16: less detail than in the photo",
        "written: made/group_face1_sr.png, made/group_face2_sr.png",
    ]
    assert err == "" and len(list((root / "made").iterdir())) == 2


def test_any_run_can_be_given(root: Path, network: ArchivedNetwork, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(root / "results" / "mine" / "run", dataset="synthfaces", width=2.0)
    photo(root / "face.png", 16, 16)
    run = ["--run", "results/mine/run"]
    assert main(["upscale", "face.png", "--no-detect", *run]) == 0
    out = capsys.readouterr().out
    assert "Tiny (tiny, x8) of experiment mine: trained on 12,000 faces of synthfaces" in out
    assert "research" not in out and "dB" not in out
    found = run_json(["upscale", "face.png", "--no-detect", *run], capsys)["network"]
    assert (found["psnr"], found["research_only"], found["options"]["width"]) == (None, False, 2.0)
    with Image.open("face.png") as lr:
        expected = network_output(open_run(Path("results/mine/run")), lr)[0]
    assert np.array_equal(pixels("upscaled/face_face1_sr.png"), expected)
    for same in ("results/mine/run/run.json", "results/mine/run/weights.safetensors"):
        assert run_json(["upscale", "face.png", "--no-detect", "--run", same], capsys)["network"] == found
    torch.save({"params": {"a": torch.zeros(3)}}, "net.pth")
    for name, message in {
        "nowhere": "nowhere: no such file or folder; expected a run's folder or a file of weights",
        "results/mine": "results/mine: no weights there; give one of its runs: run",
        "net.pth": "net.pth: a torch checkpoint, and no run.json beside it tells which network it is of; expected a "
        "run's folder with run.json and weights.safetensors",
    }.items():
        assert error_of(["upscale", "face.png", "--run", name], capsys) == f"fsr: {message}"


def test_without_detection_the_middle_square_is_the_face(
    root: Path, network: ArchivedNetwork, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A square of 16 pixels goes in as it is, a larger one the data sets' way, a smaller one is enlarged to 16."""
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    sizes = {"exact": (16, 16), "large": (100, 60), "small": (12, 14)}
    pictures = {name: photo(root / "in" / f"{name}.png", *size) for name, size in sizes.items()}
    found = run_json(["upscale", "in", "--no-detect", "--all"], capsys)
    lr = {
        "exact": pictures["exact"],
        "large": resized(resized(pictures["large"].crop((20, 0, 80, 60)), 128), 16),
        "small": resized(pictures["small"].crop((0, 1, 12, 13)), 16),
    }
    squares = {"exact": [0, 0, 16], "large": [20, 0, 60], "small": [0, 1, 12]}
    assert [one["photo"] for one in found["photos"]] == [f"in/{name}.png" for name in sizes]
    for name, about in zip(sizes, found["photos"], strict=True):
        (face,) = about["faces"]
        assert face["square"] == squares[name] and face["shrunk"] == (name == "large") == ("hr" in face["files"])
        assert np.array_equal(pixels(face["files"]["lr"])[::8, ::8], np.asarray(lr[name]))
        assert np.array_equal(pixels(face["files"]["sr"]), network_output(network, lr[name])[0])
    assert len(list((root / "upscaled").iterdir())) == 7
    assert (found["detector"], found["margin"]) == ("center", 1.0)
    assert main(["upscale", "in", "--no-detect"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:6] == [
        "in/exact.png: 1 face; 16 px, taken as it is",
        "in/large.png: 1 face; 60 px, shrunk to 16: less detail than in the photo",
        "in/small.png: 1 face; 12 px, enlarged to 16",
        "3 photos, 3 faces",
    ]
    assert main(["upscale", "in/large.png", "--no-detect", "--all"]) == 0
    assert "warning: its _hr is enlarged from 60 to 128 px" in capsys.readouterr().out


def test_another_size_and_margin(
    root: Path, network: ArchivedNetwork, two_faces: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = photo(root / "group.png")
    given = ["--size", "32", "--margin", "1", "--min-face", "20", "--all"]
    found = run_json(["upscale", "group.png", *given], capsys)
    assert two_faces[0]["min_face"] == 20 and found["detector"] == "mtcnn min 20 p 0.95 all"
    assert (found["size"], found["output"], found["margin"]) == (32, 256, 1.0)
    hr = resized(picture.crop((20, 5, 100, 85)), 256)
    assert np.array_equal(pixels("upscaled/group_face1_hr.png"), np.asarray(hr))
    lr = [resized(hr, 32), resized(resized(picture.crop((145, 40, 195, 90)), 256), 32)]
    assert np.array_equal(pixels("upscaled/group_face1_sr.png"), network_output(network, *lr)[0])


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
    assert "3 files passed over, no photos: 1 .aae, 1 .mov, 1 x" in capsys.readouterr().err
    made = sorted(path.name for path in (root / "upscaled").iterdir())
    assert made[:3] == [f"{stem}_face1_sr.png" for stem in ("IMG_1", "IMG_2.jpg", "IMG_2.png")]
    assert made[3].startswith("x" * 150) and made[3].endswith("_face1_sr.png") and len(made) == 4
    (root / "in" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert main(["upscale", "in", "--no-detect", "--out", "again"]) == 1
    assert "in/IMG_1.HEIC: a HEIC picture: pip install pillow-heif" in capsys.readouterr().err
    assert (root / "again" / "IMG_1_face1_sr.png").exists()


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
        (["--no-detect", "--out", "a.png/made"], "--out a.png/made: a.png is a file, expected a folder"),
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
    assert about["in/50.png"] == "Fickle failed (SystemExit: 0)"
    whole, far, nan, half = (about[f"in/{level}.png"] for level in (0, 10, 20, 30))
    assert (whole["finite"], whole["far_out"], whole["written"]) == (True, False, "network")
    assert (far["finite"], far["far_out"], far["written"], far["far_out_share"]) == (True, True, "network", 1.0)
    assert far["range"][1] == pytest.approx(10 / 255 * 1e17, rel=1e-4)
    assert (nan["finite"], nan["far_out"], nan["written"], nan["range"]) == (False, False, "bicubic", None)
    assert (half["far_out"], half["far_out_share"], half["range"][0]) == (True, 0.5, pytest.approx(-0.6))
    assert (pixels("upscaled/20_face1_sr.png") == 20).all() and (pixels("upscaled/10_face1_sr.png") == 255).all()
    skipped = {"Fickle failed (ValueError: forty)": 1, "Fickle failed (SystemExit: 0)": 1}
    assert found["summary"] == {
        **{"photos": 6, "faces": 4, "without_face": 0, "skipped": skipped, "left_out": {}},
        **{"fallen_back": 1, "far_out": 2, "not_written": 0},
    }
    assert err.splitlines() == [
        "fsr: 1 of 4 faces: the network's output is not finite, Bicubic was written: in/20.png face 1",
        "fsr: 2 of 4 faces: the network's output is far out of a picture's range: in/10.png face 1, in/30.png face 1",
        "fsr: 2 of 6 photos skipped: in/40.png: Fickle failed (ValueError: forty), in/50.png: Fickle failed "
        "(SystemExit: 0)",
    ]
    odd = make_run(root / "results" / "mine" / "odd", "fickle", scale=4)
    message = error_of(["upscale", "in", "--no-detect", "--run", str(odd)], capsys)
    assert message.startswith("fsr: --size 16: Fickle cannot take 16x16 pixels (AttributeError: 'tuple' object has no")
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
    """On such frames a sum without a bound leaves the range; whatever network is the default, what it gives is told."""
    data = pytest.importorskip("skimage.data")
    frame = Image.new("HSV", (16, 16), (hue * 255 // 360, 255, 255)).convert("RGB")
    frame.paste(Image.fromarray(data.astronaut()).crop((170, 60, 280, 170)).resize((10, 10)), (3, 3))
    frame.save("framed.png")
    (face,) = run_json(["upscale", "framed.png", "--no-detect", "--device", "cpu"], capsys)["photos"][0]["faces"]
    lr = torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        sr = archived_networks()[0].load(torch.device("cpu"))(lr)
    finite = bool(sr.isfinite().all())
    assert face["finite"] == finite and face["written"] == ("network" if finite else "bicubic")
    if finite:
        assert face["range"] == pytest.approx([float(sr.min()), float(sr.max())], rel=1e-3, abs=1e-3)
        assert face["far_out"] == bool(((2 * sr - 1).abs() > 2).any())
    else:
        bicubic = np.asarray(frame.resize((128, 128), Image.Resampling.BICUBIC))
        assert np.array_equal(pixels(face["files"]["sr"]), bicubic)


def test_the_true_detector_finds_the_astronaut(
    root: Path, network: ArchivedNetwork, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("facenet_pytorch")
    data = pytest.importorskip("skimage.data")
    Image.fromarray(data.astronaut()).save("astronaut.png")
    (about,) = run_json(["upscale", "astronaut.png", "--all", "--device", "cpu"], capsys)["photos"]
    (face,) = about["faces"]
    assert face["box"] == pytest.approx([181, 62, 268, 172], abs=4)
    left, top, side = face["square"]
    assert side == pytest.approx(1.39 * 110, abs=6)
    crop = Image.fromarray(data.astronaut()).crop((left, top, left + side, top + side))
    assert np.array_equal(pixels("upscaled/astronaut_face1_hr.png"), np.asarray(resized(crop, 128)))
