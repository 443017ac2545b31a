"""Writing files: nothing is lost where several write into one folder at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.core.files import held, read_csv, read_json, write_text


def test_a_folder_that_is_held_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "new"

    def write_all(writer: int) -> None:
        with held(folder):
            for name in "abcd":
                write_text(folder / name, str(writer))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_all, range(12)))
    assert len({(folder / name).read_text() for name in "abcd"}) == 1, "the files of one writer"
    assert not list(folder.glob(".*.tmp"))


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".page.md.x1y2.tmp").write_text("half")
    with held(tmp_path):
        assert not list(tmp_path.glob(".*.tmp"))


def test_a_name_of_any_length_is_written_and_an_error_names_it(tmp_path: Path) -> None:
    write_text(tmp_path / ("n" * 255), "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["n" * 255]
    with pytest.raises(IsADirectoryError) as error:
        (tmp_path / "folder").mkdir()
        write_text(tmp_path / "folder", "")
    assert error.value.filename == str(tmp_path / "folder")


@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_tables_are_read_as_other_programs_write_them(sign: str, end: str, mark: bytes, tmp_path: Path) -> None:
    rows = [["file", "side"], ['"a,b; c.png"', "12"], ["", ""], ["d.png", "13"]]
    text = end.join(sign.join(row) if any(row) else "" for row in rows) + end + end
    (tmp_path / "a.csv").write_bytes(mark + text.encode())
    assert read_csv(tmp_path / "a.csv", ["file", "side"]) == [
        {"file": "a,b; c.png", "side": "12"},
        {"file": "d.png", "side": "13"},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "\r\n;\r\nfile;side\r\na.png;12\r\n;\r\n",
        "sep=;\r\nfile;side\r\na.png;12\r\n",
        "sep=\t\nfile\tside\na.png\t12\n",
        "sep=|\n\nfile|side\na.png|12\n",
        "file,side\r\na.png,12\r\n\x1a",
    ],
)
def test_what_spreadsheets_and_dos_add_to_a_table_is_passed_over(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text, newline="")
    assert read_csv(tmp_path / "a.csv", ["file", "side"]) == [{"file": "a.png", "side": "12"}]


def test_a_bad_row_is_told_by_its_line(tmp_path: Path) -> None:
    for rows, what in (
        ('a.png,1\n"b.png,2\nc.png,3\n', r"not valid CSV \(line 5: a quote that is not closed\)"),
        ('"a\n.png",1\nb.png\n', "1 fields in line 6, expected 2"),
    ):
        (tmp_path / "a.csv").write_text(f"sep=,\n\nfile,side\n{rows}")
        with pytest.raises(UserError, match=rf"a\.csv: {what}"):
            read_csv(tmp_path / "a.csv", ["file", "side"])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("file,side\n".encode("utf-16"), "UTF-16 text; save it as UTF-8"),
        ("file,side\n".encode("utf-32"), "UTF-32 text; save it as UTF-8"),
        (b"file,side\nZo\xeb.png,1\n", "not UTF-8 text: byte 0xeb; save it as UTF-8"),
        (b"file,side\na.png,\x001\n", "NUL bytes, so no text"),
    ],
)
def test_what_is_no_utf8_text_is_named(content: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.csv: not valid CSV \({what}"):
        read_csv(tmp_path / "a.csv", ["file", "side"])


def test_json_without_end_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 200_000)
    with pytest.raises(UserError, match=r"a\.json: not valid JSON \("):
        read_json(tmp_path / "a.json")
