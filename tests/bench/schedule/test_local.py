"""Runs side by side on this machine: one that fails, lacks memory or loses its process does not stop the others."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import multiprocessing
import os
import pickle
import signal
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from bench.core.errors import UserError
from bench.core.progress import Bar
from bench.core.provenance import code_of
from bench.models import registry
from bench.runs.complete import Outcome, complete
from bench.runs.experiment import Row, RowRun
from bench.runs.records import RunState
from bench.schedule import local
from bench.schedule.parcel import Work
from tests.bench.conftest import TINY
from tests.bench.runs.train_child import make_run

KILLED, STARVED, BUSY, FAILED, BROKEN, CRASHED = range(6)  # seeds


def pretend(row_run: RowRun, faces: Any, device: Any, samples: int, make_bar: Any, wait: bool) -> Outcome:
    """Stand in for `complete`: what happens to a run depends on its seed, and on whether others are beside it."""
    seed, name, beside = row_run.run.config.seed, row_run.run.config.name, multiprocessing.parent_process() is not None
    with make_bar(name, 2) as bar:
        bar.show(loss=1.0)
        bar.update(2)
    if seed == KILLED and beside:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == CRASHED:
        assert beside, "it would take the command along"
        os.abort()
    if seed == STARVED and beside:
        return Outcome(name, RunState.FAILED, "out of memory", out_of_memory=True)
    if seed == BUSY and not wait:
        return Outcome(name, RunState.BUSY)
    if seed == FAILED:
        return Outcome(name, RunState.FAILED, "a mistake")
    if seed == BROKEN:
        raise OSError(28, "No space left on device")
    return Outcome(name, RunState.FINISHED)


def row_runs(folder: Path, *seeds: int) -> list[RowRun]:
    run = make_run(folder)
    runs = [dataclasses.replace(run, config=dataclasses.replace(run.config, seed=seed)) for seed in seeds]
    return [RowRun(Row("tiny"), f"Seed {run.config.seed}", run) for run in runs]


def execute(runs: list[RowRun], jobs: int) -> list[Outcome]:
    faces: Any = None
    return local.execute(Work(tuple(runs), faces, 0, pretend), torch.device("cpu"), jobs=jobs, quiet=True)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bar_says_which_run_of_how_many_it_is_of(
    tiny: None, tmp_path: Path, caplog: pytest.LogCaptureFixture, jobs: int
) -> None:
    runs, faces = row_runs(tmp_path, 7, 8, 9), cast(Any, None)
    with caplog.at_level("INFO", "fsr"):
        local.execute(Work(tuple(runs), faces, 0, pretend), torch.device("cpu"), jobs=jobs)
        local.execute(Work(tuple(runs[:1]), faces, 0, pretend), torch.device("cpu"))
    names = [row_run.run.config.name for row_run in runs]
    for number, name in enumerate(names, 1):
        assert sum(line.startswith(f"{name} (run {number} of 3): 2 of 2, ") for line in caplog.messages) == 1
    assert caplog.messages[-1].startswith(f"{names[0]}: 2 of 2, "), "of one alone it does not"


def test_each_run_ends_whatever_becomes_of_the_others(
    tiny: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = row_runs(tmp_path, BUSY, KILLED, STARVED, FAILED, 7, 8)
    outcomes = execute(runs, jobs=2)
    assert [outcome.run for outcome in outcomes] == [row_run.run.config.name for row_run in runs]
    assert [outcome.status for outcome in outcomes] == ["finished"] * 3 + ["failed"] + ["finished"] * 2
    assert outcomes[3].error == "a mistake"
    assert "2 of 6 runs had too little memory: again, 1 side by side" in caplog.text
    crashed, whole = execute(row_runs(tmp_path, CRASHED, 7), jobs=2)
    assert (crashed.status, whole.status) == ("failed", "finished") and "crashed (SIGABRT)" in crashed.error
    with pytest.raises(OSError, match="No space left"):  # concerns them all
        execute(row_runs(tmp_path, BROKEN, 7), jobs=2)


def test_a_run_that_lacks_memory_says_so(tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def starve(*_: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr("bench.runs.complete._train", starve)
    (row_run,), faces = row_runs(tmp_path, 7), cast(Any, None)
    outcome = complete(row_run, faces, torch.device("cpu"), 0, Bar)
    assert outcome.status == "failed" and outcome.out_of_memory


def test_a_worker_imports_the_plugin_that_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", [])
    monkeypatch.setattr(registry, "_catalogue", None)
    named = tmp_path / "mine.py"
    named.write_text(TINY.read_text().replace('"tiny"', '"carried"'))
    text = named.read_text()
    registry.add_plugin(named)
    (plugin,) = registry.plugins()
    named.write_text("raise RuntimeError('changed since')")
    monkeypatch.setattr(registry, "_plugins", [])
    registry.add_plugin(pickle.loads(pickle.dumps(plugin)))
    registry.add_plugin(plugin)
    assert registry.plugins() == (plugin,)
    assert registry.load("carried").__module__ == plugin.module
    assert code_of(registry.build("carried")) == hashlib.sha256(_bare(text).encode()).hexdigest()[:12]
    with pytest.raises(UserError, match="no such file"):
        registry.add_plugin(tmp_path / "none.py")


def _bare(text: str) -> str:
    """Return code without comments and docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)
