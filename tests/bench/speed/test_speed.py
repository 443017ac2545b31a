"""`fsr bench metrics` compares like with like, and would show a metric that is off."""

from __future__ import annotations

import dataclasses

import pytest

from bench.metrics.catalogue import get_metric
from bench.metrics.spec import Pairwise
from bench.speed import metrics as speed
from tests.bench.cli.test_cli import error_of, run_json


def test_the_values_are_pyiqas(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(["bench", "metrics", "--faces", "6", "--reference-faces", "4"], capsys)
    parts = found["parts"]
    assert parts["psnr"]["max_difference"] < 1e-4 and parts["ssim"]["max_difference"] < 1e-5
    assert parts["niqe"]["max_difference"] < 2e-2, "of values about 20: pyiqa's window is float32"
    assert found["max_difference"] == max(part["max_difference"] for part in parts.values())
    assert (found["faces"], found["reference_faces"]) == (6, 4)


def test_a_metric_that_is_off_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = get_metric("psnr")
    assert isinstance(metric, Pairwise)
    off = dataclasses.replace(metric, compute=lambda batch: metric.compute(batch) + 0.01)
    monkeypatch.setattr(speed, "METRICS", ("psnr",))
    monkeypatch.setattr(speed, "get_metric", lambda _: off)
    measured = speed.measure_metrics(3)
    assert measured["max_difference"] == pytest.approx(0.01) and "1.0e-02" in speed.metrics_text(measured)


def test_faces_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--faces: 0 given, expected 1 to" in error_of(["bench", "metrics", "--faces", "0"], capsys)
