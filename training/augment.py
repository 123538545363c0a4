"""Random deformations and intensities of labelled scans; a sample depends on (seed, step) only.

Crops (`block`) are turned and bent in 3D. Thick slices (`slices`) are never interpolated across: every slice
is read in its own plane, at any angle, and slices are shifted against each other, left out at the ends and
set in the middle of the network's side as the product does it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from training.synth import affine, blur, field


def block(cases: list[tuple[Tensor, Tensor]], size: tuple, seed: int, step: int) -> dict:
    """One sample of a crop: image [1, *size], target, target_half and target_quarter."""
    rng = np.random.default_rng([seed, step])
    torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
    image, labels = cases[int(rng.integers(len(cases)))]
    matrix = affine(rng, 1.0)
    if rng.random() < 0.5:
        matrix[0] *= -1
    shift = rng.uniform(-4, 4, 3)
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in size]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    place = place @ torch.from_numpy(matrix.T).float() + torch.from_numpy(shift).float()
    bend = field(torch_rng, [4, 5, 4], size, 3) * float(rng.uniform(0, 1.5))
    place = place + bend.permute(1, 2, 3, 0)
    # grid_sample's order is z, y, x, its unit the half extent of the source.
    extent = torch.tensor(image.shape, dtype=torch.float32) / 2
    grid = (place / extent).flip(-1)[None]
    read = lambda values, mode: functional.grid_sample(  # noqa: E731
        values[None, None].float(), grid, mode=mode, padding_mode="zeros", align_corners=False
    )[0, 0]
    seen, target = read(image, "bilinear"), read(labels, "nearest").to(torch.uint8)
    seen = appearance(rng, torch_rng, seen)
    return {"image": seen[None], "target": target, **coarser(target)}


def coarser(target: Tensor) -> dict[str, Tensor]:
    """The target on the decoder's half and quarter levels."""
    every = lambda n: target[n // 2 :: n, n // 2 :: n, n // 2 :: n].contiguous()  # noqa: E731
    return {"target_half": every(2), "target_quarter": every(4)}


def appearance(rng: np.random.Generator, torch_rng: torch.Generator, seen: Tensor, across: bool = True) -> Tensor:
    """Bias, blur (`across` the third axis or not), noise and intensity curve of an image in 0..1."""
    nodes = [int(rng.integers(2, 4)) for _ in range(3)]
    seen = seen * torch.exp(field(torch_rng, nodes, tuple(seen.shape), 1)[0] * float(rng.uniform(0, 0.15)))
    if rng.random() < 0.3:
        seen = blur(seen, tuple(rng.uniform(0, 0.8, 3) * [1, 1, across]))
    seen = seen + torch.randn(tuple(seen.shape), generator=torch_rng) * float(rng.uniform(0, 0.05))
    low, high = float(rng.normal(0, 0.03)), float(rng.normal(1, 0.06))
    return ((seen - low) / (high - low)).clamp(0, 1) ** float(np.exp(rng.normal(0, 0.25)))


def plane(rng: np.random.Generator) -> np.ndarray:
    """In-plane map 2x2 from output to scan: any angle, mirrored or not, scale, aspect and shear."""
    angle = rng.uniform(0, 2 * math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    scale = math.exp(rng.uniform(math.log(0.75), math.log(1.35)))
    aspect = math.exp(rng.normal(0, 0.06))
    stretch = np.diag([scale * aspect, scale / aspect])
    shear = np.array([[1.0, rng.uniform(-0.08, 0.08)], [0.0, 1.0]])
    mirror = np.diag([1.0, -1.0 if rng.random() < 0.5 else 1.0])
    return turn @ stretch @ shear @ mirror


def slices(cases: list[tuple[Tensor, Tensor]], config: dict, step: int) -> dict:
    """One sample of a thick-slice scan, sides one of config["sizes"]: as `block` returns it."""
    rng = np.random.default_rng([config["seed"], step])
    torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
    image, labels = cases[int(rng.integers(len(cases)))]
    width, height, slots = config["sizes"][int(rng.choice(len(config["sizes"]), p=config["size_shares"]))]
    # A stack may begin or end early, and run from base to apex or back.
    first, last = 0, image.shape[2]
    if rng.random() < 0.3:
        first, last = int(rng.integers(0, 3)), last - int(rng.integers(0, 3))
    order = torch.arange(first, max(last, first + 3)).clamp(max=image.shape[2] - 1)[:slots]
    if rng.random() < 0.5:
        order = order.flip(0)
    count = len(order)
    marked = torch.nonzero(labels[:, :, order].amax(2)).float()
    extent = torch.tensor(image.shape[:2], dtype=torch.float32)
    if len(marked) and rng.random() < config["near"]:
        centre = (marked.amin(0) + marked.amax(0)) / 2 + torch.from_numpy(rng.uniform(-24, 24, 2)).float()
    else:
        centre = torch.from_numpy(rng.uniform(0, 1, 2)).float() * extent
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in (width, height)]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) @ torch.from_numpy(plane(rng).T).float()
    bend = field(torch_rng, [1, 5, 5], (1, width, height), 2)[:, 0] * float(rng.uniform(0, 3))
    place = place + bend.permute(1, 2, 0) + centre + 0.5
    place = place[None].repeat(count, 1, 1, 1)
    if rng.random() < 0.3:
        place = place + torch.from_numpy(rng.normal(0, 1.2, (count, 1, 1, 2))).float()
    # grid_sample's order is y, x and its unit the half extent of the source.
    grid = (place * 2 / extent - 1).flip(-1)
    read = lambda values, mode: functional.grid_sample(  # noqa: E731
        values[:, :, order].permute(2, 0, 1)[:, None].float(), grid, mode=mode, align_corners=False
    )[:, 0].permute(1, 2, 0)
    seen, marks = read(image, "bilinear"), read(labels, "nearest").to(torch.uint8)
    seen = seen * torch.from_numpy(rng.normal(1, 0.04, count)).float()
    seen = appearance(rng, torch_rng, seen, across=False)
    start = min(max((slots - count) // 2 + int(rng.integers(-1, 2)), 0), slots - count)
    sample, target = torch.zeros(width, height, slots), torch.zeros(width, height, slots, dtype=torch.uint8)
    sample[:, :, start : start + count] = seen
    target[:, :, start : start + count] = marks
    return {"image": sample[None], "target": target, **coarser(target)}
