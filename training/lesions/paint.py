"""Shapes of lesions on an anatomy: how much of every voxel is lesion, nothing about intensities.

White-matter lesions are many, small and ragged; they lie at the ventricles, under the cortex and between.
Masses are few: a core, solid or with a rim around necrosis, and oedema that follows the white matter.
What looks like a lesion and is none (perivascular spaces, the thin rim at the ventricles) is painted as
well, so that it is learnt to be none. Sizes are millimetres, fractions 0..1 float32 [x, y, z].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field as default

import numpy as np
import torch
from scipy import ndimage

from training.synth import Brain, field, uniform

WHITE, CORTEX, VENTRICLES = [2, 41], [3, 42], [4, 43]
INFRATENTORIAL = [7, 46, 16]
DEEP_GREY = [10, 49, 11, 12, 50, 51, 13, 52, 28, 60]
FLUID = [4, 43, 5, 44, 14, 15, 24, 72]


@dataclass
class Anatomy:
    """FreeSurfer ids on the output grid and what placing needs of them."""

    ids: np.ndarray
    from_brain: np.ndarray
    """Distance from the brain in mm, 0..20."""
    spacing: float
    generator: np.random.Generator
    torch_generator: torch.Generator
    white: np.ndarray = default(init=False)
    to_ventricle: np.ndarray = default(init=False)
    to_cortex: np.ndarray = default(init=False)

    def __post_init__(self):
        distance = lambda mask: (  # noqa: E731
            ndimage.distance_transform_edt(~mask).astype(np.float32) * self.spacing
            if mask.any()
            else np.full(mask.shape, 99, np.float32)
        )
        self.white = np.isin(self.ids, WHITE)
        self.to_ventricle = distance(np.isin(self.ids, VENTRICLES))
        self.to_cortex = distance(np.isin(self.ids, CORTEX))

    def noise(self, millimetres: float) -> np.ndarray:
        """Smooth unit noise with a correlation length of about `millimetres`."""
        shape = self.ids.shape
        nodes = [max(2, int(n * self.spacing / millimetres)) for n in shape]
        return 1.4 * field(self.torch_generator, nodes, shape, 1)[0].numpy()

    def allowed(self, cortex: float, deep: float) -> np.ndarray:
        """How far a lesion spreads in a tissue: white matter 1, fluid and outside 0."""
        share = np.zeros(self.ids.shape, np.float32)
        share[self.white | np.isin(self.ids, INFRATENTORIAL)] = 1
        share[np.isin(self.ids, CORTEX)] = cortex
        share[np.isin(self.ids, DEEP_GREY)] = deep
        return share


@dataclass
class Painted:
    """Fractions of every voxel, by what is there."""

    rim: np.ndarray | None = None
    """Distractor: the normal rim at the ventricles."""
    spaces: np.ndarray | None = None
    """Distractor: perivascular spaces, filled like ventricles."""
    white_matter: np.ndarray | None = None
    enhancing: np.ndarray | None = None
    """Of the white-matter lesions."""
    oedema: np.ndarray | None = None
    solid: np.ndarray | None = None
    necrosis: np.ndarray | None = None


def edge(depth: np.ndarray, width: float) -> np.ndarray:
    """Depth below a surface (mm) -> fraction, over an edge of `width`."""
    return np.clip(depth / width + 0.5, 0, 1).astype(np.float32)


def blob(shape: tuple, centre: np.ndarray, axes: np.ndarray, rng: np.random.Generator, spacing: float):
    """Box around an ellipsoid in random pose and the depth (mm) below its surface there."""
    reach = int(math.ceil(1.7 * axes.max() / spacing)) + 1
    low = np.maximum(np.round(centre).astype(int) - reach, 0)
    high = np.minimum(np.round(centre).astype(int) + reach + 1, shape)
    cut = tuple(slice(a, b) for a, b in zip(low, high))
    grids = np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high)], indexing="ij")
    offset = (np.stack(grids, -1) - centre) * spacing
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    length = np.linalg.norm(offset @ turn / axes, axis=-1)
    return cut, ((1 - length) * axes.min()).astype(np.float32)


def pick(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """A random voxel of the mask."""
    where = np.flatnonzero(mask)
    if where.size == 0:
        return None
    return np.array(np.unravel_index(rng.choice(where), mask.shape), float) + rng.uniform(-0.5, 0.5, 3)


def white_matter_lesions(a: Anatomy, painted: Painted) -> None:
    """From one small spot to confluent disease."""
    rng = a.generator
    load = rng.choice(["few", "some", "many"], p=[0.25, 0.4, 0.35])
    # A whole brain has about 1.5 litres; a crop has its share.
    share = min(1.0, a.ids.size * a.spacing**3 / 1.8e6)
    count = {"few": rng.integers(1, 5), "some": rng.integers(4, 20), "many": rng.integers(15, 70)}[load]
    count = max(1, int(round(count * (share if load != "few" else 1))))
    median = {"few": 2.4, "some": 2.2, "many": 2.4}[load] * rng.lognormal(0, 0.2)
    ragged, fine = uniform(rng, 0.15, 0.6), a.noise(3.5)
    allowed = a.allowed(uniform(rng, 0, 0.8), uniform(rng, 0.2, 1))
    fraction = np.zeros(a.ids.shape, np.float32)
    enhancing = np.zeros(a.ids.shape, np.float32)
    chance = uniform(rng, 0.1, 0.6) if rng.random() < 0.3 else 0.0
    near, under = a.white & (a.to_ventricle < 6), a.white & (a.to_cortex < 3.5)
    deep, low = a.white & ~near & ~under, np.isin(a.ids, INFRATENTORIAL)
    places = [near, under, deep, low]
    odds = rng.dirichlet([2.5, 1.6, 2.5, 0.7])
    for _ in range(count):
        centre = pick(places[int(rng.choice(4, p=odds))], rng)
        if centre is None:
            continue
        radius = float(np.clip(median * rng.lognormal(0, 0.5), 1.2, 11))
        axes = radius * np.array([1, uniform(rng, 0.7, 1.1), uniform(rng, 0.8, 1.9)])
        cut, depth = blob(a.ids.shape, centre, axes, rng, a.spacing)
        value = edge(depth + ragged * fine[cut] * min(radius, 4), uniform(rng, 1.0, 2.5)) * allowed[cut]
        np.maximum(fraction[cut], value, out=fraction[cut])
        if rng.random() < chance:
            ring = rng.random() < 0.35 and radius > 2.5
            value = np.where(depth > radius * 0.45, 0, value) if ring else value
            np.maximum(enhancing[cut], value, out=enhancing[cut])
    if load == "many" and rng.random() < 0.6 or rng.random() < 0.12:
        thick = uniform(rng, 1.5, 7) * (1 + 0.7 * a.noise(14)) + ragged * 1.5 * fine
        caps = edge(a.noise(25) + uniform(rng, -0.3, 0.8), 0.6)
        value = edge(thick - a.to_ventricle, uniform(rng, 1, 2.5)) * caps * allowed
        np.maximum(fraction, value, out=fraction)
    painted.white_matter, painted.enhancing = fraction, enhancing if chance else None


def mass_push(centre: np.ndarray, radius: float, amount: float, size: tuple, spacing: float) -> torch.Tensor:
    """[3, *size] displacement of reading positions that moves tissue away from `centre` (grid mm)."""
    axes = [(np.arange(n) - (n - 1) / 2) * spacing - c for n, c in zip(size, centre)]
    offset = np.stack(np.meshgrid(*axes, indexing="ij"))
    length = np.linalg.norm(offset, axis=0) + 1e-3
    pull = amount * np.exp(-((length / (2.2 * radius)) ** 2)) * np.minimum(1, length / radius)
    return torch.from_numpy((-offset / length * pull).astype(np.float32))


def mass(a: Anatomy, painted: Painted, centre: np.ndarray, radius: float, kind: str) -> None:
    """One mass at `centre` (voxels); `kind`: "ring", "solid" or "infiltrating"."""
    rng = a.generator
    zero = lambda old: np.zeros(a.ids.shape, np.float32) if old is None else old  # noqa: E731
    painted.oedema, painted.solid = zero(painted.oedema), zero(painted.solid)
    painted.necrosis = zero(painted.necrosis)
    grids = np.meshgrid(*[np.arange(n, dtype=np.float32) for n in a.ids.shape], indexing="ij")
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    offset = (np.stack(grids, -1) - centre.astype(np.float32)) * a.spacing @ turn
    length = np.linalg.norm(offset / np.array([1, uniform(rng, 0.75, 1.1), uniform(rng, 0.85, 1.4)]), axis=-1)
    uneven = uniform(rng, 0.1, 0.4) if kind != "solid" else uniform(rng, 0.03, 0.2)
    depth = radius * (1 + uneven * a.noise(max(6, radius)) + 0.4 * uneven * a.noise(5)) - length
    inside = a.from_brain <= uniform(rng, 0, 3)
    core = edge(depth, uniform(rng, 1.0, 3.0)) * inside
    if kind == "ring":
        wall = uniform(rng, 1.5, 5) * (1 + 0.5 * a.noise(8))
        dead = np.minimum(edge(depth - wall, 1.5) * inside, core)
        np.maximum(painted.necrosis, dead, out=painted.necrosis)
    np.maximum(painted.solid, core, out=painted.solid)
    if rng.random() < 0.85:
        extent = uniform(rng, 2, 24 if kind != "infiltrating" else 12) * min(1.0, radius / 8 + 0.3)
        around = extent * (0.6 + 0.5 * a.noise(18)) + depth
        allowed = a.allowed(uniform(rng, 0, 0.35), uniform(rng, 0.2, 0.9))
        soft = ndimage.uniform_filter(allowed, 2)
        value = edge(around, uniform(rng, 3, 6)) * soft
        np.maximum(painted.oedema, value, out=painted.oedema)


def distractors(a: Anatomy, painted: Painted) -> None:
    """Normal findings that resemble lesions."""
    rng = a.generator
    if rng.random() < 0.5:
        width = uniform(rng, 0.3, 1.6) * (1 + 0.5 * a.noise(20))
        painted.rim = edge(width - a.to_ventricle, 1.0) * a.allowed(0, 0.5) * uniform(rng, 0.3, 0.9)
    if rng.random() < 0.35:
        painted.spaces = np.zeros(a.ids.shape, np.float32)
        place = a.white | np.isin(a.ids, DEEP_GREY)
        for _ in range(int(rng.integers(2, 20))):
            centre = pick(place, rng)
            if centre is None:
                break
            thin = uniform(rng, 0.5, 1.3)
            axes = np.array([thin, thin, thin * uniform(rng, 1, 5)])
            cut, depth = blob(a.ids.shape, centre, axes, rng, a.spacing)
            np.maximum(painted.spaces[cut], edge(depth, 1.5), out=painted.spaces[cut])


def anatomy(brain: Brain, centre: torch.Tensor, spacing: float, rng, torch_rng) -> Anatomy:
    """From packed voxels."""
    packed = centre.numpy()
    return Anatomy(brain.ids[packed & 63], (packed >> 6) & 31, spacing, rng, torch_rng)
