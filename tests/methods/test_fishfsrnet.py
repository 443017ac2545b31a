"""FishFSRNet, against a plain forward pass over its authors' names, and its two objectives."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.core.errors import UserError
from bench.models import registry
from bench.models.authors import load_authors
from bench.models.cost import count_multiply_adds, count_parameters
from bench.models.meta import on_meta
from bench.models.objective import Batch, objective_of
from bench.runs.config import RunConfig, Training
from bench.runs.given import Given
from bench.runs.trainee import Trainee
from methods.layers.priors import parsing_maps
from tests.methods.pins.make_checkpoint import picture
from tests.methods.test_prior_maps import face

Tensors = dict[str, Tensor]
UNUSED = 246_352  # of the numbers in a file
PAGE = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the authors' file."""
    found: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *shape: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = shape, shape[:1]

    def conv(name: str, out: int = 64, into: int = 64, kernel: int = 3) -> None:
        layer(name, out, into, kernel, kernel)

    for i, downs in enumerate(((), (1,), (1, 2), (1, 2), (1,), ())):
        for source in ("refine2", "refine4", "refine8"):
            for block in range(2):
                for part in (0, 2):
                    conv(f"refine2.{i}.{source}.conv.{block}.body.{part}")
        layer(f"refine2.{i}.attention.mlp.1", 16, 64)
        layer(f"refine2.{i}.attention.mlp.3", 64, 16)
        conv(f"refine2.{i}.conv", into=192, kernel=1)
        if 1 in downs:
            conv(f"refine2.{i}.down1")
        if 2 in downs:
            conv(f"refine2.{i}.down2.0")
            conv(f"refine2.{i}.down2.2")
    for stage in ("up", "down", "up2"):
        for n in range(1, 4):
            conv(*(f"down{n}.0.conv", 64, 256) if stage == "down" else (f"{stage}{n}.0.0", 256, 64))
            for unit in range(2):
                name = f"{stage}_stage{n}.{unit}"
                conv(f"{name}.body.0")
                conv(f"{name}.body.2")
                conv(f"{name}.attention_layer1.spatial_layer1", 128, 64, 1)
                conv(f"{name}.attention_layer1.spatial_layer3", 64, 128, 1)
                layer(f"{name}.attention_layer2.mlp.1", 16, 64)
                layer(f"{name}.attention_layer2.mlp.3", 64, 16)
                conv(f"{name}.conv", into=128, kernel=1)
                conv(f"{name}.conv_feature.0")
                conv(f"{name}.conv_parsing.0", into=3)
                conv(f"{name}.conv_fusion", into=128)
                conv(f"{name}.attention_fusion", into=128, kernel=1)
    for name in ("conv_tail1", "conv_tail2", "conv_tail3"):
        conv(name, into=128, kernel=1)
    conv("conv")
    conv("head.0", into=3)
    conv("tail.0", out=3)
    return found


def parsing_shapes() -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the authors' file of their parsing net."""
    found = {"head.0.weight": (64, 3, 3, 3), "head.0.bias": (64,)}
    for name in (f"body.{i}.body.{part}" for i in range(8) for part in (0, 2)):
        found |= {f"{name}.weight": (64, 64, 3, 3), f"{name}.bias": (64,)}
    return {**found, "feature.0.weight": (3, 64, 3, 3), "feature.0.bias": (3,)}


@functools.cache
def files() -> tuple[Tensors, Tensors]:
    """Return random tensors of both files; the parsing net's answers lie around a half."""
    draw = torch.Generator().manual_seed(11)

    def fill(shape: tuple[int, ...]) -> Tensor:
        fan_in = torch.Size(shape[1:]).numel() if len(shape) > 1 else 25
        return (2 * torch.rand(shape, generator=draw) - 1) / fan_in**0.5

    main, parsing = ({name: fill(shape) for name, shape in of().items()} for of in (shapes, parsing_shapes))
    parsing["feature.0.bias"] += 0.5
    return main, parsing


def parsing_oracle(t: Tensors, x: Tensor) -> Tensor:
    """Return what the parsing net makes of LR, before it is stored, from the facts alone."""
    x = F.conv2d(x, t["head.0.weight"], t["head.0.bias"], padding=1)
    for i in range(8):
        y = F.conv2d(x, t[f"body.{i}.body.0.weight"], t[f"body.{i}.body.0.bias"], padding=1).relu()
        x = x + 0.2 * F.conv2d(y, t[f"body.{i}.body.2.weight"], t[f"body.{i}.body.2.bias"], padding=1)
    return F.conv2d(x, t["feature.0.weight"], t["feature.0.bias"], padding=1)


def oracle(t: Tensors, lr: Tensor, maps: Tensor) -> Tensor:
    """Return the SR of LR and its parsing maps, from the facts alone."""

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = t[f"{name}.weight"]
        return F.conv2d(x, weight, t[f"{name}.bias"], stride=stride, padding=weight.shape[-1] // 2)

    def gate(name: str, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        total = torch.zeros(flat.shape[:2])
        for seen in (flat.mean(dim=2), flat.max(dim=2).values, flat.var(dim=2, correction=0)):
            hidden = F.linear(seen, t[f"{name}.mlp.1.weight"], t[f"{name}.mlp.1.bias"]).relu()
            total = total + F.linear(hidden, t[f"{name}.mlp.3.weight"], t[f"{name}.mlp.3.bias"])
        return x * total.sigmoid()[:, :, None, None]

    def nearest(x: Tensor, factor: int) -> Tensor:
        return x.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)

    def unit(name: str, x: Tensor) -> Tensor:
        r = conv(f"{name}.body.2", conv(f"{name}.body.0", x).relu())
        hidden = conv(f"{name}.attention_layer1.spatial_layer1", r).relu()
        s = r * conv(f"{name}.attention_layer1.spatial_layer3", hidden).sigmoid()
        r = conv(f"{name}.conv", torch.cat([s, gate(f"{name}.attention_layer2", r)], dim=1))
        p = nearest(maps, x.shape[-1] // maps.shape[-1])
        f = torch.cat([conv(f"{name}.conv_feature.0", x).relu(), conv(f"{name}.conv_parsing.0", p).relu()], dim=1)
        return conv(f"{name}.attention_fusion", torch.cat([conv(f"{name}.conv_fusion", f), r], dim=1)) + x

    def stage(name: str, x: Tensor) -> Tensor:
        return unit(f"{name}.1", unit(f"{name}.0", x))

    def fuse(i: int, kind: int, x: Tensor, features: list[Tensor]) -> Tensor:
        two, four, eight = features
        name, refined = f"refine2.{i}", []
        if kind == 8:
            two, four = nearest(two, 4), nearest(four, 2)
        elif kind == 4:
            two, eight = nearest(two, 2), conv(f"{name}.down1", eight, 2)
        else:
            four = conv(f"{name}.down1", four, 2)
            eight = conv(f"{name}.down2.2", conv(f"{name}.down2.0", eight, 2).relu(), 2)
        for source, feature in (("refine2", two), ("refine4", four), ("refine8", eight)):
            y = x - feature
            for block in (0, 1):
                body = f"{name}.{source}.conv.{block}.body"
                y = y + conv(f"{body}.2", conv(f"{body}.0", y).relu())
            refined.append(x + y)
        return gate(f"{name}.attention", conv(f"{name}.conv", torch.cat(refined, dim=1))) + x

    def up(name: str, x: Tensor) -> Tensor:
        return F.pixel_shuffle(conv(f"{name}.0.0", x), 2)

    def down(name: str, x: Tensor) -> Tensor:
        return conv(f"{name}.0.conv", F.pixel_unshuffle(x, 2))

    x1 = up("up1", conv("head.0", lr))
    x2 = up("up2", stage("up_stage1", x1))
    x3 = up("up3", stage("up_stage2", x2))
    now = fuse(0, 8, stage("up_stage3", x3), [x1, x2, x3])
    x4 = down("down1", now)
    now = fuse(1, 4, stage("down_stage1", x4), [x1, x2, x3])
    x5 = down("down2", now)
    now = fuse(2, 2, stage("down_stage2", x5), [x1, x2, x3])
    x6 = down("down3", now)
    now = fuse(3, 2, stage("down_stage3", x6), [x6, x5, x4])
    now = up("up21", conv("conv", now))
    now = fuse(4, 4, stage("up2_stage1", now), [x6, x5, x4])
    now = up("up22", now)
    now = fuse(5, 8, stage("up2_stage2", now), [x6, x5, x4])
    now = up("up23", now)
    now = unit("up2_stage3.0", unit("up2_stage3.0", now))
    return conv("tail.0", now)


def numbers(of: dict[str, tuple[int, ...]]) -> int:
    return sum(torch.Size(shape).numel() for shape in of.values())


def test_the_files_are_those_that_are_known() -> None:
    assert (len(shapes()), numbers(shapes())) == (622, 8_423_683)
    assert (len(parsing_shapes()), numbers(parsing_shapes())) == (36, 594_371)
    assert next(iter(shapes())) == "refine2.0.refine2.conv.0.body.0.weight" and list(shapes())[-1] == "tail.0.bias"
    unused = {name: shape for name, shape in shapes().items() if name.startswith(("conv_tail", "up2_stage3.1."))}
    assert numbers(unused) == UNUSED


def test_counts_are_the_released_less_what_nothing_runs_and_the_parsing_net_s() -> None:
    def count() -> tuple[int, int, int, int]:
        model, lr = registry.build("fishfsrnet"), torch.rand(1, 3, 16, 16)
        whole, parsing = (count_multiply_adds(part, lr).published for part in (model, model.parsing))
        return count_parameters(model), count_parameters(model.parsing), whole, parsing

    parameters, of_parsing, whole, parsing = on_meta(count)
    assert (parameters - of_parsing, of_parsing) == (8_423_683 - UNUSED, 594_371)
    assert (round((whole - parsing) / 1e9, 3), round(parsing / 1e9, 3)) == (36.284, 0.152)


def test_both_files_give_what_their_own_networks_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (main, parsing), join = files(), PAGE[PAGE.index("**FishFSRNet.**") :].split("```python\n")[1].split("```")[0]
    torch.save(main, tmp_path / "fishfsrnet.pth")
    torch.save(parsing, tmp_path / "parsingnet.pth")
    monkeypatch.chdir(tmp_path)
    exec(join, {})  # as the page says
    model, about = load_authors("fishfsrnet", tmp_path / "both.pth")
    assert (about.tensors, about.unused) == (622 + 36, 6 + 22)
    lr = torch.from_numpy(picture()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        seen = parsing_oracle(parsing, lr)
        maps = (seen.clamp(0, 1) * 255).round() / 255
        expected, sr = oracle(main, lr, maps), model(lr)
        assert torch.equal(model.maps_of(lr), maps) and 20 < len(maps.unique()) <= 256
        assert 0.02 < expected.std() < 5
        assert (sr - expected).abs().max() < 1e-5
        assert (oracle(main, lr, seen) - sr).abs().max() > 1e-5, "the 256 levels are seen"
        assert (oracle(main, lr, torch.zeros_like(maps)) - sr).abs().max() > 1e-2, "maps are seen"


def test_a_file_without_its_parsing_net_is_refused(tmp_path: Path) -> None:
    torch.save(files()[0], tmp_path / "theirs.pth")
    lacks = (
        r"lacks the tensor that is 'parsing\.head\.weight' here and 35 more.* or a part of it: docs/methods\.md tells"
    )
    with pytest.raises(UserError, match=lacks):
        load_authors("fishfsrnet", tmp_path / "theirs.pth")
    with pytest.raises(UserError, match=r"looks like FishFSRNet's checkpoint: 622 of 622 names"):
        load_authors("sparnet", tmp_path / "theirs.pth")


def small() -> nn.Module:
    torch.manual_seed(0)
    return registry.build("fishfsrnet", {"width": 0.125})


def batch(iteration: int, points: Tensor | None) -> Batch:
    draw = torch.Generator().manual_seed(3)
    lr, hr = torch.rand(2, 3, 16, 16, generator=draw), torch.rand(2, 3, 128, 128, generator=draw)
    return Batch(lr, hr, iteration, 100, points)


def test_the_stage_s_term_is_of_maps_shrunk_to_lr() -> None:
    points, network = torch.cat([face(), torch.full((1, 68, 2), torch.nan)]), small()
    given = batch(-1, points)
    (name, term), = objective_of(network).terms(network, given).items()  # fmt: skip
    target = parsing_maps(points[:1], 128).unfold(2, 8, 8).unfold(3, 8, 8).mean(dim=(4, 5))
    with torch.no_grad():
        expected = float((network.parsing(given.lr[:1]) - target).abs().mean())
    assert name == "parsing" and 0.05 < target.mean() < 0.6
    assert float(term.detach()) == pytest.approx(expected, rel=1e-5)
    for none in (None, points[1:].repeat(2, 1, 1)):
        (term,) = objective_of(network).terms(network, batch(-1, none)).values()
        term.backward()
        assert float(term.detach()) == 0 and not network.parsing.head.weight.grad.any()


def test_the_parsing_net_learns_first_and_then_rests() -> None:
    training = Training(iterations=10, batch=2, learning_rate=1e-3, precision="fp32")
    config = RunConfig("fishfsrnet", registry.options("fishfsrnet", {"width": 0.125}), 8, 0, "sparnet", training)
    trained, given = Trainee(config, torch.device("cpu"), Given()), batch(-1, face().repeat(2, 1, 1))
    assert trained.stage == 2

    def changed(before: Tensors) -> set[str]:
        after = trained.model.state_dict()
        return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}

    before = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
    while trained.iteration < 0:
        trained.step(given.lr, given.hr, given.landmarks)
    assert changed(before) == {"parsing"}
    before = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
    trained.step(given.lr, given.hr, given.landmarks)
    assert changed(before) == {"head", "up", "down", "middle", "again", "fusions", "tail"}


def test_the_picture_s_term_is_l1_alone() -> None:
    network = small()
    given = batch(5, None)
    (name, term), = objective_of(network).terms(network, given).items()  # fmt: skip
    with torch.no_grad():
        expected = float((network(given.lr) - given.hr).abs().mean())
    assert name == "pixel" and float(term.detach()) == pytest.approx(expected, rel=1e-5)
    assert any("polygons of 68 landmarks" in text for text in objective_of(network).left_out)
    with pytest.raises(ValueError, match="FishFSRNet enlarges 8 times, scale 4 given"):
        registry.build("fishfsrnet", {"scale": 4})
