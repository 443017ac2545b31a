"""Two scores are paired by image, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.analysis.compare import compare_scores
from bench.cli.main import main
from bench.core.errors import UserError
from bench.data.store import open_split

ROW = {"image": "1", "metric": "psnr", "protocol": "sparnet", "value": 2.0}


def scored(path: Path, values: dict[str, float | None], **more: Any) -> Path:
    rows = [{"image": name, "metric": "psnr", "protocol": "sparnet", "value": value} for name, value in values.items()]
    path.write_text(json.dumps({"protocol": "sparnet", "dataset": "d", "fingerprint": "f", "images": rows} | more))
    return path


def test_images_are_paired_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = scored(tmp_path / "a.json", {"3": 30.0, "1": 22.0, "2": 20.0, "4": None})
    b = scored(tmp_path / "b.json", {"1": 21.0, "2": 21.0, "3": 27.0, "4": 5.0, "5": 9.0}, fingerprint="g")
    result = compare_scores(a, b)
    (row,) = result["metrics"]
    assert (row["n"], row["wins"], row["losses"], result["paired"], result["unpaired"]) == (3, 2, 1, 4, [0, 1])
    assert row["difference"] == pytest.approx(1.0) and row["ci95"][0] < 1 < row["ci95"][1]
    assert main(["compare", str(a), str(b)]) == 0
    assert "+1.000" in capsys.readouterr().out


def test_what_was_scored_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = {"label": "Tiny", "weights": "results/mine/tiny-s0", "split": "test"}
    a, values = tmp_path / "a.json", {"1": 21.0, "2": 21.0}
    scored(a, values, **about)
    b = scored(tmp_path / "b.json", values, method="bicubic", split="test")
    assert main(["compare", str(a), str(b)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"A {a}: Tiny (results/mine/tiny-s0), 2 faces of d test"
    assert lines[1] == f"B {b}: bicubic, 2 faces of d test"
    assert lines[-1] == "A and B are identical on every image: scores of the same pictures"
    scored(b, values | {"2": 21.5}, split="test")
    assert compare_scores(a, b)["identical"] is False
    pictures = scored(tmp_path / "c.json", values, dataset=None, sr="sr", hr="hr")
    assert compare_scores(pictures, pictures)["about"]["a"] == "sr, 2 faces of hr"


def test_an_empty_file_is_that_of_a_command_that_did_not_finish(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    with pytest.raises(UserError, match=r"a\.json: empty: the command that writes it did not finish; run it again$"):
        compare_scores(tmp_path / "a.json", tmp_path / "b.json")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"protocol": "rgb"}, "protocol is sparnet and rgb"),
        ({"dataset": "e"}, "dataset is d and e"),
        ({"fingerprint": "g"}, "other contents"),
        ({"images": []}, "no metric"),
        ({"images": 5}, "no scores of images"),
        ({"images": [{"image": "1"}]}, "expected rows of image"),
        ({"images": 2 * [ROW]}, "b.json: image '1' has two values of psnr, expected one"),
        ({"images": [ROW | {"value": 10**400}]}, "b.json: images: expected rows"),
        ({"failures": None}, "b.json: failures: None given, expected a list"),
        ({"failures": 5}, "b.json: failures: 5 given, expected a list"),
        ({"metrics": {"psnr": {"mean": 2.001}}}, "b.json: the mean of psnr is 2.001, that of its images 2.0: edited"),
        ({"metrics": {"psnr": {"mean": None}}}, "b.json: the mean of psnr is None, that of its images 2.0: edited"),
        ({"protocols": {"sparnet": {"psnr": {"mean": 9}}}}, "b.json: the mean of psnr is 9, that of its images 2.0"),
        ({"metrics": {"psnr": 5}}, "b.json: metrics: expected a table of means"),
        ({"metrics": {"psnr": {"mean": 10**400}}}, "b.json: metrics: expected a table of means"),
    ],
)
def test_scores_of_different_things_are_not_compared(more: dict[str, Any], message: str, tmp_path: Path) -> None:
    a = scored(tmp_path / "a.json", {"1": 1.0})
    with pytest.raises(UserError, match=message):
        compare_scores(a, scored(tmp_path / "b.json", {"1": 2.0}, **more))


def test_a_mean_is_held_to_its_images_as_far_as_it_is_printed(tmp_path: Path) -> None:
    a = scored(tmp_path / "a.json", {"1": 1.0, "2": 2.5, "3": None}, metrics={"psnr": {"mean": 1.7502}})
    assert compare_scores(a, a)["metrics"][0]["difference"] == 0


def test_pictures_are_compared_with_a_data_set_whose_faces_are_their_originals(tmp_path: Path) -> None:
    values = {"1": 21.0, "2": 20.0, "3": 25.0}
    about = {"split": "test", "scale": 8, "degradation": "pil-bicubic"}
    network = scored(tmp_path / "a.json", values, **about)
    pictures = scored(tmp_path / "b.json", {name: value - 1 for name, value in values.items()}, dataset=None, sr="sr")
    (row,) = compare_scores(network, pictures)["metrics"]
    (back,) = compare_scores(pictures, network)["metrics"]
    assert row["difference"] == pytest.approx(1) == -back["difference"]
    scored(pictures, values, dataset=None, sr="sr", fingerprint="other")
    with pytest.raises(UserError, match=r"not the faces of d; score them against those that `fsr data export d --hr"):
        compare_scores(network, pictures)


def test_pictures_of_exported_faces_have_the_fingerprint_of_their_set(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sr, hr = tmp_path / "sr", tmp_path / "hr"
    assert main(["data", "export", "mine", "--lr", str(sr), "--hr", str(hr), "--scale", "2"]) == 0
    for file in hr.glob("*.png"):
        Image.open(sr / file.name).resize(Image.open(file).size).save(sr / file.name)
    capsys.readouterr()
    assert main(["score", "--sr", str(sr), "--hr", str(hr), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fingerprint"] == open_split("mine", "test").fingerprint
