"""Networks by whose features a training may compare pictures, with the weights that `fsr fetch` brings.

A method says `needs=["vgg16"]` and is given `batch.features["vgg16"]`, where the weights are in the cache when the run
is planned; their hash is then part of the run's config. Where they are not, it trains without: its objective finds no
such entry and leaves the term out, and run.json says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from bench.core.errors import UserError
from bench.metrics import lpips
from bench.metrics.spec import UnavailableError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NETWORKS: Mapping[str, lpips.Network] = MappingProxyType({"vgg16": lpips.VGG})
_DIGITS = 12  # of the hash, in a config
Features = Callable[["Tensor"], Iterator["Tensor"]]


def name_of_weights(network: str) -> str | None:
    """Return 12 hexadecimal digits that name a network's weights, None where they cannot be had here."""
    try:
        return NETWORKS[network].file.digest()[:_DIGITS]
    except UnavailableError:
        return None


def load_features(network: str, weights: str, device: torch.device) -> Features:
    """Return a function from RGB [B, 3, H, W] in [0, 1] to the ReLU of each convolution, one by one as asked for.

    The weights take no gradients, the pictures may. Raises UserError where those called `weights` are not here.
    """
    file = NETWORKS[network].file
    try:
        if (digest := file.digest()[:_DIGITS]) != weights:
            raise UserError(f"{file.path}: weights {digest}, the run was planned with {weights}: {file.way_out}")
        return partial(_see, NETWORKS[network], file.tensors(device))
    except UnavailableError as error:
        raise UserError(f"{network}, weights {weights}: {error}") from None


def absence_of(network: str) -> str:
    """Return what a run says that was planned without a network's weights."""
    return f"{network} features: the weights were not here when the run was planned; {NETWORKS[network].file.way_out}"


def _see(network: lpips.Network, weights: Mapping[str, Tensor], pictures: Tensor) -> Iterator[Tensor]:
    return lpips.layers(network, weights, lpips.normalise(pictures))
