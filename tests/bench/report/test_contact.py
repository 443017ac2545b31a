"""Contact sheets, looked at pixel by pixel: what is drawn on the photos, and what stands beside them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.core import paths
from bench.core.errors import UserError
from bench.data import scan
from bench.data.detect import Face
from bench.data.photoset import PhotoOptions, prepare_photos
from bench.data.scan import ScanOptions
from bench.data.store import FaceRow, FaceStore, write_store
from bench.report.contact import draw_contact
from bench.report.faces import tile_corner
from tests.bench.conftest import smooth_faces
from tests.bench.data.pictures import pack, picture, save

TILE = 128
YELLOW, BLUE, RED = (255, 200, 0), (0, 170, 255), (255, 60, 60)
GREY = Image.new("RGB", (200, 100), (90, 90, 90))
MARKS = (75.0, 30.0, 95.0, 30.0, 85.0, 45.0, 78.0, 60.0, 92.0, 60.0)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path / "root"))
    return tmp_path


def made(card: str, source: Path, files: dict[str, bytes] | None = None, **wanted: Any) -> FaceStore:
    sources = [pack(source, files) if files is not None else source]
    (store,) = prepare_photos(card, PhotoOptions(sources, how=ScanOptions(quiet=True), **wanted))
    return store


def detect(monkeypatch: pytest.MonkeyPatch, *faces: Face) -> None:
    """Have the detector see these faces in every photo."""

    class Seen:
        version = "seen 1"

        def detect(self, photos: list[np.ndarray], points: list[bytes]) -> list[list[Face]]:
            return [list(faces) for _ in photos]

    monkeypatch.setattr(scan, "_detector", lambda *_: Seen())


def tile(sheet: Image.Image, column: int, row: int) -> np.ndarray:
    left, top = tile_corner(column, row, (TILE, TILE))
    return np.asarray(sheet)[top : top + TILE, left : left + TILE]


def columns(sheet: Image.Image) -> int:
    return (sheet.width - 6) // (TILE + 6)


def is_colour(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.asarray((pixels == colour).all(-1))


def large(face: np.ndarray, resample: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(face).resize((TILE, TILE), resample))


def check_frame(pixels: np.ndarray, colour: tuple[int, int, int], corners: list[float]) -> None:
    """Check that a frame's four sides are drawn at left, top, right, bottom, to 1.5 pixels."""
    rows, places = np.nonzero(is_colour(pixels, colour))
    assert [places.min(), rows.min(), places.max(), rows.max()] == pytest.approx(corners, abs=1.5)
    middle = [round((corners[0] + corners[2]) / 2), round((corners[1] + corners[3]) / 2)]
    assert not is_colour(pixels[middle[1] - 5 : middle[1] + 5, middle[0] - 5 : middle[0] + 5], colour).any(), "a frame"


def test_photo_face_lr_and_bicubic_stand_side_by_side(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detect(monkeypatch, Face((60.0, 20.0, 110.0, 80.0), MARKS, 0.99))
    files = {f"{number}.png": save(GREY) if number == 1 else picture(number, size=(200, 100)) for number in (1, 2, 3)}
    store = made("folder", root / "shots", files, name="mine", margin=1.1)
    assert store.rows[0].square == "52 17 66"
    sheet = draw_contact(store, 3)
    assert columns(sheet) == 4 and sheet.height == tile_corner(0, 3, (TILE, TILE))[1]
    photo, zoom = tile(sheet, 0, 0), TILE / 200
    top = (TILE - 100 * zoom) / 2  # the photo is wide, with white above and below
    assert (photo[: round(top) - 1] == 255).all() and (photo[-round(top) + 1 :] == 255).all()
    assert tuple(photo[round(top) + 2, 2]) == (90, 90, 90)
    check_frame(photo, YELLOW, [60 * zoom, top + 20 * zoom, 110 * zoom, top + 80 * zoom])
    check_frame(photo, BLUE, [52 * zoom, top + 17 * zoom, 118 * zoom, top + 83 * zoom])
    for x, y in zip(MARKS[::2], MARKS[1::2], strict=True):
        assert tuple(photo[round(top + y * zoom), round(x * zoom)]) == RED
    assert is_colour(photo, RED).sum() < 5 * 26
    for row, face in enumerate(store.faces):
        small = np.asarray(Image.fromarray(face).resize((16, 16), Image.Resampling.BICUBIC))
        up = np.asarray(Image.fromarray(small).resize((128, 128), Image.Resampling.BICUBIC))
        assert np.array_equal(tile(sheet, 1, row), large(face, Image.Resampling.NEAREST))
        assert np.array_equal(tile(sheet, 2, row), small.repeat(8, 0).repeat(8, 1))
        assert np.array_equal(tile(sheet, 3, row), large(up, Image.Resampling.NEAREST))


def test_a_small_face_is_shown_with_what_is_around_it_and_no_marks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detect(monkeypatch, Face((300.0, 200.0, 314.0, 213.0), (301.0, 201.0) * 5, 0.99))
    store = made("widerface", root / "a.tar", {"p.png": save(Image.new("RGB", (640, 480), (90, 90, 90)))})
    assert store.rows[0].square == "299 199 16" and not store.has_truth
    sheet = draw_contact(store, 1)
    assert columns(sheet) == 3, "photo, LR, Bicubic: there is no HR"
    photo = tile(sheet, 0, 0)
    check_frame(photo, BLUE, [TILE / 2 - 16, TILE / 2 - 16, TILE / 2 + 16, TILE / 2 + 16])  # 4 squares wide, zoomed x2
    assert is_colour(photo, YELLOW).any() and not is_colour(photo, RED).any()
    assert not is_colour(photo, (255, 255, 255)).any()
    assert np.array_equal(tile(sheet, 1, 0), store.faces[0].repeat(8, 0).repeat(8, 1))
    up = np.asarray(Image.fromarray(store.faces[0]).resize((128, 128), Image.Resampling.BICUBIC))
    assert np.array_equal(tile(sheet, 2, 0), large(up, Image.Resampling.NEAREST))


def test_faces_are_spread_over_the_set_and_no_face_is_refused(root: Path) -> None:
    rows = [FaceRow(f"f{index}") for index in range(9)]
    store = write_store(paths.prepared() / "mine" / "test", rows, enumerate(smooth_faces(9, 1)), {})
    sheet = draw_contact(store, 3)
    assert columns(sheet) == 6, "HR, LR, Bicubic of two faces a row: generated faces have no photo"
    for place, index in enumerate((0, 4, 8)):
        shown = tile(sheet, place % 2 * 3, place // 2)
        assert np.array_equal(shown, large(store.faces[index], Image.Resampling.NEAREST))
    assert (tile(sheet, 3, 1) == 255).all() and sheet.height == tile_corner(0, 2, (TILE, TILE))[1]
    assert draw_contact(store, 99).height == draw_contact(store, 9).height > sheet.height
    rows = [FaceRow(f"f{index}") for index in range(200)]
    many = write_store(paths.prepared() / "many" / "test", rows, enumerate(smooth_faces(200, 1)), {})
    sheet = draw_contact(many, 200)
    assert columns(sheet) == 15 and sheet.width < 2200 and sheet.height == tile_corner(0, 40, (TILE, TILE))[1]
    with pytest.raises(UserError, match="--faces 0: expected at least 1"):
        draw_contact(store, 0)


def test_photos_that_are_gone_stay_white_and_are_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = root / "1.tar", root / "shots"
    pack(first, {"a.png": picture(1, size=(90, 90))})
    pack(second, {"b.png": picture(2, size=(90, 90)), "c.png": picture(3, size=(90, 90))})
    wanted = PhotoOptions([first, second], name="mine", detector="center", how=ScanOptions(quiet=True))
    (store,) = prepare_photos("folder", wanted)
    whole = draw_contact(store, 3)
    assert not caplog.records
    first.unlink()
    (second / "b.png").unlink()
    with caplog.at_level(logging.WARNING, "fsr"):
        sheet = draw_contact(store, 3)
    assert [record.getMessage() for record in caplog.records] == [
        f"{first}: no such file or folder; its photos are left blank",
        f"{store.path}: 2 of 3 photos are no longer in their sources",
    ]
    assert (tile(sheet, 0, 0) == 255).all() and (tile(sheet, 0, 1) == 255).all()
    assert np.array_equal(tile(sheet, 0, 2), tile(whole, 0, 2)) and not (tile(whole, 0, 0) == 255).all()
    for row in range(3):
        assert np.array_equal(tile(sheet, 1, row), tile(whole, 1, row)), "the faces are still there"
