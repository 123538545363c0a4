"""Scans on the pack's grid, as the product cuts them, and variants that break what would be shortcuts."""

from __future__ import annotations

import numpy as np
import torch

from training import preprocess
from training.synth import coarsen, field


def boxed(grid: np.ndarray) -> np.ndarray:
    """Foreground box and padding of a normalised grid, as the product cuts it."""
    start, stop = preprocess.foreground_box(grid)
    box = grid[tuple(slice(a, b) for a, b in zip(start, stop))]
    sides = [preprocess.padded_side(side) for side in box.shape]
    padded = np.zeros(sides, dtype=np.float32)
    before = [(side - n) // 2 for side, n in zip(sides, box.shape)]
    padded[tuple(slice(b, b + n) for b, n in zip(before, box.shape))] = box
    return padded


def conformed(volume: np.ndarray, affine: np.ndarray, settings: dict, scale: float = 1.0) -> np.ndarray:
    """The scan on the pack's grid before the intensity rule; `scale` pretends another spacing."""
    ras, ras_affine = preprocess.reorient(volume, affine)
    spacing = preprocess.spacing_of(ras_affine) * scale
    return preprocess.resample(ras, spacing, np.asarray(settings["spacing_mm"], np.float64))


def varied(grid: np.ndarray, rng: np.random.Generator, rule: dict, thick: bool = True) -> np.ndarray:
    """Thick slices, a bias field, noise and gamma; normalised."""
    torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
    image, background = torch.from_numpy(grid), torch.from_numpy(grid <= 0)
    if thick and rng.random() < 0.7 and min(grid.shape) > 24:
        image = coarsen(image, int(rng.integers(3)), float(rng.uniform(1.2, 3.5)))
    nodes = [int(rng.integers(2, 5)) for _ in range(3)]
    image = image * torch.exp(field(torch_rng, nodes, tuple(grid.shape), 1)[0] * float(rng.uniform(0, 0.25)))
    level = float(image.max()) * float(rng.uniform(0, 0.03))
    image = (image + level * torch.randn(image.shape, generator=torch_rng)).abs()
    if bool(background.float().mean() > 0.2) and rng.random() < 0.7:
        image[background] = 0
    image = preprocess.normalise(image.numpy(), rule)
    return image ** np.float32(np.exp(rng.normal(0, 0.2)))


def in_grey_air(grid: np.ndarray, rng: np.random.Generator, rule: dict) -> np.ndarray:
    """As files whose air is a grey of its own: it then counts for the percentiles, and bright tissue saturates."""
    level = float(rng.uniform(0.05, 0.25)) * float(grid.max())
    return preprocess.normalise(np.maximum(grid, 0) + level, rule)
