"""Anybody's pictures as a row: exported inputs, what other programs make of them, and what is wrong with a folder."""

from __future__ import annotations

import importlib.util
import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.analysis.results import Results, read_results
from bench.cli.main import main
from bench.core import paths
from bench.core.files import read_json
from bench.data.degrade import degrade
from bench.data.store import FaceRow, open_split, write_store
from bench.metrics import scoring
from bench.runs.records import read_experiment_record, read_run_record
from tests.bench.cli.test_cli import error_of, run_json
from tests.bench.conftest import smooth_faces

NAME = "small-short-mine"
TWO_ROWS = """
title = "Small"
kind = "ablation"
[[rows]]
method = "bicubic"
[[rows]]
label = "Theirs"
pictures = "theirs"
"""
Program = Callable[[np.ndarray], np.ndarray]  # uint8 [16, 16, 3] -> uint8 [128, 128, 3]


def pillow_lanczos(lr: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(lr).resize((128, 128), Image.Resampling.LANCZOS))


def opencv_lanczos(lr: np.ndarray) -> np.ndarray:
    import cv2

    return np.asarray(cv2.resize(lr, (128, 128), interpolation=cv2.INTER_LANCZOS4))


def scikit_bicubic(lr: np.ndarray) -> np.ndarray:
    from skimage.transform import resize

    return np.asarray(resize(lr, (128, 128), order=3, preserve_range=True).clip(0, 255).round().astype(np.uint8))


SECOND = opencv_lanczos if importlib.util.find_spec("cv2") else scikit_bicubic


def enlarge(source: Path, target: Path, program: Program = pillow_lanczos, ending: str = "png") -> Path:
    """Do as a stranger would who has never seen this project: open each PNG, enlarge it, save it under its name."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.png")):
        large = program(np.asarray(Image.open(path)))
        Image.fromarray(large).save(target / f"{path.stem}.{ending}")
    return target


@pytest.fixture
def bench(job: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the arguments of `fsr run` for Bicubic alone, with the test faces exported to lr/ and hr/ of a root."""
    (tmp_path / "small.toml").write_text('title = "Small"\nkind = "ablation"\n[[rows]]\nmethod = "bicubic"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["data", "export", "mine", "--lr", "lr", "--hr", "hr"]) == 0
    return ["run", *job]


def results(name: str = NAME) -> Results:
    return read_results(paths.results() / name)


def row_of(label: str = "Theirs") -> pd.Series:
    table = pd.read_csv(paths.reports() / NAME / "table1.csv")
    return table[table.model == label].iloc[0]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def luma(picture: np.ndarray) -> np.ndarray:
    """Return what the protocol of tables compares, by scikit-image: MATLAB's luma, truncated."""
    from skimage.color import rgb2ycbcr

    return np.asarray(np.floor(rgb2ycbcr(picture)[..., 0] + 1e-9))


def test_two_programs_as_strangers_run_them(
    bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from skimage.metrics import peak_signal_noise_ratio

    programs = {"Pillow's Lanczos": pillow_lanczos, "Theirs": SECOND}
    given = []
    for label, program in programs.items():
        enlarge(tmp_path / "lr", tmp_path / program.__name__, program)
        given += ["--pictures", f"{label}={program.__name__}"]
    assert main([*bench, *given]) == 0
    for label, program in programs.items():
        pairs = [
            [np.asarray(Image.open(tmp_path / side / path.name)) for side in ("hr", program.__name__)]
            for path in sorted((tmp_path / "hr").glob("*.png"))
        ]
        assert len(pairs) == 3
        plain = [peak_signal_noise_ratio(hr, sr) for hr, sr in pairs]
        own = [peak_signal_noise_ratio(luma(hr), luma(sr), data_range=255) for hr, sr in pairs]
        assert row_of(label).psnr == pytest.approx(np.mean(own), abs=1e-4)
        (row,) = (row for row in results().rows if row.label == label)
        scored = row.runs[0].values(results().test[0], "skimage", "psnr")
        assert list(scored) == [path.stem for path in sorted((tmp_path / "hr").glob("*.png"))]
        assert list(scored.values()) == pytest.approx(plain, abs=1e-4)
    assert row_of("Theirs").psnr != row_of("Pillow's Lanczos").psnr
    assert [row.label for row in results().rows] == ["Bicubic", *programs]


def test_what_a_report_says_of_the_row(bench: list[str], tmp_path: Path) -> None:
    enlarge(tmp_path / "lr", tmp_path / "elsewhere" / "theirs")
    assert main([*bench, "--pictures", f"Theirs={tmp_path / 'elsewhere' / 'theirs'}"]) == 0
    folder = paths.reports() / NAME
    text = (folder / "table1.md").read_text()
    assert "Theirs: pictures from theirs: no training claimed." in text
    row = next(line for line in text.splitlines() if line.startswith("| Theirs"))
    assert not re.search(r"\*\*|<ins>", row)
    values = row_of()
    assert values.status == "finished" and values.psnr > 20 and values[["ssim", "niqe-pooled"]].notna().all()
    assert values[["parameters", "multiply_adds", "seconds_per_image"]].isna().all()
    for path in folder.glob("*.*"):
        assert str(tmp_path).encode() not in path.read_bytes(), path
    for path in (paths.results() / NAME).glob("**/*.json"):
        assert str(tmp_path / "elsewhere") not in path.read_text(), path
    shutil.rmtree(tmp_path / "elsewhere")  # the run's folder has all that a report needs
    shutil.rmtree(folder)
    assert main(["report", NAME]) == 0 and (folder / "table1.md").read_text() == text
    (run,) = (row.runs[0] for row in results().rows if row.label == "Theirs")
    samples = {path.stem: np.asarray(Image.open(path)) for path in (run.folder / "samples").glob("*.png")}
    assert samples.keys() == {"test-0", "test-1", "test-2"}
    for name, sample in samples.items():
        lr = np.asarray(Image.open(tmp_path / "lr" / f"{name}.png"))
        assert np.array_equal(sample, pillow_lanczos(lr))


def test_other_pictures_are_another_run(
    bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*bench, "--pictures", f"Theirs={enlarge(tmp_path / 'lr', tmp_path / 'theirs')}"]

    def states() -> dict[str, str]:
        return {run["run"]: run["status"] for run in run_json(command, capsys)["runs"]}

    before = states()
    assert set(before.values()) == {"finished"}
    assert states() == dict.fromkeys(before, "cached")
    first = read_json(paths.results() / NAME / list(before)[1] / "run.json")
    assert first["config"]["method"] == "pictures" and set(first["config"]["given"]) == {"pictures"}
    enlarge(tmp_path / "lr", tmp_path / "theirs", SECOND)
    after = states()
    assert list(after.values()) == ["cached", "finished"] and list(after)[1] not in before
    enlarge(tmp_path / "lr", tmp_path / "theirs")
    assert states() == dict.fromkeys(before, "cached")
    shutil.rmtree(paths.results() / NAME / list(before)[1])
    computed = []
    monkeypatch.setattr(scoring.Scorer, "_cached", _counting(computed))
    assert list(states().values()) == ["cached", "finished"] and computed and sum(computed) == 0


def _counting(computed: list[int]) -> Callable[..., np.ndarray]:
    """Return Scorer._cached which lists how many values were not in the cache, call by call, where it has a file."""
    plain = scoring.Scorer._cached

    def cached(self: scoring.Scorer, keys: list[bytes], compute: Callable[[list[int]], np.ndarray]) -> np.ndarray:
        if self._cache._path is None:  # as an audit's
            return plain(self, keys, compute)
        computed.append(0)

        def counted(places: list[int]) -> np.ndarray:
            computed[-1] += len(places)
            return compute(places)

        return plain(self, keys, counted)

    return cached


def spoil(folder: Path, fault: str) -> str:
    """Spoil a folder of pictures; return what is to be said of it."""
    picture = folder / "test-1.png"
    if fault == "missing":
        picture.unlink()
        return "1 of 3 pictures are missing in theirs (test-1)"
    if fault == "all missing":
        for path in folder.glob("*.png"):
            path.rename(folder / f"{path.stem}_out.png")
        return "3 of 3 pictures are missing in theirs (test-0, test-1, test-2)"
    if fault == "size":
        Image.open(picture).resize((64, 96)).save(picture)
        return "1 of 3 pictures are not of 128x128 pixels, expected as HR has (test-1: 64x96)"
    if fault == "twice":
        Image.open(picture).save(folder / "test-1.bmp")
        return "1 of 3 faces have several pictures in theirs (test-1)"
    content = {"cut": picture.read_bytes()[:2000], "empty": b"", "text": b"no picture at all"}[fault]
    picture.write_bytes(content)
    return "1 of 3 pictures cannot be read (test-1: "


@pytest.mark.parametrize("fault", ["missing", "all missing", "size", "twice", "cut", "empty", "text"])
def test_a_set_that_is_not_whole_is_not_scored(
    bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    folder = enlarge(tmp_path / "lr", tmp_path / "theirs")
    command = [*bench, "--pictures", f"Theirs={folder}"]
    why = spoil(folder, fault)
    told(capsys)
    assert main(command) == 0
    assert f"not scored: {why}" in told(capsys)
    row = row_of()
    assert row.status == "not scored" and np.isnan(row.psnr) and why in row.problem and "test set" not in row.problem
    assert row_of("Bicubic").status == "finished" and row_of("Bicubic").psnr > 20
    text = (paths.reports() / NAME / "table1.md").read_text()
    assert "Theirs (not scored)" in text and f"Not scored on mine: {why.partition('(')[0]}" in text
    assert {run["status"] for run in run_json(command, capsys)["runs"]} == {"cached"}
    status = run_json(["status", NAME], capsys)
    assert {run["state"] for run in status[NAME]} == {"finished"}
    if fault == "twice":
        (folder / "test-1.bmp").unlink()
    enlarge(tmp_path / "lr", folder)
    assert main(command) == 0 and row_of().status == "finished"


def test_missing_and_extra_files_are_told_in_one_line(
    bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = enlarge(tmp_path / "lr", tmp_path / "theirs")
    for number in range(4):
        shutil.copy(folder / "test-0.png", folder / f"other-{number}.png")
    (folder / "log.txt").write_text("no picture")
    (folder / ".DS_Store").write_text("litter")
    told(capsys)
    assert main([*bench, "--pictures", "Theirs=theirs"]) == 0
    (line,) = (line for line in told(capsys).splitlines() if line.startswith("Theirs: mine: "))
    extra = "4 pictures are of no face and passed over in theirs (other-0.png, other-1.png, other-2.png, ...)"
    assert line == f"Theirs: mine: {extra}" and row_of().status == "finished"
    psnr = row_of().psnr
    (folder / "test-2.png").unlink()
    assert main([*bench, "--pictures", "Theirs=theirs"]) == 0
    (line,) = (line for line in told(capsys).splitlines() if line.startswith("Theirs: mine: "))
    assert line == f"Theirs: mine: not scored: 1 of 3 pictures are missing in theirs (test-2); {extra}"
    enlarge(tmp_path / "lr", folder)
    assert main([*bench, "--pictures", "Theirs=theirs"]) == 0 and row_of().psnr == psnr


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


def test_a_row_in_an_experiment(job: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    assert main(["data", "export", "mine", "--lr", "lr"]) == 0
    enlarge(away / "lr", tmp_path / "theirs")  # beside the TOML file, not where the command runs
    (tmp_path / "small.toml").write_text(TWO_ROWS)
    assert main(["run", *job]) == 0
    record = read_experiment_record(paths.results() / NAME)
    assert [(row.label, row.method, bool(row.foreign)) for row in record.rows] == [
        ("Bicubic", "bicubic", False),
        ("Theirs", "pictures", True),
    ]
    assert row_of().status == "finished"
    assert main(["run", *job, "--only", "Theirs"]) == 0
    assert main(["plan", *job]) == 0


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('pictures = "theirs"', "rows[0]: key 'label' is missing"),
        ('label = "A"', "rows[0]: key 'method' is missing"),
        ('label = "A"\npictures = "theirs"\nmethod = "bicubic"', "rows[0]: method: not together with pictures"),
        ('label = "A"\npictures = "theirs"\nseeds = [1]', "rows[0]: seeds: not together with pictures"),
        ('label = "A"\npictures = "none"', "row A: pictures: "),
    ],
)
def test_rows_that_make_no_sense(
    job: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, expected: str
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "small.toml").write_text(f'title = "Small"\nkind = "ablation"\n[[rows]]\n{row}\n')
    assert expected in error_of(["run", *job], capsys)


def test_options_that_make_no_sense(bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    enlarge(tmp_path / "lr", tmp_path / "theirs")
    for text in ("theirs", "=theirs", "Theirs="):
        assert f"--pictures {text}: expected LABEL=DIR" in error_of([*bench, "--pictures", text], capsys)
    assert error_of([*bench, "--pictures", "Theirs=none"], capsys).endswith("none: no such folder")
    assert "a file, expected the folder" in error_of([*bench, "--pictures", "Theirs=lr/test-0.png"], capsys)
    assert "two are called 'Bicubic'" in error_of([*bench, "--pictures", "Bicubic=theirs"], capsys)


def test_the_run_is_verified_kept_and_left_alone(
    bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enlarge(tmp_path / "lr", tmp_path / "theirs")
    assert main([*bench, "--pictures", "Theirs=theirs"]) == 0
    (verdict,) = (one for one in run_json(["verify", NAME], capsys)[NAME] if one["label"] == "Theirs")
    assert verdict["wrong"] == [] and verdict["sound"] == ""
    folder = next((paths.results() / NAME).glob("pictures-*"))
    before = (folder / "run.json").read_bytes()
    assert main(["migrate", str(paths.results())]) == 0
    assert (folder / "run.json").read_bytes() == before
    record = read_run_record(folder)
    assert record is not None and record.parameters is None and record.not_scored == {}
