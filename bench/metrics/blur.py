"""Blur pictures by a small separable window: a few shifted sums, in which no zeros are multiplied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def blur(images: Tensor, weights: Sequence[float]) -> Tensor:
    """Weigh [..., H, W] by n `weights` along rows and columns, where they fit: [..., H - n + 1, W - n + 1].

    The sums run in the order of the weights, so no digit depends on the size of a batch or on a library of matrices.
    """
    for dim in (-2, -1):
        count = images.shape[dim] - len(weights) + 1
        blurred = images.narrow(dim, 0, count) * weights[0]
        for place, weight in enumerate(weights[1:], 1):
            blurred.add_(images.narrow(dim, place, count), alpha=weight)
        images = blurred
    return images
