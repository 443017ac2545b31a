"""Run after run, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.schedule.work import Outcome, complete

if TYPE_CHECKING:
    import torch

    from bench.experiment import Cell, Faces


def execute(
    cells: Sequence[Cell], faces: Faces, device: torch.device, samples: int, quiet: bool = False
) -> list[Outcome]:
    """Bring every run to its end, in order; one that fails does not stop the others.

    Raises Interrupted when asked to stop: the run at work is saved, and calling again goes on from there.
    """
    return [complete(cell, faces, device, samples, quiet) for cell in cells]
