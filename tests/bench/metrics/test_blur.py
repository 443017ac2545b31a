"""Blurs by a separable window, beside sums that are written out."""

from __future__ import annotations

import numpy as np
import torch

from bench.metrics.blur import blur


def test_each_value_is_the_weighted_sum_of_its_window() -> None:
    images = torch.from_numpy(np.random.default_rng(0).random((2, 3, 9, 7)))
    weights = [0.5, 0.25, 0.125]
    window = np.outer(weights, weights)
    expected = np.array(
        [
            [(images[..., row : row + 3, column : column + 3].numpy() * window).sum((-2, -1)) for column in range(5)]
            for row in range(7)
        ]
    )
    assert np.allclose(blur(images, weights), np.moveaxis(expected, (0, 1), (-2, -1)), rtol=1e-14, atol=0)


def test_no_digit_depends_on_the_other_pictures_of_a_batch() -> None:
    images = torch.from_numpy(np.random.default_rng(1).random((5, 33, 31)))
    alone = torch.cat([blur(image[None], [0.3, 0.4, 0.3]) for image in images])
    assert torch.equal(blur(images, [0.3, 0.4, 0.3]), alone)
