"""Names of files: what is nobody's work, what is made of a user's names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench.core.files import write_text
from bench.core.names import distinct_stems, fit, is_litter, listed, readable, writable


@pytest.mark.parametrize(
    "name",
    [
        *("._a.toml", ".DS_Store", "Thumbs.db", "ehthumbs.db", "desktop.ini", "__MACOSX", "a.toml~", "#a.toml#"),
        *(".a.toml.swp", ".#a.toml", "~$a.csv", "a.toml.bak", "a.csv.orig", "a.jpg_original", "Icon\r", "@eaDir"),
    ],
)
def test_what_systems_and_editors_leave_is_litter(name: str, tmp_path: Path) -> None:
    assert is_litter(name)
    (tmp_path / name).mkdir()
    (tmp_path / name / "b.toml").write_text("")
    (tmp_path / "c.toml").write_text("")
    assert listed(tmp_path, "**/*.toml") == [tmp_path / "c.toml"]


@pytest.mark.parametrize("name", ["a", "..", ".", "a.toml", "thumbs.png", "a#1.jpg", "~a.png", "original.png"])
def test_what_people_name_is_none(name: str) -> None:
    assert not is_litter(name)


def test_names_are_distinct_and_only_as_long_as_must_be() -> None:
    paths = ["b/a.jpg", "c.jpg", "c.png", "C.jpg.webp", "d.png", "D.png", "d--e.png", "d/e.png", "f.png", "f.png"]
    assert distinct_stems(paths) == [
        *("b--a", "c.jpg", "c.png", "C.jpg-2", "d", "D-2", "d--e.png", "d--e.png-2", "f", "f-2")
    ]
    long = distinct_stems(["\u00eb" * 120 + ".png", "\u00eb" * 121 + ".png", "a/" * 100 + "b.png"])
    assert len(set(long)) == 3 and all(190 < len(name.encode()) <= 200 for name in long)


def test_a_name_is_written_by_any_systems_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    assert writable("\u017di\u00eb") == "\u017di\u00eb"
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    assert writable("\u017di\u00eb") == "_i\u00eb"


def test_names_of_any_bytes_are_text_and_files_can_be_written(tmp_path: Path) -> None:
    assert readable(os.fsdecode(b"Zo\xeb.png")) == readable("Zo\u00eb.png") == "Zo\u00eb.png"
    assert readable(os.fsdecode(b"d_\xe9/") + "\u017d\n.png") == "d_\u00e9/\u017d_.png"  # name by name, in one line
    assert fit("a" * 200) == "a" * 200
    write_text(tmp_path / ("a" * 250), os.fsdecode(b"\xeb"))  # its temporary name is longer
    assert (tmp_path / ("a" * 250)).read_text() == "\\udceb"
