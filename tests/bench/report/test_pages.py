"""What tables and pages claim: bold, ties, gains, effects and sizes, from scores made up to be told apart or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.analysis.results import Results, read_results
from bench.core.files import read_json
from bench.report.images import images_page
from bench.report.modules import capacity_page, factorial_page
from bench.report.pages import metrics_page, sensitivity_page
from bench.report.table import TIED, Cell, Table
from bench.report.tables import ablation_table
from tests.bench.report.fabricate import (
    FACTORS,
    FINGERPRINT,
    change,
    fabricate,
    read_score_rows,
    rows_of_table_1,
    run_name,
    write_score_rows,
)

IMAGES = tuple(f"face-{i:02}" for i in range(24))
FEW = [row for row in rows_of_table_1() if row["method"] in ("bicubic", "msfnet-1", "msfnet-2", "msfnet-6", "msfnet-8")]


def noise(*what: int) -> float:
    return float(np.random.default_rng(what).normal())


def psnr(
    gains: Callable[[int], float], seed_noise: float = 0.0, own_noise: float = 0.05
) -> Callable[[str, int, int], float]:
    """Return PSNRs of models: the image's own, the model's gain, a little of both, and what the seed adds."""

    def value(method: str, seed: int, image: int) -> float:
        model = {"bicubic": -9, "sparnet": 0}.get(method) if method in ("bicubic", "sparnet") else int(method[-1])
        assert model is not None
        gain = -2.0 if model == -9 else gains(model)
        own = own_noise * noise(model + 10, image) + seed_noise * noise(model + 10, seed, 99)
        return 26 + 1.5 * noise(image) + gain + own

    return value


def one_better(model: int) -> float:
    return 1.0 if model == 8 else 0.0


def marks(results: Results, key: str) -> dict[str, str]:
    table = ablation_table(results)
    place = [column.key for column in table.columns].index(key)
    found = {row.method: row.cells[place] for row in table.rows}
    told = {method: f"{cell.emphasis} {TIED if cell.tied else ''}".strip() for method, cell in found.items()}
    return {method: mark for method, mark in told.items() if mark}


def cells(table: Table) -> dict[str, dict[str, Cell]]:
    keys = [column.key for column in table.columns]
    return {row.cells[0].text: dict(zip(keys, row.cells, strict=True)) for row in table.rows}


def results_of(folder: Path, **how: object) -> Results:
    return read_results(fabricate(folder, images=IMAGES, faces=0, **how))  # type: ignore[arg-type]


def test_bold_is_what_is_better_than_all_others(tmp_path: Path) -> None:
    results = results_of(tmp_path, rows=FEW, seeds=(0, 1, 2), psnr=psnr(one_better, 0.01))
    assert marks(results, "psnr") == marks(results, "ssim") == {"msfnet-8": "best", "msfnet-2": "second"}
    assert marks(results, "psnr_gain") == marks(results, "published_psnr") == {}


def test_one_seed_is_never_bold(tmp_path: Path) -> None:
    results = results_of(tmp_path, rows=FEW, psnr=psnr(one_better))
    assert marks(results, "psnr") == {"msfnet-8": TIED, "msfnet-2": "second"}
    page = metrics_page(results)
    assert page is not None
    for table in (*page.tables, ablation_table(results)):
        assert any("about these very trainings, not about their methods" in note for note in table.notes)


def test_rows_that_cannot_be_told_apart_are_marked_alike(tmp_path: Path) -> None:
    results = results_of(tmp_path, rows=FEW, seeds=(0, 1, 2), psnr=psnr(lambda model: 1.0 * (model in (6, 8)), 0.02))
    assert marks(results, "psnr") == {"msfnet-6": f"second {TIED}", "msfnet-8": TIED}


def test_what_seeds_differ_by_is_no_claim(tmp_path: Path) -> None:
    """A gain of 0.3 dB that every image shows, between networks whose seeds differ by 0.5 dB."""
    results = results_of(tmp_path, rows=FEW, seeds=(0, 1), psnr=psnr(lambda model: 0.3 * (model == 8), 0.5))
    assert all(mark.endswith(TIED) for mark in marks(results, "psnr").values())


def test_failed_rows_do_not_compete(tmp_path: Path) -> None:
    folder = fabricate(tmp_path, images=IMAGES, faces=0, seeds=(0, 1), psnr=psnr(lambda model: 1.0 * model, 0.01))
    for seed in (0, 1):
        change(folder / run_name("msfnet-8", seed) / "run.json", status="failed", error="stopped")
    assert marks(read_results(folder), "psnr") == {"msfnet-7": "best", "msfnet-6": "second"}


SIX = {"msfnet-6": "best", "msfnet-2": "second"}


@pytest.mark.parametrize(("value", "marked"), [(math.inf, {}), (math.nan, SIX), (-math.inf, SIX)])
def test_what_is_not_finite_never_stands_out(tmp_path: Path, value: float, marked: dict[str, str]) -> None:
    """Nor does any row where one is infinitely good: "better than every other" would not be true."""

    made = psnr(lambda model: 1.0 * (model == 6), 0.01)
    folder = fabricate(tmp_path, images=IMAGES, faces=0, rows=FEW, seeds=(0, 1, 2), psnr=made)
    for seed in (0, 1, 2):
        rows = read_score_rows(path := folder / run_name("msfnet-8", seed))
        places = [(row["image"], row["metric"]) for row in rows]
        rows[places.index(("face-07", "psnr"))]["value"] = value
        write_score_rows(path, rows)
    assert marks(read_results(folder), "psnr") == marked


def test_gains_say_what_can_be_claimed(tmp_path: Path) -> None:
    page = metrics_page(results_of(tmp_path, rows=FEW, seeds=(0, 1, 2), psnr=psnr(one_better, 0.01)))
    assert page is not None
    means, gains = page.tables
    assert "these seeds" not in gains.notes[0], "there are several seeds"
    found = cells(gains)
    assert "Model 1" not in found and len(found) == 4
    better = found["Model 8"]["psnr_gain"]
    assert better.text.startswith("+1.0") and better.text.endswith("*") and better.p is not None and better.p < 0.01
    same = found["Model 2"]["psnr_gain"]
    assert not same.text.endswith("*") and same.p is not None and same.p > 0.05
    assert same.interval is not None and same.interval[0] < 0 < same.interval[1]
    low, high = cells(means)["Model 8"]["psnr"].interval or (math.nan, math.nan)
    assert low < float(cells(means)["Model 8"]["psnr"].value or 0) < high


def test_metrics_that_need_no_truth_are_all_that_is_shown_without(tmp_path: Path) -> None:
    folder = fabricate(tmp_path, images=IMAGES, faces=0, psnr=psnr(one_better), metrics=["psnr", "ssim", "niqe-pooled"])
    for row in rows_of_table_1():
        path = folder / run_name(row["method"])
        kept = [{**line, "metric": "niqe-pooled"} for line in read_score_rows(path) if line["metric"] == "psnr"]
        write_score_rows(path, kept)
    test = read_json(folder / "experiment.json")["test"]
    change(folder / "experiment.json", test=[{**test[0], "truth": False}])
    results = read_results(folder)
    table = ablation_table(results)
    assert [column.key for column in table.columns if column.dataset] == ["niqe-pooled"]
    assert all(row.status == "finished" for row in table.rows)
    assert marks(results, "niqe-pooled") == {"bicubic": TIED, "msfnet-6": "second"}, "lower is better"


def test_effects_are_those_that_were_put_in(tmp_path: Path) -> None:
    def gains(model: int) -> float:
        esem, pa, fem = FACTORS[model] if model else (0, 0, 0)
        return 0.4 * esem + 0.1 * fem + 0.2 * esem * pa

    page = factorial_page(results_of(tmp_path, seeds=(0, 1), psnr=psnr(gains, 0.001, 0.01)))
    assert page is not None
    found = cells(page.tables[0])
    expected = {"ESEM": 0.5, "PA": 0.1, "FEM": 0.1, "ESEM × PA": 0.1, "ESEM × FEM": 0.0, "ESEM × PA × FEM": 0.0}  # noqa: RUF001
    for name, effect in expected.items():
        cell = found[name]["psnr"]
        assert cell.value == pytest.approx(effect, abs=0.01)
        assert cell.interval is not None and cell.interval[1] - cell.interval[0] < 0.02
    published = {"ESEM": 0.175, "PA": 0.042, "FEM": 0.132}
    assert {name: found[name]["published_psnr"].value for name in published} == pytest.approx(published, abs=5e-4)
    assert found["ESEM"]["published_psnr"].text == "+0.175"
    assert "single modules add up to +0.5" in " ".join(page.text) and "+0.376 and +0.355" in " ".join(page.text)


def test_no_factorial_without_all_its_rows(tmp_path: Path) -> None:
    rows = [row for row in rows_of_table_1() if row["method"] != "msfnet-5"]
    assert factorial_page(results_of(tmp_path, rows=rows)) is None
    assert factorial_page(results_of(tmp_path / "none", rows=rows_of_table_1()[:2])) is None


def test_size_alone_has_a_row_of_its_own(tmp_path: Path) -> None:
    rows = rows_of_table_1()
    rows.insert(2, {"label": "SPARNet-wide", "method": "sparnet", "match": "msfnet-8"})
    rows.insert(3, {**rows[2], "label": "SPARNet-wider", "match_by": "multiply-adds"})
    folder = fabricate(tmp_path, images=IMAGES, faces=0, rows=rows, psnr=psnr(one_better))
    for number in (2, 3):
        change(folder / run_name(f"msfnet-{number}") / "run.json", parameters=number * 10**7)
    page = capacity_page(read_results(folder))
    assert page is not None
    assert "SPARNet-wide is sparnet, widened to about as many parameters as Model 8 has and SPARNet-w" in page.text[0]
    assert "SPARNet-wider is sparnet, widened to about as many multiply-adds as Model 8 has." in page.text[0]
    assert "The line leads from Model 1 to SPARNet-wide and SPARNet-wider" in page.pictures["capacity"].about
    table = cells(page.tables[0])
    assert "Bicubic" not in table and table["SPARNet-wide"]["over_SPARNet-wide"].text == ""
    assert table["Model 8"]["over_SPARNet-wide"].value == pytest.approx(1.0, abs=0.05)
    assert table["Model 8"]["over_SPARNet-wider"].value == pytest.approx(1.0, abs=0.05)
    assert (table["Model 8"]["published_gain"].text, table["SPARNet-wide"]["published_gain"].value) == ("+0.355", None)
    first = ablation_table(read_results(folder))
    assert "SPARNet-wide: sparnet, widened to about as many parameters as Model 8 has." in first.notes
    assert "SPARNet-wider: sparnet, widened to about as many multiply-adds as Model 8 has." in first.notes
    assert cells(first)["SPARNet-wide"]["published_psnr"].value is None, "what is published is not of this size"
    assert capacity_page(results_of(tmp_path / "other", baseline="")) is None


def test_a_row_that_breaks_down_on_one_image_is_found(tmp_path: Path) -> None:
    def broken(method: str, seed: int, image: int) -> float:
        gain = {"msfnet-8": 1.0, "msfnet-7": -0.5 if image < 6 else 0.25}.get(method, 0.0)
        return 26 + noise(image) + gain - (8 if (method, seed, image) == ("msfnet-8", 1, 5) else 0)

    folder = fabricate(tmp_path, images=IMAGES, faces=0, seeds=(0, 1), psnr=broken)
    change(folder / run_name("msfnet-7") / "run.json", broken={FINGERPRINT: ["face-02"]})
    page = images_page(read_results(folder))
    assert page is not None
    table, failing = page.tables
    found = {label: {key: cell.text for key, cell in row.items()} for label, row in cells(table).items()}
    values = [broken("msfnet-8", seed, image) for seed in (0, 1) for image in range(24)]
    assert found["Model 8"] == {
        "model": "Model 8",
        "better": "95.8",  # 23 of 24: on one the mean of both seeds is lower
        "median_gain": "+1.000",
        "largest_loss": "-7.000",
        "largest_loss_on": "face-05",
        "median": f"{np.median(values):.3f}",
        "quantile_1": f"{np.quantile(values, 0.01):.3f}",
    }
    assert (found["Model 7"]["better"], found["Model 7"]["largest_loss"]) == ("75.0", "-0.500")
    assert (found["Model 2"]["better"], found["Model 2"]["largest_loss_on"]) == ("0", "–")  # noqa: RUF001
    assert (found["Model 1"]["better"], found["Model 1"]["median"]) == ("", found["Bicubic"]["median"])
    listed = [tuple(cell.value for cell in row.cells) for row in failing.rows]
    reference = broken("bicubic", 0, 5)
    assert listed[1] == ("Model 8", 1, "face-05", pytest.approx(reference - 7), pytest.approx(reference), False)
    assert [row[:3] + row[5:] for row in listed] == [("Model 7", 0, "face-02", True), ("Model 8", 1, "face-05", False)]
    page = images_page(results_of(tmp_path / "none", baseline="", psnr=broken, seeds=(1,)))
    assert page is not None and [table.name for table in page.tables] == ["failures"], "failures need no baseline"
    assert not [text for text in page.text if text.startswith("No row fails")]
    page = images_page(results_of(tmp_path / "whole"))
    assert page is not None and page.text[-1] == "No row fails on any of the 24 faces of synthfaces."
    assert images_page(results_of(tmp_path / "sound", baseline="")) is None


def test_sensitivity_shows_what_a_protocol_moves(tmp_path: Path) -> None:
    page = sensitivity_page(results_of(tmp_path, rows=FEW, psnr=psnr(one_better), protocols=("sparnet", "rgb")))
    assert page is not None
    values, gains, *_ = page.tables
    row = cells(values)["Model 8"]
    assert float(row["sparnet"].value or 0) - float(row["rgb"].value or 0) == pytest.approx(1.0)
    row = cells(gains)["Model 8"]
    assert row["sparnet"].text == row["rgb"].text, "the same less in every row is no other gain"
    assert "moves by up to 1.000 dB, its difference from Model 1 by up to 0.000 dB" in " ".join(page.text)
    assert sensitivity_page(results_of(tmp_path / "one", rows=FEW, psnr=psnr(one_better))) is None
