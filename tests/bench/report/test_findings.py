"""The findings page and its command: where it leads, and what it shows of findings."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest

from bench.analysis.results import read_results
from bench.cli.main import main
from bench.papers.verdict import AS_IN
from bench.report.all_claims import claims_page
from bench.report.findings import findings_page, with_kin
from tests.bench.papers.test_judge import PAPER, experiment, planted, with_turned_row
from tests.bench.report.fabricate import change, fabricate, rows_of_table_1, run_name


def test_rows_of_one_seed_take_the_spread_of_an_experiment_of_the_same_budget(tmp_path: Path) -> None:
    one = read_results(with_turned_row(tmp_path / "one", planted(PAPER), seeds=(0,)))
    several = read_results(experiment(tmp_path / "several", planted(PAPER)))
    assert f"**lower**, {AS_IN} several" in claims_page(with_kin([one, several]), {})
    longer = dataclasses.replace(several, iterations=several.iterations + 1)
    assert f"{AS_IN} several" not in claims_page(with_kin([one, longer]), {})


def test_the_command_redraws_all_and_the_page_leads_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    kept = tmp_path / "results" / "reference"
    folder = experiment(
        kept / "photos-x", planted(PAPER), seeds=(0, 1), tests=("helen", "lfw"), options={"width": 0.25}
    )
    shutil.rmtree(folder / run_name("sparnet", 1))
    change(folder / run_name("msfnet-8") / "run.json", train_seconds=1234.5)
    fabricate(kept / "quick", rows=rows_of_table_1()[:2], images=("a",), profile_note="a smoke test")
    assert main(["report", "--reference", "--json"]) == 0
    files = [Path(file) for file in json.loads(capsys.readouterr().out)["report"]]
    page = tmp_path / "reports" / "reference" / "README.md"
    everything = page.with_name("claims.md")
    assert files[:3] == [page, everything, page.with_name("index.html")]
    assert files[3] == page.with_name("faces.webp")
    assert {file.parent.name for file in files[4:]} == {"photos-x", "quick"}
    first = page.read_text(encoding="utf-8")
    assert len(first.splitlines()) <= 25 and "| Main effect of ESEM" in first and "**confirmed**" in first
    for link in re.findall(r"\]\(([^)#]+)\)", first):
        assert (page.parent / link).exists() or link.startswith("../../docs/"), link
    text = everything.read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert {"photos-x/table2.md", "photos-x/effects-lfw.md", "quick/index.md"} <= set(links)
    there = [link for link in links if link and not link.startswith("../../docs/")]
    assert [link for link in there if not (page.parent / link).exists()] == []
    run = run_name("msfnet-8")
    assert f"[`{run}`](../../results/reference/photos-x/{run}/)" in text and "| 1,234 " in text
    assert f"`{run_name('sparnet', 1)}`" in text and "18 of 19 runs are finished and scored" in text
    assert "200 iterations of batch 8" in text and "width 0.25" in text
    assert "Best PSNR: Model 8" in text
    assert "| Main effect of ESEM " in text and "<br>paper +0.175 dB<br>**confirmed**" in text
    short = text[text.index("### In short") : text.index("### photos-x: Helen")]
    assert re.search(r"- \*\*Confirmed\*\*: Main effect of ESEM; Main effect of PA;", short)
    assert "no findings" in text[text.index("## quick") :] and "a smoke test" in text[text.index("## quick") :]
    assert "Every row" not in text[text.index("## quick") :]


def test_the_command_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    assert main(["report", "--reference"]) == 2 and "fsr archive" in capsys.readouterr().err
    assert main(["report", "--reference", "quick"]) == 2 and "not together with" in capsys.readouterr().err
    assert main(["status", "--reference"]) == 2 and "unknown option '--reference'" in capsys.readouterr().err


def test_a_page_without_any_run(tmp_path: Path) -> None:
    folder = experiment(tmp_path / "new", planted(PAPER))
    for path in folder.glob("*/run.json"):
        path.unlink()
    assert "no leading claim of a paper is scored yet" in findings_page([read_results(folder)], {"new": ["table1.md"]})
    text = claims_page([read_results(folder)], {"new": ["table1.md"]})
    assert "0 of 28 runs are finished and scored" in text and "- **Not scored yet**: Main effect of ESEM;" in text
    assert "**confirmed**," not in text and "Best PSNR" not in text
