"""Pages name what is there: files and functions of the architecture page, links of every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "datasets" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_files_of_the_architecture_are_there() -> None:
    rooms = [path.name for path in (ROOT / "bench").iterdir() if (path / "__init__.py").exists()]
    assert all(f"`{room}/`" in ARCHITECTURE for room in rooms)
    named = re.findall(rf"`((?:{'|'.join(rooms)})/[\w/.]+)`", ARCHITECTURE)
    assert len(named) > 40
    assert not [name for name in named if not (ROOT / "bench" / name).exists()]


def test_the_answers_name_functions_that_are_there() -> None:
    answers = re.findall(r"`([\w.]+)` (?:in|of) `([\w/]+\.py)`", ARCHITECTURE)
    assert len(answers) >= 7
    for name, file in answers:
        code = (ROOT / "bench" / file).read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"(def|class) {part}\b|^{part}\b.* = ", code, re.MULTILINE), (name, file)
