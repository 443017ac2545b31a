"""Tables 2 and 3: several test sets side by side, with and without a truth, and what Table 1 then shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.results import Results, read_results
from bench.core.files import read_csv, read_json, write_csv
from bench.report.ablation import ablation_table
from bench.report.build import build_report
from bench.report.comparison import comparison_table, realworld_table
from bench.report.table import Cell, Table
from bench.runs.store import SCORE
from tests.bench.report.fabricate import change, fabricate, rows_of_table_1, run_name

REAL = ("widerface", "webface")
WIDE = {"label": "SPARNet-wide", "method": "sparnet", "match": "msfnet-8"}
IMAGES = tuple("abcdefghij")  # Wilcoxon's p with Holm's correction takes as many
STAND_IN = "All-Age-Faces stands in for WebFace."


def photos(
    folder: Path,
    tests: tuple[str, ...] = ("celeba", "helen", "lfw", *REAL),
    seeds: tuple[int, ...] = (0,),
    rows: Sequence[dict[str, Any]] | None = None,
) -> Path:
    """Write results on `tests`; those of REAL have no truth and NIQE of 50 less the PSNR that would be there."""
    audit = {"dataset": "webface", "title": "WebFace", "stands_for": STAND_IN, "splits": {}, "paper": {}, "leakage": []}
    fabricate(
        folder,
        images=IMAGES,
        tests=tests,
        seeds=seeds,
        rows=rows,
        metrics=["psnr", "ssim", "niqe-pooled"],
        audits=[audit] if "webface" in tests else [],
    )
    for path in folder.glob("*/scores.csv"):
        rows = []
        for row in read_csv(path, SCORE):
            if row["dataset"] not in REAL:
                rows.append(row)
            elif row["metric"] == "psnr":
                rows.append({**row, "metric": "niqe-pooled", "value": str(50 - float(row["value"]))})
        write_csv(path, SCORE, rows)
    described = read_json(folder / "experiment.json")["test"]
    change(folder / "experiment.json", test=[{**one, "truth": one["dataset"] not in REAL} for one in described])
    return folder


def table_of(draw: Table | None) -> Table:
    assert draw is not None
    return draw


def cells(table: Table, method: str, dataset: str) -> dict[str, Cell]:
    row = next(row for row in table.rows if row.method == method)
    pairs = zip(table.columns, row.cells, strict=True)
    return {column.key: cell for column, cell in pairs if column.dataset == dataset}


def published(found: dict[str, Cell]) -> tuple[object, object]:
    return found["published_psnr"].value, found["published_ssim"].value


def test_measured_and_published_stand_side_by_side(tmp_path: Path) -> None:
    results = read_results(photos(tmp_path, seeds=(0, 1)))
    table = table_of(comparison_table(results))
    assert list(dict.fromkeys(column.dataset for column in table.columns if column.dataset)) == [
        "celeba",
        "helen",
        "lfw",
    ]
    assert [row.method for row in table.rows] == [row.method for row in results.rows]
    ours = cells(table, "msfnet-8", "lfw")
    assert ours["psnr"].text == "42.750 ± 0.354" and ours["psnr"].value == pytest.approx(42.75)
    assert published(ours) == (29.165, 0.838), "Model 8 is the paper's own network"
    assert published(cells(table, "sparnet", "celeba")) == (27.167, 0.789)
    assert published(cells(table, "bicubic", "helen")) == (24.138, 0.681)
    assert published(cells(table, "msfnet-3", "helen")) == (None, None), "Table 1 is not Table 2"
    assert ours["psnr"].provenance is not None and ours["psnr"].provenance.dataset == "lfw"
    assert ours["psnr"].emphasis and not cells(table, "bicubic", "lfw")["psnr"].emphasis
    assert "lfw (10 faces" in table.caption and "widerface" not in table.caption


def test_without_a_truth_niqe_alone_and_its_caveats(tmp_path: Path) -> None:
    table = table_of(realworld_table(read_results(photos(tmp_path))))
    assert [column.key for column in table.columns if column.dataset == "webface"] == ["niqe-pooled", "published_niqe"]
    ours = cells(table, "msfnet-8", "webface")
    assert (ours["niqe-pooled"].value, ours["published_niqe"].value) == (7.5, 11.8835)
    assert ours["niqe-pooled"].emphasis == "tie" and not cells(table, "bicubic", "webface")["niqe-pooled"].emphasis
    notes = " ".join(table.notes)
    assert STAND_IN in notes and "only the order of the methods" in notes and "Lower is better: NIQE (pooled)" in notes
    assert "one 96x96 block" in notes


def test_a_widened_network_has_nothing_published(tmp_path: Path) -> None:
    folder = fabricate(tmp_path, rows=[*rows_of_table_1(), WIDE], tests=("celeba", "helen"))
    table = table_of(comparison_table(read_results(folder)))
    wide = dict(zip([column.key for column in table.columns], table.rows[-1].cells, strict=True))
    assert (wide["model"].text, wide["published_psnr"].value) == ("SPARNet-wide", None)
    assert "SPARNet-wide: sparnet, widened to the size of Model 8." in table.notes


def test_sets_that_the_paper_does_not_have_stand_alone(tmp_path: Path) -> None:
    table = table_of(comparison_table(read_results(fabricate(tmp_path, tests=("mine", "yours")))))
    assert [column.key for column in table.columns] == ["model", *("psnr", "ssim") * 2]
    assert "Published" not in " ".join(table.notes)


def test_one_test_set_has_neither(tmp_path: Path) -> None:
    results = read_results(fabricate(tmp_path))
    assert comparison_table(results) is None and realworld_table(results) is None


@pytest.mark.parametrize(("tests", "shown"), [(("celeba", "helen"), "helen"), (("lfw", "celeba"), "lfw")])
def test_table_1_shows_one_set(tmp_path: Path, tests: tuple[str, ...], shown: str) -> None:
    results: Results = read_results(photos(tmp_path, tests))
    table = ablation_table(results)
    assert {column.dataset for column in table.columns} == {"", shown}
    assert f"tested on {shown} (10 faces" in table.caption
    assert [column.key for column in table.columns].count("psnr") == 1


def test_the_index_has_all_tables_and_says_which_sets_are_where(tmp_path: Path) -> None:
    out = tmp_path / "report"
    rows = [row for row in rows_of_table_1() if row["method"] in ("bicubic", "sparnet", "msfnet-8")]
    written = {path.name for path in build_report(photos(tmp_path / "results", rows=rows), out)}
    names = {f"table{number}.{kind}" for number in (1, 2, 3) for kind in ("md", "tex", "csv")}
    assert names <= written
    text = (out / "index.md").read_text(encoding="utf-8")
    for name in ("table1", "table2", "table3"):
        assert (out / f"{name}.md").read_text(encoding="utf-8").strip() in text and f"({name}.tex)" in text
    assert "This table shows helen; the other test sets are in [Table 2](table2.md) and [Table 3](table3.md)." in text
    assert "## The published numbers (Table 1, Table 2, Table 3)" in text
    assert text.count("Colour channel, rounding, border") == 1, "an erratum of several tables is told once"
    build_report(fabricate(tmp_path / "results", rows=rows, samples=[]), out)
    assert not names & {path.name for path in out.iterdir() if path.name[:6] in ("table2", "table3")}


def test_a_set_that_is_not_scored_yet_shows_as_such(tmp_path: Path) -> None:
    folder = photos(tmp_path)
    path = folder / run_name("msfnet-8") / "scores.csv"
    write_csv(path, SCORE, [row for row in read_csv(path, SCORE) if row["dataset"] != "lfw"])
    table = table_of(comparison_table(read_results(folder)))
    row = next(row for row in table.rows if row.method == "msfnet-8")
    assert (row.status, cells(table, "msfnet-8", "lfw")["psnr"].value) == ("partial", None)
    assert cells(table, "msfnet-8", "celeba")["psnr"].value == pytest.approx(42.5)
    assert [table.footnotes[place] for place in row.footnotes] == [
        f"{run_name('msfnet-8')} is scored on 0 of the 10 faces of lfw."
    ]
