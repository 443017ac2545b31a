"""`fsr power` and `fsr rank` on made-up results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.intervals import difference
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
    found = read_results(folder)
    (row,) = (row for row in found.rows if row.method == method)
    values = [run.values(found.test[0], "sparnet", "psnr") for run in row.runs]
    return np.array([[one[image] for image in IMAGES] for one in values])


def test_power_of_every_row(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(results / "mine", seeds=(0, 1, 2), psnr=psnr())
    found = run_json(["power", "mine"], capsys)
    assert (found["baseline"], found["metric"], found["protocol"], found["unit"]) == (
        "SPARNet",
        "psnr",
        "sparnet",
        "dB",
    )
    rows = {one["row"]: one for one in found["comparisons"]}
    assert list(rows) == ["Bicubic", "Model 1", "Model 2", "Model 8"]
    a, b = scores(folder, "msfnet-8"), scores(folder, "sparnet")
    one, parts = rows["Model 8"], measure(a, b)
    assert one["difference"]["low"] == difference(a, b).low
    assert one["sd_images"] ** 2 == pytest.approx(parts.image)
    assert [sd**2 for sd in one["sd_trainings"]] == pytest.approx(parts.training)
    assert one["detectable"] == detectable(parts, 12, (3, 3))
    assert [need["gain"] for need in one["gains"]] == [0.05, 0.1, 0.3]
    assert {"images": 12, "seeds": 3, "detectable": one["detectable"]} in one["grid"]
    assert len(rows["Bicubic"]["sd_trainings"]) == 1, "Bicubic is not trained"
    assert rows["Bicubic"]["seeds"] == {"baseline": 3, "row": 1}
    text = run_text(["power", "mine"], capsys)
    assert all(name in text for name in rows) and "for 0.1" in text


def test_power_of_one_row(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(results / "mine", seeds=(0, 1, 2), psnr=psnr())
    text = run_text(["power", "mine", "--row", "model 8", "--baseline", "msfnet-1", "--gain", "0.3"], capsys)
    for word in ("over Model 1", "Model 8", "more images cannot help: at least", "2 seeds", "10 seeds", "few seeds"):
        assert word in text
    strict = run_json(["power", "mine", "--row", "model 8", "--level", "0.99", "--power", "0.9"], capsys)
    loose = run_json(["power", "mine", "--row", "model 8"], capsys)
    assert strict["comparisons"][0]["detectable"] > loose["comparisons"][0]["detectable"]
    ssim = run_json(["power", "mine", "--row", "model 8", "--metric", "ssim"], capsys)
    assert ssim["comparisons"][0]["gains"] == [], "no gains are taken for granted in other units"


def test_power_of_one_seed(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(results / "mine", psnr=psnr())
    (one,) = run_json(["power", "mine", "--row", "model 8"], capsys)["comparisons"]
    assert one["sd_trainings"] is None and "unknown" in one["cautions"][0]
    assert {cell["seeds"] for cell in one["grid"]} == {1}
    assert all(need["seeds"] is None for need in one["gains"])
    assert "--seed-sd" in run_text(["power", "mine", "--row", "model 8"], capsys)
    (given,) = run_json(["power", "mine", "--row", "model 8", "--seed-sd", "0.05"], capsys)["comparisons"]
    assert given["sd_trainings"] == pytest.approx([0.05, 0.05]) and given["detectable"] is None
    assert {cell["seeds"] for cell in given["grid"]} == {2, 3, 5, 10}
    for need in given["gains"]:
        assert need["images"] is None and need["least_seeds"] >= 2


def test_power_names_what_is_wrong(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(results / "mine", psnr=psnr())
    assert "did you mean 'mine'" in error_of(["power", "mina"], capsys)
    assert "did you mean 'Model 8'" in error_of(["power", "mine", "--row", "Modell 8"], capsys)
    assert "did you mean 'psnr'" in error_of(["power", "mine", "--metric", "psmr"], capsys)
    assert "no complete scores of psnr under protocol dic" in error_of(["power", "mine", "--protocol", "dic"], capsys)
    assert "not tested on 'helen'" in error_of(["power", "mine", "--data", "helen"], capsys)
    assert "nothing to compare SPARNet with" in error_of(["power", "mine", "--row", "sparnet"], capsys)
    assert "level 95" in error_of(["power", "mine", "--level", "95"], capsys)
    assert "gain -1" in error_of(["power", "mine", "--gain", "-1"], capsys)
    change(folder / run_name("msfnet-8") / "run.json", status="failed", error="out of memory")
    assert "for Model 8" in error_of(["power", "mine", "--row", "model 8"], capsys)
    assert "Model 8" not in run_text(["power", "mine"], capsys)
    fabricate(results / "bare", images=IMAGES[:1], rows=[{"label": "Bicubic", "method": "bicubic"}], psnr=psnr())
    assert "give --baseline, one of: Bicubic" in error_of(["power", "bare"], capsys)


def test_rank_over_data_sets(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["one", "two", "three", "four"]
    for place, name in enumerate(names):
        make(results / name, seeds=(0, 1), tests=(f"faces-{place}",), psnr=psnr(place, 0.1, 0.05))
    found = run_json(["rank", *names], capsys)
    assert found["blocks"] == 4 and found["block_names"][1] == "two on faces-1"
    ranks = {one["row"]: one["rank"] for one in found["ranks"]}
    assert list(ranks.values()) == sorted(ranks.values()) and sum(ranks.values()) == 15
    assert ranks["Bicubic"] == 5
    assert found["friedman_p"] < 0.05 and 3 < found["critical_difference"] < 4
    assert any("rough approximation" in caution for caution in found["cautions"])
    chosen = ["--row", "bicubic", "--row", "SPARNet", "--row", "msfnet-8"]
    found = run_json(["rank", *names, *chosen], capsys)
    assert [one["row"] for one in found["ranks"]] == ["Model 8", "SPARNet", "Bicubic"]
    text = run_text(["rank", *names], capsys)
    for word in ("over 4 data sets", "Friedman's test: p =", "Critical difference", "no difference can be claimed"):
        assert word in text


def test_rank_leaves_out_what_is_not_scored(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, name in enumerate(("one", "two", "three")):
        make(results / name, psnr=psnr(place))
    change(results / "two" / run_name("msfnet-8") / "run.json", status="failed", error="out of memory")
    found = run_json(["rank", "one", "two", "three"], capsys)
    assert found["left_out"] == ["two on synthfaces: no psnr of Model 8"]
    assert found["friedman_p"] is None and found["critical_difference"] is None and found["no_difference"] == []
    assert any("share a test set" in caution for caution in found["cautions"])
    text = run_text(["rank", "one", "two", "three"], capsys)
    assert "Left out: two on synthfaces: no psnr of Model 8" in text
    assert "2 data sets: too few for a test" in text and "--over images" in text and "Model 2" in text


def test_rank_over_images_and_its_diagram(results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("scikit_posthocs")
    make(results / "mine", seeds=(0, 1), psnr=psnr())
    out = tmp_path / "figures" / "cd.png"
    found = run_json(["rank", "mine", "--over", "images", "--out", str(out)], capsys)
    assert found["blocks"] == 12 and "one test set" in found["cautions"][0]
    assert found["files"] == [str(out), str(out.with_suffix(".pdf"))]
    assert out.read_bytes().startswith(b"\x89PNG") and out.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert "written: " in run_text(["rank", "mine", "--over", "images", "--out", str(out)], capsys)
    assert "one on" not in run_text(["rank", "mine", "--over", "images"], capsys)


def test_rank_draws_nothing_without_a_test(results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    make(results / "mine", psnr=psnr())
    assert main(["rank", "mine", "--out", str(tmp_path / "cd.png")]) == 0
    out, err = capsys.readouterr()
    assert "Model 8" in out and "no diagram is drawn" in err and not (tmp_path / "cd.png").exists()


def test_rank_names_what_is_wrong(
    results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(results / "mine", psnr=psnr())
    make(results / "more", psnr=psnr(1))
    images = ["rank", "--over", "images", "mine"]
    assert "did you mean 'mine'" in error_of(["rank", "mine", "mina"], capsys)
    assert "takes one experiment" in error_of([*images, "more"], capsys)
    assert "--data goes with --over images" in error_of(["rank", "mine", "--data", "synthfaces"], capsys)
    assert "nothing to rank" in error_of(["rank", "mine", "--metric", "niqe"], capsys)
    assert "2 rows" in error_of([*images, "--row", "bicubic", "--row", "sparnet"], capsys)
    assert "ends in .png or .pdf" in error_of([*images, "--out", str(tmp_path / "cd.svg")], capsys)
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)
    assert "fsr-bench[ranks]" in error_of([*images, "--out", str(tmp_path / "cd.png")], capsys)
