from __future__ import annotations

import csv
import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.core.errors import UserError
from bench.core.stop import Interrupted
from bench.models import registry, weights
from bench.runs import behaviour, train
from bench.runs.config import Training
from bench.runs.trainee import Diverged, learning_rate
from tests.bench.conftest import RIVAL, smooth_faces
from tests.bench.runs.train_child import TRAINING, make_run, train_run

CHILD = Path(__file__).with_name("train_child.py")
pytestmark = pytest.mark.usefixtures("tiny")
Undisturbed = tuple[str, tuple[bytes, bytes]]  # method, weights and curve


def train_with_kills(method: str, folder: Path, *kills: str) -> None:
    subprocess.run([sys.executable, str(CHILD), method, str(folder), *kills], check=True)


def result(method: str, folder: Path) -> tuple[bytes, bytes]:
    run = make_run(folder, method)
    return run.weights.read_bytes(), (run.folder / "curve.csv").read_bytes()


@pytest.fixture(scope="module", params=["tiny", "rival", "heir"])
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    train_with_kills(request.param, folder)
    return request.param, result(request.param, folder)


@pytest.mark.parametrize(
    "kills", [("step:1", "step:3", "step:4", "step:2"), ("write:2", "write:3", "write:4", "write:6")]
)
def test_a_run_killed_again_and_again_ends_with_the_same_bytes(
    kills: tuple[str, ...], tmp_path: Path, undisturbed: Undisturbed
) -> None:
    method, expected = undisturbed
    train_with_kills(method, tmp_path, *kills)
    assert result(method, tmp_path) == expected
    run = make_run(tmp_path, method)
    assert run.trained and not run.state.exists()
    whole = {"run.json", "curve.csv", "weights.safetensors"}
    assert {path.name for path in run.folder.iterdir()} == whole


def test_the_curve_falls_and_ends_where_it_says(tmp_path: Path) -> None:
    run = make_run(tmp_path, training=dataclasses.replace(TRAINING, iterations=50, ema=0.0, validate_every=20))
    train_run(run)
    with (run.folder / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows] == [20, 40, 50]
    assert all(np.isfinite(float(row["psnr"])) for row in rows)
    assert float(rows[-1]["loss"]) < 0.9 * float(rows[0]["loss"])


def test_the_curve_is_of_the_iterations_and_not_of_the_stage_before(tmp_path: Path) -> None:
    registry.add_plugin(RIVAL)
    run = make_run(tmp_path, "rival")
    train_run(run)
    assert run.record().objective.stage == 3
    with (run.folder / "curve.csv").open() as file:
        first = {name: float(value) for name, value in next(csv.DictReader(file)).items() if value}
    assert first["loss"] == pytest.approx(first["loss_pixel"] + first["loss_points"], rel=1e-4)


def test_a_probe_times_iterations_and_not_the_stage_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.add_plugin(RIVAL)
    run, taken, step = make_run(tmp_path, "rival"), list[int](), train.Trainee.step

    def note(trainee: train.Trainee, *batch: torch.Tensor) -> torch.Tensor:
        taken.append(trainee.iteration)
        return step(trainee, *batch)

    monkeypatch.setattr(train.Trainee, "step", note)
    train.probe(run.config, smooth_faces(6, 0), torch.device("cpu"), steps=1)
    assert taken == [0, 1]


def test_asked_to_stop_it_saves_and_goes_on_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, calls, before = train.Trainee.step, [], signal.getsignal(signal.SIGTERM)

    def stop_at_five(self: train.Trainee, *batch: torch.Tensor) -> torch.Tensor:
        calls.append(self.iteration)
        if self.iteration == 5:
            signal.raise_signal(signal.SIGTERM)
        return step(self, *batch)

    monkeypatch.setattr(train.Trainee, "step", stop_at_five)
    run = make_run(tmp_path)
    with pytest.raises(Interrupted, match="saved at iteration 6 of 12") as stopped:
        train_run(run)
    assert stopped.value.signum == signal.SIGTERM
    train_run(run)
    assert calls == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", 0.0)
    run = make_run(tmp_path)
    step = train.Trainee.step

    def break_at_six(self: train.Trainee, lr: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        return step(self, lr * (float("nan") if self.iteration >= 6 else 1), *rest)

    monkeypatch.setattr(train.Trainee, "step", break_at_six)
    with pytest.raises(Diverged, match="NaN or infinite at or before iteration 7"):
        train_run(run)
    state = run.load_state()
    assert state is not None and state["iteration"] == 6
    assert all(torch.isfinite(tensor).all() for tensor in state["model"].values() if tensor.is_floating_point())


def test_a_damaged_or_foreign_checkpoint_is_refused_and_left_alone(tmp_path: Path) -> None:
    run, other = make_run(tmp_path), make_run(tmp_path, width=0.5)
    other.save_state({"iteration": 3})
    run.folder.mkdir()
    for content, message in (
        (other.state.read_bytes(), "checkpoint of another run"),
        (other.state.read_bytes()[:200], "not a whole checkpoint"),
        (b"", "not a whole checkpoint"),
        (b"import os", "not a whole checkpoint"),
    ):
        run.state.write_bytes(content)
        with pytest.raises(UserError, match=message):
            train_run(run)
        assert run.state.read_bytes() == content


def test_a_flipped_bit_in_a_state_is_noticed_and_the_one_before_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(tmp_path)
    for iteration in (1, 2):
        run.save_state({"iteration": iteration, "model": torch.zeros(100)})
    whole = run.state.read_bytes()
    for place in range(0, len(whole), len(whole) // 60):
        run.previous.write_bytes(whole)
        run.state.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        state = run.load_state()
        assert state is not None and torch.equal(state["model"], torch.zeros(100))
        assert ("SHA-256" in caplog.text) or place > len(whole) - 75
    torch.save({"config": run.config.id, "iteration": 7}, run.state)  # of a version before digests
    assert run.load_state()["iteration"] == 7  # type: ignore[index]


def test_training_goes_on_by_the_code_that_began_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", 0.0)
    run = make_run(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(train.Trainee, "add_point", lambda self, psnr: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_run(run)
    code = run.record().code
    run.write(code="another")
    state = run.state.read_bytes()
    with pytest.raises(UserError, match=r"begun by code another of method 'tiny'.*--changed-code"):
        train_run(run)
    assert run.state.read_bytes() == state
    behaviour.accept_code(run)
    train_run(run)
    assert (run.record().code, run.record().earlier_code) == (code, ("another",)) and run.trained


def test_a_crafted_pickle_is_not_run(tmp_path: Path) -> None:
    run, mark = make_run(tmp_path), tmp_path / "owned"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (mark,)

    run.folder.mkdir()
    torch.save({"config": run.config.id, "model": Evil()}, run.state)
    with pytest.raises(UserError, match="not a whole checkpoint"):
        run.load_state()
    assert not mark.exists()


def test_the_average_is_what_is_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path, training=dataclasses.replace(TRAINING, iterations=1, validate_every=1))
    train_run(run)
    trainee = train.Trainee(run.config, torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in trainee.model.state_dict().items()}
    trainee.step(*train.batches_of(run.config, smooth_faces(6, 0), torch.device("cpu"))[0])
    after, (kept, _) = trainee.model.state_dict(), weights.load(run.weights)
    name = "body.0.weight"
    # The first update copies the weights, so after one step the average equals them.
    assert torch.equal(kept[name], after[name]) and not torch.equal(kept[name], before[name])
    trainee.step(*train.batches_of(run.config, smooth_faces(6, 0), torch.device("cpu"))[1])
    assert trainee.average is not None
    expected = 0.9 * kept[name] + 0.1 * trainee.model.state_dict()[name]
    assert torch.allclose(trainee.network.state_dict()[name], expected, atol=1e-7)


def test_a_seed_decides_the_first_weights() -> None:
    config = make_run(Path()).config

    def first_weight(seed: int) -> torch.Tensor:
        trainee = train.Trainee(dataclasses.replace(config, seed=seed), torch.device("cpu"))
        return trainee.model.state_dict()["body.0.weight"]

    assert torch.equal(first_weight(0), first_weight(0)) and not torch.equal(first_weight(0), first_weight(1))


def test_one_cycle_is_torch_s() -> None:
    optimiser = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    torchs = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.0, total_steps=10001, final_div_factor=400)
    training = Training(iterations=10000, learning_rate=1.0, schedule="onecycle")
    rates = []
    for _ in range(10000):
        rates += torchs.get_last_lr()
        optimiser.step()
        torchs.step()
    assert [learning_rate(training, k) for k in range(10000)] == pytest.approx(rates, abs=1e-3)


@pytest.mark.parametrize(
    ("schedule", "first", "middle", "last"),
    [("constant", 1.0, 1.0, 1.0), ("linear", 1.0, 0.5, 0.0), ("cosine", 1.0, 0.505, 0.01)],
)
def test_the_schedule_begins_after_a_warmup_on_a_line(schedule: str, first: float, middle: float, last: float) -> None:
    training = Training(iterations=110, learning_rate=1.0, schedule=schedule, warmup=10)  # type: ignore[arg-type]
    rates = [learning_rate(training, k) for k in (0, 4, 9, 10, 60, 110)]
    assert rates == pytest.approx([0.1, 0.5, 1.0, first, middle, last])


def test_a_methods_own_objective_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def training_loss(self: torch.nn.Module, lr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(hr.shape))
        return (self(lr) - hr).square().mean()

    monkeypatch.setattr(registry.load("tiny"), "training_loss", training_loss, raising=False)
    run = make_run(tmp_path, training=dataclasses.replace(TRAINING, iterations=2))
    train_run(run)
    assert seen == [(2, 3, 128, 128)] * 2


def test_a_probe_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, taken, step = make_run(tmp_path), list[torch.Tensor](), train.Trainee.step

    def note(trainee: train.Trainee, *batch: torch.Tensor) -> torch.Tensor:
        taken.append(next(trainee.network.parameters()).detach().clone())
        return step(trainee, *batch)

    monkeypatch.setattr(train.Trainee, "step", note)
    found = train.probe(run.config, smooth_faces(6, 0), torch.device("cpu"), steps=1)
    assert found.seconds > 0
    assert len(taken) == 2, "one that warms up, one that is measured"
    assert not torch.equal(taken[0], next(found.network.parameters())), "the network is the one that was trained"
    assert found.memory > 50 or not Path("/proc/self/clear_refs").exists(), "torch alone takes more"
    assert not run.folder.exists()
