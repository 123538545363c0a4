"""Several sequences through one network: every sequence by itself, then the largest of each feature.

The maximum over sequences is one of the three ways in which PRISM fuses (arXiv 2508.07165); it takes any
number in any order. Here the maps of the decoder are fused, voxel by voxel, and one 1x1x1 head reads them.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
import torch
from torch import Tensor

from training.model import Network
from training.precision import autocast


def decode(network: Network, image: Tensor) -> tuple[list[Tensor], dict]:
    """[sequences, x, y, z] -> the decoder's levels, finest first, and the first sequence's features."""
    features = [network.features(one[None, None]) for one in image]
    decoded = [network.decoder(f["fused"], f["maps"]) for f in features]
    return [reduce(torch.maximum, level) for level in zip(*decoded)], features[0]


@torch.no_grad()
def probabilities(network: Network, image: Tensor, device: str = "cpu") -> np.ndarray:
    """[classes, x, y, z] of [sequences, x, y, z]."""
    with autocast(device):
        decoded, _ = decode(network, image.to(device))
        logits = network.heads["segmentation"](decoded[0])
    return logits[0].float().softmax(0).cpu().numpy()
