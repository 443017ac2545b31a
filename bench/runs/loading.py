"""Networks with weights for anybody's own code: what `bench.load` gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError
from bench.models import registry, weights
from bench.models.authors import load_authors
from bench.runs.behaviour import load_network
from bench.runs.networks import named_weights

if TYPE_CHECKING:
    from torch import nn


def load_method(
    method: str, options: Mapping[str, Any], checkpoint: Path | None = None, named: Path | None = None
) -> nn.Module:
    """Return `method` with `options` on the CPU, ready for use: with its authors' checkpoint, or the weights `named`.

    Raises UserError where a trained method has neither or any method both, and for weights that are not of it.
    """
    if checkpoint is not None and named is not None:
        raise UserError(f"method '{method}': checkpoint and weights given, expected one of them")
    if checkpoint is not None:
        return load_authors(method, checkpoint, options)[0]
    if named is None:
        if registry.get(method).trainable:
            raise UserError(f"method '{method}' is trained: give checkpoint=FILE, or weights=FOLDER of a run")
        return registry.build(method, options).eval()
    its = named_weights(named)
    if its.record is None:
        model = registry.build(method, options)
        weights.load_into(model, *its.files)
        return model.eval()
    config = its.record.config
    if config.method != method:
        raise UserError(f"{named}: weights of '{config.method}', not of '{method}'")
    for name, value in options.items():
        if config.options.get(name) != value:
            raise UserError(f"{named}: {name} {value!r} given, its run has {config.options.get(name)!r}")
    return load_network(its.record, its.folder, its.files)
