"""Rows that were made elsewhere: shown with whose they are, and no part of any comparison of equal budgets."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from bench.analysis.claims import Mark, covers_training, emphasis, find_row, gain
from bench.analysis.failures import reference_row
from bench.analysis.results import Results, read_results
from bench.report import csv_file, html, latex, markdown
from bench.report.columns import CLAIMED
from bench.report.draw import draw_report
from bench.report.faces import make_strips
from bench.report.pages import metrics_page
from bench.report.tables import ablation_table
from tests.bench.report.fabricate import fabricate

WHOSE = "pictures from outputs: no training claimed"
IMAGES = tuple("abcdefghijklmn")
BEST, FIRST = "msfnet-8", "msfnet-1"


def written(folder: Path, foreign: str = "") -> Results:
    """Write three rows with two seeds each; Model 8, the best by far and the first, is marked by `foreign`."""
    rows = [
        {"label": "Model 8", "method": BEST, **({"foreign": foreign} if foreign else {})},
        {"label": "Bicubic", "method": "bicubic"},
        {"label": "Model 1", "method": FIRST},
    ]
    return read_results(fabricate(folder, rows=rows, images=IMAGES, seeds=(0, 1)))


def test_a_foreign_row_comes_last_and_takes_no_part(tmp_path: Path) -> None:
    own, results = written(tmp_path / "own"), written(tmp_path / "foreign", WHOSE)
    (test,) = results.test
    assert [row.label for row in own.rows] == ["Model 8", "Bicubic", "Model 1"]
    assert [row.label for row in results.rows] == ["Bicubic", "Model 1", "Model 8"]
    assert emphasis(own, own.test[0], "psnr") == {0: Mark("best"), 2: Mark("second")}
    assert emphasis(results, test, "psnr") == {1: Mark("best"), 0: Mark("second")}
    assert own.plain(BEST) is not None and results.plain(BEST) is None
    assert covers_training(results, test, "psnr")


def test_a_foreign_row_is_not_what_failures_are_told_by(tmp_path: Path) -> None:
    rows = [
        {"label": "Theirs", "method": "bicubic", "foreign": WHOSE},
        {"label": "Model 1", "method": FIRST},
    ]
    results = read_results(fabricate(tmp_path / "bench", rows=rows, images=IMAGES))
    assert reference_row(results) is None


def test_every_table_says_whose_the_row_is(tmp_path: Path) -> None:
    results = written(tmp_path / "bench", WHOSE)
    table = ablation_table(results)
    assert table.rows[-1].foreign == WHOSE and table.own_rows == 2
    lines = markdown.render(table).splitlines()
    marked = next(line for line in lines if line.startswith("| Model 8"))
    assert "[a]" in marked and "**" not in marked and "<ins>" not in marked
    assert lines.index(marked) == next(place for place, line in enumerate(lines) if "*Made elsewhere*" in line) + 1
    assert f"- a: Model 8: {WHOSE}." in lines
    assert any("no part of these comparisons" in line for line in lines)
    body = latex.render(table).partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    before, rule, after = body.partition(r"\midrule")
    assert rule and "Model 1" in before and "Model 8" in after and "Model 8" not in before
    before, heading, after = html.render(table).partition(
        f'<tr><th colspan="{len(table.columns)}">Made elsewhere</th></tr>'
    )
    assert heading and "Model 1" in before and "Model 8" not in before and "Model 8" in after
    rows = pd.read_csv(io.StringIO(csv_file.render(table)))
    assert rows.foreign.dropna().to_dict() == {2: WHOSE} and rows.problem.isna().all()


def test_without_foreign_rows_nothing_is_said_of_them(tmp_path: Path) -> None:
    table = ablation_table(written(tmp_path / "bench"))
    for render in (markdown.render, latex.render, html.render, csv_file.render):
        assert "elsewhere" not in render(table) and "foreign" not in render(table)
    assert latex.render(table).count(r"\midrule") == 1


def test_no_star_and_no_correction_for_foreign_rows(tmp_path: Path) -> None:
    cells = {}
    for foreign in ("", WHOSE):
        own = written(tmp_path / (foreign[:4] or "own"), foreign)
        page = metrics_page(own)
        assert page is not None
        gains = next(table for table in page.tables if table.name == "gains")
        cells[foreign] = {row.cells[0].value: row.cells[1] for row in gains.rows}
    assert cells[""]["Model 8"].text.endswith(CLAIMED) and cells[""]["Bicubic"].text.endswith(CLAIMED)
    assert CLAIMED not in cells[WHOSE]["Model 8"].text and cells[WHOSE]["Model 8"].p is None
    one, base = (find_row(own, label) for label in ("Bicubic", "Model 1"))
    alone = gain(own, one, base, own.test[0], "psnr")
    assert alone is not None and cells[WHOSE]["Bicubic"].p == alone.p, "corrected for one row, not two"


def test_its_pictures_are_shown_but_never_bold(tmp_path: Path) -> None:
    strips = {strip.title: strip for strip in make_strips(written(tmp_path / "bench", WHOSE))}
    assert not any(tile.strong for tile in strips["Model 8"].tiles)
    assert all(tile.strong for tile in strips["Model 1"].tiles)


def test_a_report_of_foreign_rows_alone(tmp_path: Path) -> None:
    rows = [{"label": "Theirs", "method": "bicubic", "foreign": WHOSE}]
    results = read_results(fabricate(tmp_path / "bench", rows=rows))
    assert draw_report(results, tmp_path / "report")
