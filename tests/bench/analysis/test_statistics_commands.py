"""`fsr power` and `fsr rank` on made-up results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.claims import find_row, gain
from bench.analysis.power import detectable, measure
from bench.analysis.results import read_results
from bench.cli.main import main
from bench.core import paths
from tests.bench.report.fabricate import change, fabricate, rows_of_table_1, run_name

IMAGES = tuple(f"face-{i:02}" for i in range(12))
ROWS = [row for row in rows_of_table_1() if row["label"] in ("Bicubic", "SPARNet", "Model 1", "Model 2", "Model 8")]
LEVEL = {"bicubic": -2.0, "sparnet": 0.0}


def noise(*what: int) -> float:
    return float(np.random.default_rng(what).normal())


def psnr(data: int = 0, seed_noise: float = 0.05, step: float = 0.1) -> Any:
    """Return PSNRs of models: the image's own, a step a model, a little of both and what the training adds."""

    def value(method: str, seed: int, image: int) -> float:
        model = {"bicubic": 10, "sparnet": 9}.get(method) or int(method[-1])
        gain = LEVEL.get(method, step * model)
        own = 0.1 * noise(data, model, image) + (seed_noise * noise(data, model, seed, 99) if model < 10 else 0)
        return 26 + 1.5 * noise(data, image) + gain + own + 0.05 * noise(data, model, seed, image, 7)

    return value


def make(folder: Path, **given: Any) -> Path:
    return fabricate(folder, images=IMAGES, rows=ROWS, **given)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of results in a new root."""
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    return paths.results()


def run_json(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def run_text(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 0
    return capsys.readouterr().out


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that bad input gives, after checking the exit code."""
    capsys.readouterr()
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.strip().splitlines()) == 1, err
    return err


def scores(folder: Path, method: str) -> np.ndarray:
    content = read_results(folder)
    (row,) = (row for row in content.rows if row.method == method)
    values = [run.values(content.test[0], "sparnet", "psnr") for run in row.runs]
    return np.array([[by_image[image] for image in IMAGES] for by_image in values])


def test_power_of_every_row(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(results / "mine", seeds=(0, 1, 2), psnr=psnr())
    answer = run_json(["power", "mine"], capsys)
    assert [answer[key] for key in ("baseline", "metric", "protocol", "unit")] == ["SPARNet", "psnr", "sparnet", "dB"]
    rows = {comparison["row"]: comparison for comparison in answer["comparisons"]}
    assert list(rows) == ["Bicubic", "Model 1", "Model 2", "Model 8"]
    a, b = scores(folder, "msfnet-8"), scores(folder, "sparnet")
    model, parts = rows["Model 8"], measure(a, b)
    content = read_results(folder)
    told = gain(content, find_row(content, "Model 8"), find_row(content, "SPARNet"), content.test[0], "psnr")
    assert told is not None and model["difference"]["low"] == told.low
    assert model["sd_images"] ** 2 == pytest.approx(parts.image)
    assert [sd**2 for sd in model["sd_trainings"]] == pytest.approx(parts.training)
    assert model["detectable"] == detectable(parts, 12, (3, 3))
    assert [need["gain"] for need in model["gains"]] == [0.05, 0.1, 0.3]
    assert {"images": 12, "seeds": 3, "detectable": model["detectable"]} in model["grid"]
    assert len(rows["Bicubic"]["sd_trainings"]) == 1, "Bicubic is not trained"
    assert rows["Bicubic"]["seeds"] == {"baseline": 3, "row": 1}
    assert all(name in run_text(["power", "mine"], capsys) for name in [*rows, "for 0.1"])
    text = run_text(["power", "mine", "--row", "model 8", "--baseline", "msfnet-1", "--gain", "0.05"], capsys)
    for word in ("over Model 1", "Model 8", ">=", "2 seeds", "10 seeds", "few seeds"):
        assert word in text
    ssim = run_json(["power", "mine", "--row", "model 8", "--metric", "ssim"], capsys)
    assert ssim["comparisons"][0]["gains"] == [], "no gains are taken for granted in other units"


def test_power_of_one_seed(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(results / "mine", psnr=psnr())
    (unknown,) = run_json(["power", "mine", "--row", "model 8"], capsys)["comparisons"]
    assert unknown["sd_trainings"] is None and "--seed-sd" in unknown["cautions"][0]
    assert {cell["seeds"] for cell in unknown["grid"]} == {1}
    assert all(need["seeds"] is None for need in unknown["gains"])
    (given,) = run_json(["power", "mine", "--row", "model 8", "--seed-sd", "0.05"], capsys)["comparisons"]
    assert given["sd_trainings"] == pytest.approx([0.05, 0.05]) and given["detectable"] is None
    assert {cell["seeds"] for cell in given["grid"]} == {2, 3, 5, 10}
    assert all(need["images"] is None and need["least_seeds"] >= 2 for need in given["gains"])


def test_power_names_what_is_wrong(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(results / "mine", psnr=psnr())
    for arguments, message in (
        (["mina"], "did you mean 'mine'"),
        (["mine", "--row", "Modell 8"], "did you mean 'Model 8'"),
        (["mine", "--protocol", "dic"], "no complete scores of psnr under protocol dic"),
        (["mine", "--data", "helen"], "not tested on 'helen'"),
        (["mine", "--row", "sparnet"], "nothing to compare SPARNet with"),
        (["mine", "--level", "95"], "--level: 95.0 given"),
        (["mine", "--gain", "-1"], "--gain: -1.0 given"),
    ):
        assert message in error_of(["power", *arguments], capsys)
    change(folder / run_name("msfnet-8") / "run.json", status="failed", error="out of memory")
    assert "for Model 8" in error_of(["power", "mine", "--row", "model 8"], capsys)
    assert "Model 8" not in run_text(["power", "mine"], capsys)
    fabricate(results / "bare", images=IMAGES[:1], rows=[{"label": "Bicubic", "method": "bicubic"}], psnr=psnr())
    assert "give --baseline, one of: Bicubic" in error_of(["power", "bare"], capsys)


def test_rank_over_data_sets(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["one", "two", "three", "four"]
    for place, name in enumerate(names):
        make(results / name, seeds=(0, 1), tests=(f"faces-{place}",), psnr=psnr(place, 0.1, 0.05))
    answer = run_json(["rank", *names], capsys)
    assert answer["blocks"] == 4 and answer["block_names"][1] == "two on faces-1"
    ranks = {row["row"]: row["rank"] for row in answer["ranks"]}
    assert list(ranks.values()) == sorted(ranks.values()) and sum(ranks.values()) == 15
    assert ranks["Bicubic"] == 5
    assert answer["friedman_p"] < 0.05 and 3 < answer["critical_difference"] < 4
    assert any("rough approximation" in caution for caution in answer["cautions"])
    chosen = ["--row", "bicubic", "--row", "SPARNet", "--row", "msfnet-8"]
    assert [row["row"] for row in run_json(["rank", *names, *chosen], capsys)["ranks"]] == [
        "Model 8",
        "SPARNet",
        "Bicubic",
    ]
    text = run_text(["rank", *names], capsys)
    for word in ("over 4 data sets", "Friedman's test: p =", "Critical difference", "no difference can be claimed"):
        assert word in text


def test_rank_of_too_few_blocks(results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for place, name in enumerate(("one", "two", "three")):
        make(results / name, psnr=psnr(place))
    change(results / "two" / run_name("msfnet-8") / "run.json", status="failed", error="out of memory")
    answer = run_json(["rank", "one", "two", "three"], capsys)
    assert answer["left_out"] == ["two on synthfaces: no psnr of Model 8"]
    assert answer["friedman_p"] is None and answer["critical_difference"] is None and answer["no_difference"] == []
    assert any("share a test set" in caution for caution in answer["cautions"])
    assert main(["rank", "one", "two", "three", "--out", str(tmp_path / "cd.png")]) == 0
    out, err = capsys.readouterr()
    assert "Left out: two on synthfaces: no psnr of Model 8" in out and "2 data sets: too few for a test" in out
    assert "no diagram is drawn" in err and not (tmp_path / "cd.png").exists()


def test_rank_over_images_and_its_diagram(results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("scikit_posthocs")
    make(results / "mine", seeds=(0, 1), psnr=psnr())
    out = tmp_path / "figures" / "cd.png"
    answer = run_json(["rank", "mine", "--over", "images", "--out", str(out)], capsys)
    assert answer["blocks"] == 12 and "one test set" in answer["cautions"][0]
    assert answer["files"] == [str(out), str(out.with_suffix(".pdf"))]
    assert out.read_bytes().startswith(b"\x89PNG") and out.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_rank_names_what_is_wrong(
    results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(results / "mine", psnr=psnr())
    make(results / "more", psnr=psnr(1))
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)
    images = ["--over", "images", "mine"]
    for arguments, message in (
        ([*images, "more"], "takes one experiment"),
        (["mine", "--data", "synthfaces"], "--data goes with --over images"),
        (["mine", "--metric", "niqe"], "nothing to rank"),
        ([*images, "--row", "bicubic", "--row", "sparnet"], "2 rows"),
        ([*images, "--out", str(tmp_path / "cd.svg")], "ends in .png or .pdf"),
        ([*images, "--out", str(tmp_path / "cd.png")], "fsr-bench[ranks]"),
    ):
        assert message in error_of(["rank", *arguments], capsys)
