"""The house keeps its rules: names of methods and data sets are data, imports stand at the top, files are short."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.data.cards import card_names
from bench.models import registry

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "bench").rglob("*.py"))
TABLE_2 = {"bicubic", "dic", "kdfsrnet", "sisn", "wipa", "sparnet", "msfnet", "ctcnet", "sfmnet", "wfen"}
RESAMPLING = {"bicubic"}  # in small letters it is an interpolation of PIL's and torch's too
# Packages that are slow to import or may be absent. A function may import them, and files of ours that begin by
# importing one: so that listing and help need no torch, and training no pandas.
HEAVY = {
    "dlib",
    "importlib.metadata",  # a tenth of a second, which listing and help do without
    "facenet_pytorch",
    "pillow_heif",
    "fsspec",
    "matplotlib",
    "openvino",
    "optuna",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyiqa",
    "random_face",
    "ray",
    "safetensors",
    "scikit_posthocs",
    "scipy",
    "seaborn",
    "skimage",
    "statsmodels",
    "tabulate",
    "tensorboardX",
    "torch",
    "torchvision",
    "tqdm",
    "typer",
}


def docstrings(tree: ast.Module) -> set[ast.Constant]:
    """Return the nodes of every docstring of a file."""
    holders = (node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef))
    return {
        node.body[0].value
        for node in holders
        if node.body and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
    }


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string literal of a file that is no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    passed_over = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in passed_over:
            yield node.lineno, node.value


def words(names: set[str], flags: int = 0) -> re.Pattern[str]:
    """Return what finds one of these names as a word of its own."""
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    return re.compile(rf"(?<![\w.-])({'|'.join(longest_first)})(?![\w-])", flags)


def test_no_method_and_no_data_set_is_named_in_the_code() -> None:
    methods, sets = words({*registry.names(), *TABLE_2} - RESAMPLING), words({*card_names()}, re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text!r}"
        for path in FILES
        for line, text in literals(path)
        if methods.search(text) or sets.search(text)
    ]
    assert not found


def name_of(path: Path) -> str:
    """Return the dotted name of a file's module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def imported(node: ast.AST) -> list[str]:
    """Return the modules that an import statement names; [] for anything else."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if name in MODULES else str(node.module) for name in names]
    return []


@functools.cache
def heavy_parts(module: str) -> frozenset[str]:
    """Return the heavy packages that importing a module imports."""
    if module not in MODULES:
        return frozenset({module, module.split(".")[0]} & HEAVY)
    names = [name for node in MODULES[module].body for name in imported(node)]
    return frozenset().union(*(heavy_parts(name) for name in names if name != module))


@pytest.mark.parametrize("module", MODULES)
def test_imports_stand_at_the_top(module: str) -> None:
    """Except of heavy parts, where the file does not import them already; commands load what they call when called."""
    if module.startswith("bench.cli."):
        return
    functions = [node for node in ast.walk(MODULES[module]) if isinstance(node, ast.FunctionDef)]
    found = {(node.lineno, name) for fun in functions for node in ast.walk(fun) for name in imported(node)}
    assert not [f"{line}: {name}" for line, name in sorted(found) if not heavy_parts(name) - heavy_parts(module)]


def test_files_are_short() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {name: count for name, count in lines.items() if count > 400}


def test_folders_are_listed_without_what_systems_and_editors_leave_there() -> None:
    """`names.listed` passes over `._NAME`, backups and the like; a glob of one's own takes them for ours."""
    allowed = {
        "core/files.py": 1,  # our temporary files
        "core/names.py": 1,
        "data/store.py": 2,  # our temporary folders, and whether a folder is empty
        "metrics/fetch.py": 1,  # what was fetched
        "report/folder.py": 1,  # by our own names alone
    }
    calls = re.compile(r"\.(?:r?glob|iterdir)\((?!f?\"[^\"]*/[a-z{][\w.}]*\")")  # but for files of one name
    counts = {str(path.relative_to(ROOT / "bench")): len(calls.findall(path.read_text())) for path in FILES}
    assert {name: count for name, count in counts.items() if count} == allowed
