"""The picture grid, looked at pixel by pixel: faces of noise show every resampling."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.analysis.results import read_results
from bench.core.errors import UserError
from bench.report.faces import draw_faces, grid_bytes, make_strips
from tests.bench.report.fabricate import IMAGES, change, fabricate, face, hash_of, rows_of_table_1, run_name

METHODS = ("bicubic", "sparnet", "msfnet-8")
ROWS = [row for row in rows_of_table_1() if row["method"] in METHODS]


def places(page: np.ndarray, tile: np.ndarray) -> list[tuple[int, int]]:
    """Return left and top of every exact copy of `tile` in `page`."""
    height, width = tile.shape[:2]
    corners = zip(*np.nonzero((page == tile[0, 0]).all(-1)), strict=True)
    return [(int(x), int(y)) for y, x in corners if np.array_equal(page[y : y + height, x : x + width], tile)]


def sr_face(method: str, index: int, seed: int = 0) -> np.ndarray:
    return face(hash_of(method, seed, index))


def page_of(folder: Path) -> np.ndarray:
    page = draw_faces(read_results(folder))
    assert page is not None
    return np.asarray(page)


def test_every_pixel_is_as_it_was_written(tmp_path: Path) -> None:
    page = page_of(fabricate(tmp_path, rows=ROWS))
    tops, lefts = [], []
    for index in range(len(IMAGES)):
        small = np.asarray(Image.fromarray(face(index)).resize((16, 16), Image.Resampling.BICUBIC))
        squares = small.repeat(8, axis=0).repeat(8, axis=1)
        found = [places(page, tile) for tile in (squares, *(sr_face(m, index) for m in METHODS), face(index))]
        assert all(len(one) == 1 for one in found), "each tile once: LR as squares, SR, HR"
        lefts.append([one[0][0] for one in found])
        tops.append({one[0][1] for one in found})
    assert all(len(one) == 1 for one in tops), "a row of the grid is one face"
    assert lefts[0] == lefts[1] == lefts[2] == sorted(lefts[0]), "columns in the order of the table, HR last"
    assert min(np.diff(lefts[0])) >= 128
    assert sorted(tops, key=min) == tops


def test_captions_are_the_scores(tmp_path: Path) -> None:
    strips = make_strips(read_results(fabricate(tmp_path, rows=ROWS)))
    assert [strip.title for strip in strips] == ["LR 16x16", "Bicubic", "SPARNet", "Model 8", "HR"]
    captions = {strip.title: [tile.caption for tile in strip.tiles] for strip in strips}
    assert captions["Bicubic"] == ["20.00", "21.00", "22.00"]
    assert captions["Model 8"] == ["38.00", "39.00", "40.00"]
    assert captions["LR 16x16"] == ["PSNR (dB)"] * 3
    strong = {strip.title for strip in strips for tile in strip.tiles if tile.strong}
    assert strong == {"Model 8"}, "the best of a face"


def test_text_stays_in_its_column(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "label": "A name so long that no font could ever set it over a single face\nof 128"}, *ROWS[1:]]
    page = page_of(fabricate(tmp_path, rows=rows))
    left, top = places(page, sr_face("bicubic", 0))[0]
    dark = np.nonzero((page[:top] < 128).any(axis=(0, 2)))[0]
    inside = [x for x in dark if left - 3 <= x < left + 131]
    assert min(inside) >= left and max(inside) < left + 128
    assert (page[:, left - 6 : left] == 255).all() and (page[:, left + 128 : left + 134] == 255).all()


def test_the_first_scored_seed_with_pictures_is_shown(tmp_path: Path) -> None:
    folder = fabricate(tmp_path, rows=ROWS, seeds=(0, 1))
    change(folder / run_name("msfnet-8", 0) / "run.json", status="failed", error="stopped")
    (folder / run_name("sparnet", 0) / "samples" / "face-1.png").unlink()
    page = page_of(folder)
    for method in ("sparnet", "msfnet-8"):
        assert [len(places(page, sr_face(method, i, seed))) for seed in (0, 1) for i in range(3)] == [0, 0, 0, 1, 1, 1]
    shutil.rmtree(folder / run_name("sparnet", 1) / "samples")
    (folder / "samples" / "face-0_hr.png").unlink()
    strips = make_strips(read_results(folder))
    assert [strip.title for strip in strips] == ["LR 16x16", "Bicubic", "Model 8", "HR"], "no whole set of pictures"
    assert [np.asarray(tile.picture).tolist() for tile in strips[-1].tiles] == [face(1).tolist(), face(2).tolist()]


def test_nothing_to_show(tmp_path: Path) -> None:
    assert draw_faces(read_results(fabricate(tmp_path / "a", rows=ROWS, samples=[]))) is None
    folder = fabricate(tmp_path / "b", rows=ROWS)
    shutil.rmtree(folder / "samples")
    assert draw_faces(read_results(folder)) is None


@pytest.mark.parametrize("fault", ["cut", "chunk", "small"])
def test_a_bad_picture_is_named(tmp_path: Path, fault: str) -> None:
    folder = fabricate(tmp_path, rows=ROWS)
    path = folder / run_name("sparnet") / "samples" / "face-2.png"
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    elif fault == "chunk":
        before, after = path.read_bytes().split(b"IDAT", 1)
        path.write_bytes(before[:-4] + (100).to_bytes(4, "big") + b"IDAT" + after)  # the chunk ends too early
    else:
        Image.fromarray(face(0, 64)).save(path)
    with pytest.raises(UserError, match=r"face-2.png: .*delete the run's scores") as error:
        draw_faces(read_results(folder))
    assert str(error.value).startswith(str(path))


def test_the_file_is_within_one_grey_level() -> None:
    picture = Image.fromarray(face(7))
    kept = Image.open(io.BytesIO(grid_bytes(picture)))
    assert kept.format == "WEBP"
    assert np.abs(np.asarray(kept.convert("RGB"), int) - np.asarray(picture, int)).max() == 1
    white = Image.new("RGB", (8, 8), "white")
    assert np.array_equal(Image.open(io.BytesIO(grid_bytes(white))).convert("RGB"), white)
