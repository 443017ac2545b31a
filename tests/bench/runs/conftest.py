"""Fixtures of the tests of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli.main import main


@pytest.fixture
def bench(job: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the arguments of `fsr run` for Bicubic alone, with the test faces exported to lr/ and hr/ of a root."""
    (tmp_path / "small.toml").write_text('title = "Small"\nkind = "ablation"\n[[rows]]\nmethod = "bicubic"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["data", "export", "mine", "--lr", "lr", "--hr", "hr"]) == 0
    return ["run", *job]
