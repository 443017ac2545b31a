"""Findings: effects put into made-up scores are found with the right verdict, and the page says what is missing."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.agreement import order_agreement
from bench.analysis.results import Results, read_results
from bench.cli.main import main
from bench.core.errors import UserError
from bench.core.files import read_csv, read_json, write_csv
from bench.papers.judge import (
    ALONE,
    DIRECTION,
    HOLDS,
    NOT_RUN,
    REVERSED,
    UNKNOWN,
    Finding,
    Rule,
    findings_on,
    judge,
)
from bench.report.ablation import ablation_table
from bench.report.factorial import factorial_page
from bench.report.findings import findings_page
from bench.report.table import Cell
from bench.runs.store import SCORE
from tests.bench.report.fabricate import change, fabricate, rows_of_table_1, run_name, write_run

IMAGES = tuple(f"face-{place:02}" for place in range(40))
FACTORS = {
    1: (0, 0, 0),
    2: (0, 0, 1),
    3: (0, 1, 0),
    4: (1, 0, 0),
    5: (1, 1, 0),
    6: (1, 0, 1),
    7: (0, 1, 1),
    8: (1, 1, 1),
}
PAPER = (0.175, 0.042, 0.132)

Psnr = Callable[[str, int, int], float]


def noise(*what: int) -> float:
    return float(np.random.default_rng(what).normal())


def planted(effects: Sequence[float], own_noise: float = 0.02, over_bicubic: float = 3.2) -> Psnr:
    """Return PSNRs with the effects of ESEM, PA and FEM on every image, and what image and training add."""

    def value(method: str, seed: int, image: int) -> float:
        model = int(method[-1]) if method.startswith("msfnet") else 0
        gain = -over_bicubic if method == "bicubic" else 0.0
        gain += sum(one * has for one, has in zip(effects, FACTORS.get(model, (0, 0, 0)), strict=True))
        own = own_noise * noise(model + 20, image) + own_noise / 5 * noise(model + 20, seed, 99)
        return 26 + 1.5 * noise(image) + gain + (own if method != "bicubic" else 0)

    return value


def experiment(
    folder: Path,
    psnr: Psnr,
    seeds: Sequence[int] = (0, 1, 2),
    tests: Sequence[str] = ("helen",),
    rows: Sequence[dict[str, Any]] | None = None,
    **changes: Any,
) -> Path:
    """Write results of many images, but pictures of one alone, for they take long."""
    rows = rows_of_table_1() if rows is None else rows
    fabricate(
        folder, images=IMAGES[:1], seeds=seeds, tests=tests, rows=rows, psnr=psnr, **{"profile": "cpu", **changes}
    )
    for row in rows:
        for seed in (0,) if row["method"] == "bicubic" else seeds:
            write_run(folder, row["method"], seed, IMAGES, tests, psnr)
    described = read_json(folder / "experiment.json")["test"]
    change(folder / "experiment.json", test=[{**one, "faces": len(IMAGES)} for one in described])
    return folder


def found_in(results: Results, test: int = 0) -> dict[str, Finding]:
    return {one.claim.text: one for one in findings_on(results, results.test[test])}


def findings(folder: Path, psnr: Psnr, **how: Any) -> dict[str, Finding]:
    return found_in(read_results(experiment(folder, psnr, **how)))


def interval_of(finding: Finding) -> tuple[float, float]:
    low, high = re.findall(r"[\[ ]([+-][\d.]+)[,\]]", finding.measured)
    return float(low), float(high)


def test_what_the_paper_says_holds_where_it_was_put_in(tmp_path: Path) -> None:
    found = findings(tmp_path, planted(PAPER))
    for name, effect in zip(("ESEM", "PA", "FEM"), PAPER, strict=True):
        one = found[f"Main effect of {name}"]
        assert (one.verdict, one.remark, one.claim.paper) == (HOLDS, "", f"{effect:+.3f} dB")
        low, high = interval_of(one)
        assert low < effect < high and high - low < 0.05
        assert one.trainings == "24 of 24"
    assert found["Model 8 over Model 1"].verdict == found["Model 8 over SPARNet"].verdict == HOLDS
    assert found["Model 8 over SPARNet"].claim.paper == "+0.343 dB"
    assert found["Interaction ESEM x FEM under 0.02 dB"].verdict == HOLDS
    assert found["Every row better than Bicubic, PSNR"].verdict == HOLDS
    order = found["Order of Models 1-8, rank correlation"]
    assert order.verdict in (HOLDS, DIRECTION) and order.measured.startswith(("+1.00", "+0.9"))


def test_other_effects_get_other_verdicts(tmp_path: Path) -> None:
    found = findings(tmp_path, planted((-0.2, 0.5, 0.0), over_bicubic=0.05))
    esem, pa, fem = (found[f"Main effect of {name}"] for name in ("ESEM", "PA", "FEM"))
    assert (esem.verdict, esem.remark) == (REVERSED, "")
    assert interval_of(esem)[1] < 0
    assert (pa.verdict, pa.remark) == (DIRECTION, "more than the paper's")
    assert (fem.verdict, fem.remark) == (UNKNOWN, "less than the paper's")
    assert (found["SPARNet over Bicubic"].verdict, found["SPARNet over Bicubic"].remark) == (
        DIRECTION,
        "less than the paper's",
    )
    below = found["Every row better than Bicubic, PSNR"]
    assert (below.verdict, below.remark) == (REVERSED, "worse: Model 4, Model 6")
    assert below.measured.startswith(("Model 4: -0.1", "Model 6: -0.1"))
    assert found["Order of Models 1-8, rank correlation"].verdict in (UNKNOWN, REVERSED)


def test_an_interaction_is_small_or_not(tmp_path: Path) -> None:
    def psnr(method: str, seed: int, image: int) -> float:
        both = method in ("msfnet-5", "msfnet-8")
        return planted(PAPER)(method, seed, image) + 0.4 * both

    found = findings(tmp_path, psnr)
    assert found["Interaction ESEM x PA under 0.02 dB"].verdict == REVERSED
    assert found["Interaction ESEM x PA under 0.02 dB"].measured.startswith(("+0.19", "+0.20"))
    assert found["Interaction PA x FEM under 0.02 dB"].verdict == HOLDS


def test_noise_is_no_finding(tmp_path: Path) -> None:
    """Trainings that differ by 0.4 dB: effects of 0.1 dB cannot be told, nor two trainings of one network."""
    found = findings(tmp_path, planted(PAPER, own_noise=2.0))
    assert {found[f"Main effect of {name}"].verdict for name in ("ESEM", "PA", "FEM")} == {UNKNOWN}
    assert found["No difference: Model 1 less SPARNet, the same network"].verdict == HOLDS
    assert found["Interaction ESEM x PA under 0.02 dB"].verdict == UNKNOWN


def test_one_training_tells_of_itself_alone(tmp_path: Path) -> None:
    found = findings(tmp_path, planted(PAPER), seeds=(0,))
    told = [one for one in found.values() if one.verdict != NOT_RUN]
    assert len(told) > 10 and all(one.remark.endswith(ALONE) for one in told)


def test_size_has_a_row_of_its_own(tmp_path: Path) -> None:
    rows = rows_of_table_1()
    rows.insert(2, {"label": "SPARNet-wide", "method": "sparnet", "match": "msfnet-8"})
    found = findings(tmp_path, planted(PAPER), rows=rows)
    wide = found["Model 8 over SPARNet-wide, which has its size"]
    assert (wide.verdict, wide.claim.paper) == (HOLDS, "implied")
    assert interval_of(wide)[0] > 0.3, "the made-up wide row has SPARNet's scores"
    alone = found["Size alone: SPARNet-wide over SPARNet"]
    assert (alone.verdict, alone.claim.paper) == (UNKNOWN, "not asked")


def with_turned_row(folder: Path, psnr: Psnr, **how: Any) -> Path:
    """Write an experiment in which Model 8 is trained otherwise too, with Model 6's scores."""
    experiment(folder, psnr, **how)
    rows = {row["label"]: row for row in read_json(folder / "experiment.json")["rows"]}
    turned = {**rows["Model 6"], "label": "Model 8, turned", "method": "msfnet-8", "training": {"batch": 2}}
    kept = [rows[label] for label in ("Bicubic", "Model 1", "Model 8")]
    change(folder / "experiment.json", rows=[*kept, turned])
    return folder


def test_rows_that_change_a_setting_are_held_against_the_plain_row(tmp_path: Path) -> None:
    folder = with_turned_row(tmp_path, planted(PAPER))
    found = found_in(read_results(folder))
    one = found["Model 8, turned: gain over Model 8"]
    assert (one.verdict, one.claim.paper, one.trainings) == (
        "a loss",
        "not asked",
        "Model 8, turned: 3 of 3; Model 8: 3 of 3",
    )
    low, high = interval_of(one)
    assert low < -0.042 < high, "the turned row has Model 6's scores, which lack PA"
    assert found["Every row better than Bicubic, PSNR"].trainings == "2 of 2 rows"
    assert found["Model 8 over Model 1"].trainings == "Model 8: 3 of 3; Model 1: 3 of 3"
    assert list(found) == [
        "Model 8, turned: gain over Model 8",
        "Model 8 over Model 1",
        "Every row better than Bicubic, PSNR",
        "Every row better than Bicubic, SSIM",
    ], "claims about rows that the experiment does not have are left out"
    table = ablation_table(read_results(folder))
    place = [column.key for column in table.columns].index("published_psnr")
    assert [row.cells[place].value is None for row in table.rows] == [False, False, False, True]


def test_a_changed_row_below_bicubic_says_so_itself(tmp_path: Path) -> None:
    found = found_in(read_results(with_turned_row(tmp_path, planted((-0.2, 0.5, 0.0), over_bicubic=0.05))))
    assert found["Model 8, turned: gain over Model 8"].remark == "worse than Bicubic"
    assert found["Every row better than Bicubic, PSNR"].verdict == HOLDS


def test_rows_of_one_training_vary_as_those_of_an_experiment_alike(tmp_path: Path) -> None:
    effects = (0.175, 0.003, 0.132)  # PA's is less than what two trainings differ by
    one = read_results(with_turned_row(tmp_path / "one", planted(effects), seeds=(0,)))
    several = read_results(experiment(tmp_path / "several", planted(effects)))
    here = found_in(one)["Model 8, turned: gain over Model 8"]
    wide = {found.claim.text: found for found in findings_on(one, one.test[0], [one, several])}[here.claim.text]
    assert here.remark == ALONE and (wide.verdict, wide.remark) == (UNKNOWN, "trainings as in several")
    (low, high), (lowest, highest) = interval_of(here), interval_of(wide)
    assert lowest < low and high < highest, "wider"
    text = findings_page([one, several], {})
    assert "trainings as in several" in text[text.index("## one") : text.index("## several")]
    longer = dataclasses.replace(several, iterations=several.iterations + 1)
    assert "trainings as in several" not in findings_page([one, longer], {})


def test_what_is_not_trained_is_not_run_yet(tmp_path: Path) -> None:
    folder = experiment(tmp_path, planted(PAPER))
    for seed in (0, 1, 2):
        shutil.rmtree(folder / run_name("msfnet-8", seed))
    shutil.rmtree(folder / run_name("sparnet", 1))
    found = found_in(read_results(folder))
    ours = found["Model 8 over SPARNet"]
    assert (ours.verdict, ours.measured, ours.trainings) == (NOT_RUN, NOT_RUN, "Model 8: 0 of 3; SPARNet: 2 of 3")
    assert (found["Main effect of PA"].verdict, found["Main effect of PA"].trainings) == (NOT_RUN, "21 of 24")
    assert found["Order of Models 1-8, rank correlation"].verdict == NOT_RUN
    assert found["No difference: Model 1 less SPARNet, the same network"].verdict == HOLDS
    above = found["Every row better than Bicubic, PSNR"]
    assert (above.verdict, above.remark, above.trainings) == (
        HOLDS,
        "so far: 8 of 9 rows",
        "8 of 9 rows",
    )


def test_sets_that_the_paper_has_no_number_for_take_helens(tmp_path: Path) -> None:
    results = read_results(experiment(tmp_path, planted(PAPER), tests=("celeba", "mine")))
    celeba, mine = found_in(results, 0), found_in(results, 1)
    assert celeba["Model 8 over SPARNet"].claim.paper == "+0.282 dB"
    assert mine["Model 8 over SPARNet"].claim.paper == "+0.343 dB (Helen)"
    assert celeba["Main effect of ESEM"].claim.paper == "+0.175 dB (Helen)"
    assert celeba["Main effect of ESEM"].claim.tables == ("effects-celeba",)


def real_world(folder: Path, psnr: Psnr) -> Path:
    """Turn made-up PSNRs into NIQE on a set without a truth: 50 less the PSNR."""
    experiment(folder, psnr, tests=("widerface",), metrics=["psnr", "ssim", "niqe-pooled"])
    for path in folder.glob("*/scores.csv"):
        kept = [row for row in read_csv(path, SCORE) if row["metric"] == "psnr"]
        write_csv(path, SCORE, [{**row, "metric": "niqe-pooled", "value": 50 - float(row["value"])} for row in kept])
    test = read_json(folder / "experiment.json")["test"]
    change(folder / "experiment.json", test=[{**test[0], "truth": False}])
    return folder


def test_effects_on_faces_without_a_truth_have_no_published_psnr_beside_them(tmp_path: Path) -> None:
    page = factorial_page(read_results(real_world(tmp_path, planted(PAPER))))
    assert page is not None and [column.key for column in page.tables[0].columns] == ["effect", "niqe-pooled"]


def test_the_order_by_niqe(tmp_path: Path) -> None:
    found = found_in(read_results(real_world(tmp_path / "same", planted(PAPER))))
    ours = found["Model 8 below SPARNet, NIQE (pooled)"]
    assert (ours.verdict, ours.claim.paper) == (HOLDS, "-0.3566")
    assert interval_of(ours)[1] < 0
    other = found_in(read_results(real_world(tmp_path / "other", planted((-0.5, 0, 0)))))
    assert other["Model 8 below SPARNet, NIQE (pooled)"].verdict == REVERSED
    assert other["SPARNet below Bicubic, NIQE (pooled)"].verdict == HOLDS
    assert other["Every row better than Bicubic, NIQE (pooled)"].verdict == HOLDS


@pytest.mark.parametrize(
    ("interval", "rule", "value", "verdict"),
    [
        ((0.1, 0.3), "value", 0.2, (HOLDS, "")),
        ((0.1, 0.15), "value", 0.2, (DIRECTION, "less than the paper's")),
        ((0.25, 0.3), "value", 0.2, (DIRECTION, "more than the paper's")),
        ((-0.3, -0.1), "value", -0.2, (HOLDS, "")),
        ((-0.15, -0.1), "value", -0.2, (DIRECTION, "less than the paper's")),
        ((-0.3, -0.1), "value", 0.2, (REVERSED, "")),
        ((-0.1, 0.3), "value", 0.2, (UNKNOWN, "")),
        ((-0.1, 0.1), "value", 0.2, (UNKNOWN, "less than the paper's")),
        ((0.0, 0.1), "sign", 0.2, (UNKNOWN, "")),
        ((0.1, 0.15), "sign", 0.2, (HOLDS, "")),
        ((0.1, 0.15), "sign", -1.0, (REVERSED, "")),
        ((-0.01, 0.01), "small", 0.02, (HOLDS, "")),
        ((-0.01, 0.03), "small", 0.02, (UNKNOWN, "")),
        ((-0.05, -0.03), "small", 0.02, (REVERSED, "")),
        ((-0.01, 0.03), "none", 0.0, (HOLDS, "")),
        ((0.01, 0.03), "none", 0.0, (REVERSED, "")),
        ((0.01, 0.03), "asked", 1.0, ("a gain", "")),
        ((-0.02, -0.01), "asked", 1.0, ("a loss", "")),
        (None, "value", 0.2, (UNKNOWN, "")),
    ],
)
def test_the_rule(interval: tuple[float, float] | None, rule: Rule, value: float, verdict: tuple[str, str]) -> None:
    assert judge(Cell(0.0, interval=interval), rule, value) == verdict


def test_agreement_of_orders() -> None:
    reference = [float(place) for place in range(8)]
    images = np.random.default_rng(1).normal(size=50)
    clear = [np.stack([images + place, images + place + 0.01]) for place in reference]
    same = order_agreement(clear, reference)
    assert (same.mean, same.low, same.high, same.n, same.seeds) == (pytest.approx(1), 1.0, 1.0, 50, 2)
    assert order_agreement(clear[::-1], reference).high == pytest.approx(-1)
    random = np.random.default_rng(2)
    noisy = [random.normal(size=(3, 50)) for _ in reference]
    unclear = order_agreement(noisy, reference)
    assert unclear.low < 0 < unclear.high and order_agreement(noisy, reference) == unclear
    assert order_agreement([np.ones((1, 4))] * 3, [1, 2, 3]).mean == 0
    lost = order_agreement([np.array([[math.inf, 1.0]])] * 3, [1, 2, 3])
    assert (lost.n, lost.left_out) == (1, 1)
    with pytest.raises(UserError, match="an order takes three"):
        order_agreement(noisy[:2], reference[:2])


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
    fabricate(kept / "quick", images=("a", "b"), profile_note="a smoke test")
    assert main(["report", "--reference", "--json"]) == 0
    files = [Path(file) for file in json.loads(capsys.readouterr().out)["report"]]
    page = tmp_path / "reports" / "reference" / "README.md"
    assert files[0] == page and {file.parent.name for file in files[1:]} == {"photos-x", "quick"}
    text = page.read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert {"photos-x/table2.md", "photos-x/effects-lfw.md", "quick/index.md"} <= set(links)
    assert [link for link in links if link and not (page.parent / link).exists()] == []
    run = run_name("msfnet-8")
    assert f"[`{run}`](../../results/reference/photos-x/{run}/)" in text and "| 1,234 " in text
    assert f"`{run_name('sparnet', 1)}`" in text and "18 of 19 runs are finished and scored" in text
    assert "200 iterations of batch 8" in text and "width 0.25" in text
    assert "Best PSNR of the 10 rows with scores: Model 8" in text
    assert "| Main effect of ESEM " in text and "<br>paper +0.175 dB<br>**holds**" in text
    short = text[text.index("### In short") : text.index("### photos-x: Helen")]
    assert re.search(r"- \*\*Holds\*\*: Main effect of ESEM; Main effect of PA;", short)
    assert "no findings" in text[text.index("## quick") :] and "a smoke test" in text[text.index("## quick") :]
    assert "Every row" not in text[text.index("## quick") :]
    assert main(["report", "--reference"]) == 0
    assert page.read_text(encoding="utf-8") == text, "redrawn byte for byte"
    assert "README.md" in capsys.readouterr().out


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
    text = findings_page([read_results(folder)], {"new": ["table1.md"]})
    assert "0 of 28 runs are finished and scored" in text and "- **Not run yet**: Main effect of ESEM;" in text
    assert "**holds**," not in text and "Best PSNR" not in text
