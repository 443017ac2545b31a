"""Anybody's pictures as a row: exported inputs, what other programs make of them, and what is wrong with a folder."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli.main import main
from bench.core import paths
from bench.core.files import read_json
from bench.metrics import scoring
from bench.runs.records import read_experiment_record, read_run_record
from tests.bench.cli.test_cli import error_of, run_json
from tests.bench.runs.strangers import NAME, TWO_ROWS, enlarge, pillow_lanczos, results, row_of, told


def opencv_lanczos(lr: np.ndarray) -> np.ndarray:
    import cv2

    return np.asarray(cv2.resize(lr, (128, 128), interpolation=cv2.INTER_LANCZOS4))


def scikit_bicubic(lr: np.ndarray) -> np.ndarray:
    from skimage.transform import resize

    return np.asarray(resize(lr, (128, 128), order=3, preserve_range=True).clip(0, 255).round().astype(np.uint8))


SECOND = opencv_lanczos if importlib.util.find_spec("cv2") else scikit_bicubic


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
    assert values[["parameters", "multiply_adds"]].isna().all()
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


def test_all_that_is_wrong_with_a_set_is_said_at_once(
    bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = enlarge(tmp_path / "lr", tmp_path / "theirs")
    (folder / "test-0.png").unlink()
    Image.open(folder / "test-1.png").resize((64, 32)).save(folder / "test-1.png")
    (folder / "test-2.png").write_bytes(b"")
    assert main([*bench, "--pictures", f"Theirs={folder}"]) == 0
    text = told(capsys)
    for problem in ("1 of 3 pictures are missing", "1 of 3 pictures cannot be read (test-2", "(test-1: 64x32)"):
        assert problem in text and problem in row_of().problem


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


def test_what_is_said_of_a_folder_is_not_said_of_another(bench: list[str], tmp_path: Path) -> None:
    for name in ("theirs", "a = b"):
        folder = enlarge(tmp_path / "lr", tmp_path / name)
        (folder / "test-1.png").unlink()
        assert main([*bench, "--pictures", f"My (x=1)={name}"]) == 0
        text = (paths.reports() / NAME / "table1.md").read_text()
        assert f"Not scored on mine: 1 of 3 pictures are missing in {name} (test-1)." in text


def test_what_is_lost_of_a_picture_is_told(
    bench: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = enlarge(tmp_path / "lr", tmp_path / "theirs")
    Image.open(folder / "test-0.png").convert("L").save(folder / "test-0.png")
    Image.open(folder / "test-1.png").convert("RGBA").save(folder / "test-1.png")
    told(capsys)
    assert main([*bench, "--pictures", "Theirs=theirs"]) == 0
    assert "theirs: mine: taken as 8-bit RGB: alpha (1), grey (1) of 3 pictures" in told(capsys)
    assert "; profile short" in (text := (paths.reports() / NAME / "table1.md").read_text()) and "seeds ;" not in text
