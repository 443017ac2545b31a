"""fsr-bench: a benchmark and ablation suite for face super-resolution.

This is the public face: a method's file needs `from bench import register` and no more, and `bench.load` gives a
network for use in anybody's code. Nothing here imports torch before it is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.version import __version__
from bench.models.registry import register

if TYPE_CHECKING:
    from torch import nn

__all__ = ["__version__", "load", "register"]


def load(
    method: str,
    checkpoint: str | Path | None = None,
    scale: int | None = None,
    *,
    weights: str | Path | None = None,
    **options: Any,
) -> nn.Module:
    """Return a method's network on the CPU in evaluation mode: float lr [B, 3, h, w] in [0, 1] -> sr [B, 3, H, W].

    `checkpoint` is a file as the method's authors released it, `weights` a run's folder or a file of its weights; a
    method that is not trained needs neither. `options` are those of the method's constructor, such as `width`. Raises
    bench.core.errors.UserError that says what a file is and what was expected.
    """
    from bench.runs.loading import load_method

    given = options if scale is None else {"scale": scale, **options}
    return load_method(method, given, Path(checkpoint) if checkpoint else None, Path(weights) if weights else None)
