"""A tiny ablation on real photographs, from tar archives to Table 1."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path

import pytest

from bench import paths
from bench.cli import main
from tests.bench.conftest import REAL, needs_photos

EXPERIMENT = """
title = "Tiny"
kind = "ablation"
rows = [{ method = "bicubic" }, { method = "sparnet" }, { method = "msfnet-8" }]
"""


def first_photos(archive: str, count: int, out: Path) -> Path:
    """Copy the first photos of an archive into an archive of their own."""
    with tarfile.open(REAL / archive) as source, tarfile.open(out, "w") as target:
        for member in [one for one in source if one.isfile()][:count]:
            file = source.extractfile(member)
            assert file is not None
            target.addfile(member, io.BytesIO(file.read()))
    return out


@needs_photos
def test_from_celeba_tars_to_table_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    (tmp_path / "tiny.toml").write_text(EXPERIMENT)
    splits = {"celeba_train_2of2.tar": 8, "celeba_val.tar": 2, "celeba_test.tar": 4}
    tars = [str(first_photos(name, count, tmp_path / name)) for name, count in splits.items()]
    settings = ["training.iterations=2", "training.warmup=0", "training.validate_every=1", "training.batch=2"]
    command = ["run", str(tmp_path / "tiny.toml"), "--data", "celeba", "--source", *tars, "--jobs", "1", "--json"]
    for setting in settings:
        command += ["--set", setting]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert [run["status"] for run in result["runs"]] == ["finished"] * 3
    with (paths.reports() / "tiny-celeba" / "table1.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert rows["bicubic"]["images"] == rows["msfnet-8"]["images"] == "4"
    assert 18 < float(rows["bicubic"]["psnr"]) < 28
    assert float(rows["sparnet"]["psnr"]) > 0
    prepared = paths.prepared() / "celeba"
    assert {
        split: json.loads((prepared / split / "card.json").read_text())["faces"] for split in ("train", "test")
    } == {
        "train": 8,
        "test": 4,
    }
