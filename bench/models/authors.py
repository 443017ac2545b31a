"""Networks with the weights that their authors released, read under the authors' own names.

A method's class tells what its authors call its tensors by a static method `authors_key(key)`: our name of an author's
tensor, "" for one that our network leaves out knowingly (dead in the released code), None for a name that the authors'
network has not. What the tensors hold is taken as it is. A checkpoint with our own names is read as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError
from bench.models import registry, weights
from bench.models.meta import meta_device

if TYPE_CHECKING:
    from torch import Tensor, nn

_LIKENESS = 0.5  # the share of its names from which on a file is said to look like a method's
_COUNTER = "num_batches_tracked"  # of BatchNorm, which old files lack and nothing here reads


@dataclass(frozen=True)
class Checkpoint:
    """An author's checkpoint as it was read: its file's name, and how many tensors it has, how many of them unused."""

    file: str
    tensors: int
    unused: int


@dataclass
class _Match:
    """How a file's tensors fit a network: ours by name, and what stands in the way, as text."""

    known: int
    tensors: dict[str, Tensor] = field(default_factory=dict)
    unused: int = 0
    wrong: str = ""


def load_authors(method: str, path: Path, given: Mapping[str, Any] | None = None) -> tuple[nn.Module, Checkpoint]:
    """Build `method` with the weights in an author's checkpoint, ready for use on the CPU.

    lr [B, 3, h, w] in [0, 1] to sr as of any method. Raises UserError that says what the file is, and what was
    expected, where it is none, of another network, scale or width, holds NaN, or would run code.
    """
    tensors, _ = weights.load(path)
    registry.get(method)
    match = _match(method, given or {}, tensors)
    if match.wrong:
        raise UserError(f"{path}: no checkpoint of '{method}': {match.wrong}{_looks_like(method, tensors)}")
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(f"{path}: '{name}' holds NaN or infinity; the file is damaged: fetch it again")
    model = registry.build(method, given)
    counters = {name: value for name, value in model.state_dict().items() if name.endswith(_COUNTER)}
    model.load_state_dict(counters | match.tensors)
    return model.eval(), Checkpoint(path.name, len(tensors), match.unused)


def _match(method: str, given: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> _Match:
    """Return how `tensors` fit `method`, with the prefix of a wrapper ("module.") left out where all names have it."""
    with meta_device():
        own = registry.build(method, given).state_dict()
    key_of: Callable[[str], str | None] = getattr(registry.load(method), "authors_key", lambda key: None)
    heads = {name.partition(".")[0] for name in tensors}
    renamings = [key_of, lambda key: key if key in own else None]
    prefixes = ["", f"{heads.pop()}."] if len(heads) == 1 else [""]
    found = [_fit(own, tensors, prefix, naming) for prefix in prefixes for naming in renamings]
    return max(found, key=lambda match: (not match.wrong, match.known))


def _fit(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], prefix: str, key_of: Callable[[str], str | None]
) -> _Match:
    names = {name: key_of(name.removeprefix(prefix)) for name in tensors}
    unknown = [name for name, ours in names.items() if ours != "" and ours not in own]
    match = _Match(len(names) - len(unknown))
    match.tensors = {ours: tensors[name] for name, ours in names.items() if ours and ours in own}
    match.unused = sum(ours == "" for ours in names.values())
    missing = [name for name in own if name not in match.tensors and not name.endswith(_COUNTER)]
    shapes = [name for name, ours in names.items() if ours and ours in own and tensors[name].shape != own[ours].shape]
    if unknown:
        match.wrong = f"unknown tensor '{unknown[0]}'{_more(unknown)}"
    elif missing:
        match.wrong = f"lacks the tensor that is '{missing[0]}' here{_more(missing)}"
    elif shapes:
        expected = tuple(own[names[shapes[0]] or ""].shape)
        match.wrong = f"'{shapes[0]}' is {tuple(tensors[shapes[0]].shape)}, expected {expected}{_more(shapes)}"
    return match


def _looks_like(method: str, tensors: Mapping[str, Tensor]) -> str:
    """Return whose checkpoint `tensors` are by their names, as the end of a message; "" where no method's."""
    best: tuple[float, str] = (_LIKENESS, "")
    for name in sorted(registry.names(), key=lambda name: name != method):
        spec = registry.get(name)
        for scale in (spec.usual_scale, *spec.scales) if spec.trainable else ():
            try:
                match = _match(name, {"scale": scale}, tensors)
            except UserError:
                continue
            title = spec.title if scale == spec.usual_scale else f"{spec.title} at scale {scale}"
            share = match.known / len(tensors) + (not match.wrong)
            if share > best[0]:
                best = share, f"; looks like {title}'s checkpoint: {match.known} of {len(tensors)} names"
    return best[1]


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
