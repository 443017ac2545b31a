from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.core.errors import UserError
from bench.models import registry
from bench.models.listing import methods_text
from bench.models.sources import find_sources

TINY = Path(__file__).parents[2] / "tiny_method.py"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", [])
    monkeypatch.setattr(registry, "_catalogue", None)


@pytest.fixture
def plugins_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the methods of this repository, whose counts take seconds."""
    monkeypatch.setattr(registry, "find_sources", lambda files: [one for one in find_sources(files) if one.plugin])


def plugin(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def test_listing_reads_specs_without_torch() -> None:
    code = (
        "import sys; from bench.models import registry; from pathlib import Path;"
        f"registry.add_plugin(Path({str(TINY)!r})); names = registry.names();"
        "assert {'bicubic', 'sparnet', 'msfnet-8', 'tiny'} <= set(names), names;"
        "assert registry.get('msfnet-8').title == 'Model 8';"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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


OLD = """
import torch
{line}
@{name}("older", title={title}, year=2020)
class Older(torch.nn.Module):
    def __init__(self, scale: int = 8) -> None:
        super().__init__()
"""


@pytest.mark.parametrize(
    ("line", "name"),
    [("from bench.registry import register", "register"), ("from bench import registry", "registry.register")],
)
@pytest.mark.parametrize("title", ["'Older'", "'Old' + 'er'"], ids=["literal", "computed"])
def test_a_plugin_of_an_older_version_is_found(line: str, name: str, title: str, tmp_path: Path) -> None:
    method = f"older-{len(line)}-{len(title)}"
    text = OLD.format(line=line, name=name, title=title).replace("older", method)
    registry.add_plugin(plugin(tmp_path, text, "old.py"))
    assert registry.load(method).__name__ == "Older"


def test_broken_methods_are_listed_with_their_errors_beside_the_others(
    plugins_alone: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = (
        "import no_such_package\nfrom bench import register\n@register('broken', title='B', year=2020)\nclass B: ...\n"
    )
    texts = {"broken.py": broken, "syntax.py": "def f(:\n"}
    paths = [TINY, *(plugin(tmp_path, text, name) for name, text in texts.items())]
    assert main(["methods", "--json", *(part for path in paths for part in ("--plugin", str(path)))]) == 0
    records = json.loads(capsys.readouterr().out)
    errors = {record["id"]: record["error"] for record in records}
    assert errors.keys() == {"tiny", "broken", "syntax.py"}
    assert errors["tiny"] is None and {record["id"]: record.get("parameters") for record in records}["tiny"] > 0
    assert "No module named 'no_such_package'" in errors["broken"] and "SyntaxError" in errors["syntax.py"]
    text = methods_text(records)
    assert "\nnumbers: full width, 16x16 to 128x128 (without x8: by the first scale)" in text
    assert all(str(error) in text for error in errors.values() if error)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("title='a\\nb'", r"title: 'a\\nb' given, expected a line of text"),
        ("title=' '", "title: ' ' given, expected a line of text that is not empty"),
        ("title=5", "title: 5 given"),
        ("year='soon'", "year: 'soon' given, expected a year"),
        ("year=True", "year: True given"),
        ("scales=[]", r"scales: \[\] given, expected a list of whole numbers from 2 to 64, one at least"),
        ("scales=8", "scales: 8 given"),
        ("scales=[0]", r"scales: \[0\] given"),
        ("trainable='no'", "trainable: 'no' given, expected True or False"),
        ("tags='face'", "tags: 'face' given, expected a list"),
        ("paper=None", "paper: None given, expected a line of text"),
        ("published_parameters='1 M'", "published_parameters: '1 M' given, expected a count, or None"),
        ("options=[1]", r"options: \[1\] given, expected a dict"),
        ("variants=['b']", r"variants: \['b'\] given, expected a dict"),
        ("variants={'b': 'wide'}", "variants: {'b': 'wide'} given"),
        ("variants={'b': {'year': '2020'}}", "'b'.* year: '2020' given"),
        ("variants={5: {}}", "expected small letters"),
    ],
)
def test_what_is_no_value_of_a_field_is_refused(
    given: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"title": "'T'", "year": "2020"} | {given.partition("=")[0]: given.partition("=")[2]}
    line = ", ".join(f"{name}={value}" for name, value in about.items())
    text = f"from torch import nn\nfrom bench import register\n@register('refused', {line})\nclass A(nn.Module): ...\n"
    assert main(["methods", "--plugin", str(plugin(tmp_path, text))]) == 2
    err = capsys.readouterr().err
    assert err.startswith("fsr: @register(") and re.search(message, err) and err.count("\n") == 1


def test_plugins_of_one_file_name_are_told_apart(tmp_path: Path) -> None:
    text = TINY.read_text()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        registry.add_plugin(plugin(tmp_path / name, text.replace('"tiny"', f'"{name}"'), "net.py"))
    first, second = registry.load("first"), registry.load("second")
    assert first is not second and first.__module__ != second.__module__
    assert registry.get("second").source == str(tmp_path / "second" / "net.py")
    broken = [plugin(tmp_path / name, "import no_such_package\n", "bad.py") for name in ("first", "second")]
    for path in broken:
        registry.add_plugin(path)
    assert registry.catalogue().broken.keys() == {str(path) for path in broken}


@pytest.mark.parametrize(("method", "title"), [("literal", '"Tiny"'), ("computed-title", '"Ti" + "ny"')])
def test_a_plugin_that_has_changed_is_read_anew(method: str, title: str, tmp_path: Path) -> None:
    text = TINY.read_text().replace('"tiny", title="Tiny"', f'"{method}", title={title}')
    registry.add_plugin(plugin(tmp_path, text))
    before = registry.load(method)
    registry.add_plugin(plugin(tmp_path, text.replace("width: float = 1.0", "width: float = 2.0")))
    assert registry.options(method)["width"] == 2.0
    assert registry.load(method) is not before and registry.names().count(method) == 1


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


def test_installed_packages_are_found_by_their_entry_points(tmp_path: Path) -> None:
    """Install a small package with pip, one module for today and one of an older version, and build their methods."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "my_fsr_method.py").write_text(TINY.read_text().replace('"tiny"', '"packaged"'))
    (project / "my_old_method.py").write_text(
        OLD.format(line="from bench.registry import register", name="register", title="'O'")
    )
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
            older = "my_old_method"
            [tool.hatch.build.targets.wheel]
            include = ["my_*.py"]
            """
        )
    )
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(project)], check=True)
    code = f"""
import sys; sys.path.insert(0, {str(site)!r})
from bench.models import registry
assert registry.catalogue().sources["packaged"].module == "my_fsr_method"
assert sum(p.numel() for p in registry.build("packaged").parameters()) > 0
print(registry.load("older").__module__)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "my_old_method\n"
