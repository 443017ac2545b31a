"""`fsr score` names the faces that a mean hides."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.analysis.score import score_method, score_pairs
from bench.cli.main import main
from bench.cli.score import score_text
from bench.core import paths
from bench.core.errors import UserError
from bench.data.degrade import degrade, upsample
from bench.data.store import FaceRow, write_store
from bench.models import weights
from bench.models.authors import load_authors
from bench.runs.evaluate import Enlarger
from tests.bench.conftest import smooth_faces
from tests.methods.pins.make_checkpoint import tensors

CPU = torch.device("cpu")


@pytest.fixture
def _faces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    monkeypatch.setenv("FSR_CACHE", str(tmp_path / "cache"))
    rows = [FaceRow(f"face-{place}") for place in range(4)]
    write_store(paths.prepared() / "mine" / "test", rows, enumerate(smooth_faces(4, 0)), {})


def break_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the second face values far out of range, and one pixel of the third that is not a number."""
    plain = Enlarger.__call__

    def broken(*arguments: Any) -> Iterator[torch.Tensor]:
        for sr in plain(*arguments):
            sr[1, :, ::2] *= 6e16
            sr[2, 0, 0, 0] = torch.nan
            yield sr

    monkeypatch.setattr(Enlarger, "__call__", broken)


@pytest.mark.parametrize("metrics", [["psnr", "ssim"], ["ssim"]])
@pytest.mark.usefixtures("_faces")
def test_a_failing_face_is_named_wherever_the_mean_stands(
    metrics: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sound = score_method("bicubic", None, "mine", "test", None, CPU, metrics=metrics)
    assert sound["failures"] == [] and "fails" not in score_text(sound)
    break_two(monkeypatch)
    result = score_method("bicubic", None, "mine", "test", None, CPU, metrics=metrics)
    exploded, broken = result["failures"]
    assert (broken["image"], broken["finite"]) == ("face-2", False)
    assert (exploded["image"], exploded["finite"]) == ("face-1", True)
    assert exploded["psnr"] < exploded["interpolation"] - 3
    assert list(result["metrics"]) == metrics and {row["metric"] for row in result["images"]} == set(metrics)
    assert all(values["failures"] == 2 for values in result["metrics"].values())
    text = score_text(result)
    assert text.count("2 failures") == len(metrics)
    assert (
        "fails on 2 of 4 faces" in text
        and "interpolated" in text
        and text.splitlines()[-1].endswith(", face-2 (NaN or infinity)")
    )
    assert "-s0-" not in caplog.text + text, "no run of such a name exists"


@pytest.mark.parametrize("with_lr", [True, False])
@pytest.mark.usefixtures("_faces")
def test_failing_pictures_of_a_folder_are_named(with_lr: bool, tmp_path: Path) -> None:
    hr = smooth_faces(3, 1)
    lr = degrade(hr, 8)
    sr = upsample(lr, 8)
    sr[1] = 255 - sr[1]
    for side, pictures in {"sr": sr, "hr": hr, "lr": lr}.items():
        (tmp_path / side).mkdir()
        for place, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / side / f"{place}.png")
    result = score_pairs(tmp_path / "sr", tmp_path / "hr", tmp_path / "lr" if with_lr else None, metrics=["ssim"])
    assert [face["image"] for face in result["failures"]] == ["1"] and result["metrics"]["ssim"]["failures"] == 1
    assert np.isfinite(result["failures"][0]["interpolation"])


@pytest.mark.usefixtures("_faces")
def test_psnr_that_was_not_asked_for_is_no_score() -> None:
    with pytest.raises(UserError, match="no metric can be had: facenet-cosine"):
        score_method("bicubic", None, "mine", "test", None, CPU, metrics=["facenet-cosine"])


@pytest.mark.parametrize(
    ("body", "came"),
    [
        ("raise RuntimeError('no luck\\nat all')", r"failed \(RuntimeError: no luck\)"),
        ("return lr, lr", r"failed \(TypeError: forward gives tuple, expected a Tensor \[4, 3, height, width\]\)"),
        ("raise SystemExit(3)", r"failed \(EndedError: mine.py, line 8, ended the program"),
    ],
)
@pytest.mark.usefixtures("_faces")
def test_a_method_that_fails_is_named_in_one_line(
    body: str, came: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "from torch import nn\nfrom bench import register\n"
        f'@register("mine-{len(body)}", title="Mine", year=2026, trainable=False)\n'
        "class Mine(nn.Module):\n    def __init__(self, scale: int = 8):\n        super().__init__()\n"
        f"    def forward(self, lr):\n        {body}\n"
    )
    (tmp_path / "mine.py").write_text(text)
    plugin = ["--plugin", str(tmp_path / "mine.py"), "--data", "mine", "--device", "cpu"]
    assert main(["score", f"mine-{len(body)}", *plugin]) == 2
    err = capsys.readouterr().err
    assert re.search(rf"^fsr: method 'mine-{len(body)}' {came}", err) and err.count("\n") == 1


@pytest.mark.usefixtures("_faces")
def test_authors_weights_are_scored_and_said_to_be_theirs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The numbers are those of the network itself, whether its tensors have our names or theirs."""
    state, path = tensors("WIPA"), tmp_path / "gen_net_8x"
    torch.save(state, path)
    ours = tmp_path / "ours.safetensors"
    weights.save(ours, load_authors("wipa", path)[0].state_dict())
    command = ["score", "wipa", "--data", "mine", "--device", "cpu", "--metric", "psnr", "--json"]
    results = []
    for file in (path, ours):
        assert main([*command, "--checkpoint", str(file)]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0]["metrics"] == results[1]["metrics"]
    assert main([*command, "--weights", str(ours)]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["metrics"] == results[0]["metrics"] and plain["authors_weights"] is None
    about, digest = results[0]["authors_weights"], hashlib.sha256(path.read_bytes()).hexdigest()
    assert (about["file"], about["sha256"], about["tensors"], about["unused"]) == ("gen_net_8x", digest, 187, 0)
    assert results[0]["label"] == "WIPA (authors' weights)" and results[0]["weights"] is None
    text = score_text(results[0])
    assert f"WIPA (authors' weights): gen_net_8x, SHA-256 {digest};" in text
    assert "not known here, and test faces may be among them" in text and "authors" not in score_text(plain)


@pytest.mark.usefixtures("_faces")
def test_a_checkpoint_needs_its_method_and_stands_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "net.pth")
    torch.save(tensors("WIPA"), path)
    for arguments, message in {
        ("--checkpoint", path): "name its method before it",
        ("wipa", "--checkpoint", path, "--weights", path): "not together with --weights",
        ("wipa", "--checkpoint", path, "--scale", "4"): "no checkpoint of 'wipa': ",
        ("wipa", "--checkpoint", path + "x"): "no such file",
        ("wipa",): "or --checkpoint FILE",
        ("--sr", str(tmp_path), "--checkpoint", path): "not together with --sr",
    }.items():
        assert main(["score", *arguments, "--data", "mine"] if "--sr" not in arguments else ["score", *arguments]) == 2
        assert message in capsys.readouterr().err
