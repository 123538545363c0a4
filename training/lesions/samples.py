"""Training samples of the lesion pack: one subject, one to four sequences, four in ten without a lesion.

The anatomy is a drawn label map or one of the real T1w heads with predicted labels; there the T1w scan is
the real one, with the lesions painted into it, and the other sequences are synthetic on the same anatomy, or
the real scan's own greys turned into theirs (`acted`).
All sequences share deformation, skull-strip and lesions; each has its own contrast, bias, resolution,
noise and a small misalignment. A sample depends on (seed, step) only.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from training.lesions import paint
from training.lesions.intensities import (
    SEQUENCES, Biology, Tissue, apply, curve, sequence, through, tissue_of, uneven_tissue,
)  # fmt: skip
from training.model import HeadConfig, NetworkConfig
from training.synth import (
    DISTANCES, LABELS, Acquired, Brain, Maps, Plan, acquire, code, field, mean_image, sample_labels,
    skull_strip, uniform,
)  # fmt: skip

CLASSES = ["White-Matter-Lesion", "Mass", "Oedema"]
WHITE_MATTER, MASS, OEDEMA = 1, 2, 3
# A single sequence is FLAIR most often, as it is in a clinic.
ODDS = np.array([0.27, 0.18, 0.22, 0.33])
DRAWN, REAL = slice(0, 18), slice(0, 40)
"""Anatomies to train on; the others are for development."""
HELD_DRAWN, HELD_REAL = slice(18, 20), slice(40, 48)
PREDICTED = ("self_training_pack", "self_training")
"""Labels of the real heads, by the pack that ships; older caches have them in the other folder."""


def network() -> NetworkConfig:
    return NetworkConfig(heads=(HeadConfig("segmentation", "segmentation", classes=1 + len(CLASSES)),))


def subset(rng: np.random.Generator, most: int) -> list[str]:
    """One to `most` sequences in random order."""
    odds = np.array([0.4, 0.3, 0.15, 0.15])[:most]
    count = 1 + int(rng.choice(most, p=odds / odds.sum()))
    names = [SEQUENCES[i] for i in rng.choice(4, count, replace=False, p=ODDS)]
    if rng.random() < 0.1:
        names[int(rng.integers(count))] = "PD" if rng.random() < 0.5 else "other"
    return names


def moved(image: Tensor, rng: np.random.Generator, spacing: float) -> Tensor:
    """Another position of the head: to a degree and a millimetre."""
    turn = rng.normal(0, 0.5, 3) * math.pi / 180
    matrix = torch.eye(3, 4)
    for (i, j), angle in zip([(1, 2), (0, 2), (0, 1)], turn):
        matrix[i, j], matrix[j, i] = angle, -angle
    shift = rng.normal(0, 0.4, 3) / spacing
    # affine_grid's axes are z, y, x and its unit is half the extent.
    matrix[:, 3] = torch.tensor([2 * s / n for s, n in zip(shift, image.shape[::-1])])
    grid = functional.affine_grid(matrix[None], [1, 1, *image.shape], align_corners=False)
    return functional.grid_sample(
        image[None, None], grid, padding_mode="border", align_corners=False
    )[0, 0]


def measured(image: Tensor, ids: np.ndarray) -> Tissue:
    """Tissue means of a real scan; textbook relations where a tissue is missing."""
    grey = image.numpy()
    mean = lambda wanted: np.isin(ids, wanted) & (grey > 0)  # noqa: E731
    value = lambda mask, other: float(np.median(grey[mask])) if mask.sum() > 200 else other  # noqa: E731
    white = value(mean([2, 41]), 0.75)
    return Tissue(white, value(mean([3, 42]), 0.7 * white), value(mean([4, 43]), 0.25 * white))


def synthesise(
    brain: Brain, drawn: Maps, real: Maps | None, seed: int, index: int, plan: Plan,
    names: list[str] | None = None, finding: str | None = None,
) -> dict:
    """image [sequences, x, y, z] in 0..1, target (uint8) with its half and quarter, names, finding.

    `names` and `finding` ("none", "white matter" or "mass") are drawn when not given.
    """  # fmt: skip
    rng = np.random.default_rng([seed, index])
    torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
    size, spacing = plan.size, plan.spacing
    most = 4 if size[0] * size[1] * size[2] < 200_000 else 3 if size[0] * size[1] * size[2] < 400_000 else 2
    chosen = subset(rng, most)
    names = names or chosen
    draw = rng.random()
    drawn_finding = "none" if draw < 0.4 else "white matter" if draw < 0.75 else "mass"
    finding = finding or drawn_finding
    use_real = real is not None and rng.random() < plan.real

    radius = float(np.clip(rng.lognormal(math.log(11), 0.5), 3.5, 28))
    push, centre = None, None
    if finding == "mass":
        reach = np.minimum(np.array(size) * spacing * 0.35, 45)
        centre = rng.uniform(-reach, reach)
        if rng.random() < 0.7:
            push = paint.mass_push(centre, radius, radius * uniform(rng, 0, 0.5), size, spacing)
    scene = sample_labels(real if use_real else drawn, rng, torch_rng, plan, use_real, push)
    anatomy = paint.anatomy(brain, scene.centre, spacing, rng, torch_rng)
    painted = paint.Painted()
    paint.distractors(anatomy, painted)
    if finding == "mass":
        place_masses(anatomy, painted, centre / spacing + (np.array(size) - 1) / 2, radius)
    if finding == "white matter" or (finding == "mass" and rng.random() < 0.15):
        paint.white_matter_lesions(anatomy, painted)
    texture = field(torch_rng, [max(2, n // 3) for n in size], size, 1)[0]
    biology = Biology.draw(rng, texture)

    keep = skull_strip(brain, rng)
    stripped = keep is not None
    keep = np.ones((DISTANCES, LABELS)) if keep is None else keep
    kept = torch.from_numpy(keep.reshape(-1) > 0)[code(scene.centre)]
    behind = uniform(rng, 0, 0.2) if stripped and rng.random() < 0.2 else 0.0
    images = [
        one_sequence(brain, scene, anatomy, painted, biology, name, keep, stripped, rng, torch_rng, plan)
        for name in names
    ]
    image = torch.stack(images)
    if behind:
        # Some files carry the air as a grey of its own.
        image = torch.where(kept, image * (1 - behind) + behind * uniform(rng, 0, 1), behind)

    target = np.zeros(size, np.uint8)
    if painted.white_matter is not None:
        target[painted.white_matter > 0.42] = WHITE_MATTER
    if painted.oedema is not None:
        target[painted.oedema > 0.5] = OEDEMA
        target[painted.solid > 0.5] = MASS
    target = torch.from_numpy(target) * kept
    coarse = lambda n: functional.max_pool3d(target[None, None].float(), n)[0, 0].to(torch.uint8)  # noqa: E731
    return {
        "image": image, "target": target, "target_half": coarse(2), "target_quarter": coarse(4),
        "names": names, "finding": finding,
    }  # fmt: skip


def place_masses(anatomy: paint.Anatomy, painted: paint.Painted, centre: np.ndarray, radius: float) -> None:
    """One mass, or several small ones."""
    rng = anatomy.generator
    tissue = anatomy.from_brain == 0
    voxel = tuple(np.clip(np.round(centre).astype(int), 0, np.array(tissue.shape) - 1))
    if not tissue[voxel]:
        centre = paint.pick(tissue, rng)
        if centre is None:
            return
    kind = str(rng.choice(["ring", "solid", "infiltrating"], p=[0.5, 0.25, 0.25]))
    paint.mass(anatomy, painted, centre, radius, kind)
    if radius < 9 and rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            paint.mass(anatomy, painted, paint.pick(tissue, rng), uniform(rng, 2.5, 8), kind)


def one_sequence(brain, scene, anatomy, painted, biology, name, keep, stripped, rng, torch_rng, plan) -> Tensor:
    """Image [x, y, z] of one sequence, 0..1."""
    scanned = scene.scan is not None
    real = scanned and (name == "T1w" or (name == "T1ce" and rng.random() < 0.4))
    curved = scanned and plan.acted and name in ("T2w", "FLAIR", "PD") and rng.random() < plan.acted
    own = real or curved
    means, spread = (np.ones(LABELS), np.zeros(LABELS)) if own else sequence(brain, rng, name)
    table = torch.from_numpy((keep * means[None]).reshape(-1)).float()
    widths = torch.from_numpy((keep * spread[None]).reshape(-1)).float()[code(scene.centre)]
    image = mean_image(scene, table, own)
    tissue = measured(image, anatomy.ids) if own else tissue_of(brain, means)
    if curved:
        knots, values, tissue = curve(tissue, name, rng)
        scan = [through(grey, knots, values) for grey in scene.scan]
        image = mean_image(replace(scene, scan=scan), table, True)
    inside = image > 0
    if plan.acted:
        uneven_tissue(image, anatomy.ids, name, tissue, anatomy.noise, rng)
    apply(image, painted, biology, tissue, name, rng)
    image *= inside
    if rng.random() < 0.4:
        image = moved(image, rng, plan.spacing)
        inside = image > 0
    how = Acquired(
        widths, inside if stripped else None, max(float(means.max()), 1.0) if not own else 1.0,
        plan.strength, gamma=0.3 if own else 0.2, thick=0.15 if name in ("T1w", "T1ce") else 0.35,
    )  # fmt: skip
    return acquire(image.clamp_(min=0), how, rng, torch_rng)


class Samples(torch.utils.data.Dataset):
    """Samples by step."""

    def __init__(self, config: dict, cache: Path, data: Path, length: int):
        self.config, self.cache, self.length = config, cache, length
        self.priors = data / "labelmaps_brain" / "priors"
        self.brain = None

    def __len__(self) -> int:
        return self.length

    def plan(self, step: int) -> Plan:
        rng = np.random.default_rng([self.config["seed"], step, 7])
        shares = self.config["size_shares"]
        size = self.config["sizes"][int(rng.choice(len(shares), p=shares))]
        return Plan(
            tuple(size), (1.0,), 1.0, real=self.config["real"],
            spacing=self.config["preprocessing"]["spacing_mm"][0], acted=self.config.get("acted", 0.0),
        )  # fmt: skip

    def __getitem__(self, step: int) -> dict:
        if self.brain is None:
            torch.set_num_threads(1)
            self.brain = Brain(self.cache, self.priors, PREDICTED)
            self.drawn, self.real = self.brain.drawn.part(DRAWN), self.brain.predicted.part(REAL)
        return synthesise(self.brain, self.drawn, self.real, self.config["seed"], step, self.plan(step))
