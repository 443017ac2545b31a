from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.data.cards import read_card
from bench.data.layouts import read_identities
from bench.data.sources import Entry


def place(card: str, path: str, split: str = "test") -> tuple[str, str, str] | str:
    placed = read_card(card).layout.place(Entry(path, Path("photos"), 1, 0), split)
    return placed if isinstance(placed, str) else (placed.split, placed.file, placed.identity)


@pytest.mark.parametrize(
    ("card", "path", "expected"),
    [
        ("celeba", "img_align_celeba/162770.jpg", ("train", "162770.jpg", "")),
        ("celeba", "162771.png", ("val", "162771.png", "")),
        ("celeba", "182637.jpg", ("val", "182637.jpg", "")),
        ("celeba", "182638.jpg", ("test", "182638.jpg", "")),
        ("celeba", "202599.jpg", ("test", "202599.jpg", "")),
        ("lfw", "lfw/AJ_Lamas/AJ_Lamas_0001.jpg", ("test", "AJ_Lamas_0001.jpg", "AJ_Lamas")),
        ("helen", "helen/trainset/10_1.jpg", ("train", "10_1.jpg", "")),
        ("helen", "helen/testset/11_1.jpg", ("test", "11_1.jpg", "")),
        ("helen", "11_1.jpg", ("test", "11_1.jpg", "")),
        ("widerface", "WIDER_val/images/0--Parade/0_Parade_1.jpg", ("test", "0_Parade_1.jpg", "")),
        ("folder", "a/1.jpg", ("test", "a/1.jpg", "")),
    ],
)
def test_split_file_and_identity(card: str, path: str, expected: tuple[str, str, str]) -> None:
    assert place(card, path) == expected


def test_the_split_asked_for_holds_where_the_layout_does_not_tell() -> None:
    assert place("folder", "1.jpg", "train") == ("train", "1.jpg", "")
    assert place("helen", "x/1.jpg", "train") == ("train", "1.jpg", "")
    assert place("helen", "testset/1.jpg", "train") == ("test", "1.jpg", "")


@pytest.mark.parametrize(
    ("card", "path", "reason"),
    [
        ("celeba", "000000.jpg", "not one of its photos: expected 000001.jpg to 202599.jpg"),
        ("celeba", "202600.jpg", "not one of its photos: expected 000001.jpg to 202599.jpg"),
        ("celeba", "1.jpg", "not one of its photos: expected 000001.jpg to 202599.jpg"),
        ("lfw", "lfw/group.jpg", "not one of its photos: expected Name_0001.jpg"),
    ],
)
def test_files_of_another_kind_are_told(card: str, path: str, reason: str) -> None:
    told = place(card, path)
    assert isinstance(told, str) and reason in told


def test_identities_as_celeba_and_as_csv(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf000001.jpg 2880\r\n\r\n000002.jpg 2937\r\n\r\n")
    (tmp_path / "b.csv").write_text("file,identity,partition\n000001.jpg,2880,train\n")
    assert read_identities(tmp_path / "a.txt") == {"000001.jpg": "2880", "000002.jpg": "2937"}
    assert read_identities(tmp_path / "b.csv") == {"000001.jpg": "2880"}
    (tmp_path / "c.txt").write_text("000001.jpg 2880\nwhat is this\n")
    with pytest.raises(UserError, match="line 2 is 'what is this'"):
        read_identities(tmp_path / "c.txt")
    (tmp_path / "d.csv").write_text("file,identity\n")
    assert read_identities(tmp_path / "d.csv") == {}
    with pytest.raises(UserError, match="no such file"):
        read_identities(tmp_path / "none.txt")


@pytest.mark.parametrize(
    "content",
    [
        "a.jpg 1\nb c.jpg 2\nJo\u0308rg.jpg 3\n",
        'a.jpg, 1\n"b c.jpg",2\nJ\u00f6rg.jpg;3',
        "Identity;File;age\r\n1;a.jpg;40\r\n2; b c.jpg ;41\r\n3;J\u00f6rg.jpg;\r\n\r\n",
        "file\tidentity\na.jpg\t1\nb c.jpg\t2\nJ\u00f6rg.jpg\t3\na.jpg\t1\n",
        '"file","identity"\n"a.jpg","1"\n"b c.jpg","2"\n"J\u00f6rg.jpg","3"\n',
        "\r\n \r\n;;\r\nfile;identity;\r\na.jpg;1;\r\n;;\r\nb c.jpg;2;\r\nJ\u00f6rg.jpg;3;\r\n",
        "sep=;\r\nfile;identity\r\na.jpg;1\r\nb c.jpg;2\r\nJ\u00f6rg.jpg;3\r\n",
        '\n"SEP=|"\nidentity|file\n1|a.jpg\n2|b c.jpg\n3|J\u00f6rg.jpg',
        "sep=,\na.jpg,1\nb c.jpg,2\nJ\u00f6rg.jpg,3\n",
        "a.jpg 1\nb c.jpg 2\nJ\u00f6rg.jpg 3\n\x1a",
        'file,identity,notes\na.jpg,1,"two\nlines, and ""quotes"""\nb c.jpg,2\nJ\u00f6rg.jpg,3,\x1a',
        '"a.jpg" 1\n"b c.jpg" 2\n"J\u00f6rg.jpg" 3\n',
    ],
)
def test_identities_as_other_programs_write_them(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + content.encode())
    assert read_identities(tmp_path / "a.csv") == {"a.jpg": "1", "b c.jpg": "2", "J\u00f6rg.jpg": "3"}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('file,identity\na.jpg,1\n"b.jpg,2\nc.jpg,3\n', "line 3: a quote that is not closed"),
        ('sep=;\n\nfile;identity;notes\na.jpg;1;"x\ny"\nb.jpg;2;"z\nc.jpg;3;\n', "line 6: a quote that is not closed"),
        ('file,identity\na.jpg,"1\nb.jpg,2"\nc.jpg,3\n', "line 2: a quote that is not closed"),
        ('file,identity\n"a.jpg,1\n"b.jpg,2\n', "line 2: ',' expected after '\"'"),
        ("sep=;\na.jpg;1\nwhat is this\n", "line 3 is 'what is this', expected '000001.jpg 2880'"),
        ('"file,identity\na.jpg,1\n', "line 1: a quote that is not closed"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_its_line(tmp_path: Path, content: str, what: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UserError, match=rf"a\.csv: {re.escape(what)}"):
        read_identities(tmp_path / "a.csv")


def test_a_photo_of_two_identities_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a.jpg 1\nb.jpg 2\na.jpg 2\n")
    with pytest.raises(UserError, match=r"a.jpg is there as '1' and as '2'; keep one of them"):
        read_identities(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes("a.jpg 1\n".encode("utf-16"))
    with pytest.raises(UserError, match="UTF-16 text; save it as UTF-8"):
        read_identities(tmp_path / "a.txt")
