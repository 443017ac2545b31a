"""Results as large as anybody's, made up in memory: 14 rows, 5 test sets, 2,000 images each."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from bench.analysis.results import FaceSet, Point, Results, RowResult, RunResult
from bench.report.interactive.gather import gather
from bench.report.interactive.pictures import _uri
from bench.report.interactive.record import Face, PageData
from bench.runs.records import RunState
from bench.runs.scores import Scores, ScoreSheet

ROWS, IMAGES = 14, tuple(f"face-{i:04}" for i in range(2000))
TESTS = tuple(FaceSet(f"set-{i}", len(IMAGES), f"{i}0" * 32) for i in range(5))
COLUMNS = ("psnr@sparnet", "ssim@sparnet", "psnr@rgb")
WORST = IMAGES[1234]  # of every row on every set


def large_results(folder: Path) -> Results:
    """Return an experiment of ROWS rows, each 0.05 dB above the one before it; the last was made elsewhere."""
    draw = np.random.default_rng(0)
    hard = draw.normal(24, 2, len(IMAGES))
    hard[IMAGES.index(WORST)] = 10
    return Results(
        folder=folder,
        name="large",
        title="A large comparison",
        kind="comparison",
        protocol="sparnet",
        profile="full",
        profile_note="",
        iterations=1000,
        batch=8,
        seeds=(0, 1),
        samples=(),
        train=FaceSet("train", 100, "a" * 64, split="train"),
        val=FaceSet("train", 10, "b" * 64, split="val"),
        test=TESTS,
        rows=tuple(_row(place, hard, draw) for place in range(ROWS)),
        baseline="method-0",
    )


def _row(place: int, hard: np.ndarray, draw: np.random.Generator) -> RowResult:
    runs = tuple(_run(place, seed, hard, draw) for seed in (0, 1))
    foreign = "pictures from elsewhere" if place == ROWS - 1 else ""
    return RowResult(f"Method {place}", f"method-{place}", runs, foreign=foreign)


def _run(place: int, seed: int, hard: np.ndarray, draw: np.random.Generator) -> RunResult:
    scores = Scores()
    for test in TESTS:
        psnr = hard + 0.05 * place + 0.01 * seed + draw.normal(0, 0.1, len(IMAGES))
        columns = {"psnr@sparnet": psnr, "ssim@sparnet": psnr / 40, "psnr@rgb": psnr - 1}
        sheet = ScoreSheet(
            test.dataset, test.fingerprint[:12], IMAGES, {k: tuple(map(float, v)) for k, v in columns.items()}
        )
        scores.put(sheet)
    return RunResult(
        name=f"method-{place}-s{seed}",
        folder=Path("nowhere"),
        status=RunState.FINISHED,
        method=f"method-{place}",
        seed=seed,
        parameters=1_000_000 * (place + 1),
        multiply_adds=1_000_000_000 * (place + 1),
        seconds_per_image=0.01 * (place + 1),
        device="a CPU",
        environment={"commit": "abc123"},
        scores=scores,
        curve=tuple(Point(i, 20 + place / 10 + i / 1000) for i in range(100, 1001, 100)),
    )


def large_page(folder: Path) -> PageData:
    """Return the page's records of it, with pictures of the first faces by the first three rows."""
    data = gather("A large comparison", [large_results(folder)])
    (experiment,) = data.experiments
    draw = np.random.default_rng(1)
    pixels = [draw.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(5)]
    hr, lr, *sr = map(_uri, pixels)
    face = Face(hr, lr, {str(place): one for place, one in enumerate(sr)})
    faces = {experiment.seen: dict.fromkeys(IMAGES[:4], face)}
    return dataclasses.replace(data, experiments=(dataclasses.replace(experiment, faces=faces),))
