"""Sums over overlapping blocks of a picture, in which each pixel is looked at once and not once a block.

What blocks share is added up for strips, whose height divides that of a block and the way from block to block. Only
along a block's border do its products with a shifted copy of itself differ from the picture's.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows, columns


def block_sums(values: Tensor, block: int, stride: int) -> Tensor:
    """Return what moments are made of: of each block of [B, H, W], and of its products with four shifted copies.

    Float64 [5, 5, B, blocks]: the sums of absolute values, of the squares of what is negative and of what is positive,
    and how many there are of either; then the block itself and `SHIFTS`. What a shift moves out of a block comes in on
    the other side. H - block and W - block divide by `stride`.
    """
    import torch

    inside = _sum_inside(values, block, stride)
    border = _border_products(cut_blocks(values, block, stride))
    inside[:, 1:] += torch.stack([part.sum(-1) for part in _parts(border, border.sign())])
    inside[3] *= -1
    return inside


def cut_blocks(values: Tensor, block: int, stride: int) -> Tensor:
    """Return the blocks of [B, H, W]: [B, blocks, block, block], row by row."""
    return values.unfold(1, block, stride).unfold(2, block, stride).flatten(1, 2)


def _parts(values: Tensor, signs: Tensor) -> tuple[Tensor, ...]:
    """Return absolute values, the squares of negative and of positive ones (0 for others), and the same of signs."""
    squares = (half.square_() for half in (values.clamp(max=0), values.clamp(min=0)))
    return values.abs(), *squares, signs.clamp(max=0), signs.clamp(min=0)


def _sum_inside(values: Tensor, block: int, stride: int) -> Tensor:
    """Return the sums over each block without the row and the column that a shift moves in from the other side."""
    import torch

    height = math.gcd(block, stride)  # of a strip
    shifts, signs = ((0, 0), *SHIFTS), values.sign().float()
    first = values.new_empty(5, len(shifts), len(values), values.shape[1] // height, values.shape[2])
    others = torch.empty_like(first)  # rows of a strip than the first
    for place, shift in enumerate(shifts):
        for kind, part in enumerate(_parts(_product(values, shift), _product(signs, shift))):
            strips = part.reshape(len(values), -1, height, values.shape[2])
            first[kind, place] = strips[:, :, 0]
            others[kind, place] = strips[:, :, 1:].sum(2)
    height_of_block, way = block // height, stride // height  # in strips
    whole = _members(first.shape[3], height_of_block, way, ((0, 0),) * len(shifts))
    lower = _members(first.shape[3], height_of_block, way, tuple((down, 0) for down, _ in shifts))
    columns = _members(first.shape[4], block, stride, tuple((max(across, 0), max(-across, 0)) for _, across in shifts))
    rows = lower @ first + whole @ others
    return (rows @ columns.mT).flatten(3)


@functools.cache
def _members(count: int, length: int, step: int, left_out: tuple[tuple[int, int], ...]) -> Tensor:
    """Return which of `count` places lie in each block, without so many at its start and end: [len, 1, blocks, count].

    Float64, 1 for those that do, 0 for the others.
    """
    import torch

    members = torch.zeros(len(left_out), 1, (count - length) // step + 1, count, dtype=torch.float64)
    for own, (before, behind) in zip(members[:, 0], left_out, strict=True):
        for place, row in enumerate(own):
            row[place * step + before : place * step + length - behind] = 1
    return members


def _product(values: Tensor, shift: tuple[int, int]) -> Tensor:
    """Return [B, H, W] times its shifted copy, 0 where that has nothing; for a shift of (0, 0) the values."""
    import torch

    down, across = shift
    if not (down or across):
        return values
    height, width = values.shape[1:]
    left, right = max(across, 0), max(-across, 0)
    product = torch.zeros_like(values)
    original = values[:, down:, left : width - right]
    copy = values[:, : height - down, right : width - left]
    torch.mul(original, copy, out=product[:, down:, left : width - right])
    return product


def _border_products(blocks: Tensor) -> Tensor:
    """Return what is left out inside: of [B, blocks, n, n], for each of `SHIFTS`, [4, B, blocks, 2 n], 0 at the end."""
    import torch

    products = blocks.new_zeros(len(SHIFTS), *blocks.shape[:2], 2 * blocks.shape[-1])
    for place, (down, across) in enumerate(SHIFTS):
        start = 0
        if down:
            start = blocks.shape[-1]
            products[place, ..., :start] = blocks[..., 0, :] * torch.roll(blocks[..., -1, :], across, -1)
        if across:
            into, out_of = (0, -1) if across > 0 else (-1, 0)  # columns
            rows = blocks.shape[-2] - down
            products[place, ..., start : start + rows] = blocks[..., down:, into] * blocks[..., :rows, out_of]
    return products
