"""What networks take: measured for each, or where there are many for some of each method and interpolated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.core.schema import canonical_json
from bench.models.capacity import method_size
from bench.models.cost import seconds_per_image
from bench.runs.evaluate import low_resolution, to_tensor
from bench.runs.train import probe

if TYPE_CHECKING:
    import torch

    from bench.runs.config import RunConfig
    from bench.runs.experiment import Faces

_ALL = 32  # networks up to which each is measured
_SOME = 12  # networks that are measured of more, but two at least of each method
Network = tuple[str, str]  # a method and its options as JSON


class Cost(NamedTuple):
    """Seconds of a training iteration and of one image scored, and the memory at the peak (MiB)."""

    step: float = 0.0
    image: float = 0.0
    memory: float = 0.0


def network_of(config: RunConfig) -> Network:
    """Return what two runs share that take the same."""
    return config.method, canonical_json(config.options)


def measure_all(
    configs: Sequence[RunConfig], sizes: Mapping[Network, int], faces: Faces, device: torch.device, most: float
) -> tuple[dict[Network, Cost], int]:
    """Measure ten iterations of each network (or `most` seconds of it); return what each takes, and how many were not.

    Of more than 32 networks some are measured, an iteration each after one that warms up; what the others take lies on
    a line between those of their method that are next in size (`sizes`: parameters, counted where they are not given).
    """
    networks = {network_of(config): config for config in configs}
    if len(networks) <= _ALL:
        return {key: _measure(config, faces, device, 10, most) for key, config in networks.items()}, 0
    costs: dict[Network, Cost] = {}
    measured = 0
    for method in dict.fromkeys(method for method, _ in networks):
        own = [key for key in networks if key[0] == method]
        size = {key: sizes.get(key) or method_size(method, networks[key].options) for key in own}
        own.sort(key=size.__getitem__)
        count = min(len(own), max(2, round(_SOME * len(own) / len(networks))))
        chosen = [own[round(place)] for place in np.linspace(0, len(own) - 1, count)]
        known = {key: cost for key in chosen if (cost := _measure(networks[key], faces, device, 1, most)).step}
        at, columns = [size[key] for key in known], np.array(list(known.values()))
        for key in own if known else ():
            costs[key] = Cost(*(float(np.interp(size[key], at, column)) for column in columns.T))
        measured += count
    return costs, len(networks) - measured


def _measure(config: RunConfig, faces: Faces, device: torch.device, steps: int, most: float) -> Cost:
    """Measure what a network costs; nothing for one that fails.

    What is wrong with it is told when its run fails, and the other rows are planned all the same.
    """
    try:
        trial = probe(config, faces.train.faces[: min(faces.sizes.train, 64)], device, steps, most)
        lr = to_tensor(low_resolution(faces.test.faces[:1], config.scale), device)
        return Cost(trial.seconds, seconds_per_image(trial.network, lr, least_seconds=0), trial.memory)
    except Exception:
        return Cost()
