"""`fsr bench train`, `data` and `attention` compare ours with what computes the same."""

from __future__ import annotations

import io
import random
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from bench.core.machine import one_thread
from bench.runs.config import RunConfig, Training
from bench.runs.trainee import Trainee, batches_of
from bench.speed import contenders, data, peak, train
from bench.speed.attention import attention_text, measure_attention
from bench.speed.contenders import published, variants
from bench.speed.data import data_text
from bench.speed.published import QUALITY, PublishedBatches, PublishedFaces, write_files
from bench.speed.timing import made_up_faces
from bench.speed.train import train_text
from methods.layers.resample import upsample_8bit
from tests.bench.cli.test_cli import error_of, run_json

CPU = torch.device("cpu")
FACES = made_up_faces(6)


@pytest.fixture(autouse=True)
def single_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use one thread, as two wait for each other on a loaded machine, and few faces."""
    for module in (data, train):
        monkeypatch.setattr(module, "_FACES", 8)
    with one_thread():
        yield


def decoded(face: np.ndarray) -> Image.Image:
    """Return the face as it comes out of its JPEG file."""
    out = io.BytesIO()
    Image.fromarray(face).save(out, "JPEG", quality=QUALITY)
    return Image.open(out).convert("RGB")


def grey(tensor: torch.Tensor) -> np.ndarray:
    return (tensor * 255).round().byte().permute(1, 2, 0).numpy()


def test_attention_needs_less_memory_than_the_loop() -> None:
    found = measure_attention(seconds=0.0, shapes=((16, 1), (8, 3)), channels=32)
    assert all(0 < part["memory_mib"] < part["loop_memory_mib"] for part in found["parts"])
    assert found["max_difference"] < 1e-5 and "32x16x16" in attention_text(found)


def test_bench_data(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(["bench", "data", "--batch", "4", "--seconds", "0.01", "--device", "cpu"], capsys)
    assert torch.get_num_threads() == 1 == found["threads"]
    assert found["ratio_enlarged"] < found["ratio"], "the enlargement takes time"
    parts = found["microseconds"]
    assert all(parts[name] < 2 * parts["together"] for name in ("draw", "cut", "degrade", "to float"))
    assert "images/s" in data_text(found)


def test_the_reference_reads_faces_as_ours_are_made(tmp_path: Path) -> None:
    """Uncropped, every face comes as it is or mirrored, and its small picture is PIL's, enlarged by PIL."""
    random.seed(0)
    whole = PublishedFaces(write_files(FACES, tmp_path), area=(1.0, 1.0), aspect=(1.0, 1.0))
    mirrored = 0
    for place in [*range(6)] * 5:
        lr, hr = whole[place]
        face = decoded(FACES[place])
        plain = np.array_equal(grey(hr), np.asarray(face))
        mirrored += not plain
        face = face if plain else face.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert np.array_equal(grey(hr), np.asarray(face))
        small = face.resize((16, 16), Image.Resampling.BICUBIC)
        assert np.array_equal(grey(lr), np.asarray(small.resize((128, 128), Image.Resampling.BICUBIC)))
    assert 3 <= mirrored <= 27


def test_the_reference_crops_what_it_should() -> None:
    random.seed(0)
    faces = PublishedFaces([])
    windows = [faces.window(128, 128) for _ in range(2000)]
    sizes = [(right - left, low - top) for left, top, right, low in windows]
    assert all(left >= 0 and top >= 0 and right <= 128 and low <= 128 for left, top, right, low in windows)
    assert all(0.69 < w * h / 128**2 <= 1 and 0.74 < w / h < 1.35 for w, h in sizes)
    # Large crops fit less often, so the mean lies below the 0.85 of the areas drawn: 0.8026, of 100,000 crops.
    assert 0.797 < statistics.mean(w * h / 128**2 for w, h in sizes) < 0.808


def test_the_reference_s_workers_give_batches_pass_after_pass(tmp_path: Path) -> None:
    batches = PublishedBatches(PublishedFaces(write_files(FACES, tmp_path)), 4, 1)
    for count in (2, 3):
        shapes = [(lr.shape, hr.shape, lr.dtype) for lr, hr in batches.take(count)]
        assert shapes == [((4, 3, 128, 128), (4, 3, 128, 128), torch.float32)] * count


def test_the_reference_s_step_has_the_loss_of_ours() -> None:
    options, training = {"width": 0.125}, Training(4, 3, precision="fp32", schedule="constant")
    config = RunConfig("sparnet", options, 8, 0, "sparnet", training)
    ours, theirs = Trainee(config, CPU), published([], 3, options, CPU)
    theirs.network.load_state_dict(ours.model.state_dict())
    for k in range(2):
        lr, hr = batches_of(config, FACES, CPU)[k]
        expected = theirs.step(upsample_8bit(lr, 8).contiguous(), hr.contiguous())
        # The second step shows that gradients and updates agree as well, up to the signs of Adam's tiniest.
        assert float(ours.step(lr, hr)) == pytest.approx(float(expected), abs=1e-5 if k == 0 else 1e-3)


def test_bench_train(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no convolution is as fast as training, what training reaches is the peak: no share is above 1."""
    monkeypatch.setattr(train, "conv_peak", lambda *_: 1.0)
    monkeypatch.setattr(contenders, "cores", lambda: 1)
    command = ["bench", "train", "--width", "0.0625", "--batch", "1", "--seconds", "0.01", "--device", "cpu"]
    found = run_json([*command, "--precision", "fp32"], capsys)
    assert list(found["parts"]) == ["reference", "fp32"] and found["ratio"] == found["ratios"]["fp32"]
    for part in found["parts"].values():
        assert set(part["split"]) == {"data", "forward", "backward", "step"} and part["memory_mib"] > 1
    assert max(part["share_of_peak"] for part in found["parts"].values()) == 1
    text = train_text(found)
    assert "times the reference (goal: 1.3)" in text and "no convolution that was timed alone was faster" in text


def test_the_peak_is_the_fastest_of_several_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[tuple[int, ...]] = []

    def rate(shape: Any, layout: torch.memory_format, *_: Any) -> float:
        timed.append(shape[0])
        return 2.0 if shape[0] == (2, 8, 20, 20) and layout == torch.channels_last else 1.0

    monkeypatch.setattr(peak, "_rate", rate)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 3, padding=1))
    assert peak.conv_peak(network, torch.rand(2, 3, 20, 20), torch.float32) == 2.0
    assert sorted(timed) == sorted(2 * [(2, 3, 20, 20), (2, 8, 20, 20), peak.SUITABLE[0]])
    x = torch.rand(2, 3, 20, 20)
    with FlopCounterMode(display=False) as counter:
        network(x)
    assert sum(peak._convolutions(network, x).values()) == counter.get_total_flops()


def test_the_ladder_ends_with_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders, "has_compiler", lambda: True)
    found = variants(["fp32", "bf16"], ladder=True)
    assert list(found) == ["data path", "channels_last", "fp32", "bf16", "compile"]
    assert found["compile"] == {"precision": "bf16", "compile": True}
    monkeypatch.setattr(contenders, "has_compiler", lambda: False)
    assert list(variants(["fp32"], ladder=True)) == ["data path", "channels_last", "fp32"]
    assert list(variants(["fp32", "bf16"], ladder=False)) == ["fp32", "bf16"]


@pytest.mark.parametrize("arguments", [["train", "--batch", "0"], ["data", "--batch", "0"]])
def test_a_batch_has_faces(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--batch: 0 given, expected 1 to" in error_of(["bench", *arguments], capsys)
