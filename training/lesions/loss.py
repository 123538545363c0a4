"""Dice and cross-entropy where lesions are a hundredth of the voxels.

With plain cross-entropy the network settles on "nowhere" and stays there: a lesion's voxels are outvoted
by the rest. Here each of them weighs `emphasis` voxels, and Dice is taken of any lesion as well as of each
kind, so that finding one counts before naming it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor


def dice_cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor, emphasis: float
) -> tuple[Tensor, Tensor]:
    """`logits` [voxels, classes], `target` [voxels], `weight` [voxels] -> (1 - Dice, cross-entropy)."""
    target = target.long()
    log_p = functional.log_softmax(logits.float(), dim=1)
    own = log_p.gather(1, target[:, None]).squeeze(1)
    heavy = torch.where(target > 0, emphasis * weight, weight)
    entropy = -(own * heavy).sum() / heavy.sum()
    if not (target > 0).any():
        return logits.new_zeros(()), entropy
    p = log_p.exp()
    any_lesion = overlap(1 - p[:, 0], (target > 0).float(), weight)
    kinds = [
        overlap(p[:, k], (target == k).float(), weight)
        for k in range(1, p.shape[1])
        if (target == k).any()
    ]
    return 1 - 0.5 * (any_lesion + sum(kinds) / len(kinds)), entropy


def overlap(p: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Soft Dice."""
    hit = (p * truth * weight).sum()
    return (2 * hit + 1) / ((p * weight).sum() + (truth * weight).sum() + 1)
