"""CSV: read back by pandas, it holds the numbers themselves."""

from __future__ import annotations

import io
import statistics
from pathlib import Path

import pandas as pd
import pytest

from bench.analysis.results import Results, read_results
from bench.report.csv_file import render
from bench.report.table import Cell, Column, Row, Table
from bench.report.tables import ablation_table, comparison_table
from tests.bench.report.fabricate import (
    FINGERPRINT,
    change,
    fabricate,
    read_score_rows,
    rows_of_table_1,
    run_name,
    write_score_rows,
)

ROWS = [row for row in rows_of_table_1() if row["method"] in ("bicubic", "msfnet-1", "msfnet-7", "msfnet-8")]
ERROR = 'said "no", twice'


def values_of(seed: int) -> list[float]:
    return [27 + seed / 7 + image / 3 for image in range(3)]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    folder = fabricate(
        tmp_path,
        rows=ROWS,
        seeds=(0, 1),
        tests=("synthfaces", "helen"),
        psnr=lambda method, seed, image: values_of(seed)[image],
    )
    for seed in (0, 1):
        path = folder / run_name("msfnet-8", seed)
        rows = read_score_rows(path)
        more = [row["dataset"] == "helen" and row["metric"] == "psnr" for row in rows]
        write_score_rows(path, [{**row, "value": row["value"] + one} for row, one in zip(rows, more, strict=True)])
        change(folder / run_name("msfnet-7", seed) / "run.json", status="failed", error=ERROR)
    return read_results(folder)


def frame_of(table: Table | None) -> pd.DataFrame:
    assert table is not None
    return pd.read_csv(io.StringIO(render(table)))


def test_a_row_a_model_and_test_set(results: Results) -> None:
    frame = frame_of(comparison_table(results))
    assert len(frame) == 8
    assert frame.columns.is_unique
    for dataset, more, published in (("synthfaces", 0, None), ("helen", 1, 27.744)):
        one = frame[(frame["method"] == "msfnet-8") & (frame["dataset"] == dataset)].iloc[0]
        means = [statistics.fmean(values_of(seed)) + more for seed in (0, 1)]
        assert one["psnr"] == pytest.approx(statistics.fmean(means), rel=1e-14)
        assert one["psnr_std"] == pytest.approx(statistics.stdev(means), rel=1e-12)
        assert pd.isna(one["published_psnr"]) if published is None else one["published_psnr"] == published
        assert (one["images"], one["seeds"], one["fingerprint"]) == (3, 2, FINGERPRINT)
        assert one["runs"].split() == [run_name("msfnet-8", seed) for seed in (0, 1)]
    one = (frame := frame_of(ablation_table(results)))[frame["method"] == "msfnet-8"].iloc[0]
    assert (len(frame), one["dataset"], str(one["ESEM"]).lower()) == (4, "helen", "true")
    assert (one["published_psnr"], one["parameters"], one["multiply_adds"]) == (27.744, 10_518_867, 7.13e9)


def test_a_failed_row_has_empty_numbers_and_its_reason(results: Results) -> None:
    frame = frame_of(ablation_table(results))
    failed = frame[frame["method"] == "msfnet-7"]
    assert set(failed["status"]) == {"failed"}
    assert failed[["psnr", "psnr_std", "ssim", "parameters", "fingerprint", "runs"]].isna().all(axis=None)
    assert (failed["images"] == 0).all()
    assert all(text.count(ERROR) == 2 for text in failed["problem"])
    assert frame[frame["method"] == "bicubic"][["psnr_std", "ESEM", "problem"]].isna().all(axis=None)
    assert frame["psnr"].dtype == frame["psnr_std"].dtype == "float64"


def test_texts_that_spreadsheets_would_run_are_not_formulas() -> None:
    texts = ["=1+1", "+A1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\uff1d1", "-0.12", "+1e-3", "Model 8", "", "a=b"]
    columns = (Column("=key", "Key", align="left"), Column("psnr", "PSNR", dataset="x"))
    rows = tuple(Row((Cell(text, text), Cell(-0.12, "-0.12")), "m") for text in texts)
    frame = pd.read_csv(io.StringIO(render(Table("t", "", "", columns, rows))), dtype=str, keep_default_na=False)
    assert frame["'=key"].tolist() == [f"'{text}".replace("\r", "\n") for text in texts[:7]] + texts[7:]
    assert set(frame["psnr"]) == {"-0.12"}, "a number is one"
