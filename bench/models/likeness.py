"""Whose network a checkpoint is of: how its tensors fit a method, and which method they fit best."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError
from bench.core.schema import canonical_json
from bench.models import registry
from bench.models.meta import meta_device

if TYPE_CHECKING:
    from torch import Tensor

COUNTER = "num_batches_tracked"  # of BatchNorm, which old files lack and nothing here reads
_LIKENESS = 0.5  # the share of its names from which on a file is said to look like a method's
_NEAR = 0.9  # the share from which on other scales of a method are tried
_AKIN = 0.2  # the share of a class's own names from which on its variants are tried
KeyMap = Callable[[str], str | None]


@dataclass
class Match:
    """How a file's tensors fit a network: ours by name, and what stands in the way, as text.

    `known` names are the network's, and none that it has is `missing`.
    """

    known: int
    missing: int = 0
    tensors: dict[str, Tensor] = field(default_factory=dict)
    unused: int = 0
    wrong: str = ""


def best_match(method: str, given: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Match:
    """Return how `tensors` fit `method`, with the prefix of a wrapper ("module.") left out where all names have it."""
    cls: Any = registry.load(method)
    own = _network(method, cls, canonical_json(dict(given)))
    namings = [_authors_key(method), lambda key: key if key in own else None]
    found = [_fit(own, tensors, prefix, naming) for prefix in _prefixes(tensors) for naming in namings]
    return max(found, key=lambda match: (not match.wrong, match.known))


def looks_like(method: str, given: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return whose checkpoint `tensors` are by their names, as the end of a message; "" where no method's."""
    best, text, near = (False, False, _LIKENESS), "", list[str]()

    def look(name: str, scale: int) -> None:
        nonlocal best, text
        try:
            match = best_match(name, {"scale": scale}, tensors)
        except UserError:
            return
        if (share := match.known / len(tensors)) > _NEAR and name not in near:
            near.append(name)
        fits = (not match.wrong, share >= _NEAR and not match.missing, share)
        if fits > best:
            best, text = fits, _in_words(method, given, name, scale, match, len(tensors))

    for name in _candidates(method, tensors):
        look(name, registry.get(name).usual_scale)
        if best[0]:
            return text
    for name in near:
        for scale in registry.get(name).scales:
            if scale != registry.get(name).usual_scale:
                look(name, scale)
    return text


def _in_words(method: str, given: Mapping[str, Any], name: str, scale: int, match: Match, count: int) -> str:
    spec = registry.get(name)
    at = "" if scale == spec.usual_scale else f" at scale {scale}"
    if name == method and scale == given.get("scale", spec.usual_scale) and match.wrong:
        what = "another width or another variant"
        if match.known == count and match.missing:
            what += ", or a part of it: docs/methods.md tells what its files hold"
        return f"; {match.known} of {count} names are those of {spec.title}{at}: of {what}"
    if name == method and not match.wrong:
        usual = registry.options(name, {"scale": scale} if "scale" in given else {})
        if other := ", ".join(f"{option} {usual[option]}" for option in given if usual[option] != given[option]):
            return f"; it fits {spec.title} with {other}: leave out what was asked instead"
    return f"; looks like {spec.title}'s checkpoint{at}: {match.known} of {count} names"


def _candidates(method: str, tensors: Mapping[str, Tensor]) -> Iterable[str]:
    """Return the methods that `tensors` may be of, the one that was asked for first; few of them need to be built.

    Those whose key maps know most names or, where none does, those whose class has some of the names itself.
    """
    names = [name for name in registry.names() if registry.get(name).trainable]
    names.sort(key=lambda name: name != method)
    by_map = [name for name in names if _share(_authors_key(name), tensors) >= _LIKENESS]
    return by_map or _akin(names, tensors)


def _akin(names: list[str], tensors: Mapping[str, Tensor]) -> Iterator[str]:
    akin: dict[type, bool] = {}
    for name in names:
        cls: Any = registry.load(name)
        if cls not in akin:
            options = canonical_json({"scale": registry.get(name).usual_scale})
            try:
                own = _network(name, cls, options)
            except UserError:
                own = {}
            akin[cls] = _share(lambda key, own=own: key if key in own else None, tensors) >= _AKIN  # type: ignore[misc]
        if akin[cls]:
            yield name


def _share(key_of: KeyMap, tensors: Mapping[str, Tensor]) -> float:
    """Return the share of names that a key map knows."""
    counts = [sum(key_of(name.removeprefix(prefix)) is not None for name in tensors) for prefix in _prefixes(tensors)]
    return max(counts) / len(tensors)


def _authors_key(method: str) -> KeyMap:
    key_of: KeyMap = getattr(registry.load(method), "authors_key", lambda key: None)
    return key_of


def _prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return what wrappers may have put before all names: nothing, "module.", "module.model." and so on."""
    prefixes = [""]
    while len(heads := {name.removeprefix(prefixes[-1]).partition(".")[:2] for name in tensors}) == 1:
        head, dot = heads.pop()
        if not dot:
            break
        prefixes.append(f"{prefixes[-1]}{head}.")
    return prefixes


@functools.lru_cache(maxsize=64)
def _network(method: str, cls: Any, options: str) -> Mapping[str, Tensor]:
    """Return the state dict of `method`, whose class is `cls`, on the meta device; raise UserError where it has none.

    `options` are JSON; the class stands among the arguments so that a plug-in read anew is built anew.
    """
    with meta_device():
        model = registry.check(method, json.loads(options))
    if model is None:
        raise UserError(f"method '{method}': cannot be built with its default options")
    return dict(model.state_dict())


def _fit(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], prefix: str, key_of: KeyMap) -> Match:
    names = {name: key_of(name.removeprefix(prefix)) for name in tensors}
    unknown = [name for name, ours in names.items() if ours != "" and ours not in own]
    match = Match(len(names) - len(unknown))
    match.tensors = {ours: tensors[name] for name, ours in names.items() if ours and ours in own}
    match.unused = sum(ours == "" for ours in names.values())
    taken = {name: ours for name, ours in names.items() if ours and ours in own}
    missing = [name for name in own if name not in match.tensors and not name.endswith(COUNTER)]
    match.missing = len(missing)
    twice = [ours for ours, count in Counter(taken.values()).items() if count > 1]
    shapes = [name for name, ours in taken.items() if tensors[name].shape != own[ours].shape]
    kinds = [name for name, ours in taken.items() if tensors[name].is_floating_point() != own[ours].is_floating_point()]
    if unknown:
        match.wrong = f"unknown tensor '{unknown[0]}'{_more(unknown)}"
    elif missing:
        match.wrong = f"lacks the tensor that is '{missing[0]}' here{_more(missing)}"
    elif twice:
        match.wrong = f"has the tensor that is '{twice[0]}' here twice, under two names{_more(twice)}"
    elif shapes:
        name = shapes[0]
        expected = tuple(own[taken[name]].shape)
        match.wrong = f"'{name}' is {tuple(tensors[name].shape)}, expected {expected}{_more(shapes)}"
    elif kinds:
        name = kinds[0]
        match.wrong = f"'{name}' holds {tensors[name].dtype}, expected {own[taken[name]].dtype}{_more(kinds)}"
    return match


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
