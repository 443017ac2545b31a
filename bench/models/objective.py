"""How a network trains when L1 is not all: the objective that a method's class may bring.

A class with a method `objective()` returns an object, in general an `nn.Module`, of which the harness uses:

- `terms(network, batch)`: the weighted terms of the loss by name, scalars that are added up;
- `adversary`, where there is one: a network that is trained by the side, by Adam at `adversary_rate` times the learning
  rate with `adversary_betas`; `adversary_terms(network, batch)` gives its loss after each step, {} for none yet;
- `start(network, teacher)`: called once, before the first step of all and not where a run goes on, to change the first
  weights of `network`, e.g. to the teacher's;
- `stage`: how many steps, as a share of the iterations, go before the first one (a part that is pre-trained);
- `left_out`: what of the published objective it does without, and why, one text each.

What it draws at random is seeded from the run and the step, its parameters and buffers are part of the training state:
a run that goes on ends with the same bytes. It is built anew on the network's device, so what is not its own state is
kept out of its parameters. A class with `training_loss(lr, hr)` alone has that as its only term; any other has L1.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bench.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """A training batch, with what objectives are given beside it.

    `lr` [B, 3, h, w] and `hr` [B, 3, H, W] in [0, 1]; `iteration` of `iterations` steps are done (below 0 in the stage
    before); `landmarks` [B, 68, 2] are x and y in pixels of `hr`, NaN for a face without; `teacher` is a trained
    network in evaluation mode. None: the method does not ask for it. `features` has, by the name of a network that was
    trained to see, a function from pictures in [0, 1] to what its convolutions make, one by one; nothing where its
    weights cannot be had.
    """

    lr: Tensor
    hr: Tensor
    iteration: int = 0
    iterations: int = 1
    landmarks: Tensor | None = None
    teacher: nn.Module | None = None
    features: Mapping[str, Callable[[Tensor], Iterator[Tensor]]] = field(default_factory=dict)

    @property
    def progress(self) -> float:
        """The share of the iterations that is done, in [0, 1)."""
        return max(self.iteration, 0) / self.iterations


class Objective(Protocol):
    """What the harness asks of an objective; all but `terms` may be missing."""

    def terms(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Return the weighted terms of the loss by name."""


class _Plain:
    """L1 (Yang et al., section 3.6), or the method's own `training_loss`, as the only term."""

    def terms(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        import torch.nn.functional as F

        own = getattr(network, "training_loss", None)
        if own is not None:
            return {"loss": own(batch.lr, batch.hr)}
        return {"loss": F.l1_loss(network(batch.lr).float(), batch.hr)}


def objective_of(network: nn.Module) -> Objective:
    """Return the objective of a network; raise UserError for one without `terms`."""
    make = getattr(network, "objective", None)
    if make is None:
        return _Plain()
    objective = make()
    where = f"{type(network).__name__}.objective()"
    if not callable(getattr(objective, "terms", None)):
        raise UserError(f"{where} gives no object with terms(network, batch)")
    adversary = getattr(objective, "adversary", None)
    if adversary is not None and not callable(getattr(objective, "adversary_terms", None)):
        raise UserError(f"{where} has an adversary and no adversary_terms(network, batch)")
    if adversary is not None and not list(adversary.parameters()):
        raise UserError(f"{where}: its adversary has no parameters to train")
    for name, least, most in (("stage", 0.0, 100.0), ("adversary_rate", 0.0, math.inf)):
        value = getattr(objective, name, least)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise UserError(f"{where}: {name} {value!r}, expected a number from {least:g} to {most:g}")
    left_out = getattr(objective, "left_out", ())
    if isinstance(left_out, str) or not all(isinstance(text, str) for text in left_out):
        raise UserError(f"{where}: left_out {left_out!r}, expected a tuple of texts")
    return objective  # type: ignore[no-any-return]


def sum_of(terms: Mapping[str, Tensor], of: object) -> Tensor:
    """Return the sum of a loss's terms, in their order; raise UserError where they are no scalars by name.

    `of` is the objective that gave them.
    """
    import torch

    where = f"{type(of).__name__}: the terms of its loss are"
    if not isinstance(terms, Mapping) or not terms:
        given = "none" if isinstance(terms, Mapping) else f"a {type(terms).__name__}"
        raise UserError(f"{where} {given}, expected scalar tensors by name")
    for name, term in terms.items():
        if not isinstance(name, str) or not name.isprintable() or "," in name:
            raise UserError(f"{where} called {name!r}, expected a name without commas and line feeds")
        if not isinstance(term, torch.Tensor) or term.numel() != 1:
            what = f"shape {tuple(term.shape)}" if isinstance(term, torch.Tensor) else f"a {type(term).__name__}"
            raise UserError(f"{where} scalar tensors by name: '{name}' is {what}")
    total = functools.reduce(operator.add, terms.values())
    if not total.requires_grad:
        raise UserError(f"{where} {', '.join(terms)}: none of them depends on what is trained")
    return total


def stage_steps(objective: Objective, iterations: int) -> int:
    """Return how many steps go before the first iteration."""
    return round(float(getattr(objective, "stage", 0.0)) * iterations)
