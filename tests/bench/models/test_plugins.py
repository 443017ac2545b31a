"""A plug-in is its path and content, and its helper modules are its own."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.core.provenance import code_of
from bench.models import registry

_METHOD = """
from torch import nn
from bench import register
import layers
from parts.inner import size
@register("{name}", title="{name}", year=2026)
class Net(nn.Module):
    def __init__(self, scale: int = 8) -> None:
        super().__init__()
        self.layer = layers.Layer()
        self.size = size()
    def forward(self, lr):
        from late import LATE
        return LATE
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", [])
    monkeypatch.setattr(registry, "_catalogue", None)


def write(folder: Path, name: str, number: int) -> Path:
    (folder / "parts").mkdir(parents=True)
    (folder / "model.py").write_text(_METHOD.format(name=name))
    (folder / "layers.py").write_text(f"from torch import nn\nclass Layer(nn.Module):\n    number = {number}\n")
    (folder / "parts" / "inner.py").write_text("import layers\nfrom .side import ONE\ndef size():\n    return ONE * ")
    with (folder / "parts" / "inner.py").open("a") as file:
        file.write("layers.Layer.number\n")
    (folder / "parts" / "side.py").write_text("ONE = 1\n")
    (folder / "late.py").write_text(f"LATE = {10 * number}\n")
    return folder / "model.py"


def test_helper_modules_of_one_name_belong_each_to_its_plugin(tmp_path: Path) -> None:
    for number, name in enumerate(("helped-a", "helped-b"), 1):
        registry.add_plugin(write(tmp_path / name, name, number))
    a, b = registry.build("helped-a"), registry.build("helped-b")
    assert [(model.layer.number, model.size, model(None)) for model in (a, b)] == [(1, 1, 10), (2, 2, 20)]  # type: ignore[union-attr]
    assert code_of(a) != code_of(b)


def test_a_plugin_travels_with_its_helpers_and_an_edited_helper_is_another_plugin(tmp_path: Path) -> None:
    path = write(tmp_path / "here", "travelling", 1)
    registry.add_plugin(path)
    (before,) = registry.plugins()
    (path.parent / "layers.py").write_text("from torch import nn\nclass Layer(nn.Module):\n    number = 3\n")
    registry.add_plugin(path)
    (after,) = registry.plugins()
    assert before.module != after.module
    assert registry.build("travelling").size == 3
    shutil.rmtree(path.parent)  # as on another machine
    registry.add_plugin(pickle.loads(pickle.dumps(before)))
    model = registry.build("travelling")
    assert (model.size, model(None)) == (1, 10)


def test_a_plugin_is_taken_once_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "here", "named-once", 1)
    link = tmp_path / "link.py"
    link.symlink_to(path)
    monkeypatch.chdir(tmp_path)
    for name in (path, link, Path("here/model.py"), Path("here/../link.py")):
        registry.add_plugin(name)
    assert [plugin.path for plugin in registry.plugins()] == [path]
    monkeypatch.chdir(os.sep)
    assert registry.build("named-once").size == 1


@pytest.mark.parametrize("line", ["raise SystemExit(0)", "import os; os._exit(0)", "raise KeyboardInterrupt"])
def test_a_plugin_that_would_end_the_program_is_broken(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "leaves.py"
    about = "title='X', year=2020, trainable=False"
    path.write_text(f"{line}\nfrom bench import register\n@register('leaves', {about})\nclass X: ...\n")
    assert main(["score", "leaves", "--data", "synthfaces", "--plugin", str(path)]) == 2
    error = capsys.readouterr().err
    assert "leaves.py: cannot be imported: EndedError: leaves.py, line 1, ended the program" in error
