"""fsr-bench: a benchmark and ablation suite for face super-resolution.

This is the public face: a method's file needs `from bench import register` and no more. Nothing here imports torch.
"""

from bench.core.version import __version__
from bench.models.registry import register

__all__ = ["__version__", "register"]
