"""Two scores are paired by image, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.compare import compare_scores
from bench.cli.main import main
from bench.core.errors import UserError


def scored(path: Path, values: dict[str, float | None], **more: Any) -> Path:
    rows = [{"image": name, "metric": "psnr", "protocol": "sparnet", "value": value} for name, value in values.items()]
    path.write_text(json.dumps({"protocol": "sparnet", "dataset": "d", "fingerprint": "f", "images": rows} | more))
    return path


def test_images_are_paired_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = scored(tmp_path / "a.json", {"3": 30.0, "1": 22.0, "2": 20.0, "4": None})
    b = scored(tmp_path / "b.json", {"1": 21.0, "2": 21.0, "3": 27.0, "4": 5.0, "5": 9.0}, fingerprint="g")
    result = compare_scores(a, b)
    (row,) = result["metrics"]
    assert (row["n"], row["wins"], row["losses"], result["paired"], result["unpaired"]) == (3, 2, 1, 4, [0, 1])
    assert row["difference"] == pytest.approx(1.0) and row["ci95"][0] < 1 < row["ci95"][1]
    assert main(["compare", str(a), str(b)]) == 0
    assert "+1.000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"protocol": "rgb"}, "protocol is sparnet and rgb"),
        ({"dataset": "e"}, "dataset is d and e"),
        ({"fingerprint": "g"}, "other contents"),
        ({"images": []}, "no metric"),
        ({"images": 5}, "no scores of images"),
        ({"images": [{"image": "1"}]}, "expected rows of image"),
    ],
)
def test_scores_of_different_things_are_not_compared(more: dict[str, Any], message: str, tmp_path: Path) -> None:
    a = scored(tmp_path / "a.json", {"1": 1.0})
    with pytest.raises(UserError, match=message):
        compare_scores(a, scored(tmp_path / "b.json", {"1": 2.0}, **more))
