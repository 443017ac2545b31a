"""fsr-bench: a benchmark and ablation suite for face super-resolution."""

__version__ = "0.1.0"
