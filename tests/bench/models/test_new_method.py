"""What `fsr new-method` writes runs, and keeps the promises that its own test holds it to."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bench.cli.main import main
from bench.core.errors import UserError
from bench.models import registry
from bench.models.new_method import write_method


@pytest.fixture(autouse=True)
def plugins_as_before() -> Iterator[None]:
    before = list(registry.plugins())
    yield
    registry._plugins[:] = before
    registry._catalogue = None


def load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_method_passes_its_own_test(tmp_path: Path) -> None:
    method, test = write_method("my-net", tmp_path)
    assert (method.name, test.name) == ("my_net.py", "test_my_net.py")
    module = load(test)
    module.test_it_enlarges_by_its_scale(8)
    module.test_it_enlarges_by_its_scale(4)
    module.test_a_face_does_not_depend_on_the_others_of_its_batch()
    module.test_every_parameter_gets_a_gradient()
    module.test_training_lowers_the_loss()
    assert registry.get("my-net").title == "My Net"


def test_its_test_fails_where_a_promise_is_broken(tmp_path: Path) -> None:
    method, test = write_method("broken-net", tmp_path)
    code = method.read_text()
    method.write_text(code.replace("enlarged + 0.1", "enlarged[..., :-1] + 0.1 * 0"))
    module = load(test)
    with pytest.raises((AssertionError, RuntimeError)):
        module.test_it_enlarges_by_its_scale(8)


@pytest.mark.parametrize("name", ["torch", "3d", "bench"])
def test_no_file_hides_a_module(name: str, tmp_path: Path) -> None:
    assert [file.name for file in write_method(name, tmp_path)] == [f"method_{name}.py", f"test_method_{name}.py"]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("kept")
    with pytest.raises(UserError, match=r"test_mine.py: there already; nothing was written"):
        write_method("mine", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test_mine.py"]


@pytest.mark.parametrize(("name", "why"), [("sparnet", "there already, in methods.sparnet"), ("My", "small letters")])
def test_names_that_are_none(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=why):
        write_method(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-method", "mine", "--out", str(tmp_path / "some where"), "--json"]) == 0
    assert Path(json.loads(capsys.readouterr().out)["method"]).exists()
    assert main(["new-method", "other", "--out", str(tmp_path / "some where")]) == 0
    assert f"--plugin '{tmp_path}/some where/other.py' --add other" in capsys.readouterr().out
