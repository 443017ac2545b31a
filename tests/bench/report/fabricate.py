"""Write a results folder with made-up numbers, as the run store would, for the tests of the report."""

from __future__ import annotations

import dataclasses
import itertools
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.core.files import read_json, write_csv, write_json
from bench.runs.config import RunConfig, Training
from bench.runs.records import LAYOUT
from bench.runs.scores import ScoreSheet, read_scores, write_sheet
from bench.runs.store import CURVE

FINGERPRINT = "feedc0de" * 4
IMAGES = ("face-0", "face-1", "face-2")
# The modules of Models 1-8: ESEM, PA and FEM.
FACTORS = {
    number: tuple(int(module in has) for module in "EPF")
    for number, has in enumerate(("", "F", "P", "E", "EP", "EF", "PF", "EPF"), start=1)
}

Value = Callable[[str, int, int], float]  # method, seed, image's index -> PSNR in dB


def made_up_psnr(method: str, seed: int, image: int) -> float:
    """Return a clearly made-up PSNR: 20 for bicubic, 30 for SPARNet, 31-38 for Models 1-8; 0, 1, 2 more an image."""
    base = {"bicubic": 20.0, "sparnet": 30.0}.get(method) or 30.0 + int(method[-1])
    return base + image + 0.5 * seed


def rows_of_table_1() -> list[dict[str, Any]]:
    """Return the ten rows of the ablation, without runs."""
    rows: list[dict[str, Any]] = [
        {"label": "Bicubic", "method": "bicubic"},
        {"label": "SPARNet", "method": "sparnet"},
    ]
    for number, has in FACTORS.items():
        modules = dict(zip(("ESEM", "PA", "FEM"), map(bool, has), strict=True))
        rows.append({"label": f"Model {number}", "method": f"msfnet-{number}", "modules": modules})
    return rows


def config_of(method: str, seed: int = 0) -> RunConfig:
    """Return the config of a made-up run."""
    training = None if method == "bicubic" else Training(200)
    return RunConfig(method, {}, 8, seed, "sparnet", training)


def run_name(method: str, seed: int = 0) -> str:
    """Return the folder's name of a made-up run."""
    return config_of(method, seed).name


def fabricate(
    folder: Path,
    *,
    seeds: Sequence[int] = (0,),
    images: Sequence[str] = IMAGES,
    rows: Sequence[dict[str, Any]] | None = None,
    tests: Sequence[str] = ("synthfaces",),
    psnr: Value = made_up_psnr,
    pictures: Sequence[np.ndarray] = (),
    protocols: Sequence[str] = ("sparnet",),
    faces: int = 3,
    **changes: Any,
) -> Path:
    """Write experiment.json, a finished run a row and seed, and pictures of the first images, so many as `faces`.

    `changes` go into experiment.json.
    """
    described, shown = [], images[:faces]
    for row in rows_of_table_1() if rows is None else rows:
        own = (0,) if row["method"] == "bicubic" else seeds
        described.append({**row, "runs": [run_name(row["method"], seed) for seed in own]})
        for seed in own:
            write_run(folder, row["method"], seed, images, tests, psnr, protocols)
            _write_samples(folder, row["method"], seed, shown, pictures)
    _write_faces(folder, shown, pictures)
    train = {"dataset": "synthfaces", "split": "train", "faces": 320, "fingerprint": FINGERPRINT}
    record: dict[str, Any] = {
        "layout": LAYOUT,
        "name": folder.name,
        "title": "Ablation of ESEM, PA and FEM",
        "kind": "ablation",
        "profile": "quick",
        "profile_note": "made-up numbers",
        "rows": described,
        "train": train,
        "val": {**train, "split": "val", "faces": 16},
        "test": [{**train, "dataset": name, "split": "test", "faces": len(images)} for name in tests],
        "training": {"iterations": 200, "batch": 8},
        "seeds": list(seeds),
        "protocol": "sparnet",
        "metrics": ["psnr", "ssim"],
        "baseline": "msfnet-1",
        "samples": list(shown),
    }
    write_json(folder / "experiment.json", record | changes)
    return folder


def change(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    write_json(path, read_json(path) | changes)


def write_run(
    folder: Path,
    method: str,
    seed: int,
    images: Sequence[str],
    tests: Sequence[str],
    psnr: Value = made_up_psnr,
    protocols: Sequence[str] = ("sparnet",),
) -> None:
    """Write a finished run: record, curve and scores; every further protocol gives 1 dB less."""
    name = run_name(method, seed)
    about = {
        "layout": LAYOUT,
        "id": config_of(method, seed).id,
        "name": name,
        "status": "finished",
        "error": None,
        "config": dataclasses.asdict(config_of(method, seed)),
        "parameters": 0 if method == "bicubic" else 10_518_867,
        "multiply_adds": 0 if method == "bicubic" else 7_130_000_000,
        "seconds_per_image": 0.0001 if method == "bicubic" else 0.25,
        "device": "Made-up CPU, 2 threads",
        "environment": {"fsr-bench": "0.1.0", "torch": "2.14.1", "commit": "abc123"},
    }
    write_json(folder / name / "run.json", about)
    means = np.mean([psnr(method, seed, i) for i in range(len(images))])
    if method != "bicubic":
        points = [
            {"iteration": i, "loss": 1 / i, "psnr": means * (1 - 0.5 * math.exp(-i / 25)), "learning_rate": 1e-3}
            for i in range(20, 201, 20)
        ]
        write_csv(folder / name / "curve.csv", CURVE, points)
    head = {"run": name, "method": method, "seed": seed, "fingerprint": FINGERPRINT}
    scores = []
    for test, (less, protocol) in itertools.product(tests, enumerate(protocols)):
        for index, image in enumerate(images):
            where = {**head, "dataset": test, "image": image, "protocol": protocol}
            value = float(psnr(method, seed, index)) - less
            scores.append({**where, "metric": "psnr", "value": value})
            scores.append({**where, "metric": "ssim", "value": min(value / 50, 1.0)})
    write_score_rows(folder / name, scores)


def read_score_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the scores of a run's folder, a row an image, metric and protocol."""
    return [
        {"dataset": sheet.dataset, "image": image, "metric": metric, "protocol": protocol, "value": value}
        | {"fingerprint": sheet.fingerprint}
        for sheet in read_scores(folder).values()
        for metric, protocol in sheet.scored
        for image, value in sheet.values(metric, protocol).items()
    ]


def write_score_rows(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Replace the scores of a run's folder by rows like those of `read_score_rows`."""
    shutil.rmtree(folder / "scores", ignore_errors=True)
    for dataset, fingerprint in dict.fromkeys((row["dataset"], row["fingerprint"]) for row in rows):
        own = [row for row in rows if (row["dataset"], row["fingerprint"]) == (dataset, fingerprint)]
        images = tuple(dict.fromkeys(row["image"] for row in own))
        columns: dict[str, dict[str, float]] = {}
        for row in own:
            columns.setdefault(f"{row['metric']}@{row['protocol']}", {})[row["image"]] = float(row["value"])
        table = {name: tuple(map(values.get, images)) for name, values in columns.items()}
        write_sheet(folder, ScoreSheet(dataset, fingerprint[:12], images, table))


def face(index: int, size: int = 128) -> np.ndarray:
    """Return noise, uint8 [size, size, 3]: a picture in which every resampling shows."""
    return np.random.default_rng(index).integers(0, 256, (size, size, 3), dtype=np.uint8)


def _write_faces(folder: Path, images: Sequence[str], pictures: Sequence[np.ndarray]) -> None:
    for index, name in enumerate(images):
        picture = pictures[index] if pictures else face(index)
        low = Image.fromarray(picture).resize((16, 16), Image.Resampling.BICUBIC)
        _save(folder / "samples" / f"{name}_hr.png", Image.fromarray(picture))
        _save(folder / "samples" / f"{name}_lr.png", low)


def _write_samples(folder: Path, method: str, seed: int, images: Sequence[str], pictures: Sequence[np.ndarray]) -> None:
    for index, name in enumerate(images):
        if pictures:
            detail = 8 if method == "bicubic" else 3 - 0.2 * int(method[-1] if method[-1].isdigit() else 0)
            size = round(128 / detail)
            low = Image.fromarray(pictures[index]).resize((size, size), Image.Resampling.BICUBIC)
            picture = low.resize((128, 128), Image.Resampling.BICUBIC)
        else:
            picture = Image.fromarray(face(hash_of(method, seed, index)))
        _save(folder / run_name(method, seed) / "samples" / f"{name}.png", picture)


def hash_of(method: str, seed: int, index: int) -> int:
    """Return the number from which a made-up SR face is drawn."""
    return sum(map(ord, method)) * 1000 + seed * 100 + index


def _save(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
