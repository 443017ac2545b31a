"""Writing files: nothing is lost where several write into one folder at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
