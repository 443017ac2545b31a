"""Tables 1, 2 and 3: from scores an image to the numbers, what stands beside them, and what a row without one shows."""

from __future__ import annotations

import io
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench.analysis.results import Results, read_results
from bench.core.files import read_json
from bench.core.locks import lock
from bench.report import csv_file, html, latex, markdown
from bench.report.columns import with_failures, with_timing
from bench.report.printed import printed_page
from bench.report.table import Cell, Row, Table
from bench.report.tables import ablation_table, comparison_table, methods_table, realworld_table
from tests.bench.report.fabricate import (
    FINGERPRINT,
    change,
    fabricate,
    made_up_psnr,
    read_score_rows,
    rows_of_table_1,
    run_name,
    write_score_rows,
)

REAL = ("crowd", "webface")
FEW = [row for row in rows_of_table_1() if row["method"] in ("bicubic", "sparnet", "msfnet-1", "msfnet-3", "msfnet-8")]
FACES = tuple("abcdefghijklmn")
STAND_IN = "Some crowds stand in for WiderFace."
DASH = "–"  # noqa: RUF001


def photos(
    folder: Path,
    tests: tuple[str, ...] = ("celeba", "helen", "lfw", *REAL),
    seeds: tuple[int, ...] = (0,),
) -> Path:
    """Write results on `tests`; those of REAL have no truth and NIQE of 50 less the PSNR that would be there."""
    audit = {"dataset": "crowd", "title": "Crowds", "stands_for": STAND_IN, "splits": {}, "paper": {}, "leakage": []}
    fabricate(
        folder,
        images=FACES,
        faces=0,
        tests=tests,
        seeds=seeds,
        rows=FEW,
        metrics=["psnr", "ssim", "niqe-pooled"],
        audits=[audit] if "crowd" in tests else [],
    )
    for path in folder.glob("*-s*"):
        rows = []
        for row in read_score_rows(path):
            if row["dataset"] not in REAL:
                rows.append(row)
            elif row["metric"] == "psnr":
                rows.append({**row, "metric": "niqe-pooled", "value": str(50 - float(row["value"]))})
        write_score_rows(path, rows)
    described = read_json(folder / "experiment.json")["test"]
    change(folder / "experiment.json", test=[{**one, "truth": one["dataset"] not in REAL} for one in described])
    return folder


def there(draw: Table | None) -> Table:
    assert draw is not None
    return draw


def cells_on(table: Table, method: str, dataset: str) -> dict[str, Cell]:
    row = next(row for row in table.rows if row.method == method)
    pairs = zip(table.columns, row.cells, strict=True)
    return {column.key: cell for column, cell in pairs if column.dataset == dataset}


def published(found: dict[str, Cell]) -> tuple[object, object]:
    return found["published_psnr"].value, found["published_ssim"].value


def table_of(folder: Path) -> Table:
    return ablation_table(read_results(folder))


def row_of(table: Table, method: str) -> Row:
    return next(row for row in table.rows if row.method == method)


def cell_of(table: Table, method: str, key: str) -> Cell:
    return row_of(table, method).cells[[column.key for column in table.columns].index(key)]


def footnotes_of(table: Table, method: str) -> list[str]:
    return list(row_of(table, method).cells[0].remarks)


def test_mean_over_images_then_over_seeds(tmp_path: Path) -> None:
    # Means over images 21, 25 and 26: over seeds 24, and a standard deviation of sqrt((9 + 1 + 4) / 2).
    values = {0: (20.0, 22.0), 1: (24.0, 26.0), 2: (23.0, 29.0)}
    folder = fabricate(tmp_path, seeds=(0, 1, 2), images=("a", "b"), psnr=lambda method, seed, i: values[seed][i])
    path = folder / run_name("msfnet-1")
    kept = read_score_rows(path)
    others = {"fingerprint": "another", "protocol": "another", "dataset": "another", "metric": "another"}
    write_score_rows(path, [*kept, *({**kept[0], "value": 99, key: value} for key, value in others.items())])

    table = table_of(folder)
    cell = cell_of(table, "msfnet-1", "psnr")
    assert cell.value == pytest.approx(24.0, abs=1e-12)
    assert cell.spread == pytest.approx(math.sqrt(7), abs=1e-12)
    assert cell.text == "24.000 ± 2.646"
    assert cell_of(table, "msfnet-1", "ssim").text == "0.4800 ± 0.0529"
    source = cell.provenance
    assert source is not None
    assert source.runs == tuple(run_name("msfnet-1", seed) for seed in (0, 1, 2))
    assert (source.fingerprint, source.images, source.seeds, source.protocol) == (FINGERPRINT, 2, 3, "sparnet")
    assert cell_of(table, "bicubic", "psnr").text == "21.000", "one run has no standard deviation"


def test_how_a_row_without_its_number_shows(tmp_path: Path) -> None:
    folder = fabricate(tmp_path)
    (sheet,) = (folder / run_name("msfnet-2") / "scores").iterdir()
    sheet.write_text(sheet.read_text().replace("face-1,33,", "face-1,,"))
    change(folder / run_name("msfnet-3") / "run.json", status="failed", error="OutOfMemory:\n  1 | 2 GiB.")
    change(folder / run_name("msfnet-4") / "run.json", status="running")
    shutil.rmtree(folder / run_name("msfnet-5"))
    (folder / run_name("msfnet-6") / "run.json").unlink()
    write_score_rows(folder / run_name("msfnet-7"), [])
    scores = folder / run_name("msfnet-8")
    write_score_rows(scores, read_score_rows(scores)[:-1])

    with lock(folder / ".locks" / f"{run_name('msfnet-4')}.lock"):
        table = table_of(folder)
    stopped = table_of(folder)
    assert (row_of(stopped, "msfnet-4").status, footnotes_of(stopped, "msfnet-4")) == (
        "interrupted",
        [f"{run_name('msfnet-4')} was interrupted (last validated at iteration 200 of 200)."],
    )
    change(folder / run_name("msfnet-4") / "run.json", trained="2026-01-01T00:00:00+00:00")
    assert row_of(table_of(folder), "msfnet-4").status == "not scored"
    expected = {
        "msfnet-2": ("not scored", f"{run_name('msfnet-2')} is scored on 2 of the 3 faces of synthfaces."),
        "msfnet-3": ("failed", f"{run_name('msfnet-3')} failed: OutOfMemory: 1 | 2 GiB."),
        "msfnet-4": (
            "running",
            f"{run_name('msfnet-4')} has not finished (last validated at iteration 200 of 200).",
        ),
        "msfnet-5": ("not run", "Not run yet; run the experiment again to train what is missing."),
        "msfnet-6": ("not run", "Not run yet; run the experiment again to train what is missing."),
        "msfnet-7": ("not scored", f"{run_name('msfnet-7')} is scored on 0 of the 3 faces of synthfaces."),
    }
    for method, (status, footnote) in expected.items():
        row = row_of(table, method)
        assert (row.status, row.cells[0].text) == (status, f"Model {method[-1]} ({status})")
        assert footnotes_of(table, method) == [footnote]
        for key in ("psnr", "ssim"):
            cell = cell_of(table, method, key)
            assert (cell.text, cell.value, cell.provenance, cell.emphasis) == (DASH, None, None, "")
        assert cell_of(table, method, "published_psnr").text.startswith("27.")
    assert len(table.footnotes) == 5, "two rows share one"
    assert [cell_of(table, "msfnet-8", key).text for key in ("psnr", "ssim")] == ["39.000", DASH], "one SSIM is missing"
    assert cell_of(table, "msfnet-3", "parameters").text == DASH, "nothing of a failed run counts"
    assert (row_of(table, "msfnet-1").status, footnotes_of(table, "msfnet-1")) == ("finished", [])


def exploding(method: str, seed: int, image: int) -> float:
    """Return the made-up PSNR, but for Model 8: 14.5 dB on the third face with seed 1, where Bicubic has 22."""
    return 14.5 if (method, seed, image) == ("msfnet-8", 1, 2) else made_up_psnr(method, seed, image)


FAILS = (
    "Model 8 fails on 1 of 3 faces of synthfaces with seed 0 and 1 with seed 1: more than 3 dB below Bicubic, worst "
    "face-2 with seed 1 (14.5 dB, Bicubic 22.0); NaN or infinity in the output of face-1, scored with NaN as black and "
    "infinity as the end of the range."
)


def test_failing_faces_are_said_beside_every_mean(tmp_path: Path) -> None:
    folder = fabricate(tmp_path, seeds=(0, 1), psnr=exploding)
    change(folder / run_name("msfnet-8") / "run.json", broken={FINGERPRINT: ["face-1"], "another": ["x", "y"]})
    table = table_of(folder)
    measured = {column.key for column in table.columns if column.group == "Measured"}
    assert measured == {"psnr", "psnr_gain", "ssim"} and row_of(table, "msfnet-8").status == "finished"
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            assert cell.remarks == ((FAILS,) if row.method == "msfnet-8" and column.key in measured else ())
    assert "| 34.917 ± 5.775 ≈ [a]        |" in markdown.render(table) and f"- a: {FAILS}" in markdown.render(table)
    assert r"5.775\,\ensuremath{\approx}\textsuperscript{a}" in latex.render(table)
    assert "≈<sup>a</sup>" in html.render(table) and f"<li>a: {FAILS}</li>" in html.render(table)
    frame = pd.read_csv(io.StringIO(csv_file.render(table))).set_index("method")
    assert frame["failures"].to_dict() == {row.method: 2 * (row.method == "msfnet-8") for row in table.rows}
    assert frame.loc["msfnet-8", "remark"] == FAILS and frame["remark"].isna().sum() == len(table.rows) - 1
    counts = cell_of(with_failures(table), "msfnet-8", "failures"), cell_of(with_failures(table), "sparnet", "failures")
    assert [cell.text for cell in counts] == ["1, 1", "0, 0"]
    assert with_failures(table).columns[7].key == "failures", "after the measured means"
    assert with_failures(table).columns[7].title == "Failing faces per seed"


def test_the_baselines_failures_are_said_beside_gains_over_it(tmp_path: Path) -> None:
    folder = fabricate(tmp_path, psnr=lambda method, _, image: 5.0 if (method, image) == ("msfnet-1", 0) else 20.0)
    table = table_of(folder)
    (remark,) = cell_of(table, "sparnet", "psnr_gain").remarks
    assert remark.startswith("Model 1 fails on 1 of 3 faces") and cell_of(table, "sparnet", "psnr").remarks == ()


def test_many_failing_seeds_are_summed_up(tmp_path: Path) -> None:
    rows = [row for row in rows_of_table_1() if row["method"] in ("bicubic", "msfnet-1")]
    folder = fabricate(
        tmp_path,
        rows=rows,
        seeds=range(8),
        psnr=lambda method, seed, image: 5.0 if method != "bicubic" and 0 < seed <= image + 5 else 20.0,
    )
    (remark,) = cell_of(table_of(folder), "msfnet-1", "psnr").remarks
    assert remark.startswith(
        "Model 1 fails on up to 3 of 3 faces of synthfaces with each of 7 of 8 seeds: more than 3 dB"
    )


def test_a_row_with_some_of_its_seeds_keeps_its_number(tmp_path: Path) -> None:
    folder = fabricate(tmp_path, seeds=(0, 1))
    change(folder / run_name("msfnet-1", 1) / "run.json", status="failed", error=None)
    table = table_of(folder)
    row, cell = row_of(table, "msfnet-1"), cell_of(table, "msfnet-1", "psnr")
    assert (row.status, row.cells[0].text, cell.text) == ("partial", "Model 1", "32.000")
    assert cell.provenance is not None and cell.provenance.runs == (run_name("msfnet-1", 0),)
    assert footnotes_of(table, "msfnet-1") == [f"{run_name('msfnet-1', 1)} failed: no reason recorded."]


def test_published_numbers_and_costs_stand_in_their_rows(tmp_path: Path) -> None:
    table = table_of(fabricate(tmp_path))
    shown = {row.method: [cell.text for cell in row.cells] for row in table.rows}
    costs = ["10.519", "7.130"]  # parameters, multiply-adds
    gain = "-11.000 [-11.000, -11.000]"
    assert shown["bicubic"][1:] == ["", "", "", "21.000", gain, "0.4200", "24.138", "0.681", "0", "0"]
    assert shown["sparnet"][1:4] + shown["sparnet"][7:9] == ["", "", "", "27.401", "0.818"]
    assert shown["msfnet-1"][4:7] == ["32.000", "", "0.6400"], "the baseline gains nothing over itself"
    gain = "+5.000 [+5.000, +5.000]"
    assert shown["msfnet-6"] == ["Model 6", "✓", "", "✓", "37.000", gain, "0.7400", "27.684", "0.828", *costs]
    assert cell_of(table, "msfnet-6", "parameters").value == 10_518_867


def test_times_are_shown_where_they_are_asked_for(tmp_path: Path) -> None:
    results = read_results(fabricate(tmp_path))
    timed = with_timing(ablation_table(results), results)
    assert timed.columns[-1].key == "seconds_per_image"
    assert [row.cells[-1].text for row in timed.rows][:2] == ["<0.001", "0.250"]
    assert "seconds_per_image" not in {column.key for column in ablation_table(results).columns}
    change(tmp_path / run_name("msfnet-2") / "run.json", device="another")
    results = read_results(tmp_path)
    assert with_timing(ablation_table(results), results).notes[-1].startswith("Rows were timed on different devices")


def test_measured_and_published_stand_side_by_side(tmp_path: Path) -> None:
    results = read_results(photos(tmp_path, seeds=(0, 1)))
    table = there(comparison_table(results))
    assert list(dict.fromkeys(column.dataset for column in table.columns if column.dataset)) == [
        "celeba",
        "helen",
        "lfw",
    ]
    assert [row.method for row in table.rows] == [row.method for row in results.rows]
    ours = cells_on(table, "msfnet-8", "lfw")
    assert ours["psnr"].text == "44.750 ± 0.354" and ours["psnr"].value == pytest.approx(44.75)
    assert published(ours) == (29.165, 0.838), "Model 8 is the paper's own network"
    assert published(cells_on(table, "sparnet", "celeba")) == (27.167, 0.789)
    assert published(cells_on(table, "bicubic", "helen")) == (24.138, 0.681)
    assert published(cells_on(table, "msfnet-3", "helen")) == (None, None), "Table 1 is not Table 2"
    assert ours["psnr"].provenance is not None and ours["psnr"].provenance.dataset == "lfw"
    assert ours["psnr"].emphasis and not cells_on(table, "bicubic", "lfw")["psnr"].emphasis
    assert "lfw (14 faces" in table.caption and "crowd" not in table.caption


def test_without_a_truth_niqe_alone_and_its_caveats(tmp_path: Path) -> None:
    table = there(realworld_table(read_results(photos(tmp_path))))
    assert [column.key for column in table.columns if column.dataset == "webface"] == ["niqe-pooled", "published_niqe"]
    ours = cells_on(table, "msfnet-8", "webface")
    assert (ours["niqe-pooled"].value, ours["published_niqe"].value) == (5.5, 11.8835)
    assert ours["niqe-pooled"].tied and not cells_on(table, "bicubic", "webface")["niqe-pooled"].emphasis
    notes = " ".join(table.notes)
    assert STAND_IN in notes and "only the order of the methods" in notes and "Lower is better: NIQE (pooled)" in notes
    assert "one 96x96 block" in notes


def test_a_stand_in_says_so_and_the_real_set_does_not(tmp_path: Path) -> None:
    table = there(realworld_table(read_results(photos(tmp_path))))
    assert [column.group for column in table.columns[1:]] == [
        *["Measured, crowd (stand-in for WiderFace)", "Published, WiderFace"],
        *["Measured, webface", "Published, WebFace"],
    ]
    ours = cells_on(table, "msfnet-8", "crowd")
    assert (ours["niqe-pooled"].value, ours["published_niqe"].value) == (5.5, 11.7509)


def test_sets_that_the_paper_does_not_have_stand_alone(tmp_path: Path) -> None:
    table = there(comparison_table(read_results(fabricate(tmp_path, rows=FEW, tests=("mine", "yours")))))
    assert [column.key for column in table.columns] == ["model", *("psnr", "ssim") * 2]
    assert "Published" not in " ".join(table.notes)


def test_a_comparison_has_table_2_on_any_test_set_with_gains_and_cost(tmp_path: Path) -> None:
    results = read_results(fabricate(tmp_path / "one", rows=FEW, kind="comparison", baseline="bicubic"))
    table = there(methods_table(results))
    measured = ["psnr", "psnr_gain", "ssim"]
    assert [column.key for column in table.columns] == [
        *["model", *measured, "published_psnr", "published_ssim"],
        *["parameters", "multiply_adds"],
    ]
    ours = cells_on(table, "msfnet-8", "helen")
    assert published(ours) == (27.744, 0.83), "of the paper's reference set, which is not tested on here"
    assert cells_on(table, "msfnet-8", "synthfaces")["psnr_gain"].value == pytest.approx(18)
    more = there(
        methods_table(read_results(fabricate(tmp_path / "more", rows=FEW, tests=("celeba", "lfw", "webface"))))
    )
    assert published(cells_on(more, "sparnet", "celeba")) == (27.167, 0.789)
    assert "Published, Helen" not in {column.group for column in more.columns}


def test_what_papers_print_of_the_rows_stands_on_a_page_of_its_own(tmp_path: Path) -> None:
    rows = [{"label": name, "method": name} for name in ("bicubic", "sparnet", "dic", "ctcnet")]
    page = printed_page(read_results(fabricate(tmp_path, rows=rows, psnr=lambda *_: 25.0)))
    assert page is not None
    tables = {table.title: table for table in page.tables}
    assert list(tables) == ["Chen et al. 2021", "CTCNet's authors", "WFEN's authors", "Yang et al. 2023"]
    printed = {row.method: [cell.text for cell in row.cells[1:]] for row in tables["WFEN's authors"].rows}
    assert printed["dic"] == ["26.15"] and printed["sparnet"] == ["26.43"] and printed["ctcnet"] == ["–"]  # noqa: RUF001
    assert tables["CTCNet's authors"].name == "printed-ctcnet-s-authors"
    assert {column.group for column in tables["CTCNet's authors"].columns} == {"", "Training log, CelebA"}
    assert (
        printed_page(read_results(fabricate(tmp_path, rows=[{"label": "M", "method": "mine"}], psnr=lambda *_: 1.0)))
        is None
    )


def test_one_test_set_has_neither(tmp_path: Path) -> None:
    results = read_results(fabricate(tmp_path, rows=FEW))
    assert comparison_table(results) is None and realworld_table(results) is None


@pytest.mark.parametrize(("tests", "shown"), [(("celeba", "helen"), "helen"), (("lfw", "celeba"), "lfw")])
def test_table_1_shows_one_set(tmp_path: Path, tests: tuple[str, ...], shown: str) -> None:
    results: Results = read_results(photos(tmp_path, tests))
    table = ablation_table(results)
    assert {column.dataset for column in table.columns} == {"", shown}
    assert f"tested on {shown} (14 faces" in table.caption
    assert [column.key for column in table.columns].count("psnr") == 1


def test_a_set_that_is_not_scored_yet_shows_as_such(tmp_path: Path) -> None:
    folder = photos(tmp_path)
    path = folder / run_name("msfnet-8")
    write_score_rows(path, [row for row in read_score_rows(path) if row["dataset"] != "lfw"])
    table = there(comparison_table(read_results(folder)))
    row = next(row for row in table.rows if row.method == "msfnet-8")
    assert (row.status, cells_on(table, "msfnet-8", "lfw")["psnr"].value) == ("partial", None)
    assert cells_on(table, "msfnet-8", "celeba")["psnr"].value == pytest.approx(44.5)
    assert row.cells[0].remarks == (f"{run_name('msfnet-8')} is scored on 0 of the 14 faces of lfw.",)
