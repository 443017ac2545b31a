"""`fsr figure grid`: which faces and rows it shows, what it says of the choice, and that nothing lies over another."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bench.analysis.results import Results, read_results
from bench.cli.main import main
from bench.core.errors import UserError
from bench.data.degrade import degrade, upsample
from bench.data.store import FaceRow, write_store
from bench.metrics import faces as dlib_faces
from bench.metrics.spec import UnavailableError
from bench.report.face_choice import FaceGrid, Wanted, face_grid
from bench.report.face_grid import TILE, draw_grid, grid_file
from bench.report.face_source import FaceSource
from bench.report.zoom import ASPECT, check_parts, find_parts
from tests.bench.report.fabricate import change, fabricate, face, hash_of, rows_of_table_1, run_name

METHODS = ("bicubic", "sparnet", "msfnet-8")
ROWS = [row for row in rows_of_table_1() if row["method"] in METHODS]
IMAGES = [f"face-{number}" for number in range(8)]
# What Model 8 scores on each face: of those that are kept it is best on face-5 and gains least on face-3.
VALUES = (30.0, 31.0, 32.0, 21.0, 33.0, 35.0, 25.0, 40.0)


def psnr(method: str, seed: int, image: int) -> float:
    return {"bicubic": 20.0, "sparnet": 28.0, "msfnet-8": VALUES[image]}.get(method, 25.0) + 0.001 * seed


def results_of(folder: Path, **changes: Any) -> Results:
    return read_results(fabricate(folder, rows=ROWS, images=IMAGES, psnr=psnr, **({"faces": 6} | changes)))


def no_dlib(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise UnavailableError("dlib is not installed")

    monkeypatch.setattr(dlib_faces, "landmark_predictor", missing)
    monkeypatch.setattr("bench.runs.priors.landmark_predictor", missing)


def test_columns_run_from_lr_to_hr_and_tiles_are_what_runs_keep(tmp_path: Path) -> None:
    grid = face_grid(results_of(tmp_path), Wanted(count=2))
    titles = [column.title for column in grid.columns]
    assert titles == ["LR 16x16", "Bicubic", "Model 8", "HR"], "without --rows the reference and the rows that matter"
    grid = face_grid(results_of(tmp_path / "all"), Wanted(["sparnet", "Model 8"], count=2))
    assert [column.title for column in grid.columns] == ["LR 16x16", "SPARNet", "Model 8", "HR"]
    low, sparnet, _, hr = grid.columns
    assert np.array_equal(sparnet.pictures[1], face(hash_of("sparnet", 0, 1)))
    assert np.array_equal(hr.pictures[0], face(0))
    small = np.asarray(Image.fromarray(face(0)).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.array_equal(low.pictures[0], small.repeat(8, axis=0).repeat(8, axis=1))
    assert grid.names == ["face-0", "face-1"] and "the first 2 of the set, chosen by no result" in grid.caption


@pytest.mark.parametrize(
    ("wanted", "names", "said"),
    [
        (Wanted(faces=["face-4", "face-1"]), ["face-4", "face-1"], "2 chosen by hand"),
        (Wanted(faces=["worst"], count=2), ["face-3", "face-0"], "the 2 of 6 on which Model 8's PSNR is lowest"),
        (Wanted(faces=["best"], count=2), ["face-5", "face-4"], "the 2 of 6 on which Model 8's PSNR is highest"),
        (
            Wanted(count=2, failure=True),
            ["face-0", "face-1", "face-3"],
            "in the last row the one of 6 on which Model 8 gains least over Bicubic (+1.00 dB)",
        ),
    ],
)
def test_the_caption_says_how_faces_were_chosen(tmp_path: Path, wanted: Wanted, names: list[str], said: str) -> None:
    grid = face_grid(results_of(tmp_path), wanted)
    assert grid.names == names and said in grid.caption


def test_scores_stand_below_and_the_best_is_bold(tmp_path: Path) -> None:
    wanted = Wanted(["bicubic", "sparnet", "msfnet-8"], ["face-3", "face-0"])
    figure = draw_grid(face_grid(results_of(tmp_path), wanted))
    bold = sorted(text.get_text() for text in figure.texts if text.get_weight() == "bold" and "/" in text.get_text())
    assert bold == ["28.00 / 0.5600", "30.00 / 0.6000"], "SPARNet's of face-3, Model 8's of face-0"
    assert [text.get_text() for text in figure.texts].count("28.00 / 0.5600") == 2


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(rows=["Model 9"]), "no row 'Model 9'"),
        (Wanted(faces=["face-7"]), "face-7: no such face in synthfaces; expected one of face-0, "),
        (Wanted(zoom=["eyse"]), "--zoom: unknown part 'eyse'.*eyes"),
        (Wanted(zoom=["eyes", "nose", "mouth"]), "--zoom: 3 parts given, expected two at most"),
        (Wanted(test="helen"), "not tested on 'helen'"),
        (Wanted(count=6, failure=True), "--failure: all faces are shown already"),
    ],
)
def test_what_cannot_be_shown_is_said(tmp_path: Path, wanted: Wanted, message: str) -> None:
    with pytest.raises(UserError, match=message):
        face_grid(results_of(tmp_path), wanted)


def test_more_than_seven_columns_are_refused(tmp_path: Path) -> None:
    results = read_results(fabricate(tmp_path, images=IMAGES))
    with pytest.raises(UserError, match="--rows: 6 given, expected 5 at most"):
        face_grid(results, Wanted([f"Model {number}" for number in range(1, 7)]))
    assert len(face_grid(results, Wanted()).columns) <= 7


def test_a_row_without_pictures_and_weights_says_so(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    (tmp_path / run_name("sparnet") / "samples" / "face-1.png").unlink()
    with pytest.raises(UserError, match=r"SPARNet keeps pictures of .* no weights; give other --faces or --rows"):
        face_grid(results, Wanted(["sparnet"], count=2))


def test_faces_that_nobody_kept_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bicubic has no weights to need: any face of the prepared test set can be shown of it."""
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    hr = np.stack([face(number) for number in range(8)])
    store = write_store(
        tmp_path / "datasets" / "prepared" / "synthfaces" / "test",
        [FaceRow(name) for name in IMAGES],
        enumerate(hr),
        {},
    )
    results = results_of(tmp_path / "mine", faces=2)
    record = json.loads((tmp_path / "mine" / "experiment.json").read_text())
    change(tmp_path / "mine" / "experiment.json", test=[record["test"][0] | {"fingerprint": store.fingerprint}])
    for name in (tmp_path / "mine").glob("*/scores/*.csv"):
        name.rename(name.with_name(f"synthfaces-{store.fingerprint[:12]}.csv"))
    for path in (tmp_path / "mine").glob("*/run.json"):
        change(path, digests={})
    results = read_results(tmp_path / "mine")
    source, (row, *_) = FaceSource(results, results.pictured), results.rows
    assert row.method == "bicubic" and source.choices([row]) == tuple(IMAGES) and source.kept == tuple(IMAGES[:2])
    grid = face_grid(results, Wanted(["bicubic"], ["face-6"]))
    assert np.array_equal(grid.columns[-1].pictures[0], hr[6])
    expected = upsample(degrade(hr[6:7], 8), 8)[0]
    assert np.abs(grid.columns[1].pictures[0].astype(int) - expected).max() <= 1


def pixels(figure: Figure) -> list[tuple[float, float, float, float]]:
    """Return left, bottom, right and top of every picture and text in inches."""
    width, height = figure.get_size_inches()
    boxes = [axes.get_position().bounds for axes in figure.axes]
    inches = [(x * width, y * height, (x + w) * width, (y + h) * height) for x, y, w, h in boxes]
    figure.canvas.draw()
    return inches + [
        tuple(float(side) / figure.dpi for side in text.get_window_extent().extents)  # type: ignore[misc]
        for text in figure.texts
        if text.get_text()
    ]


@pytest.mark.parametrize("zoom", [(), ("eyes",), ("mouth",), ("eyes", "mouth")])
@pytest.mark.parametrize("errors", [False, True])
def test_nothing_lies_over_another_or_outside(tmp_path: Path, zoom: tuple[str, ...], errors: bool) -> None:
    results = results_of(tmp_path)
    figure = draw_grid(face_grid(results, Wanted(count=2, zoom=zoom, errors=errors, failure=True)))
    boxes, (width, height) = pixels(figure), figure.get_size_inches()
    assert len(figure.axes) == 3 * (4 * (1 + len(zoom)) + 3 * errors)
    assert all(x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height for x0, y0, x1, y1 in boxes)
    for place, (left, bottom, right, top) in enumerate(boxes):
        for x0, y0, x1, y1 in boxes[place + 1 :]:
            assert min(right, x1) - max(left, x0) < 0.005 or min(top, y1) - max(bottom, y0) < 0.005


def test_parts_follow_landmarks_and_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.zeros((2, 68, 2), np.float32)
    points[0, 36:48] = [[40 + 4 * n, 50 + n % 2] for n in range(12)]
    points[0, 48:68] = [[50 + n, 120] for n in range(20)]
    points[1] = np.nan
    monkeypatch.setattr("bench.runs.priors.find_landmarks", lambda hr: points)
    (first, second), said = find_parts(np.zeros((2, 128, 128, 3), np.uint8), ("eyes", "mouth"))
    eyes, mouth = first["eyes"], first["mouth"]
    assert eyes.left < 40 and eyes.left + eyes.width > 84 and eyes.top < 50 < eyes.top + eyes.height
    assert mouth.top + mouth.height <= 128 and mouth.top < 120
    for part in (*first.values(), *second.values()):
        assert part.height == round(ASPECT * part.width) and part.left >= 0 and part.left + part.width <= 128
    assert second["eyes"].top < second["mouth"].top
    assert said == "by dlib's landmarks of the original (1 in a fixed place, where it finds no face)"


def test_without_dlib_parts_are_in_a_fixed_place(monkeypatch: pytest.MonkeyPatch) -> None:
    no_dlib(monkeypatch)
    (part, *_), said = find_parts(np.zeros((1, 128, 128, 3), np.uint8), check_parts(["mouth", "eyes"]))
    assert list(part) == ["eyes", "mouth"] and said == "in a fixed place of the crop"
    assert part["eyes"].top + part["eyes"].height < part["mouth"].top


@pytest.mark.parametrize("kind", ["pdf", "png", "webp"])
def test_the_same_grid_gives_the_same_bytes(tmp_path: Path, kind: str) -> None:
    def make() -> FaceGrid:
        return face_grid(results_of(tmp_path), Wanted(["bicubic"], count=1, zoom=()))

    content = grid_file(make(), kind, 128)
    assert content == grid_file(make(), kind, 128)
    if kind != "pdf":
        picture = Image.open(io.BytesIO(content))
        assert picture.width == pytest.approx(128 * (3 * (TILE + 0.035) + 0.035) / TILE, abs=2)
    else:
        assert b"chosen by no result" in content, "the caption travels with the file"


def test_the_command_writes_a_file_and_tells_the_caption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    results_of(tmp_path / "results" / "mine")
    out = tmp_path / "faces.png"
    asked = ["figure", "grid", "mine", "--rows", "sparnet", "Model 8", "--faces", "face-1", "face-2", "--zoom", "none"]
    assert main([*asked, "--out", str(out), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["faces"] == ["face-1", "face-2"] and "2 chosen by hand" in about["caption"] and out.exists()
    assert main([*asked, "--out", str(tmp_path / "faces.jpg")]) == 2
    assert "expected a name that ends in .pdf, .png or .webp" in capsys.readouterr().err
