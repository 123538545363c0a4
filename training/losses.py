"""Dice plus cross-entropy on selected voxels.

Most voxels of a crop are air. The loss is taken over every labelled voxel and a random quarter of the
others, weighted by four, which has the same expectation and costs a fraction of the soft-max over 33
classes on the whole crop.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor


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
