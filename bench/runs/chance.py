"""Random numbers that a network draws: from where, and how each draw is made to depend on a seed alone.

Covers the generators of torch, NumPy and Python that all code shares, and those that a network's modules, or the files
that define them, keep as attributes.
"""

from __future__ import annotations

import contextlib
import pickle
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

_OWN = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


class Generators:
    """All generators that `model` may draw from on `device`."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        shared = [torch.default_generator, np.random, random]
        if device.type == "cuda":
            with torch.cuda.device(device):
                shared.append(torch.cuda.default_generators[torch.cuda.current_device()])
        classes = {type(module) for module in model.modules()}
        files = [sys.modules.get(name) for name in {cls.__module__ for cls in classes}]
        holders = [vars(holder) for holder in (*model.modules(), *classes, *filter(None, files))]
        own = [value for holder in holders for value in holder.values() if isinstance(value, _OWN)]
        self._all = list({id(generator): generator for generator in (*shared, *own)}.values())

    @contextlib.contextmanager
    def seeded(self, seed: int) -> Iterator[list[bool]]:
        """Seed all generators, and leave them as they were; the list that is given gets whether any was drawn from."""
        before, drawn = [_state(generator) for generator in self._all], list[bool]()
        try:
            for generator in self._all:
                _seed(generator, seed)
            start = [_bytes(_state(generator)) for generator in self._all]
            yield drawn
            drawn.append(start != [_bytes(_state(generator)) for generator in self._all])
        finally:
            for generator, state in zip(self._all, before, strict=True):
                _restore(generator, state)


# `random` and `np.random` are modules with the functions of a generator.


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.getstate() if hasattr(generator, "getstate") else generator.get_state()


def _restore(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif hasattr(generator, "setstate"):
        generator.setstate(state)
    else:
        generator.set_state(state)


def _seed(generator: Any, seed: int) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = type(generator.bit_generator)(seed).state
    elif isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    else:
        generator.seed(seed % 2**32)


def _bytes(state: Any) -> bytes:
    return state.numpy().tobytes() if isinstance(state, torch.Tensor) else pickle.dumps(state)
