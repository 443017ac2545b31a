"""What the training of a method is given beside faces: landmarks, networks to compare by, and a teacher trained before.

A method says so by `needs=["landmarks", "vgg16"]` and `teacher="METHOD"`. A run's config names what it was given by a
hash: a teacher is a run of its own, which all students of its configuration share, whatever their seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.core.errors import UserError, suggest
from bench.models import registry
from bench.runs.features import NETWORKS, Features, absence_of, load_features, name_of_weights

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from bench.runs.config import RunConfig

LANDMARKS, TEACHER = "landmarks", "teacher"
TEACHERS_SEED = 0


@dataclass(frozen=True)
class Given:
    """What is given, None or nothing where it is not.

    `landmarks` are float32 [N, 68, 2], x and y in pixels of each training face; `teacher` is in evaluation mode,
    `taught_by` the name of its run; `features` are functions by the names of networks (see bench.runs.features).
    """

    landmarks: np.ndarray | None = None
    teacher: nn.Module | None = None
    taught_by: str = ""
    features: Mapping[str, Features] = field(default_factory=dict)


NOTHING = Given()


def named(method: str, teacher: RunConfig | None) -> dict[str, str]:
    """Return what a run's config tells of what its training is given: name -> hash.

    A network whose weights cannot be had is not among them. Raises UserError where the method asks for what is not
    known here, or for landmarks and they cannot be had.
    """
    from bench.runs.priors import landmark_recipe

    spec, names = registry.get(method), dict[str, str]()
    for need in spec.needs:
        if need == LANDMARKS:
            names[need] = landmark_recipe()
        elif need not in NETWORKS:
            known = f"'{LANDMARKS}' (68 of each face) or a network: {', '.join(NETWORKS)}"
            raise UserError(f"method '{method}': needs '{need}', expected {known}")
        elif weights := name_of_weights(need):
            names[need] = weights
    if teacher is not None:
        names[TEACHER] = teacher.id
    return names


def check_teacher(method: str) -> None:
    """Raise UserError where the teacher of a method is none that can be trained before it."""
    teacher = registry.get(method).teacher
    if teacher not in registry.names():
        raise UserError(
            f"method '{method}': its teacher '{teacher}' is no method: {suggest(teacher, registry.names())}"
        )
    spec = registry.get(teacher)
    if spec.teacher or not spec.trainable:
        what = "has a teacher itself" if spec.teacher else "is not trained"
        raise UserError(f"method '{method}': its teacher '{teacher}' {what}")


def features_of(config: RunConfig, device: torch.device) -> dict[str, Features]:
    """Return the networks that a run is given to compare by; raise UserError where their weights are not here."""
    return {name: load_features(name, config.given[name], device) for name in NETWORKS if name in config.given}


def absences(config: RunConfig) -> tuple[str, ...]:
    """Return what a run's method asks for and it is not given, one text each."""
    needs = registry.get(config.method).needs
    return tuple(absence_of(need) for need in needs if need in NETWORKS and need not in config.given)
