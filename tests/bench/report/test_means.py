"""From scores an image to the numbers of Table 1, and what a row shows that has no number."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

from bench.analysis.results import read_results
from bench.core.files import read_csv, write_csv
from bench.report.ablation import ablation_table
from bench.report.table import Cell, Row, Table
from bench.runs.store import SCORE
from tests.bench.report.fabricate import FINGERPRINT, change, fabricate, run_name

DASH = "–"  # noqa: RUF001


def table_of(folder: Path) -> Table:
    return ablation_table(read_results(folder))


def row_of(table: Table, method: str) -> Row:
    return next(row for row in table.rows if row.method == method)


def cell_of(table: Table, method: str, key: str) -> Cell:
    return row_of(table, method).cells[[column.key for column in table.columns].index(key)]


def footnotes_of(table: Table, method: str) -> list[str]:
    return [table.footnotes[index] for index in row_of(table, method).footnotes]


def test_mean_over_images_then_over_seeds(tmp_path: Path) -> None:
    # Means over images 21, 25 and 26: over seeds 24, and a standard deviation of sqrt((9 + 1 + 4) / 2).
    values = {0: (20.0, 22.0), 1: (24.0, 26.0), 2: (23.0, 29.0)}
    folder = fabricate(tmp_path, seeds=(0, 1, 2), images=("a", "b"), psnr=lambda method, seed, i: values[seed][i])
    path = folder / run_name("msfnet-1") / "scores.csv"
    kept = read_csv(path, SCORE)
    others = {"fingerprint": "another", "protocol": "another", "dataset": "another", "metric": "another"}
    write_csv(path, SCORE, [*kept, *({**kept[0], "value": 99, key: value} for key, value in others.items())])

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
    scores = folder / run_name("msfnet-2") / "scores.csv"
    write_csv(scores, SCORE, [row for row in read_csv(scores, SCORE) if row["image"] != "face-1"])
    change(folder / run_name("msfnet-3") / "run.json", status="failed", error="OutOfMemory:\n  1 | 2 GiB.")
    change(folder / run_name("msfnet-4") / "run.json", status="running")
    shutil.rmtree(folder / run_name("msfnet-5"))
    (folder / run_name("msfnet-6") / "run.json").unlink()
    (folder / run_name("msfnet-7") / "scores.csv").unlink()
    scores = folder / run_name("msfnet-8") / "scores.csv"
    write_csv(scores, SCORE, read_csv(scores, SCORE)[:-1])

    table = table_of(folder)
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


def test_a_broken_picture_is_said_beside_the_number(tmp_path: Path) -> None:
    folder = fabricate(tmp_path)
    change(folder / run_name("msfnet-8") / "run.json", broken={FINGERPRINT: ["face-1"], "another": ["x", "y"]})
    table = table_of(folder)
    assert (row_of(table, "msfnet-8").status, cell_of(table, "msfnet-8", "psnr").text) == ("finished", "39.000")
    (footnote,) = footnotes_of(table, "msfnet-8")
    assert footnote.startswith(f"{run_name('msfnet-8')}: the output holds NaN or infinity on 1 of the 3 faces of synth")


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
    costs = ["10.519", "7.130", "0.250"]  # parameters, multiply-adds, time
    gain = "-11.000 [-11.000, -11.000]"
    assert shown["bicubic"][1:] == ["", "", "", "21.000", gain, "0.4200", "24.138", "0.681", "0", "0", "<0.001"]
    assert shown["sparnet"][1:4] + shown["sparnet"][7:9] == ["", "", "", "27.401", "0.818"]
    assert shown["msfnet-1"][4:7] == ["32.000", "", "0.6400"], "the baseline gains nothing over itself"
    gain = "+5.000 [+5.000, +5.000]"
    assert shown["msfnet-6"] == ["Model 6", "✓", "", "✓", "37.000", gain, "0.7400", "27.684", "0.828", *costs]
    assert cell_of(table, "msfnet-6", "parameters").value == 10_518_867


def test_the_caption_says_how_it_was_made(tmp_path: Path) -> None:
    folder = fabricate(tmp_path, seeds=(3, 5), training={"iterations": 30_000, "batch": 8})
    change(folder / run_name("msfnet-8", 3) / "run.json", scored_on="Another GPU")
    table = table_of(folder)
    for part in ("320 faces, feedc0de", "sparnet", "30,000 iterations of batch 8", "seeds 3, 5", "profile quick"):
        assert part in table.caption
    assert "Made-up CPU, 2 threads and Another GPU" in table.caption
    notes = " ".join(table.notes)
    assert "different devices" in notes and "same network" in notes and "standard deviation over seeds" in notes
    shutil.rmtree(folder / run_name("msfnet-8", 3))
    shutil.rmtree(folder / run_name("sparnet", 3))
    shutil.rmtree(folder / run_name("sparnet", 5))
    notes = " ".join(table_of(folder).notes)
    assert "different devices" not in notes and "same network" not in notes, "said only of rows with numbers"
