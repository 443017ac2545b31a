"""Writing files: nothing is lost where several write into one folder at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.core.files import held, write_text


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
