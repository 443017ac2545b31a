"""Which faces count as failures, and that status, TensorBoard and model cards tell them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench.runs.failures import LIMIT, failures
from bench.runs.model_card import model_card
from bench.runs.records import read_experiment_record
from bench.runs.status import status_of, status_text
from bench.runs.tensorboard import write_logs
from tests.bench.report.fabricate import FINGERPRINT, change, fabricate, made_up_psnr, rows_of_table_1, run_name

INF, NAN = math.inf, math.nan


def test_a_face_fails_beyond_the_limit_and_the_worst_comes_first() -> None:
    found = failures([25.0, 21.9, 22.0, 10.5, -INF], [25.0, 25.0, 25.0, 28.0, 28.0], "abcde")
    assert [(one.face, one.psnr, one.reference) for one in found] == [("e", -INF, 28), ("d", 10.5, 28), ("b", 21.9, 25)]
    assert found[1].loss == 17.5 and LIMIT == 3.0


def test_nan_and_broken_pictures_fail_whatever_their_score() -> None:
    found = failures([NAN, 30.0, INF], [25.0, 25.0, 25.0], "abc", broken=["b"])
    assert [(one.face, one.broken) for one in found] == [("a", False), ("b", True)]


@pytest.mark.parametrize(("psnr", "fails"), [(INF, False), (46.0, False), (45.0, True), (20.0, True)])
def test_a_perfect_reference_is_taken_as_one_grey_level_off(psnr: float, fails: bool) -> None:
    assert bool(failures([psnr], [INF], ["flat"])) == fails


def test_without_ground_truth_or_reference_broken_pictures_alone_fail() -> None:
    assert [one.face for one in failures(None, None, "ab", broken={"b"})] == ["b"]
    assert [one.face for one in failures([5.0, NAN], None, "ab")] == ["b"]
    assert failures([5.0], [NAN], ["a"]) == ()


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        failures([1.0], [1.0, 2.0], ["a", "b"])


def exploding(method: str, seed: int, image: int) -> float:
    """Return a made-up PSNR that is finite everywhere, and on the second face of one seed far below Bicubic's."""
    return 4.5 if (method, seed, image) == ("msfnet-1", 1, 1) else made_up_psnr(method, seed, image)


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Return an experiment of Bicubic, SPARNet and Model 1 in two seeds: one explodes on one face, one is broken."""
    folder = fabricate(tmp_path / "mine", rows=rows_of_table_1()[:3], seeds=(0, 1), psnr=exploding)
    change(folder / run_name("sparnet") / "run.json", broken={FINGERPRINT: ["face-0", "face-2"]})
    return folder


FINITE = (
    "fails on 1 of 3 faces of synthfaces (NaN, infinity or more than 3 dB below Bicubic), "
    "the worst face-1 (4.5 dB, Bicubic 21.0)"
)
BROKEN = (
    "fails on 2 of 3 faces of synthfaces (NaN, infinity or more than 3 dB below Bicubic), "
    "the worst face-0 (30.0 dB, Bicubic 20.0, NaN or infinity)"
)


def test_status_shows_finite_explosions_and_broken_pictures(experiment: Path) -> None:
    found = {run.run: run for run in status_of(experiment)}
    assert found[run_name("msfnet-1", 1)].fails == (FINITE,) and found[run_name("sparnet")].fails == (BROKEN,)
    counts = [run.failing for run in found.values()]
    assert counts == [0, 2, 0, 0, 1]
    text = status_text({"mine": list(found.values())})
    assert f"{run_name('msfnet-1', 1)}: {FINITE}" in text and text.count("fails on") == 2
    head, *body = (line for line in text.splitlines() if line.startswith(("row", "Model 1")))
    place = head.index("failing faces")
    assert [line[place:].split()[0] for line in body] == ["0", "1"]


def test_of_a_run_without_scores_no_failures_are_known(experiment: Path) -> None:
    change(experiment / run_name("sparnet") / "run.json", status="failed", error="out of luck")
    for sheet in (experiment / run_name("msfnet-1") / "scores").iterdir():
        sheet.unlink()
    found = {run.run: run for run in status_of(experiment)}
    assert found[run_name("sparnet")].failing is None and found[run_name("msfnet-1")].failing is None
    assert found[run_name("msfnet-1", 1)].failing == 1


def test_without_a_row_that_is_not_trained_broken_pictures_alone_are_told(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "mine", rows=rows_of_table_1()[1:3], seeds=(0, 1), psnr=exploding)
    assert [run.failing for run in status_of(folder)] == [0, 0, 0, 0]
    change(folder / run_name("sparnet") / "run.json", broken={FINGERPRINT: ["face-0"]})
    (line,) = status_of(folder)[0].fails
    assert line.endswith("below plain interpolation), the worst face-0 (30.0 dB, NaN or infinity)")


def test_tensorboard_has_the_number_of_failing_faces_and_which(experiment: Path) -> None:
    logs = {path.name: path for path in write_logs(experiment, experiment.parent / "logs")}
    for name, text in (
        (run_name("msfnet-1", 1), FINITE),
        (run_name("sparnet"), BROKEN),
        (run_name("msfnet-1"), "fails on none"),
    ):
        (events,) = logs[name].glob("events*")
        content = events.read_bytes()
        assert text.encode() in content and b"failing faces/synthfaces" in content


def test_a_model_card_has_the_number_of_failing_faces_and_which(experiment: Path) -> None:
    for name, count, line in ((run_name("msfnet-1", 1), 1, f"- It {FINITE}."), (run_name("msfnet-1"), 0, "")):
        (experiment / name / "weights.safetensors").write_bytes(b"w")
        card = model_card(experiment / name, read_experiment_record(experiment), "Model 1")
        row, *_ = (text for text in card.splitlines() if text.startswith("| synthfaces"))
        assert row.endswith(f"| {count} |") and ("- It fails" in card) == bool(count) and line in card
