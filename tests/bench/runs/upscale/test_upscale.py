"""`fsr upscale`: which pixels go into the network, which pictures come out, and what is said."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.cli.main import main
from bench.core.progress import Bar
from bench.data import scan
from bench.data.photoset import PhotoOptions, prepare_photos
from bench.data.scan import ScanOptions
from bench.runs.networks import ArchivedNetwork, open_run
from tests.bench.cli.test_cli import error_of, run_json
from tests.bench.data.pictures import pack
from tests.bench.runs.upscale.conftest import BOXES, SQUARES, TwoFaces, make_run, network_output, photo, pixels, resized

pytestmark = pytest.mark.usefixtures("tiny")


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
    assert err == f"loading and checking Tiny ({network.folder})\n" and len(list((root / "made").iterdir())) == 2


def test_what_is_loaded_does_not_count_into_the_first_photos_time(
    root: Path, network: ArchivedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, order = ArchivedNetwork.load, list[str]()

    def noted_load(*given: Any) -> torch.nn.Module:
        order.append("loaded")
        return load(*given)

    class NotedBar(Bar):
        def __init__(self, *given: Any, **more: Any) -> None:
            order.append("bar begun")
            super().__init__(*given, **more)

    monkeypatch.setattr(ArchivedNetwork, "load", noted_load)
    monkeypatch.setattr("bench.runs.upscale.Bar", NotedBar)
    for name in ("a.png", "b.png"):
        photo(root / "in" / name, 16, 16)
    assert main(["upscale", "in", "--no-detect"]) == 0
    assert order == ["loaded", "bar begun"]


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
    kept, bare = root / "results" / "reference" / "mine" / "kept", root / "results" / "reference" / "mine" / "bare"
    make_run(kept)
    (make_run(bare) / "weights.safetensors").unlink()
    message = error_of(["upscale", "face.png", "--run", str(bare)], capsys)
    assert message.startswith(f"fsr: {bare}: no weights there; expected a run's folder")
    assert message.endswith(f"; kept runs with weights: {kept}")
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
