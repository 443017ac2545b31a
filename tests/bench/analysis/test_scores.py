"""The frame of all scores has what the runs' files have."""

from __future__ import annotations

from pathlib import Path

from bench.analysis.results import read_results
from bench.analysis.scores import KEYS, score_frame
from tests.bench.report.fabricate import fabricate, rows_of_table_1


def test_the_frame_has_a_row_an_image_and_run(tmp_path: Path) -> None:
    folder = fabricate(
        tmp_path, rows=rows_of_table_1()[:3], seeds=(0, 1), tests=("a", "b"), protocols=("sparnet", "dic")
    )
    results = read_results(folder)
    frame = score_frame(results)
    assert len(frame) == (1 + 2 + 2) * 2 * 3, "runs, test sets, images"
    assert list(frame.columns[: len(KEYS)]) == list(KEYS)
    test, run = results.test[1], results.rows[2].runs[1]
    own = frame[(frame["run"] == run.name) & (frame["dataset"] == test.dataset)]
    assert dict(zip(own["image"], own["psnr@dic"], strict=True)) == run.values(test, "dic", "psnr")
