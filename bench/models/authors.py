"""Networks with the weights that their authors released, read under the authors' own names.

A method's class tells what its authors call its tensors by a static method `authors_key(key)`: our name of an author's
tensor, "" for one that our network leaves out knowingly (dead in the released code), None for a name that the authors'
network has not. What the tensors hold is taken as it is. A checkpoint with our own names is read as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError
from bench.core.files import sha256_of
from bench.models import registry, weights
from bench.models.checkpoint import Checkpoint
from bench.models.likeness import COUNTER, best_match, looks_like

if TYPE_CHECKING:
    from torch import nn


def load_authors(method: str, path: Path, given: Mapping[str, Any] | None = None) -> tuple[nn.Module, Checkpoint]:
    """Build `method` with the weights in an author's checkpoint, ready for use on the CPU.

    lr [B, 3, h, w] in [0, 1] to sr as of any method. Raises UserError that says what the file is, and what was
    expected, where it is none, of another network, scale or width, holds NaN, or would run code.
    """
    options = dict(given or {})
    scales = registry.get(method).scales
    if (scale := options.get("scale", registry.options(method).get("scale"))) not in (None, *scales):
        raise UserError(f"scale {scale}: method '{method}' supports {list(scales)}")
    tensors, _ = weights.load(path)
    match = best_match(method, options, tensors)
    if match.wrong:
        raise UserError(f"{path}: no checkpoint of '{method}': {match.wrong}{looks_like(method, options, tensors)}")
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(f"{path}: '{name}' holds NaN or infinity; the file is damaged: fetch it again")
    model = registry.build(method, options)
    counters = {name: value for name, value in model.state_dict().items() if name.endswith(COUNTER)}
    model.load_state_dict(counters | match.tensors)
    return model.eval(), Checkpoint(path.name, sha256_of(path), len(tensors), match.unused)
