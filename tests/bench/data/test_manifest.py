from __future__ import annotations

import csv
import dataclasses
import lzma
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.data.manifest import COLUMNS, Row, by_photo, read_manifest, write_manifest

FACE = Row(
    file="b.jpg",
    sha256="b" * 64,
    identity="7",
    width=178,
    height=218,
    kinds=("grey", "CMYK"),
    faces=2,
    chosen="largest",
    probability=0.99871,
    box=(-1.25, 2.0, 30.5, 44.75),
    landmarks=(1.0, 2.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.01),
    detector="mtcnn min 40 p 0.9 largest",
    version="facenet-pytorch 2.5.3",
)
NONE = Row("a.jpg", "a" * 64, problem="no face", width=10, height=12, detector="mtcnn")


def edited(path: Path, column: str, value: str) -> Path:
    """Write a manifest of one face of which one value is edited by hand."""
    write_manifest(path, [FACE])
    head, line = list(csv.reader(path.open(newline="")))
    line[head.index(column)] = value
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, line])
    return path


def test_what_is_written_is_read_sorted_by_file(tmp_path: Path) -> None:
    lower = dataclasses.replace(FACE, box=(0.0, 5.0, 9.0, 9.0), landmarks=())
    write_manifest(tmp_path / "m.csv", [lower, FACE, NONE])
    assert read_manifest(tmp_path / "m.csv") == [NONE, FACE, lower]
    (tmp_path / "m.csv.xz").write_bytes(lzma.compress((tmp_path / "m.csv").read_bytes()))
    assert read_manifest(tmp_path / "m.csv.xz") == [NONE, FACE, lower]
    assert by_photo([lower, FACE, NONE]) == {"b" * 64: [lower, FACE], "a" * 64: [NONE]}


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("left", "abc", "left is 'abc', expected a number"),
        ("left", "nan", "left is 'nan'"),
        ("bottom", "", "bottom is ''"),
        ("right", "-5", "is empty, expected left < right"),
        ("right", "9000", "is outside the photo of 178x218"),
        ("probability", "1.5", "probability is 1.5, expected 0 to 1"),
        ("sha256", "B" * 64, "expected 64 hexadecimal digits"),
        ("width", "-178", "width is '-178', expected a whole number"),
        ("faces", "two", "faces is 'two'"),
        ("nose_x", "inf", "nose_x is 'inf'"),
        ("file", "", "file is empty"),
    ],
)
def test_numbers_edited_by_hand_are_refused_with_their_line(
    tmp_path: Path, column: str, value: str, message: str
) -> None:
    with pytest.raises(UserError, match=f"line 2: .*{message}"):
        read_manifest(edited(tmp_path / "m.csv", column, value))


def test_other_columns_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("file,box\na.jpg,1\n")
    with pytest.raises(UserError, match="columns are"):
        read_manifest(tmp_path / "m.csv")
    with pytest.raises(UserError, match="no such file"):
        read_manifest(tmp_path / "none.csv")
    assert len(set(COLUMNS)) == len(COLUMNS)
