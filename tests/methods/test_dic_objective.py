"""DIC's and DICGAN's training: terms and weights, what rests when, and where each begins."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models import registry
from bench.models.objective import Batch
from bench.runs.config import RunConfig, Training
from bench.runs.given import Given
from bench.runs.trainee import Trainee
from methods.layers.dic_objective import Adversary, _Larger

SMALL = {"width": 0.125, "steps": 2, "groups": 1}


def build(method: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return registry.build(method, SMALL)


def batch(iteration: int = 10, iterations: int = 100, landmarks: str = "one missing") -> Batch:
    """Return three faces, of which the second, all or none lack landmarks."""
    draw = torch.Generator().manual_seed(1)
    lr, hr = torch.rand(3, 3, 16, 16, generator=draw), torch.rand(3, 3, 128, 128, generator=draw)
    points = 128 * torch.rand(3, 68, 2, generator=draw)
    points[{"one missing": [1], "all missing": [0, 1, 2]}.get(landmarks, [])] = torch.nan
    return Batch(lr, hr, iteration, iterations, None if landmarks == "not given" else points)


def squared_error(maps: Tensor, points: Tensor) -> float:
    """Return the mean squared error of one face's maps [68, 32, 32] from exp(-d^2 / 2), d from its landmarks."""
    total = 0.0
    for found, (x, y) in zip(maps.tolist(), points.tolist(), strict=True):
        for row in range(32):
            for column in range(32):
                distance = (column - x / 4) ** 2 + (row - y / 4) ** 2
                total += (found[row][column] - math.exp(-distance / 2)) ** 2
    return total / (68 * 32 * 32)


def value(term: Tensor) -> float:
    return float(term.detach())


def trainee(method: str, teacher: nn.Module | None = None, ema: float = 0.0) -> Trainee:
    training = Training(iterations=10, batch=3, learning_rate=1e-3, precision="fp32", ema=ema)
    config = RunConfig(method, registry.options(method, SMALL), 8, 0, "sparnet", training)
    return Trainee(config, torch.device("cpu"), Given(teacher=teacher))


def parameters(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.named_parameters()}


def changed(before: dict[str, Tensor], network: nn.Module) -> set[str]:
    return {name for name, tensor in network.named_parameters() if not torch.equal(tensor, before[name])}


def test_dics_terms_are_those_of_every_step_and_of_faces_with_landmarks() -> None:
    network, given = build("dic"), batch()
    terms = network.objective().terms(network, given)
    found = network.outputs(given.lr)
    assert terms.keys() == {"pixel", "heat_maps"} and len(found.sr) == len(found.maps) == 2
    assert value(terms["pixel"]) == pytest.approx(sum(value((sr - given.hr).abs().mean()) for sr in found.sr), rel=1e-5)
    errors = [squared_error(maps[face], given.landmarks[face]) for maps in found.maps for face in (0, 2)]
    assert value(terms["heat_maps"]) == pytest.approx(0.1 * sum(errors) / 2, rel=1e-4)


@pytest.mark.parametrize("method", ["dic", "dic-gan"])
def test_without_landmarks_there_is_no_such_term(method: str) -> None:
    network = build(method)
    objective = network.objective()
    assert "heat_maps" not in objective.terms(network, batch(landmarks="not given"))
    term = objective.terms(network, batch(landmarks="all missing"))["heat_maps"]
    assert value(term) == 0
    gradients = torch.autograd.grad(term, [p for p in network.parameters() if p.requires_grad], allow_unused=True)
    assert all(float(gradient.abs().max()) == 0 for gradient in gradients if gradient is not None)


def test_dicgans_terms() -> None:
    network, given = build("dic-gan"), batch()
    objective = network.objective()
    terms = objective.terms(network, given)
    rivals = objective.adversary_terms(network, given)
    found = network.outputs(given.lr)
    assert terms.keys() == {"pixel", "heat_maps", "adversarial"} and rivals.keys() == {"real", "fake"}
    assert value(terms["pixel"]) == pytest.approx(2 * value((found.sr[-1] - given.hr).abs().mean()), rel=1e-5)
    assert torch.equal(terms["heat_maps"], build("dic").objective().terms(network, given)["heat_maps"])
    mean = torch.tensor([0.509, 0.424, 0.378]).view(1, 3, 1, 1)
    with torch.no_grad():
        real, fake = objective.adversary(given.hr - mean), objective.adversary(found.sr[-1] - mean)
    assert value(terms["adversarial"]) == pytest.approx(0.005 * value(F.softplus(-fake).mean()), rel=1e-4)
    assert value(rivals["real"]) == pytest.approx(value(F.softplus(-real).mean()), rel=1e-4)
    assert value(rivals["fake"]) == pytest.approx(value(F.softplus(fake).mean()), rel=1e-4)


def test_four_steps_weigh_dicgans_picture_fourfold() -> None:
    network, given = registry.build("dic-gan", {**SMALL, "steps": 4}), batch(landmarks="not given")
    pixel = network.objective().terms(network, given)["pixel"]
    assert pixel.item() == pytest.approx(4 * value((network(given.lr) - given.hr).abs().mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("iteration", "learns"), [(-1, True), (0, False), (1_999, False), (2_000, True), (149_999, True)]
)
def test_the_landmark_net_rests_for_the_first_2000_of_150000(iteration: int, learns: bool) -> None:
    network = build("dic")
    network.objective().terms(network, batch(iteration, 150_000))
    assert {p.requires_grad for p in network.landmarks.parameters()} == {learns}
    assert all(p.requires_grad for name, p in network.named_parameters() if not name.startswith("landmarks."))


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_stage_trains_the_landmark_net_alone(ema: float) -> None:
    trained, given = trainee("dic", ema=ema), batch()
    assert trained.stage == 2
    before = parameters(trained.model)
    while trained.iteration < 0:
        trained.step(given.lr, given.hr, given.landmarks)
    moved = changed(before, trained.model)
    assert {name.partition(".")[0] for name in moved} == {"landmarks"}
    assert len(moved) > 0.9 * len(list(trained.model.landmarks.parameters()))  # a narrow layer may be silent
    assert changed(before, trained.network) <= moved
    resting = parameters(trained.model)
    trained.step(given.lr, given.hr, given.landmarks)  # the first iteration
    assert "landmarks" not in {name.partition(".")[0] for name in changed(resting, trained.model)}


def test_the_stages_term_is_of_the_faces_themselves() -> None:
    network, given = build("dic"), batch(iteration=-1)
    terms = network.objective().terms(network, given)
    first, hidden = network.landmarks(given.hr - network.mean, None)
    second, _ = network.landmarks(given.hr - network.mean, hidden)
    errors = [squared_error(maps[face], given.landmarks[face]) for maps in (first, second) for face in (0, 2)]
    assert terms.keys() == {"heat_maps"}
    assert value(terms["heat_maps"]) == pytest.approx(0.1 * sum(errors) / 2, rel=1e-4)


def test_the_stage_can_be_timed_without_landmarks() -> None:
    network = build("dic")
    loss = network.objective().terms(network, batch(-1, landmarks="not given"))["heat_maps"]
    loss.backward()
    assert value(loss) == 0
    assert any(p.grad is not None for p in network.landmarks.parameters())


def test_dicgan_begins_as_its_teacher_and_keeps_its_landmark_net() -> None:
    teacher, given = build("dic", seed=5).eval().requires_grad_(False), batch()
    trained = trainee("dic-gan", teacher)
    assert trained.stage == 0
    assert changed(parameters(teacher), trained.model)
    trained.objective.start(trained.model, teacher)
    assert not changed(parameters(teacher), trained.model)
    rival = parameters(trained.adversary)
    for _ in range(2):
        trained.step(given.lr, given.hr, given.landmarks)
    moved = changed(parameters(teacher), trained.model)
    assert moved and "landmarks" not in {name.partition(".")[0] for name in moved}
    assert changed(rival, trained.adversary)


def test_the_adversary_has_light_cnn_9s_layers() -> None:
    convolutions = [(3, 96, 5), (48, 96, 1), (48, 192, 3), (96, 192, 1), (96, 384, 3)]
    convolutions += [(192, 384, 1), (192, 256, 3), (128, 256, 1), (128, 256, 3)]
    count = sum(into * out * kernel**2 + out for into, out, kernel in convolutions)
    count += 8 * 8 * 128 * 512 + 512 + 256 + 1
    with torch.device("meta"):
        adversary = Adversary()
        logits = adversary(torch.empty(2, 3, 128, 128))
    assert sum(p.numel() for p in adversary.parameters()) == count
    assert logits.shape == (2, 1)


def test_of_two_halves_the_larger_is_kept() -> None:
    pairs = torch.tensor([[1.0, 5.0, 3.0, -2.0]])
    assert torch.equal(_Larger(nn.Identity())(pairs), torch.tensor([[3.0, 5.0]]))


def test_who_teaches_and_what_is_left_out_is_said() -> None:
    assert registry.get("dic").needs == registry.get("dic-gan").needs == ("landmarks",)
    assert (registry.get("dic").teacher, registry.get("dic-gan").teacher) == ("", "dic")
    assert [text for text in build("dic-gan").objective().left_out if "LightCNN" in text]
