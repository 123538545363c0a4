"""Dice plus cross-entropy on selected voxels.

Most voxels of a crop are air. The loss is taken over every labelled voxel and a random quarter of the
others, weighted by four, which has the same expectation and costs a fraction of the soft-max over 33
classes on the whole crop.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

SMALL = 20.0  # voxels; a slice's structure of fewer is hardly one


def select(target: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices of the voxels used and their weights; `target` [voxels], background 0."""
    if share >= 1:
        return torch.arange(target.numel()), torch.ones(target.numel())
    draw = torch.rand(target.numel(), generator=generator) < share
    index = torch.nonzero((target > 0) | draw.to(target.device)).squeeze(1)
    weight = torch.where(target[index] > 0, 1.0, 1.0 / share)
    return index, weight


def dice_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """`logits` [voxels, classes], `target` [voxels], `weight` [voxels] -> (1 - Dice, cross-entropy).

    Dice is the mean over the foreground classes that are present; background counts in neither.
    """
    logits = logits.float()
    target = target.long()
    log_p = functional.log_softmax(logits, dim=1)
    own = log_p.gather(1, target[:, None]).squeeze(1)
    entropy = -(own * weight).sum() / weight.sum()
    classes = logits.shape[1]
    predicted = weight @ log_p.exp()
    hit = torch.zeros(classes, device=logits.device).index_add(0, target, own.exp() * weight)
    size = torch.zeros(classes, device=logits.device).index_add(0, target, weight)
    present = size[1:] > 0
    if not present.any():
        return logits.new_zeros(()), entropy
    dice = (2 * hit[1:] + 1) / (predicted[1:] + size[1:] + 1)
    return 1 - dice[present].mean(), entropy


def slice_dice(logits: Tensor, target: Tensor, weight: Tensor, index: Tensor, seen: Tensor) -> Tensor:
    """1 - Dice of every slice and foreground class by itself, averaged over the slices that are `seen` [slices].

    `index` [voxels] is each voxel's place in the sample, third axis fastest. Where a structure was not drawn in a
    slice, the same smoothing makes every voxel called there count: over a whole stack such a slice weighs little.
    """
    odds = functional.softmax(logits.float(), dim=1) * weight[:, None]
    slices, classes = seen.numel(), logits.shape[1]
    place = (index % slices).to(odds.device)
    predicted = odds.new_zeros(slices, classes).index_add(0, place, odds)
    drawn = functional.one_hot(target.long(), classes).to(odds.dtype)
    hit = odds.new_zeros(slices, classes).index_add(0, place, odds * drawn)
    size = odds.new_zeros(slices, classes).index_add(0, place, drawn * weight[:, None])
    dice = (2 * hit + SMALL) / (predicted + size + SMALL)
    return 1 - dice[seen.to(odds.device), 1:].mean()
