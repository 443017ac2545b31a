"""Anybody's pictures and the faces that they are of: sets in folders, endings, and letters taken apart."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.cli.main import main
from bench.core import paths
from bench.data.degrade import degrade
from bench.data.store import FaceRow, open_split, write_store
from tests.bench.cli.test_cli import error_of
from tests.bench.conftest import smooth_faces
from tests.bench.runs.strangers import NAME, TWO_ROWS, enlarge, pillow_lanczos, results, row_of, told


def second_set(names: list[str], seed: int = 9) -> None:
    rows = [FaceRow(name) for name in names]
    write_store(paths.prepared() / "more" / "test", rows, enumerate(smooth_faces(len(names), seed)), {})


def test_sets_lie_in_subfolders_of_their_names(
    bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second_set(["test-0", "test-1"])  # called as two of the other set's faces
    assert main(["data", "export", "more", "--lr", "lr-more"]) == 0
    enlarge(tmp_path / "lr", tmp_path / "theirs" / "mine")
    enlarge(tmp_path / "lr-more", tmp_path / "theirs" / "more")
    assert main([*bench, "--test", "more", "--pictures", "Theirs=theirs"]) == 0
    (row,) = (row for row in results().rows if row.label == "Theirs")
    for test in results().test:
        store = open_split(test.dataset, "test")
        values = row.runs[0].values(test, "rgb", "psnr")
        expected = [
            -10 * np.log10(np.mean((pillow_lanczos(lr) / 255.0 - hr / 255.0) ** 2))
            for lr, hr in zip(degrade(np.asarray(store.faces), 8), store.faces, strict=True)
        ]
        assert list(values.values()) == pytest.approx(expected, abs=1e-4)


def test_one_folder_is_not_taken_for_two_sets(
    bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second_set(["test-0", "test-1"])
    enlarge(tmp_path / "lr", tmp_path / "theirs")
    told(capsys)
    assert main([*bench, "--test", "more", "--pictures", "Theirs=theirs"]) == 0
    why = "the pictures in theirs are those of mine; expected a subfolder for each test set"
    assert f"Theirs: more: not scored: {why}" in told(capsys)
    (row,) = (row for row in results().rows if row.label == "Theirs")
    mine, more = results().test
    assert row.runs[0].scored(mine, "sparnet") and not row.runs[0].scored(more, "sparnet")
    assert f"Not scored on more: {why}." in (paths.reports() / NAME / "table2.md").read_text()


def test_two_sets_in_one_folder_by_their_names(
    bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second_set(["more-0", "more-1"])
    assert main(["data", "export", "more", "--lr", "lr-more"]) == 0
    for source in ("lr", "lr-more"):
        enlarge(tmp_path / source, tmp_path / "theirs")
    told(capsys)
    assert main([*bench, "--test", "more", "--pictures", "Theirs=theirs"]) == 0
    assert "passed over" not in told(capsys)
    (row,) = (row for row in results().rows if row.label == "Theirs")
    assert all(row.runs[0].scored(test, "sparnet") for test in results().test)


@pytest.mark.parametrize("ending", ["jpg", "webp", "bmp"])
def test_other_endings(bench: list[str], tmp_path: Path, ending: str) -> None:
    enlarge(tmp_path / "lr", tmp_path / "theirs", ending=ending)
    assert main([*bench, "--pictures", "Theirs=theirs"]) == 0
    assert row_of().status == "finished"
    text = (paths.reports() / NAME / "table1.md").read_text()
    assert ("3 of 3 are JPEG, whose losses are scored with them" in text) == (ending == "jpg")


def test_names_whose_letters_are_taken_apart(job: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [unicodedata.normalize("NFC", "Zoë.1"), unicodedata.normalize("NFD", "Ångström")]
    second_set(names)
    assert main(["data", "export", "more", "--lr", "lr"]) == 0
    assert {path.stem for path in Path("lr").glob("*.png")} == set(names)  # kept to the letter
    folder = enlarge(Path("lr"), Path("made"))
    for path in list(folder.iterdir()):
        other = "NFC" if unicodedata.is_normalized("NFD", path.name) else "NFD"
        path.rename(folder / unicodedata.normalize(other, path.name))
    assert {path.stem for path in folder.iterdir()}.isdisjoint(names)
    Path("small.toml").write_text(TWO_ROWS.replace('"theirs"', '"made"'))
    assert main(["run", *job, "--test", "more"]) == 0
    (row,) = (row for row in results().rows if row.label == "Theirs")
    assert row.runs[0].scored(results().test[1], "sparnet")


def test_a_set_without_ground_truth(bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = degrade(smooth_faces(3, 5), 8)
    about = {"kind": "real-world"}
    rows = [FaceRow(f"wild-{place}") for place in range(3)]
    write_store(paths.prepared() / "wild" / "test", rows, enumerate(small), about, size=16)
    assert main(["data", "export", "wild", "--lr", "lr-wild"]) == 0
    for place, picture in enumerate(small):
        assert np.array_equal(np.asarray(Image.open(f"lr-wild/wild-{place}.png")), picture)
    assert "no ground truth" in error_of(["data", "export", "wild", "--hr", "hr-wild"], capsys)
    assert "--scale 4" in error_of(["data", "export", "wild", "--lr", "x", "--scale", "4"], capsys)
    enlarge(tmp_path / "lr", tmp_path / "theirs" / "mine")
    enlarge(tmp_path / "lr-wild", tmp_path / "theirs" / "wild")
    assert main([*bench, "--test", "wild", "--pictures", "Theirs=theirs"]) == 0
    table = pd.read_csv(paths.reports() / NAME / "table3.csv")
    assert table[table.model == "Theirs"]["niqe-pooled"].notna().all()
