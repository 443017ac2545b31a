"""A method to start from: one file that runs, and a test of what every method promises."""

from __future__ import annotations

import datetime
import importlib.util
import re
from pathlib import Path
from string import Template

from bench.core.errors import UserError
from bench.core.files import write_text
from bench.models import registry
from bench.models.spec import make_specs

METHOD = Template('''\
"""$title: what it is, in one sentence, and the paper that it is from."""

import torch.nn.functional as F
from torch import Tensor, nn

from bench import register


@register("$id", title="$title", year=$year, paper="Authors, Title", venue="", scales=(4, 8))
class $name(nn.Module):
    """Bicubic and a learnt correction. Arguments of the constructor are options: `--set options.width=0.5`."""

    def __init__(self, scale: int = 8, *, width: float = 1.0, blocks: int = 4) -> None:
        super().__init__()
        self.scale = scale
        channels = max(4, round(64 * width))
        body: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1)]
        for _ in range(blocks):
            body += [nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)]
        self.body = nn.Sequential(*body, nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr: Tensor) -> Tensor:  # [B, 3, h, w] in [0, 1] -> [B, 3, scale h, scale w]
        enlarged = F.interpolate(lr, scale_factor=self.scale, mode="bicubic", antialias=True)
        return enlarged + 0.1 * self.body(lr)
''')
TEST = Template('''\
"""$title keeps what every method promises."""

from pathlib import Path

import pytest
import torch

from bench.models import registry

registry.add_plugin(Path(__file__).with_name("$file.py"))


def lr_of(count: int) -> torch.Tensor:
    """Return low-resolution pictures of whole grey levels, float [count, 3, 16, 16] in [0, 1]."""
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, 16, 16), generator=draw) / 255


def build(scale: int = 8) -> torch.nn.Module:
    """Return a narrow network with weights that are the same each time."""
    torch.manual_seed(0)
    return registry.build("$id", {"scale": scale, "width": 0.25})


@pytest.mark.parametrize("scale", registry.get("$id").scales)
@torch.no_grad()
def test_it_enlarges_by_its_scale(scale: int) -> None:
    sr = build(scale).eval()(lr_of(2))
    assert sr.shape == (2, 3, 16 * scale, 16 * scale) and sr.isfinite().all()


@torch.no_grad()
def test_a_face_does_not_depend_on_the_others_of_its_batch() -> None:
    network, lr = build().eval(), lr_of(3)
    torch.testing.assert_close(network(lr)[:1], network(lr[:1]), rtol=0, atol=1e-5)


def test_every_parameter_gets_a_gradient() -> None:
    network = build()
    network(lr_of(2)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_training_lowers_the_loss() -> None:
    network, lr = build(), lr_of(4)
    hr = torch.nn.functional.interpolate(lr, scale_factor=8, mode="nearest")
    optimiser, losses = torch.optim.Adam(network.parameters(), 1e-3), []
    for _ in range(20):
        loss = (network(lr) - hr).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
''')


def write_method(method: str, folder: Path) -> tuple[Path, Path]:
    """Write a method called `method` and its test into `folder`; return both files.

    Raises UserError for a name that is no id or is taken, and where one of the files is there already.
    """
    title, year = _title(method), datetime.datetime.now(datetime.UTC).year
    make_specs(method, {"title": title, "year": year}, "a new method")
    if method in registry.names():
        raise UserError(f"method '{method}' is there already, in {registry.get(method).source}; give another name")
    stem = re.sub(r"\W", "_", method)
    if not stem.isidentifier() or importlib.util.find_spec(stem):  # a file torch.py would be imported for torch
        stem = f"method_{stem}"
    name = title.replace(" ", "")
    words = {"id": method, "file": stem, "title": title, "year": year}
    words["name"] = f"Net{name}" if name[0].isdigit() else name
    files = folder / f"{stem}.py", folder / f"test_{stem}.py"
    for file in files:
        if file.exists() or file.is_symlink():
            raise UserError(f"{file}: there already; nothing was written: give another name, or --out another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for file, template in zip(files, (METHOD, TEST), strict=True):
        write_text(file, template.substitute(words))
    return files


def _title(method: str) -> str:
    """Return a title of the words of an id: my-net -> My Net."""
    return " ".join(word.capitalize() for word in re.split(r"[^a-z0-9]+", method) if word) or method
