"""What the training of a method is given beside faces: landmarks of them, and a teacher that was trained before it.

A method says so by `needs=["landmarks"]` and `teacher="METHOD"`. A run's config names what it was given by a hash: a
teacher is a run of its own, which all students of its configuration share, whatever their seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.core.errors import UserError
from bench.models import registry

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from bench.runs.config import RunConfig

LANDMARKS, TEACHER = "landmarks", "teacher"
TEACHERS_SEED = 0


@dataclass(frozen=True)
class Given:
    """`landmarks` are float32 [N, 68, 2], x and y in pixels of each training face.

    `teacher` is in evaluation mode, `taught_by` the name of its run.
    """

    landmarks: np.ndarray | None = None
    teacher: nn.Module | None = None
    taught_by: str = ""


NOTHING = Given()


def named(method: str, teacher: RunConfig | None) -> dict[str, str]:
    """Return what a run's config tells of what its training is given: name -> hash.

    Raises UserError where the method asks for what is not known here, or for landmarks and they cannot be had.
    """
    from bench.runs.priors import landmark_recipe

    spec, names = registry.get(method), dict[str, str]()
    for need in spec.needs:
        if need != LANDMARKS:
            raise UserError(f"method '{method}': needs '{need}', expected '{LANDMARKS}' (68 of each face)")
        names[LANDMARKS] = landmark_recipe()
    if teacher is not None:
        if registry.get(teacher.method).teacher:
            raise UserError(f"method '{method}': its teacher '{teacher.method}' has a teacher itself")
        names[TEACHER] = teacher.id
    return names
