"""Scores are computed once for each content, whatever asks for them, and what cannot be had is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.core.errors import UserError
from bench.data.degrade import degrade, upsample
from bench.metrics.cache import ScoreCache, content, key_of
from bench.metrics.catalogue import get_metric, get_metrics
from bench.metrics.protocol import PROTOCOLS
from bench.metrics.scoring import Scorer, Scores
from bench.metrics.spec import Batch, Described, Description, Metric, Pairwise, UnavailableError, distance
from bench.runs.evaluate import to_tensor
from tests.bench.conftest import smooth_faces

FIRST = [PROTOCOLS["sparnet"]]


def score(metrics: list[Metric], cache: ScoreCache | None = None, count: int = 5, batch: int = 2) -> Scores:
    """Score Bicubic on `count` faces, `batch` at a time."""
    hr = smooth_faces(count, 0)
    lr = degrade(hr, 8)
    sr = to_tensor(upsample(lr, 8))
    scorer = Scorer(metrics, FIRST, cache=cache)
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        scorer.add(sr[part], hr[part], lr[part])
    return scorer.finish()


def counting(name: str, calls: list[int]) -> Pairwise:
    metric = get_metric(name)
    assert isinstance(metric, Pairwise)

    def compute(batch: Batch) -> torch.Tensor:
        calls.append(len(batch.sr))
        return metric.compute(batch)

    return dataclasses.replace(metric, compute=compute)


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    calls: list[int] = []
    metrics: list[Metric] = [counting("psnr", calls), get_metric("niqe-pooled"), get_metric("lr-psnr")]
    bare = score(metrics)
    first = score(metrics, ScoreCache(tmp_path / "a" / "scores.sqlite"), count=3)
    assert calls == [2, 2, 1, 2, 1]
    again = score(metrics, ScoreCache(tmp_path / "a" / "scores.sqlite"))
    assert calls == [2, 2, 1, 2, 1, 1, 1], "two of the five were not known"
    assert set(bare.values) == set(again.values) == {("sparnet", metric.name) for metric in metrics}
    for key, values in bare.values.items():
        assert np.array_equal(values, again.values[key]) or key[1] == "lr-psnr"
    assert np.array_equal(first.values["sparnet", "psnr"], bare.values["sparnet", "psnr"][:3])


def test_ground_truth_is_described_once(tmp_path: Path) -> None:
    """Two methods on one face set, and two metrics that share a description."""
    counts: list[int] = []

    def describe(pictures: np.ndarray) -> np.ndarray:
        counts.append(len(pictures))
        return pictures.mean((1, 2))

    description = Description("mean", describe)
    common = {"needs": ("hr",), "source": "", "description": description, "compare": distance}
    metrics = [Described(name, name, "", False, 3, **common) for name in ("a", "b")]  # type: ignore[arg-type]
    hr = smooth_faces(2, 0)
    for seed in (1, 2):
        scorer = Scorer(metrics, FIRST, cache=ScoreCache(tmp_path / "scores.sqlite"))
        scorer.add(to_tensor(smooth_faces(2, seed)), hr)
        assert {name for _, name in scorer.finish().values} == {"a", "b"}
    assert counts == [2, 2, 2]


def test_a_key_tells_everything_apart() -> None:
    wide, high = np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8)
    assert len({content(picture) for picture in (wide, high, wide.astype(np.int8), wide)}) == 3
    keys = [
        key_of({"metric": metric, "protocol": protocol}, pair)
        for metric in ("psnr", "ssim")
        for protocol in ("x", "y")
        for pair in ([b"a", b"b"], [b"b", b"a"])
    ]
    assert len(set(keys)) == 8


def test_protocols_do_not_share_values(tmp_path: Path) -> None:
    hr = smooth_faces(2, 1)
    sr = to_tensor(upsample(degrade(hr, 8), 8))
    cache = ScoreCache(tmp_path / "scores.sqlite")
    for _ in range(2):
        scorer = Scorer(get_metrics(["psnr", "ssim", "niqe"]), list(PROTOCOLS.values()), cache=cache)
        scorer.add(sr, hr)
        found = scorer.finish().values
        assert len({float(found[name, "psnr"][0]) for name in PROTOCOLS}) >= 6
        assert [key for key in found if key[1] == "niqe"] == [("sparnet", "niqe")]


def test_a_damaged_cache_costs_time_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "scores.sqlite").write_text("no database" * 200)
    found = score(get_metrics(["psnr"]), ScoreCache(tmp_path / "scores.sqlite"))  # type: ignore[arg-type]
    assert len(found.values["sparnet", "psnr"]) == 5
    assert "scores are not kept" in caplog.text and "scores.sqlite" in caplog.text


def test_what_cannot_run_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def compute(_: Batch) -> torch.Tensor:
        raise UnavailableError("no weights; run `fsr fetch it`")

    broken = dataclasses.replace(get_metric("psnr"), name="broken", compute=compute)
    found = score([broken, get_metric("psnr")])
    assert set(found.values) == {("sparnet", "psnr")}
    assert found.unavailable["broken"] == "no weights; run `fsr fetch it`"
    assert caplog.text.count("no weights") == 1


def test_without_ground_truth_only_what_needs_none_is_scored() -> None:
    scorer = Scorer(get_metrics(["psnr", "lr-psnr", "niqe"]), FIRST)
    scorer.add(to_tensor(smooth_faces(2, 2)))
    found = scorer.finish()
    assert set(found.values) == {("sparnet", "niqe")}
    assert found.unavailable == {"psnr": "needs ground truth", "lr-psnr": "needs the low-resolution input"}


@pytest.mark.parametrize(
    ("sr", "message"),
    [
        (torch.full((1, 3, 128, 128), torch.nan), "NaN or infinity"),
        (torch.full((1, 3, 128, 128), torch.inf), "NaN or infinity"),
        (torch.zeros(1, 3, 64, 64), r"shape \[1, 3, 64, 64\], expected \[1, 3, 128, 128\]"),
        (torch.zeros(2, 3, 128, 128), r"shape \[2, 3, 128, 128\]"),
    ],
)
def test_pictures_that_cannot_be_scored(sr: torch.Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Scorer(get_metrics(["psnr"]), FIRST).add(sr, smooth_faces(1, 0))
