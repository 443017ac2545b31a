"""Where a result came from: device, versions, commit, code."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import inspect
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError
from bench.core.version import __version__

if TYPE_CHECKING:
    import torch
    from torch import nn

_CUDA = re.compile(r"cuda(:(0|[1-9][0-9]{0,3}))?")


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def choose_device(wanted: str = "auto") -> torch.device:
    """Return the torch device `wanted`: auto (CUDA where there is one), cpu, cuda, cuda:N or mps.

    Raises UserError for another, of which torch knows some that compute nothing (meta), and for one that is not there.
    """
    import torch

    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"--device {wanted}: there is none; expected auto, cpu, cuda or cuda:N")
    if not (wanted in ("cpu", "mps") or _CUDA.fullmatch(wanted)):
        raise UserError(f"--device {wanted}: not a device; expected auto, cpu, cuda, cuda:N or mps")
    if wanted.startswith("cuda") and int(wanted[5:] or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {wanted}: {torch.cuda.device_count()} CUDA devices are there")
    return torch.device(wanted)


def describe_device(device: torch.device) -> str:
    """Name a device the way a table's caption does, e.g. "AMD EPYC, 2 threads"."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return str(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def environment() -> dict[str, Any]:
    """Return versions and the commit of the working tree."""
    packages = {}
    for name in ("torch", "numpy", "pillow"):
        packages[name] = importlib.metadata.version(name)
    return {"fsr-bench": __version__, "python": platform.python_version(), **packages, "commit": commit()}


def commit() -> str:
    """Return the repository's commit, "+" after it when files differ from it, or "not a repository"."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        # A package installed into somebody else's repository is not part of it.
        git("ls-files", "--error-unmatch", "provenance.py")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return "not a repository"


def code_of(model: nn.Module) -> str:
    """Return a hash of the code of every module that `model`'s parts are defined in, torch's own left out.

    Comments, docstrings and layout do not count.
    """
    names = {type(part).__module__ for part in model.modules()}
    digest = hashlib.sha256()
    for name in sorted(name for name in names if name.split(".")[0] != "torch"):
        digest.update(_code_of_module(name, getattr(sys.modules.get(name), "__file__", None)).encode())
    return digest.hexdigest()[:12]


@functools.cache
def _code_of_module(name: str, _: str | None) -> str:
    """Return what counts of a module's source, its name where there is none; what is imported does not change."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except (OSError, TypeError, KeyError, SyntaxError):
        return name
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
