"""`fsr claims`: the first screen as a table, and every claim and row as JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main
from bench.papers.verdict import Verdict
from tests.bench.papers.test_judge import PAPER, experiment, planted
from tests.bench.report.fabricate import fabricate, read_score_rows, rows_of_table_1, run_name, write_score_rows

CLAIM = ["claim", "paper", "test", "metric", "estimate", "low", "high", "verdict", "seeds", "probability"]
ROW = ["experiment", "label", "method", "trained", "seeds", "failures"]
Run = Any


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    return tmp_path / "results"


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["claims", *arguments, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert list(document) == ["claims", "rows"]
    assert all(list(one) == CLAIM for one in document["claims"])
    assert all(list(one) == ROW for one in document["rows"])
    return document


def test_json_of_an_experiment(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = experiment(root / "mine", planted(PAPER), tests=("helen", "lfw"))
    shutil.rmtree(folder / run_name("sparnet", 1))
    path = folder / run_name("msfnet-4", 2)
    worst = [
        {**row, "value": 3.0} if row["image"] == "face-07" and row["metric"] == "psnr" else row
        for row in read_score_rows(path)
    ]
    write_score_rows(path, worst)
    document = as_json(capsys, "mine")
    claims = {(one["claim"], one["test"]): one for one in document["claims"]}
    assert len(claims) == len(document["claims"])
    assert {one["verdict"] for one in document["claims"]} <= {*Verdict}
    esem, over = claims["Main effect of ESEM", "lfw"], claims["Model 8 over SPARNet", "helen"]
    assert (esem["paper"], esem["metric"], esem["seeds"]) == (0.17475, "psnr", 3)
    assert esem["low"] < esem["estimate"] < esem["high"]
    assert (over["paper"], over["verdict"], over["seeds"]) == (0.343, "confirmed", 2)
    assert over["probability"] > 0.975
    assert claims["No difference: Model 1 less SPARNet, the same network", "helen"]["probability"] is None
    rows = {one["label"]: one for one in document["rows"]}
    assert rows["Bicubic"] == {
        "experiment": "mine",
        "label": "Bicubic",
        "method": "bicubic",
        "trained": False,
        "seeds": 1,
        "failures": 0,
    }
    assert (rows["SPARNet"]["seeds"], rows["Model 4"]["seeds"]) == (2, 3)
    assert rows["Model 4"]["failures"] == 2, "one face of each test set"


def test_the_table_is_the_first_screen(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment(root / "mine", planted(PAPER))
    assert main(["claims"]) == 0, "all of results/, but for the kept ones"
    text = capsys.readouterr().out
    assert text.startswith("mine\n") and "Probability" in text
    assert (
        sum(line.startswith(("Main effect", "Model 8", "No difference", "Every row")) for line in text.splitlines())
        == 7
    )
    assert "Size alone" not in text, "nobody claims it"


def test_what_nothing_tells_is_null(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = experiment(root / "mine", planted(PAPER), seeds=(0,))
    claims = {one["claim"]: one for one in as_json(capsys, "mine")["claims"]}
    assert {one["verdict"] for one in claims.values()} == {"inconclusive"}
    assert {one["probability"] for one in claims.values()} == {None}
    for path in folder.glob("*/run.json"):
        path.unlink()
    for one in as_json(capsys, "mine")["claims"]:
        assert (one["estimate"], one["low"], one["verdict"], one["seeds"]) == (None, None, "not scored yet", 0)
    assert main(["claims", "mine"]) == 0 and "no leading claim of a paper is scored yet" in capsys.readouterr().out


def test_kept_experiments_lend_each_other_how_seeds_vary(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment(root / "reference" / "several", planted(PAPER))
    experiment(root / "reference" / "one", planted(PAPER), seeds=(0,))
    fabricate(root / "reference" / "quick", rows=rows_of_table_1()[:2], images=("a",))
    document = as_json(capsys, "--reference")
    names = list(dict.fromkeys(one["experiment"] for one in document["rows"]))
    assert names == ["reference/several", "reference/one", "reference/quick"], "the main one first"
    claims = {one["claim"]: one for one in document["claims"]}
    assert len(claims) == len(document["claims"]), "each can be told from the others"
    lent = claims["Model 8 over Model 1 (reference/one)"]
    assert lent["seeds"] == 1 and lent["probability"] is not None
    assert lent["high"] - lent["low"] > claims["Model 8 over Model 1"]["high"] - claims["Model 8 over Model 1"]["low"]
    assert not any("quick" in claim for claim in claims), "a smoke run judges nothing"
    alone = {one["claim"]: one for one in as_json(capsys, "reference/one")["claims"]}
    assert alone["Model 8 over Model 1"]["low"] == lent["low"], "as its own report has it"
    capsys.readouterr()
    assert main(["claims", "--reference"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("reference/several\n") and "reference/one" not in text


def test_mistakes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims"]) == 2 and "or give --reference" in capsys.readouterr().err
    assert main(["claims", "--reference"]) == 2 and "fsr archive NAME" in capsys.readouterr().err
    experiment(root / "mine", planted(PAPER), seeds=(0,))
    assert main(["claims", "mien"]) == 2 and "mine" in capsys.readouterr().err
    assert main(["claims", "mine", "--reference"]) == 2 and "not together with" in capsys.readouterr().err
