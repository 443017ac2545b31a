"""What tests of `fsr upscale` share: committed networks, a detector that sees two faces, photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.detect import Face
from bench.models import registry, weights
from bench.runs.config import DataRef, RunConfig, Training
from bench.runs.networks import ArchivedNetwork, open_run
from bench.runs.records import RunRecord, RunState, write_run_record
from tests.bench.conftest import smooth_faces

BOXES = [(150.0, 40.0, 190.0, 90.0), (20.0, 5.0, 100.0, 85.0)]  # the second is higher up, so it is face 1
SQUARES = [(5, 0, 111), (135, 30, 70)]  # 1.39 x the longer side: 111.2, moved down to the top edge, and 69.5


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of the test, with no results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    return tmp_path


def make_run(folder: Path, method: str = "tiny", dataset: str = "celeba", **options: Any) -> Path:
    """Write a finished run with random weights; return its folder."""
    torch.manual_seed(0)
    options = registry.options(method, options)
    data = [DataRef(dataset, split, 12000, "f" * 64) for split in ("train", "val")]
    config = RunConfig(method, options, 8, 0, "sparnet", Training(3000), *data)
    write_run_record(folder, dataclasses.replace(RunRecord.new(config), status=RunState.FINISHED))
    weights.save_parts(folder, registry.build(method, options).state_dict(), {})
    return folder


@pytest.fixture
def network(root: Path, monkeypatch: pytest.MonkeyPatch) -> ArchivedNetwork:
    """Commit two networks, of which this one is the best."""
    found = [
        dataclasses.replace(open_run(make_run(root / "kept" / name, width=width)), experiment="photos", psnr=psnr)
        for name, width, psnr in (("best", 1.0, 24.126), ("other", 0.5, 23.0))
    ]
    monkeypatch.setattr("bench.runs.upscale.archived_networks", lambda: found)
    return found[0]


class TwoFaces:
    """A detector that sees two faces in a photo of 240 pixels, and a third whose middle is outside; else none."""

    version = "two 1"

    def detect(self, photos: Sequence[np.ndarray], points: Sequence[bytes]) -> list[list[Face]]:
        boxes = [*BOXES, (-90.0, 20.0, 80.0, 190.0)]
        faces = [Face(box, (), 0.95 + place / 100) for place, box in enumerate(boxes)]
        return [faces if photo.shape[1] == 240 else [] for photo in photos]


@pytest.fixture
def two_faces(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Put that detector in MTCNN's place; return what it was asked for."""
    asked: list[dict[str, Any]] = []

    def make(name: str, **how: Any) -> TwoFaces:
        asked.append({"name": name, **how})
        return TwoFaces()

    monkeypatch.setattr("bench.runs.upscale.make_detector", make)
    return asked


def photo(path: Path, width: int = 240, height: int = 200, seed: int = 0) -> Image.Image:
    """Write a smooth picture as PNG; return it."""
    picture = Image.fromarray(smooth_faces(1, seed, 240)[0]).resize((width, height), Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return picture


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "RGB" and image.format == "PNG"
        return np.asarray(image)


def resized(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BICUBIC)


def network_output(network: ArchivedNetwork, *lr: Image.Image) -> np.ndarray:
    """Return the network's pictures as they are saved, by nothing of `fsr upscale`: uint8 [N, H, W, 3]."""
    batch = torch.stack([torch.from_numpy(np.array(one)).permute(2, 0, 1) / 255 for one in lr])
    with torch.no_grad():
        sr = network.load(torch.device("cpu"))(batch.contiguous(memory_format=torch.channels_last))
    return np.asarray((sr.double().clamp(0, 1) * 255 + 5e-4).floor().to(torch.uint8).permute(0, 2, 3, 1))
