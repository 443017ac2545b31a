from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bench.core.errors import UserError
from bench.models import registry
from bench.models.listing import describe_methods, methods_text

TINY = Path(__file__).parents[2] / "tiny_method.py"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", [])
    monkeypatch.setattr(registry, "_catalogue", None)


def plugin(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def test_listing_reads_specs_without_torch() -> None:
    code = (
        "import sys; from bench import registry; from pathlib import Path;"
        f"registry.add_plugin(Path({str(TINY)!r})); names = registry.names();"
        "assert {'bicubic', 'sparnet', 'msfnet-8', 'tiny'} <= set(names), names;"
        "assert registry.get('msfnet-8').title == 'Model 8';"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; from bench.cli.main import main\n"
        "assert main(['run', '--help']) == 0\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown method 'sparnett': did you mean 'sparnet'"):
        registry.get("sparnett")
    with pytest.raises(UserError, match="unknown option 'widht': did you mean 'width'"):
        registry.build("sparnet", {"widht": 0.5})
    with pytest.raises(UserError, match="option 'attention': '4d' given, expected one of '2d', '3d'"):
        registry.build("sparnet", {"attention": "4d"})


def test_a_plugin_file_is_found_and_built() -> None:
    registry.add_plugin(TINY)
    assert registry.options("tiny", {"width": 2}) == {"scale": 8, "width": 2.0, "explode": False}
    model = registry.build("tiny", {"scale": 4})
    assert type(model).__name__ == "Tiny"


def test_computed_arguments_are_read_by_importing(tmp_path: Path) -> None:
    path = plugin(
        tmp_path,
        """
        from torch import nn
        from bench import register
        TITLE = "Computed " + "title"
        @register("computed", title=TITLE, year=2020, variants={"computed-2": {"title": TITLE + " 2"}})
        class Computed(nn.Module):
            def __init__(self, scale: int = 8) -> None:
                super().__init__()
        """,
    )
    registry.add_plugin(path)
    assert registry.get("computed").title == "Computed title"
    assert registry.get("computed-2").title == "Computed title 2"


def test_a_broken_method_is_listed_with_its_error_beside_the_others(tmp_path: Path) -> None:
    registry.add_plugin(TINY)
    registry.add_plugin(
        plugin(
            tmp_path,
            """
            import no_such_package
            from bench import register
            @register("broken", title="Broken", year=2020)
            class Broken: ...
            """,
            "broken.py",
        )
    )
    registry.add_plugin(plugin(tmp_path, "def f(:\n", "syntax.py"))
    found = {one["id"]: one for one in describe_methods()}
    assert "No module named 'no_such_package'" in found["broken"]["error"]
    assert "SyntaxError" in found["syntax.py"]["error"]
    assert found["tiny"]["error"] is None and found["tiny"]["parameters"] > 0
    assert "no_such_package" in methods_text(list(found.values()))


def test_an_id_taken_twice_is_refused(tmp_path: Path) -> None:
    registry.add_plugin(plugin(tmp_path, TINY.read_text().replace('"tiny"', '"sparnet"')))
    with pytest.raises(UserError, match=r"'sparnet' is registered twice: by methods\.sparnet and mine\.py"):
        registry.names()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ('"x", title="X", year=2020, paprr="P"', "unknown field 'paprr': did you mean 'paper'"),
        ('"x", title="X"', "'year' is missing"),
    ],
)
def test_bad_registrations_are_named(tmp_path: Path, arguments: str, message: str) -> None:
    registry.add_plugin(plugin(tmp_path, f"from bench import register\n@register({arguments})\nclass X: ...\n"))
    with pytest.raises(UserError, match=message):
        registry.names()


def test_a_missing_plugin_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        registry.add_plugin(tmp_path / "none.py")


def test_an_installed_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    """Install a small package with pip and build its method."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "my_fsr_method.py").write_text(TINY.read_text().replace('"tiny"', '"packaged"'))
    (project / "pyproject.toml").write_text(
        textwrap.dedent(
            """
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"
            [project]
            name = "my-fsr-method"
            version = "1.0"
            [project.entry-points."fsrbench.methods"]
            packaged = "my_fsr_method"
            [tool.hatch.build.targets.wheel]
            include = ["my_fsr_method.py"]
            """
        )
    )
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(project)], check=True)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); from bench import registry;"
        "assert registry.catalogue().sources['packaged'].module == 'my_fsr_method';"
        "assert sum(p.numel() for p in registry.build('packaged').parameters()) > 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
