"""Scores are computed once for each content, whatever asks for them, and what cannot be had is told."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
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


KEYS = [place.to_bytes(16) for place in range(700)]
VALUES = {key: np.array([place, np.nan]) for place, key in enumerate(KEYS)}


def filled(path: Path) -> ScoreCache:
    """Return a cache that keeps VALUES."""
    ScoreCache(path).add(VALUES)
    assert all(np.array_equal(value, VALUES[key], equal_nan=True) for key, value in ScoreCache(path).find(KEYS).items())
    return ScoreCache(path)


@pytest.mark.parametrize("damage", ["no database" * 200, "", "cut", "torn"])
def test_a_damaged_cache_is_begun_anew(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(path := tmp_path / "scores.sqlite")
    whole = path.read_bytes()
    half = len(whole) // 2
    files = {"cut": whole[:half], "torn": whole[:half] + bytes(len(whole) - half)}
    path.write_bytes(files.get(damage, damage.encode()))
    cache = ScoreCache(path)
    assert len(cache.find(KEYS)) < len(KEYS)
    assert len(filled(path).find(KEYS)) == len(KEYS)
    assert not damage or f"{path}: damaged (" in caplog.text


@pytest.mark.parametrize("change", ["zeroblob(24)", "'text'", "5", "x'00'", "substr(value, 2)"])
def test_a_value_that_was_changed_is_not_served(change: str, tmp_path: Path) -> None:
    cache = filled(tmp_path / "scores.sqlite")
    with sqlite3.connect(tmp_path / "scores.sqlite") as file:
        file.execute(f"UPDATE scores SET value = {change} WHERE key < ?", [KEYS[3]])
    assert cache.find(KEYS).keys() == set(KEYS[3:])
    with sqlite3.connect(tmp_path / "scores.sqlite") as file:
        file.execute("UPDATE scores SET value = (SELECT value FROM scores WHERE key = ?)", [KEYS[9]])
    assert cache.find(KEYS).keys() == {KEYS[9]}, "a whole value of another key"


def test_a_cache_of_an_older_version_is_passed_over(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "scores.sqlite") as file:
        file.execute("CREATE TABLE scores (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
        file.execute("INSERT INTO scores VALUES (?, ?)", [KEYS[0], np.array([99.0, 1.0]).tobytes()])
    cache = ScoreCache(tmp_path / "scores.sqlite")
    assert not cache.find(KEYS[:1])
    cache.add(VALUES)
    assert len(cache.find(KEYS)) == len(KEYS)


def test_what_cannot_be_kept_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    for _ in range(3):
        assert score(list(get_metrics(["psnr"])), ScoreCache(tmp_path / "file" / "scores.sqlite")).values
    assert caplog.text.count("scores are not kept") == 1 and "FSR_CACHE" in caplog.text


def test_a_cache_that_another_process_holds_is_gone_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.metrics.cache._PATIENCE", 0.01)
    cache = filled(tmp_path / "scores.sqlite")
    with contextlib.closing(sqlite3.connect(tmp_path / "scores.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            cache.add({b"x" * 16: np.ones(2)})
        assert len(cache.find(KEYS)) == len(KEYS), "it is still read"
        assert caplog.text.count("database is locked") == 1


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
