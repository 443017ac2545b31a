"""What happens to a run when a step of it fails, and what a plan says of runs that are already there."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.analysis.results import read_run
from bench.core.errors import UserError
from bench.core.files import read_json
from bench.core.progress import Bar
from bench.data.store import FaceRow, write_store
from bench.models import registry
from bench.runs import evaluate, store
from bench.runs.behaviour import load_network
from bench.runs.complete import Outcome, complete, is_complete
from bench.runs.config import DataRef, RunConfig, Training
from bench.runs.experiment import Faces, Row, RowRun, Sizes, TestSet
from bench.runs.scores import make_sheet, write_sheet
from bench.runs.store import Run
from bench.schedule.executor import ExecutionOptions, failed_before
from bench.schedule.plan import _warning
from tests.bench.conftest import smooth_faces
from tests.bench.report.fabricate import change

CPU = torch.device("cpu")


@pytest.fixture
def faces(tmp_path: Path) -> Faces:
    rows = [FaceRow(f"face-{i}") for i in range(3)]
    store = write_store(tmp_path / "mine" / "train", rows, enumerate(smooth_faces(3, 0)), {})
    return Faces(store, store, store, Sizes(3, 3, 3))


@pytest.fixture
def row_run(tmp_path: Path, tiny: None) -> RowRun:
    reference = DataRef("mine", "train", 3, "0" * 32)
    config = RunConfig(
        "tiny",
        registry.options("tiny", {"width": 0.5}),
        8,
        0,
        "sparnet",
        Training(iterations=4, batch=2),
        reference,
        reference,
    )
    return RowRun(Row("tiny"), "Tiny", Run(tmp_path / "results", config))


def run(row_run: RowRun, faces: Faces) -> Outcome:
    return complete(row_run, faces, CPU, 1, lambda title, total: Bar(title, total, quiet=True))


def fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("out of luck")


def test_a_failed_scoring_is_repeated_without_training(
    row_run: RowRun, faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "evaluate", fail)
        outcome = run(row_run, faces)
    assert (outcome.status, outcome.error) == ("failed", "RuntimeError: out of luck")
    assert row_run.run.record().status == "failed"
    trained = row_run.run.record().trained
    assert run(row_run, faces).status == "finished"
    assert row_run.run.record().trained == trained and row_run.run.record().error is None
    assert run(row_run, faces).status == "cached"


def test_a_run_is_complete_only_with_its_record(row_run: RowRun, faces: Faces, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between its last two writes, a run is scored again rather than left without its costs."""
    with monkeypatch.context() as patch:
        patch.setattr(Run, "add_scores", fail)
        run(row_run, faces)
    assert not is_complete(row_run, faces)
    run(row_run, faces)
    record = row_run.run.record()
    assert is_complete(row_run, faces) and record.parameters and record.seconds_per_image


def test_a_truncated_scores_file_names_itself(row_run: RowRun, faces: Faces) -> None:
    run(row_run, faces)
    (scores,) = (row_run.run.folder / "scores").iterdir()
    whole = scores.read_bytes()
    scores.write_bytes(whole[:-40])
    outcome = run(row_run, faces)
    assert outcome.status == "failed" and f"{scores}: damaged or edited" in outcome.error
    change(row_run.run.folder / "run.json", digests={})
    with pytest.raises(UserError, match=rf"{scores}: \d+ fields in line 4, expected 16; delete it"):
        run(row_run, faces)
    scores.unlink()
    assert run(row_run, faces).status == "finished" and scores.read_bytes() == whole


@pytest.mark.parametrize("name", ["weights.safetensors", "curve.csv", "scores/*.csv"])
def test_a_flipped_bit_is_noticed_and_told_with_what_to_do(row_run: RowRun, faces: Faces, name: str) -> None:
    run(row_run, faces)
    (path,) = row_run.run.folder.glob(name)
    whole, record = path.read_bytes(), row_run.run.record()
    path.write_bytes(whole[:-30] + bytes([whole[-30] ^ 1]) + whole[-29:])
    outcome = run(row_run, faces)
    assert outcome.status == "failed" and f"{path}: damaged or edited" in outcome.error and "delete" in outcome.error
    assert row_run.run.record() == record, "the run itself has not failed"
    with pytest.raises(UserError, match="damaged or edited"):
        load_network(record, row_run.run.folder) if path.suffix == ".safetensors" else read_run(row_run.run.folder)
    path.write_bytes(whole)
    assert run(row_run, faces).status == "cached"


def test_scores_that_the_run_did_not_write_are_told_and_left_out(row_run: RowRun, faces: Faces) -> None:
    """Edited numbers under a packed name are as good as edited ones under the name that was there."""
    run(row_run, faces)
    folder, record, sheets = row_run.run.folder, row_run.run.record(), row_run.run.scores()
    (path,) = (folder / "scores").iterdir()
    whole = path.read_bytes()
    for gone in (False, True):
        for sheet in sheets.values():
            strange = write_sheet(folder, sheet, packed=True)
        if gone:
            path.unlink()
        outcome = run(row_run, faces)
        assert outcome.status == "failed" and f"{strange}: not written by this run" in outcome.error
        assert row_run.run.record() == record, "the run itself has not failed"
        with pytest.raises(UserError, match="not written by this run"):
            read_run(folder)
    strange.unlink()
    with pytest.raises(UserError, match=f"{path}: no such file, though run.json has its digest"):
        read_run(folder)
    assert run(row_run, faces).status == "finished" and path.read_bytes() == whole
    (folder / "curve.csv").unlink()
    assert "curve.csv: no such file, though run.json has its digest" in run(row_run, faces).error
    with pytest.raises(UserError, match=r"curve\.csv: no such file"):
        read_run(folder)


def test_weights_that_the_run_did_not_write_are_not_loaded(row_run: RowRun, faces: Faces) -> None:
    run(row_run, faces)
    weights = row_run.run.weights
    weights.rename(weights.with_name("weights-1of1.safetensors"))
    with pytest.raises(UserError, match=r"weights-1of1\.safetensors: not written by this run"):
        load_network(row_run.run.record(), row_run.run.folder)


@pytest.mark.parametrize("digests", [True, False])
def test_a_run_killed_while_scores_are_written_goes_on(
    row_run: RowRun, faces: Faces, digests: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is there of the file that was under way; the scores of an older run have no digest."""
    run(row_run, faces)
    first = row_run.run.scores()
    if not digests:
        change(row_run.run.folder / "run.json", digests={})
    more = write_store(tmp_path / "other" / "test", [FaceRow("a")], enumerate(smooth_faces(1, 1)), {})
    both = dataclasses.replace(faces, others=(TestSet(more, 1),))

    def write_and_fail(*given: Any) -> Any:
        write_sheet(*given)
        raise KeyboardInterrupt

    for killed in (fail, write_and_fail):
        with monkeypatch.context() as patch:
            patch.setattr(store, "write_sheet", killed)
            run(row_run, both)
        assert not is_complete(row_run, both)
    assert run(row_run, both).status == "finished" and run(row_run, both).status == "cached"
    kept = row_run.run.record().digests
    assert len(row_run.run.scores()) == 2 == sum(name.startswith("scores/") and bool(kept[name]) for name in kept)
    assert row_run.run.scores().items() >= first.items()


def test_scores_that_are_gone_and_not_asked_for_any_more_are_forgotten(row_run: RowRun, faces: Faces) -> None:
    run(row_run, faces)
    row_run.run.add_scores([make_sheet("other", "f" * 32, ["a"], {("sparnet", "psnr"): [1.0]})])
    (row_run.run.folder / "scores" / f"other-{'f' * 12}.csv").unlink()
    assert run(row_run, faces).status == "finished"
    assert len(read_run(row_run.run.folder).scores) == 1


def test_half_weights_of_an_older_run_are_not_done(row_run: RowRun, faces: Faces) -> None:
    run(row_run, faces)
    weights = row_run.run.weights
    scores = row_run.run.scores()
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    change(row_run.run.folder / "run.json", digests={})
    assert "not a whole safetensors file" in run(row_run, faces).error
    weights.unlink()
    assert run(row_run, faces).status == "finished" and weights.read_bytes() == whole
    assert row_run.run.scores() == scores and len(row_run.run.record().digests) == 3


def test_changed_code_is_noticed(row_run: RowRun, faces: Faces) -> None:
    run(row_run, faces)
    path, scores = row_run.run.folder / "run.json", row_run.run.folder / "scores"
    change(path, code="another")
    assert not _warning(row_run), "it does the same"
    shutil.rmtree(scores)
    assert run(row_run, faces).status == "finished"
    own = read_json(path)
    for probe, why in (
        ([value + 0.01 for value in own["probe"]], "its output differs by up to 0.01"),
        (None, "no probe"),
    ):
        change(path, probe=probe)
        assert why in _warning(row_run)
        shutil.rmtree(scores)
        before = path.read_bytes()
        outcome = run(row_run, faces)
        assert outcome.status == "failed" and outcome.bad_input and why in outcome.error and not scores.exists()
        assert path.read_bytes() == before, "the run itself has not failed"
        change(path, probe=own["probe"])
        assert run(row_run, faces).status == "finished"


def test_scores_are_of_the_weights_on_disk(row_run: RowRun, faces: Faces) -> None:
    run(row_run, faces)
    before = row_run.run.scores()
    assert all(np.isfinite(column).all() for sheet in before.values() for column in sheet.columns.values())
    shutil.rmtree(row_run.run.folder / "scores")
    assert run(row_run, faces).status == "finished"
    assert row_run.run.scores() == before


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (RuntimeError("a bug"), False),
        (UserError("a package is missing"), True),
        (ImportError("no such package"), True),
        (MemoryError(), True),
        (torch.OutOfMemoryError(), True),
    ],
)
def test_what_failed_for_something_around_it_is_tried_again(
    error: Exception, again: bool, row_run: RowRun, faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "evaluate", fail)
        assert run(row_run, faces).status == "failed"
    assert (failed_before(row_run, ExecutionOptions()) is None) == again
    assert run(row_run, faces).status == "finished" and not row_run.run.record().retry


def break_first(monkeypatch: pytest.MonkeyPatch, faces_broken: int) -> None:
    """Make the first pictures of every face set half NaN and half infinite."""
    plain = evaluate.Enlarger.__call__

    def broken(*arguments: Any) -> Iterator[torch.Tensor]:
        for sr in plain(*arguments):
            sr[:faces_broken, :, :64], sr[:faces_broken, :, 64:] = torch.nan, torch.inf
            yield sr

    monkeypatch.setattr(evaluate.Enlarger, "__call__", broken)


def test_a_picture_that_is_not_finite_is_scored_as_a_file_holds_it(
    row_run: RowRun, faces: Faces, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(row_run, faces)
    shutil.rmtree(row_run.run.folder / "scores")
    with monkeypatch.context() as patch:
        break_first(patch, 1)
        assert run(row_run, faces).status == "finished"
    test, name = faces.tests[0], faces.test.names[0]
    assert (
        row_run.run.record().broken.keys() == {test.fingerprint}
        and name in row_run.run.record().broken[test.fingerprint]
    )
    assert f"the output holds NaN or infinity on 1 of {test.count} faces" in caplog.text
    (sheet,) = row_run.run.scores().values()
    psnr = sheet.values("psnr", "sparnet")
    half_black_half_white = np.zeros((128, 128), np.uint8)
    half_black_half_white[64:] = 255
    assert psnr.pop(name) < 12 < min(psnr.values())
    saved = np.asarray(Image.open(row_run.run.folder / "samples" / f"{name}.png"))
    assert (saved == half_black_half_white[..., None]).all()


def test_a_network_whose_pictures_are_all_not_finite_has_failed(
    row_run: RowRun, faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(row_run, faces)
    shutil.rmtree(row_run.run.folder / "scores")
    break_first(monkeypatch, 99)
    outcome = run(row_run, faces)
    assert outcome.status == "failed" and "NaN or infinity on every face" in outcome.error
