"""Runs kept in storage: what is pushed can be pulled, and at any moment gone on from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.core.errors import UserError
from bench.core.files import write_bytes
from bench.runs.config import RunConfig
from bench.runs.experiment import Row, RowRun
from bench.runs.records import RunState
from bench.runs.store import Run
from bench.schedule.ray_tune import _send
from bench.schedule.storage import Storage

pytest.importorskip("fsspec")


@pytest.fixture(params=["file", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Return a storage in a folder, and one whose objects are no files."""
    return Storage(f"file://{tmp_path}/storage" if request.param == "file" else f"memory://{tmp_path.name}")


def run_in(folder: Path) -> Run:
    return Run(folder / "small", RunConfig("tiny", {}, 8, 0, "sparnet"))


def fill(run: Run, **files: str) -> None:
    for name, content in files.items():
        write_bytes(run.folder / name.replace("__", "/").replace("_", "."), content.encode())


def contents(run: Run) -> dict[str, str]:
    return {path.relative_to(run.folder).as_posix(): path.read_text() for path in run.folder.rglob("*.*")}


def test_what_is_pushed_is_pulled_elsewhere(storage: Storage, tmp_path: Path) -> None:
    storage.check()
    here, there = run_in(tmp_path / "here"), run_in(tmp_path / "there")
    storage.pull(here)  # nothing there yet
    fill(here, run_json="{}", state_pt="one", samples__a_png="face")
    sent: dict[str, int] = {}
    storage.push(here, sent)
    assert sorted(sent) == ["run.json", "samples/a.png", "state.pt"]
    storage.pull(there, states=False)
    assert contents(there) == {"run.json": "{}", "samples/a.png": "face"}
    storage.pull(there)
    assert contents(there) == contents(here)


def test_what_changes_and_what_goes_is_followed(storage: Storage, tmp_path: Path) -> None:
    here, there = run_in(tmp_path / "here"), run_in(tmp_path / "there")
    fill(here, run_json="{}", state_pt="one")
    with storage.mirrored(here):
        fill(here, run_json='{"trained": 1}', weights_safetensors="weights")
        (here.folder / "state.pt").unlink()
    storage.pull(there)
    assert contents(there) == {"run.json": '{"trained": 1}', "weights.safetensors": "weights"}


def test_a_run_that_ends_badly_is_kept_as_far_as_it_is(storage: Storage, tmp_path: Path) -> None:
    here, there = run_in(tmp_path / "here"), run_in(tmp_path / "there")
    with pytest.raises(RuntimeError, match="out of memory"), storage.mirrored(here):
        fill(here, run_json="{}", state_pt="one")
        raise RuntimeError("out of memory")
    storage.pull(there)
    assert contents(there) == contents(here)


def test_scores_of_a_push_that_was_cut_short_are_scored_again(storage: Storage, tmp_path: Path) -> None:
    here, there = run_in(tmp_path / "here"), run_in(tmp_path / "there")
    here.write(status=RunState.FINISHED, digests={"scores/a-1.csv": "0" * 64})
    write_bytes(here.folder / "scores" / "a-1.csv", b"older")
    storage.push(here, {})
    storage.pull(there)
    assert list(contents(there)) == ["run.json"]


def test_what_makes_a_run_count_comes_last(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, order = run_in(tmp_path / "here"), []
    fill(here, run_json="{}", weights_safetensors="", curve_csv="")
    (here.folder / "scores").mkdir()
    (here.folder / "scores" / "a-1.csv").touch()
    monkeypatch.setattr("bench.schedule.storage._put", lambda _, name, content: order.append(name))
    storage.push(here, {})
    assert order[-2:] == ["run.json", "scores/a-1.csv"] and len(order) == 4


def test_places_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for url, why in ((f"file://{tmp_path}/file", "cannot be written"), ("nonsense://bucket", "Protocol not known")):
        with pytest.raises(UserError, match=why):
            Storage(url).check()


@pytest.mark.parametrize("kind", ["checkpoint", "pictures"])
def test_what_is_made_of_files_that_lie_here_goes_to_the_storage(storage: Storage, tmp_path: Path, kind: str) -> None:
    config = RunConfig("tiny", {}, 8, 0, "sparnet", given={kind: "0" * 64})
    runs = [Run(tmp_path / "here" / "small", config), run_in(tmp_path / "here")]
    faces: Any = SimpleNamespace(tests=())  # on which nothing lacks a score
    for run in runs:
        run.write(status=RunState.RUNNING, trained="2026-01-01T00:00:00Z")
        fill(run, samples__a_png="theirs", **{"weights_safetensors": "theirs"} if kind == "checkpoint" else {})
    _send(storage, [RowRun(Row("tiny"), "Tiny", run) for run in runs], faces)
    there = Run(tmp_path / "there" / "small", config)
    storage.pull(there)
    assert contents(there)["samples/a.png"] == "theirs" and there.trained
    storage.pull(run_in(tmp_path / "there"))
    assert not run_in(tmp_path / "there").folder.exists(), "what is of the nodes begins there"
