"""Test faces written for other programs: the pictures, their manifest, and what is never overwritten."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli.main import main
from bench.core import paths
from bench.data.degrade import degrade
from bench.data.store import FaceRow, open_split, write_store
from tests.bench.cli.test_cli import error_of, run_json
from tests.bench.conftest import smooth_faces


@pytest.fixture
def exported(job: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Export the test faces of a small job to lr/ and hr/ of a root."""
    monkeypatch.chdir(tmp_path)
    assert main(["data", "export", "mine", "--lr", "lr", "--hr", "hr"]) == 0


def test_an_export_is_what_an_evaluation_takes(
    exported: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_split("mine", "test")
    for side, pictures in {"hr": store.faces, "lr": degrade(np.asarray(store.faces), 8)}.items():
        with (tmp_path / side / "manifest.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["file"] for row in rows] == [f"{name}.png" for name in store.names]
        for row, picture in zip(rows, pictures, strict=True):
            content = (tmp_path / side / row["file"]).read_bytes()
            assert row["sha256"] == hashlib.sha256(content).hexdigest()
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), picture)
            assert (row["fingerprint"], row["faces"], row["side"]) == (store.fingerprint, "3", side)
    told_of = run_json(["data", "export", "mine", "--lr", "few", "--faces", "2", "--scale", "4"], capsys)
    assert told_of["fingerprint"] == store.fingerprint_of(2) and told_of["faces"] == 2
    small = degrade(np.asarray(store.faces[:2]), 4)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "few" / "test-1.png")), small[1])
    assert not (tmp_path / "few" / "test-2.png").exists()


def test_an_export_overwrites_nothing_else(exported: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "export", "mine", "--lr", "lr", "--hr", "hr"]
    before = {path: path.read_bytes() for side in ("lr", "hr") for path in (tmp_path / side).iterdir()}
    (tmp_path / "lr" / "test-1.png").unlink()  # as after a power cut
    assert main(command) == 0
    assert {path: path.read_bytes() for path in before} == before
    for path in (tmp_path / "lr").glob("*.png"):
        Image.open(path).resize((128, 128)).save(path)
    line = error_of(command, capsys)
    assert "--lr lr: 3 other files there (test-0.png, test-1.png, test-2.png)" in line
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "thesis.tex").write_text("years of work")
    assert "another file there (thesis.tex)" in error_of(["data", "export", "mine", "--lr", "mixed"], capsys)
    assert [path.name for path in (tmp_path / "mixed").iterdir()] == ["thesis.tex"]
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed" / "manifest.csv").write_text("mine,not yours\n")
    assert "another file there (manifest.csv)" in error_of(["data", "export", "mine", "--lr", "listed"], capsys)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["export"], "which data set"),
        (["export", "mine"], "no folder given"),
        (["export", "mine", "--lr", "a", "--hr", "a"], "the same folder"),
        (["export", "mine", "--lr", "a", "--faces", "9"], "mine has 3 test faces"),
        (["export", "mine", "--lr", "a", "--scale", "5"], "cannot be shrunk by 5"),
        (["export", "mien", "--lr", "a"], "did you mean 'mine'"),
        (["export", "mine", "--lr", "small.toml"], "small.toml is no folder; give another"),
        (["show", "mine", "--lr", "a"], "--lr: not together with show"),
    ],
)
def test_exports_that_make_no_sense(
    exported: None, capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    assert expected in error_of(["data", *options], capsys)


@pytest.mark.parametrize("target", ["link", "link/within"])
def test_a_link_to_nothing_is_named(
    exported: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    (tmp_path / "link").symlink_to("disk/faces")
    expected = f"--hr {target}: link is a link to disk/faces, which is not there; make that folder or remove the link"
    assert error_of(["data", "export", "mine", "--hr", target], capsys) == f"fsr: {expected}"
    (tmp_path / "disk" / "faces").mkdir(parents=True)
    assert main(["data", "export", "mine", "--hr", target]) == 0


@pytest.mark.parametrize("given", [["--lr", "~"], ["--lr", "~/faces"], ["--lr=~/faces"]])
def test_a_tilde_that_the_shell_left_is_the_user_s_folder(
    exported: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert main(["data", "export", "mine", *given]) == 0
    assert (home / given[-1].rpartition("~")[2].lstrip("/") / "manifest.csv").exists()
    assert not Path("~").exists()


def test_killed_it_goes_on_and_leaves_nothing_half_written(
    exported: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 40
    faces = enumerate(np.tile(smooth_faces(2, 5), (count // 2, 1, 1, 1)))
    write_store(paths.prepared() / "many" / "test", [FaceRow(f"face-{i}") for i in range(count)], faces, {})
    command = ["data", "export", "many", "--hr"]
    process = subprocess.Popen([sys.executable, "-m", "bench.cli.main", *command, "killed"], env={**os.environ})
    while len(list((tmp_path / "killed").glob("*.png"))) < 5:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list((tmp_path / "killed").glob("*.png"))) < count, "it was killed on its way"
    (tmp_path / "killed" / ".0123456789abcdef.tmp").write_bytes(b"half a picture")
    assert main([*command, "killed"]) == main([*command, "whole"]) == 0
    killed, whole = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("killed", "whole")
    )
    assert killed == whole and len(whole) == count + 2  # with its manifest and its lock
