"""How `fsr --help` groups the commands, and one example of each."""

from __future__ import annotations

import tomllib
from pathlib import Path

GROUPS = {
    "Train and compare": ("run", "plan", "status", "report", "search"),
    "Read results": ("claims", "compare", "power", "rank", "export", "figure"),
    "Score and use": ("score", "upscale", "metrics", "fetch", "fit-niqe"),
    "Faces": ("prepare", "data"),
    "Methods": ("list", "methods", "new-method", "bench"),
    "Keep": ("verify", "archive", "migrate"),
}


def examples() -> dict[str, str]:
    """Return an example of each command; they name methods and data sets, so they are data."""
    return tomllib.loads(Path(__file__).with_name("examples.toml").read_text(encoding="utf-8"))
