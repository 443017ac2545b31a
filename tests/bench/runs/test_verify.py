"""fsr verify: what is wrong with a run is told, file by file, and how sound its network is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.cli.main import main
from bench.data.store import open_split
from bench.runs import archive
from bench.runs.soundness import LIMIT, trial_pictures
from bench.runs.verify import verify
from tests.bench.conftest import smooth_faces
from tests.bench.report.fabricate import change


@pytest.fixture
def experiment(job: list[str], tmp_path: Path) -> Path:
    assert main(["run", *job, "--device", "cpu"]) == 0
    return tmp_path / "results" / "small-short-mine"


def test_every_damage_is_told(
    experiment: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    assert main(["verify", experiment.name, "--json"]) == 0
    verdicts = json.loads(capsys.readouterr().out)[experiment.name]
    assert len(verdicts) == 3 and not any(verdict["wrong"] or verdict["notes"] for verdict in verdicts)
    assert all(f"(limit {LIMIT:g})" in verdict["sound"] for verdict in verdicts)
    run = experiment / verdicts[2]["run"]
    (scores,) = (run / "scores").iterdir()
    for path in (run / "run.json", run / "weights.safetensors", run / "curve.csv", scores):
        whole = path.read_bytes()
        flipped = whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:]
        for damaged in (whole[:-20], b"", flipped)[: 2 if path.suffix == ".json" else 3]:
            path.write_bytes(damaged)
            assert main(["verify", experiment.name]) == 1
            out = capsys.readouterr().out
            assert f"{run.name}: damaged" in out and path.name in out and "1 damaged" in out
        path.write_bytes(whole)
    with monkeypatch.context() as patch:
        patch.setattr("tests.tiny_method.Tiny.forward", lambda *_: None)
        (line,) = verify(experiment)[2].wrong
        assert line.startswith(f"{run}: method 'tiny' failed (TypeError: forward gives NoneType, expected")
    change(run / "run.json", digests={})
    assert verify(experiment)[2].notes == ("no digest kept (fsr migrate adds them)",)
    scores.write_text("".join(scores.read_text().splitlines(keepends=True)[:-1]))
    assert "2 faces, expected 3" in verify(experiment)[2].wrong[0]
    run.rename(run.with_name("tiny-s7-000000000000"))
    assert verify(experiment)[2].notes == ("not run",)


def test_a_network_without_weights_is_not_said_to_be_checked(
    experiment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Default faces take a second each to generate; the archive's tests look at them.
    monkeypatch.setattr(archive, "prepare", lambda *_, **__: [open_split("mine", "test")])
    monkeypatch.setattr(archive, "FACES", 3)
    assert main(["archive", experiment.name]) == 0
    capsys.readouterr()
    assert main(["verify", f"reference/{experiment.name}"]) == 0
    head, untrained, *trained = capsys.readouterr().out.splitlines()
    assert head.endswith("3 runs, none damaged; of 2 no weights are kept: their networks are not checked")
    assert ": ok; largest output" in untrained and len(trained) == 2
    for line in trained:
        assert line.endswith(": ok (record, curve, scores); no weights kept, network not checked")


def test_trial_pictures_are_flat_or_framed_faces() -> None:
    face = smooth_faces(1, 0, size=16)
    pictures = trial_pictures(face)
    assert pictures.shape == (52, 16, 16, 3)
    assert len({picture[0, 0].tobytes() for picture in pictures}) == 26
    assert all((picture == picture[0, 0]).all() for picture in pictures[:26])
    assert all((picture[2:-2, 2:-2] == face[0, 2:-2, 2:-2]).all() for picture in pictures[26:])
    assert np.array_equal(pictures[26:, 0, 0], pictures[:26, 0, 0])
