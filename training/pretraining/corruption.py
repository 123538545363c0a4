"""Block noise and block swap: the input is damaged, the network has to restore it (DESIGN.md section 4)."""

from __future__ import annotations

import torch
from torch import Tensor

SHARE = 0.3
SIDES = (0.05, 0.25)


def blocks(shape: tuple[int, ...], generator: torch.Generator) -> list[tuple[slice, ...]]:
    """Boxes of 5-25 % a side until they would cover 30 % of the voxels (overlaps counted twice)."""
    result, covered = [], 0.0
    while True:
        draws = torch.rand(6, generator=generator).tolist()
        sizes = [max(1, int(n * (SIDES[0] + (SIDES[1] - SIDES[0]) * d))) for n, d in zip(shape, draws)]
        share = 1.0
        for size, length in zip(sizes, shape):
            share *= size / length
        if covered + share > SHARE or len(result) >= 200:
            return result
        starts = [int((n - s + 1) * d) for n, s, d in zip(shape, sizes, draws[3:])]
        result.append(tuple(slice(a, a + s) for a, s in zip(starts, sizes)))
        covered += share


def corrupt(images: Tensor, generator: torch.Generator) -> Tensor:
    """Two passes over [batch, 1, x, y, z]: noise blocks, then blocks of another volume of the batch."""
    damaged = images.clone()
    for index in range(images.shape[0]):
        for block in blocks(images.shape[2:], generator):
            view = damaged[(index, 0, *block)]
            view.copy_(torch.randn(view.shape, generator=generator) * images[index].std() + images[index].mean())
    if images.shape[0] > 1:
        for index in range(images.shape[0]):
            # Neighbours may be the same anatomy in another contrast: take the one after.
            other = (index + 2) % images.shape[0]
            for block in blocks(images.shape[2:], generator):
                damaged[(index, 0, *block)] = images[(other, 0, *block)]
    return damaged
