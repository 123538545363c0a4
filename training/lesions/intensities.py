"""How lesions look in each sequence, relative to the white matter, cortex and fluid of the same scan.

White-matter lesions and oedema hold more water: darker than white matter in T1w (down to fluid in a black
hole), brighter in T2w and FLAIR. Contrast agent brightens what enhances in T1w, and vessels and meninges
with it. Necrosis comes near to fluid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.lesions.paint import FLUID, Painted
from training.synth import Brain, contrast, uniform

SEQUENCES = ["T1w", "T1ce", "T2w", "FLAIR", "PD", "other"]
VESSELS = [30, 62, 136, 137]
LIMBIC = [17, 53, 18, 54]
GREY = [3, 42, 8, 47, 17, 18, 53, 54, 10, 49, 11, 12, 50, 51, 26, 58]


@dataclass
class Tissue:
    """Means of the sequence."""

    white: float
    grey: float
    fluid: float


@dataclass
class Biology:
    """Drawn once a subject, so that the sequences agree."""

    water: float
    """Of white-matter lesions, 0..1."""
    holes: float
    """Share of black hole in a lesion's middle."""
    oedema: float
    core: float
    death: float
    """How near to fluid necrosis is."""
    enhances: bool
    bleeds: bool
    texture: Tensor

    @staticmethod
    def draw(rng: np.random.Generator, texture: Tensor) -> "Biology":
        return Biology(
            uniform(rng, 0.15, 1), float(rng.random() < 0.3) * uniform(rng, 0.2, 1), uniform(rng, 0.2, 1),
            uniform(rng, 0.1, 1), uniform(rng, 0.3, 1), rng.random() < 0.7, rng.random() < 0.1, texture,
        )  # fmt: skip


def sequence(brain: Brain, rng: np.random.Generator, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation for each of the generation labels (training.synth.contrast), with contrast agent."""
    means, spread = contrast(brain, rng, "T1w" if name == "T1ce" else name)
    if name == "FLAIR" and rng.random() < 0.7:
        # Cortex and nuclei are often hardly brighter than white matter.
        white, pull = means[brain.position[2]], uniform(rng, 0.2, 0.8)
        for identifier in GREY:
            index = brain.position[identifier]
            means[index] += pull * (white - means[index])
    if name == "T1ce":
        brightest = means[[brain.position[i] for i in (2, 41)]].max()
        for identifier in VESSELS:
            if rng.random() < 0.7:
                means[brain.position[identifier]] = brightest * uniform(rng, 0.9, 1.7)
        for identifier in (506, 507, 508, 509, 511, 512, 514, 530):
            if rng.random() < 0.25:
                means[brain.position[identifier]] = brightest * uniform(rng, 0.9, 1.6)
    return means, spread


def curve(t: Tissue, name: str, rng: np.random.Generator) -> tuple[list[float], list[float], Tissue]:
    """Greys of a real T1w scan -> greys of T2w, FLAIR or PD of the same head: knots, values, tissue means there.

    A real scan keeps its texture, vessels and partial volumes this way. What lies between fluid and white matter
    passes through the grey of cortex, which draws the thin bright rim that FLAIR has at healthy ventricles.
    """
    white = 0.5
    ranges = {
        "T2w": ((1.8, 4.5), (1.2, 1.8), (0.7, 1.0)),
        "FLAIR": ((0.05, 0.5), (1.02, 1.5), (0.8, 1.1)),
        "PD": ((0.9, 1.3), (1.1, 1.35), (0.9, 1.1)),
    }
    fluid, grey, beyond = (white * uniform(rng, *r) for r in ranges[name])
    knots = [0.0, 0.35 * t.fluid, t.fluid, t.grey, t.white, 1.35 * t.white, 3.0]
    values = [0.0, 0.8 * fluid, fluid, grey, white, beyond, beyond]
    return np.maximum.accumulate(knots).tolist(), values, Tissue(white, grey, fluid)


def through(image: Tensor, knots: list[float], values: list[float]) -> Tensor:
    """Piecewise linear."""
    return torch.from_numpy(np.interp(image.numpy(), knots, values).astype(np.float32))


def uneven_tissue(image: Tensor, ids: np.ndarray, name: str, t: Tissue, noise, rng: np.random.Generator) -> None:
    """What is bright or dark in healthy T2w and FLAIR without being a lesion; in place.

    Limbic grey brighter than the rest of the cortex, patches of bright cortex, fluid that flows and is not
    suppressed. `noise(millimetres)` is a smooth field of unit deviation.
    """
    if name not in ("T2w", "FLAIR"):
        return
    if rng.random() < 0.6:
        image[torch.from_numpy(np.isin(ids, LIMBIC))] *= uniform(rng, 0.95, 1.25)
    if rng.random() < 0.5:
        patches = 1 + uniform(rng, 0, 0.2) * np.clip(noise(15), 0, 2)
        grey = np.isin(ids, GREY)
        image *= torch.from_numpy(np.where(grey, patches, 1).astype(np.float32))
    if name == "FLAIR" and rng.random() < 0.5:
        flow = np.clip(noise(12) - 0.3, 0, 1.5) * uniform(rng, 0, 0.8) * t.white
        image += torch.from_numpy(np.where(np.isin(ids, FLUID), flow, 0).astype(np.float32)) * (image > 0)


def tissue_of(brain: Brain, means: np.ndarray) -> Tissue:
    mean = lambda ids: float(np.mean([means[brain.position[i]] for i in ids]))  # noqa: E731
    return Tissue(mean([2, 41]), mean([3, 42]), mean([4, 43]))


def wet(t: Tissue, name: str, water: float, rng: np.random.Generator) -> float:
    """Mean of tissue with more water than white matter (0..1)."""
    if name in ("T1w", "T1ce"):
        return t.white + (0.25 + 1.5 * water) * uniform(rng, 0.7, 1.2) * min(t.grey - t.white, 0)
    if name == "T2w":
        return t.white + (0.2 + 0.6 * water) * uniform(rng, 0.8, 1.2) * (t.fluid - t.white)
    if name == "FLAIR":
        return max(t.white * (1.2 + 0.9 * water) * uniform(rng, 0.9, 1.15), t.grey * uniform(rng, 1.0, 1.2))
    if name == "PD":
        return t.white * (1.15 + 0.4 * water)
    away = uniform(rng, 0.2, 0.8) * (1 if rng.random() < 0.5 else -1)
    return max(t.white + away * (60 + t.white), 0.0)


def blend(image: Tensor, fraction: np.ndarray | None, value: float | Tensor) -> None:
    if fraction is not None:
        part = torch.from_numpy(fraction)
        image += part * (value - image)


def apply(
    image: Tensor, painted: Painted, biology: Biology, t: Tissue, name: str, rng: np.random.Generator
) -> None:
    """Paints into the mean image of one sequence, in place."""
    uneven = lambda value, share: value * (1 + share * biology.texture)  # noqa: E731
    if name != "other":
        blend(image, painted.rim, wet(t, name, 0.1 * uniform(rng, 0, 1), rng))
    blend(image, painted.spaces, t.fluid)
    blend(image, painted.oedema, uneven(wet(t, name, biology.oedema, rng), 0.06))
    if painted.white_matter is not None:
        value = wet(t, name, biology.water, rng)
        blend(image, painted.white_matter, uneven(value, uniform(rng, 0, 0.12)))
        if biology.holes > 0 and name != "other":
            middle = np.clip(2.5 * painted.white_matter - 1.5, 0, 1) * biology.holes
            dark = value + 0.5 * (t.fluid - value)
            blend(image, middle * float(name != "FLAIR" or rng.random() < 0.3), dark)
        if name == "T1ce":
            blend(image, painted.enhancing, t.white * uniform(rng, 1.05, 1.6))
    if painted.solid is not None:
        value = wet(t, name, biology.core, rng)
        if name == "T1ce" and biology.enhances:
            value = t.white * uniform(rng, 1.15, 1.9)
        elif biology.bleeds and name in ("T1w", "T1ce"):
            value = t.white * uniform(rng, 1.0, 1.4)
        blend(image, painted.solid, uneven(value, uniform(rng, 0.02, 0.2)))
        start = wet(t, name, biology.core, rng)
        near = biology.death if name != "FLAIR" else biology.death * uniform(rng, 0, 0.9)
        blend(image, painted.necrosis, uneven(start + near * (t.fluid - start), 0.05))
