"""What every method must do, run over the whole registry and over the tests' own plug-ins.

The next method is held to all of this without a line of test. Networks are narrow and shallow where they can be.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models import registry, weights
from bench.models.cost import count_multiply_adds, count_parameters
from bench.models.meta import meta_device
from bench.runs.config import RunConfig, Training
from bench.runs.features import NETWORKS
from bench.runs.given import Given
from bench.runs.trainee import Trainee

PLUGINS = ("tiny_method.py", "rival_method.py", "pupil_method.py")
for plugin in PLUGINS:
    registry.add_plugin(Path(__file__).parents[1] / plugin)
METHODS = [name for name in registry.names() if name != "msfnet"]  # which is msfnet-8, see test_counts
TRAINABLE = [name for name in METHODS if registry.get(name).trainable]
CLASSES = list({registry.load(name): name for name in TRAINABLE}.values())
SIZE = 128
# Parameters that are zero where roundings must not matter: SFMNet convolves phases, which jump by 2 pi at a rounding
# (its authors' own network moves by 2.4e-5 with the number of threads). All the rest of it is compared.
JUMPS = {"sfmnet": ".phase."}


def build(method: str, scale: int = 8, seed: int = 0) -> nn.Module:
    """Build a method with weights that are the same each time."""
    torch.manual_seed(seed)
    return registry.build(method, {"scale": scale} | small(method))


def small(method: str) -> dict[str, Any]:
    """Return options that make a method narrow and shallow where it can be."""
    own = registry.options(method)
    options = {"width": 0.125, "deep_blocks": min(2, own.get("deep_blocks", 2))}
    return {name: value for name, value in options.items() if name in own}


def pictures(count: int, scale: int = 8) -> Tensor:
    """Return pictures whose values are whole grey levels, as all LR pictures are: noise, a black one, a white one."""
    draw = torch.Generator().manual_seed(1)
    levels = torch.randint(256, (count, 3, SIZE // scale, SIZE // scale), generator=draw).float()
    levels[1:2], levels[2:3] = 0, 255
    return levels / 255


def batch_of(number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return LR and HR of two training pictures and landmarks of them, the second face having none."""
    draw = torch.Generator().manual_seed(number)
    points = 128 * torch.rand(2, 68, 2, generator=draw)
    points[1] = torch.nan
    hr = torch.rand(2, 3, SIZE, SIZE, generator=draw)
    return torch.randint(256, (2, 3, SIZE // 8, SIZE // 8), generator=draw) / 255, hr, points


def trainee_of(method: str, seed: int = 0) -> Trainee:
    """Return a method in training, which ends after ten iterations, taught by an untrained teacher if it has one.

    Pictures are compared by smaller ones of them, in place of a network's thirteen convolutions.
    """
    training = Training(iterations=10, batch=2, learning_rate=1e-3, precision="fp32")
    options = registry.options(method, small(method))
    teacher = registry.get(method).teacher
    config = RunConfig(method, options, 8, seed, "sparnet", training)
    taught_by = build(teacher).eval().requires_grad_(False) if teacher else None
    features = {name: lambda seen: (F.avg_pool2d(seen, 4) for _ in range(13)) for name in NETWORKS}
    return Trainee(config, torch.device("cpu"), Given(teacher=taught_by, features=features))


def flat(state: Any, name: str = "") -> dict[str, Tensor]:
    """Return the tensors and numbers of a training state by their place in it."""
    if isinstance(state, dict | list | tuple):
        items = state.items() if isinstance(state, dict) else enumerate(state)
        return {key: value for place, part in items for key, value in flat(part, f"{name}/{place}").items()}
    return {name: torch.as_tensor(state)} if isinstance(state, Tensor | int | float) else {}


@functools.cache
def built(method: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network in evaluation mode, three pictures, and what it makes of them."""
    model, lr = build(method).eval(), pictures(3)
    with torch.no_grad():
        return model, lr, model(lr)


@pytest.mark.parametrize("method", METHODS)
def test_it_multiplies_each_side_by_its_scale(method: str) -> None:
    _, _, sr = built(method)
    assert sr.shape == (3, 3, SIZE, SIZE) and sr.dtype == torch.float32
    if 4 in registry.get(method).scales:
        with torch.no_grad():
            assert build(method, 4).eval()(pictures(1, 4)).shape == (1, 3, SIZE, SIZE)


@pytest.mark.parametrize("method", METHODS)
def test_black_white_and_noise_give_numbers_near_the_range(method: str) -> None:
    _, _, sr = built(method)
    assert torch.isfinite(sr).all()
    assert sr.min() > -1 and sr.max() < 2


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_and_weights_from_a_file_give_the_same_picture(method: str, tmp_path: Path) -> None:
    first, lr, sr = built(method)
    model = build(method).eval()
    weights.save(tmp_path / "w.safetensors", model.state_dict())
    for tensor in model.state_dict().values():
        tensor.zero_()
    weights.load_into(model, tmp_path / "w.safetensors")
    expected = first.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(model(lr), sr)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_of_one_equals_its_row_of_a_batch(method: str) -> None:
    model, lr, sr = built(method)
    with torch.no_grad():
        assert torch.allclose(model(lr[:1]), sr[:1], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_memory_layout_does_not_matter(method: str) -> None:
    _, lr, sr = built(method)
    model = build(method).eval()
    with torch.no_grad():
        if method in JUMPS:
            for name, parameter in model.named_parameters():
                parameter *= JUMPS[method] not in name
            sr = model(lr)
        model = model.to(memory_format=torch.channels_last)
        assert torch.allclose(model(lr.contiguous(memory_format=torch.channels_last)), sr, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_is_close_to_float32(method: str) -> None:
    model, lr, sr = built(method)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        short = model(lr[:1]).float()
    assert (short - sr[:1]).abs().mean() < 0.01
    assert (short - sr[:1]).abs().max() < 0.1


@pytest.mark.parametrize("method", TRAINABLE)
def test_the_gradient_reaches_every_parameter(method: str) -> None:
    """Under one of eight draws of first weights: a narrow layer before a ReLU can be silent under any one of them."""
    unreached: set[str] | None = None
    for seed in range(8):
        trainee = trainee_of(method, seed)
        trainee.iteration = trainee.training.iterations - 1  # all terms are on
        trainee.step(*batch_of(2))
        networks = nn.ModuleList(filter(None, (trainee.model, trainee.adversary)))
        trained = {name: parameter for name, parameter in networks.named_parameters() if parameter.requires_grad}
        for name, parameter in trained.items():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
        silent = {name for name, parameter in trained.items() if not parameter.grad.abs().sum() > 0}
        unreached = silent if unreached is None else unreached & silent
        if not unreached:
            break
    assert not unreached


@pytest.mark.parametrize("method", CLASSES)
def test_training_that_goes_on_gives_the_same_bytes(method: str, tmp_path: Path) -> None:
    whole, part = trainee_of(method), trainee_of(method)
    first = whole.iteration
    for trainee, steps in ((whole, 3), (part, 2)):
        while trainee.iteration < first + steps:
            trainee.step(*batch_of(trainee.number))
    torch.save(part.state(0), tmp_path / "state.pt")
    rest = trainee_of(method, seed=1)
    rest.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    rest.seed = part.seed
    while rest.iteration < first + 3:
        rest.step(*batch_of(rest.number))
    expected, got = (flat(trainee.state(0)) for trainee in (whole, rest))
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


@pytest.mark.parametrize("method", CLASSES)
def test_it_is_counted_without_weights(method: str) -> None:
    model, lr, _ = built(method)
    with meta_device():
        twin = build(method)
        count = count_multiply_adds(twin, torch.rand(1, *lr.shape[1:]))
    assert count == count_multiply_adds(model, lr[:1])
    assert count_parameters(twin) == count_parameters(model)


@pytest.mark.parametrize("method", METHODS)
def test_it_says_who_it_is(method: str) -> None:
    spec = registry.get(method)
    assert spec.title and 1980 < spec.year < 2100 and spec.scales
    assert spec.paper or spec.source in PLUGINS
