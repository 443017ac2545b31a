"""README keeps its word: its example is a method, its table that of the reference report, drawn from its results."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import registry
from bench.report.build import build_report

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_is_a_method_of_twenty_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = README.split("```python\n")[1].split("```")[0]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 20
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.setattr(registry, "_plugins", [])
    monkeypatch.setattr(registry, "_catalogue", None)
    registry.add_plugin(tmp_path / "mine.py")
    assert registry.build("mine")(torch.rand(2, 3, 16, 16)).shape == (2, 3, 128, 128)


def test_the_table_is_what_the_reference_results_say(tmp_path: Path) -> None:
    reports = ROOT / "reports" / "reference" / "quick"
    drawn = build_report(ROOT / "results" / "reference" / "quick", tmp_path)
    assert {path.name for path in drawn} == {path.name for path in reports.iterdir()}
    for path in drawn:
        if path.suffix in (".md", ".tex", ".csv"):
            assert path.read_bytes() == (reports / path.name).read_bytes()
    table = (reports / "table1.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 13
    for row in rows[2:]:
        shown = [cell.strip().replace("\\[", "[").replace("\\]", "]") for cell in row.strip("|").split("|")]
        assert f"| {' | '.join(shown[:8])} |" in README
