"""Networks with the weights that their authors released, read under the authors' own names.

A method's class tells what its authors call its tensors by a static method `authors_key(key)`: our name of an author's
tensor, "" for one that our network leaves out knowingly (dead in the released code), None for a name that the authors'
network has not. What the tensors hold is taken as it is. A checkpoint with our own names is read as well.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError
from bench.core.files import sha256_of
from bench.core.names import one_line
from bench.models import registry, weights
from bench.models.checkpoint import Checkpoint
from bench.models.likeness import COUNTER, Match, best_match, looks_like

if TYPE_CHECKING:
    from torch import Tensor, nn

log = logging.getLogger("fsr")


def load_authors(method: str, path: Path, given: Mapping[str, Any] | None = None) -> tuple[nn.Module, Checkpoint]:
    """Build `method` with the weights in an author's checkpoint, ready for use on the CPU.

    lr [B, 3, h, w] in [0, 1] to sr as of any method. Raises UserError that says what the file is, and what was
    expected, where it is none, of another network, scale or width, holds NaN, or would run code.
    """
    options = dict(given or {})
    scales = registry.get(method).scales
    if (scale := options.get("scale", registry.options(method).get("scale"))) not in (None, *scales):
        raise UserError(f"scale {scale}: method '{method}' supports {list(scales)}")
    tensors, match = _chosen(method, options, path)
    if match.wrong:
        what = one_line(f"{match.wrong}{looks_like(method, options, tensors)}")
        raise UserError(f"{path}: no checkpoint of '{method}': {what}")
    for name, tensor in tensors.items():
        if problem := _problem_of(tensor):
            raise UserError(f"{path}: '{one_line(name)}' {problem}")
    model = registry.build(method, options)
    counters = {name: value for name, value in model.state_dict().items() if name.endswith(COUNTER)}
    model.load_state_dict(counters | match.tensors)
    return model.eval(), Checkpoint(path.name, sha256_of(path), len(tensors), match.unused)


def _chosen(method: str, options: Mapping[str, Any], path: Path) -> tuple[dict[str, Tensor], Match]:
    """Return the tensors in a file that fit `method` and how they do; where none does, those that come nearest.

    A file may hold several networks, each under a key of its own or all in one dictionary; where another than the whole
    file is taken and it is not the only one that fits, or leaves tensors aside, that is logged.
    """
    states = {key: tensors for key, tensors in weights.load_states(path)[0].items() if tensors}
    if not states:
        raise UserError(f"{path}: holds no tensor; expected those of '{method}'")
    found = {key: best_match(method, options, tensors) for key, tensors in states.items()}
    if not (fitting := [key for key, match in found.items() if not match.wrong]):
        parts = {f"{key}{'.' * bool(key)}{head}": part for key, own in states.items() for head, part in _parts(own)}
        for key, part in parts.items():
            if not (match := best_match(method, options, part)).wrong:
                log.warning("%s: taken is '%s' alone: %d tensors; others left aside", path, one_line(key), len(part))
                return part, match
        fitting = [max(found, key=lambda key: found[key].known)]
    elif len(fitting) > 1:
        listed = ", ".join(f"'{one_line(key)}'" for key in fitting)
        log.warning("%s: several networks of '%s' in it (%s); taken is the first", path, method, listed)
    return states[fitting[0]], found[fitting[0]]


def _parts(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the networks that may lie beside each other in one state dict: what names before the first dot share."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        head, dot, rest = name.partition(".")
        if dot:
            parts.setdefault(head, {})[rest] = tensor
    yield from parts.items() if len(parts) > 1 else ()


def _problem_of(tensor: Tensor) -> str:
    """Return why a tensor's values cannot be taken; "" where they can."""
    if tensor.is_meta:
        return "is on the meta device and has no values; save the network when its weights are loaded"
    if (layout := str(tensor.layout).removeprefix("torch.")) != "strided":
        return f"is {layout}, expected a dense tensor: save it as tensor.to_dense()"
    if tensor.is_floating_point() and not tensor.float().isfinite().all():
        return "holds NaN or infinity; the file is damaged: fetch it again"
    return ""
