"""The quick tour shows what its commands print, and the pages beside it name every field and word they promise.

`FSR_GOLDEN=write python -m pytest tests/test_tour.py` writes the outputs anew; look at the difference.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.core.schema import from_dict
from bench.runs.experiment import Experiment
from bench.runs.records import ExperimentRecord, RowRecord, RunRecord

ROOT = Path(__file__).parents[1]
TOUR = ROOT / "docs" / "tour.md"
BLOCK = re.compile(r"^    \$ fsr (.+)\n((?:    (?!\$).*\n|\n(?=    ))*)", re.MULTILINE)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FSR_ROOT", str(ROOT))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    yield


def test_commands_print_what_the_tour_shows(capsys: pytest.CaptureFixture[str]) -> None:
    def run(block: re.Match[str]) -> str:
        assert main(shlex.split(block[1])) == 0, block[1]
        lines = capsys.readouterr().out.splitlines()
        return "\n".join([f"    $ fsr {block[1]}", *(f"    {line}".rstrip() for line in lines)]) + "\n"

    text = TOUR.read_text(encoding="utf-8")
    anew = BLOCK.sub(run, text)
    if os.environ.get("FSR_GOLDEN") == "write":
        TOUR.write_text(anew, encoding="utf-8")
    assert len(BLOCK.findall(text)) == 5
    assert anew == TOUR.read_text(encoding="utf-8")


@pytest.mark.parametrize("record", [RunRecord, ExperimentRecord, RowRecord])
def test_the_page_on_results_names_every_field(record: type) -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert not [field.name for field in dataclasses.fields(record) if f"`{field.name}`" not in page]


def test_the_glossary_has_thirty_words_in_order() -> None:
    words = re.findall(
        r"^\| \*\*(.+?)\*\* \|", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(words) == 30
    assert [word.lower() for word in words] == sorted(word.lower() for word in words)


def test_the_experiment_of_the_running_page_is_one() -> None:
    page = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    experiment = from_dict(Experiment, tomllib.loads(example), "running.md")
    assert len(experiment.rows) == 5 and not experiment.rows[-1].method
