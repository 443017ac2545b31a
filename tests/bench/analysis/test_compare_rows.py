"""Rows and runs are compared by the intervals that the experiment's own tables print."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.analysis.claims import find_row, gain
from bench.analysis.compare_rows import compare_rows, compare_runs
from bench.analysis.results import read_results
from bench.cli.main import main
from bench.core.errors import UserError

ROOT = Path(__file__).parents[3]
PHOTOS = ROOT / "results" / "reference" / "photos-cpu-celeba"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSR_ROOT", str(ROOT))


def test_rows_have_the_intervals_of_tables() -> None:
    results = read_results(PHOTOS)
    first, second = find_row(results, "msfnet-8"), find_row(results, "SPARNet")
    compared = compare_rows(results, "msfnet-8", "SPARNet")
    assert (compared["a"], compared["b"]) == (first.label, second.label)
    assert {row["test"] for row in compared["differences"]} == {test.dataset for test in results.test}
    for test in results.test:
        for row in (row for row in compared["differences"] if row["test"] == test.dataset):
            estimate = gain(results, first, second, test, row["metric"])
            assert estimate is not None
            assert (row["difference"], *row["ci95"]) == (estimate.mean, estimate.low, estimate.high)
            assert row["covers_training"] == estimate.covers_training
            assert row["wins"] + row["losses"] <= row["n"] == estimate.n
    turned = compare_rows(results, "SPARNet", "msfnet-8")["differences"]
    for row, back in zip(compared["differences"], turned, strict=True):
        assert back["difference"] == pytest.approx(-row["difference"]) and back["wins"] == row["losses"]


def test_runs_are_paired_by_image(capsys: pytest.CaptureFixture[str]) -> None:
    results = read_results(PHOTOS)
    first, second = (find_row(results, row).runs[0] for row in ("msfnet-8", "sparnet"))
    a, b = str(first.folder), str(second.folder)
    assert main(["compare", a, b, "--json"]) == 0
    rows = {
        (row["test"], row["metric"], row["protocol"]): row for row in json.loads(capsys.readouterr().out)["differences"]
    }
    (helen,) = (test for test in results.test if test.dataset == "helen")
    ours, theirs = (run.values(helen, "sparnet", "psnr") for run in (first, second))
    mean = float(np.mean([ours[image] - theirs[image] for image in ours]))
    row = rows["helen", "psnr", "sparnet"]
    assert row["difference"] == pytest.approx(mean) and row["seeds"] == [1, 1] and not row["covers_training"]
    assert row["ci95"][0] < mean < row["ci95"][1]
    assert main(["compare", a, b]) == 0
    assert capsys.readouterr().out.endswith("about these trainings, not about other seeds\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sparnet", "msfnet-8"], "sparnet: no such file; for rows of an experiment add --experiment"),
        (["sparnet", "SPARNet", "--experiment", "reference/quick"], "both are row SPARNet; expected two rows"),
        (["sparnet", "sparnte", "--experiment", "reference/quick"], "did you mean 'sparnet'"),
        (["results", "README.md"], "results: a folder, and the other is none"),
        (["results", "docs"], "results: no run.json in it"),
    ],
)
def test_what_cannot_be_compared(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["compare", *words]) == 2
    assert message in capsys.readouterr().err


def test_runs_on_other_faces_are_not_compared() -> None:
    quick = next((ROOT / "results" / "reference" / "quick").glob("sparnet-s0-*"))
    photos = find_row(read_results(PHOTOS), "sparnet").runs[0].folder
    shared = {row["test"] for row in compare_runs(quick, photos)["differences"]}
    assert shared == {"synthfaces"}  # which every kept run is scored on
    with pytest.raises(UserError, match=r"no run\.json"):
        compare_runs(quick, quick.parent)
