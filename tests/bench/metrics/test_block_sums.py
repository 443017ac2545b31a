"""Sums over overlapping blocks, beside those of each block cut out and shifted on its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.metrics.block_sums import SHIFTS, block_sums


def expected(picture: np.ndarray, block: int, stride: int) -> np.ndarray:
    """Return the sums of one picture [H, W]: [5, 5, blocks]."""
    sums = []
    for top in range(0, picture.shape[0] - block + 1, stride):
        for left in range(0, picture.shape[1] - block + 1, stride):
            cut = picture[top : top + block, left : left + block]
            for values in (cut, *(cut * np.roll(cut, shift, (0, 1)) for shift in SHIFTS)):
                negative, positive = values[values < 0], values[values > 0]
                sums.append(
                    [np.abs(values).sum(), (negative**2).sum(), (positive**2).sum(), len(negative), len(positive)]
                )
    return np.reshape(sums, (-1, 5, 5)).transpose(2, 1, 0)


@pytest.mark.parametrize(
    ("height", "width", "block", "stride"), [(128, 128, 96, 32), (64, 96, 48, 16), (20, 10, 10, 10), (21, 15, 9, 6)]
)
def test_each_block_has_the_sums_that_it_has_alone(height: int, width: int, block: int, stride: int) -> None:
    pictures = np.random.default_rng(0).normal(size=(3, height, width))
    pictures[1, : height // 2] = 0  # neither negative nor positive
    pictures[2] = np.abs(pictures[2])
    sums = block_sums(torch.from_numpy(pictures), block, stride).numpy()
    for place, picture in enumerate(pictures):
        assert np.allclose(sums[:, :, place], expected(picture, block, stride), rtol=1e-12, atol=0)


def test_no_digit_depends_on_the_other_pictures_of_a_batch() -> None:
    pictures = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 128, 128)))
    alone = torch.cat([block_sums(picture[None], 96, 32) for picture in pictures], 2)
    assert torch.equal(block_sums(pictures, 96, 32), alone)
