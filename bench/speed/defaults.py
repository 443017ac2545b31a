"""What is measured by default, and the goals: `defaults.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from bench.core.errors import UserError


def defaults(name: str) -> dict[str, Any]:
    """Return a benchmark's table of defaults.toml."""
    result: dict[str, Any] = tomllib.loads(Path(__file__).with_name("defaults.toml").read_text(encoding="utf-8"))[name]
    return result


def check_batch(batch: int) -> None:
    """Raise UserError for a batch without a face."""
    if batch < 1:
        raise UserError(f"--batch {batch}: expected at least 1")
