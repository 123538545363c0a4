"""Synthetic scans from label maps, in the SynthSeg manner (arXiv 2107.09559), cheap enough for a CPU.

A sample is built directly on the output grid (2 mm; another in the plan). The label map (1 mm) is read with nearest
neighbour at the voxel's centre for the target, and at four points around it (a tetrahedron, which has
the variance of the antialiasing filter) for the image, so that boundaries carry the mixed
intensities that resampled real scans have. Coarse random fields are upsampled for the deformation and
the bias. Every sample depends on (seed, index) only, which makes interrupted runs resume exactly.

The maps of `training.self_training` come in the same form, with the scan that they were made from. Such a
map serves as anatomy for synthetic contrasts like any other, or gives its own scan, deformed with it.
"""

from __future__ import annotations

import json
import math
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from training import shards
from training.labels import BRAIN_IDS, CONTRASTS

LABELS = 54
NEUTRAL = 18  # generation labels 0..17 have no side, 18..35 are left, 36..53 right
DISTANCES = 21
SPACING = 2.0
# Folders of the cache with predicted label maps: by a run's network, with doubts; by the pack that ships, all certain.
PREDICTED = ("self_training", "self_training_pack")
BY_PACK = "prism segment"
# A voxel of a packed map: label position (6 bits), distance from the brain in mm (5), doubt (4; 0 is sure).
DISTANCE_BIT, DOUBT_BIT, DOUBTS = 6, 11, 15

# Mean intensities (white matter = 100) of tissues in three sequences at 1.5-3 T; rough textbook values, then
# jittered. Keys: CSF, cortex, white matter, deep grey (thalamus, caudate, putamen, pallidum),
# cerebellar cortex and white matter, brainstem, soft tissue, bone, fat.
SEQUENCES = {
    "T2w": dict(csf=260, grey=150, white=100, thalamus=120, striatum=135, pallidum=85,
                cerebellum=150, cerebellum_white=105, stem=105, soft=80, bone=25, fat=150),
    "FLAIR": dict(csf=25, grey=135, white=100, thalamus=115, striatum=125, pallidum=95,
                  cerebellum=125, cerebellum_white=100, stem=100, soft=90, bone=25, fat=150),
    "PD": dict(csf=115, grey=125, white=100, thalamus=112, striatum=118, pallidum=100,
               cerebellum=122, cerebellum_white=100, stem=102, soft=95, bone=25, fat=130),
}  # fmt: skip
TISSUE = {
    "csf": [14, 15, 24, 72, 4, 5, 43, 44],
    "grey": [3, 17, 18, 26, 25, 42, 53, 54, 58, 57],
    "white": [2, 41],
    "thalamus": [10, 49],
    "striatum": [11, 12, 50, 51],
    "pallidum": [13, 52],
    "cerebellum": [8, 47],
    "cerebellum_white": [7, 46],
    "stem": [16, 28, 60, 85],
}
NOT_BRAIN = [0, 502, 506, 507, 508, 509, 511, 512, 514, 515, 516, 530]


@dataclass
class Plan:
    """What a training step asks for: the crop and the shares of the contrast families."""

    size: tuple[int, int, int]
    shares: tuple[float, ...]  # T1w, T2w, FLAIR, PD, other
    strength: float  # 0..1, scales deformation and artefacts (the curriculum)
    real: float = 0.0  # share of real scans with predicted labels
    predicted: float = 0.0  # share of synthetic scans whose anatomy is a predicted label map
    spacing: float = SPACING  # of the output grid, millimetres
    acted: float = 0.0  # share of T2w, FLAIR and PD made from the greys of a real T1w scan (lesions)


def predicted_folder(cache: Path, names: tuple[str, ...] = PREDICTED) -> Path:
    """The first of the folders that is there; else the first."""
    folders = [shards.unpacked(cache / name) for name in names]
    return next((folder for folder in folders if (folder / "index.json").exists()), folders[0])


def source_of(folder: Path) -> dict:
    """Which labels the folder holds: its name, and the step of the run that made them or BY_PACK; {} where it is not."""
    index = folder / "index.json"
    return {"folder": folder.name, "step": json.loads(index.read_text())["step"]} if index.exists() else {}


class Maps:
    """Packed label maps of one folder of the cache (memory-mapped), and their scans where there are any."""

    def __init__(self, folder: Path):
        index = json.loads((folder / "index.json").read_text())
        centres, ventricles = index["centres"], index["ventricles_ml"]
        self.names = sorted(centres)
        self.centres = [centres[name] for name in self.names]
        # Heads with narrow ventricles are the minority of the twenty and the majority of the people.
        self.narrow = np.array([ventricles[name] < 22 for name in self.names])
        odds = np.where(self.narrow, 2.5, 1.0)
        self.odds = odds / odds.sum()
        # Copy-on-write: nothing is written, and PyTorch wants writable memory.
        read = lambda kind: [np.load(folder / f"{name}{kind}.npy", mmap_mode="c") for name in self.names]  # noqa: E731
        self.volumes, self.ventricles = read(""), read("-ventricles")
        scanned = (folder / f"{self.names[0]}-scan.npy").exists()
        self.scans = read("-scan") if scanned else None

    def part(self, cut: slice) -> "Maps":
        """Some of the heads."""
        some = copy(self)
        for name, values in vars(self).items():
            setattr(some, name, None if values is None else values[cut])
        some.odds = some.odds / some.odds.sum()
        return some


class Brain:
    """The drawn label maps, the predicted ones of the first folder `predicted` that is there, and the intensity priors."""

    def __init__(self, cache: Path, priors: Path, predicted: tuple[str, ...] = PREDICTED):
        self.drawn = Maps(shards.unpacked(cache / "brain"))
        folder = predicted_folder(cache, predicted)
        self.predicted = Maps(folder) if (folder / "index.json").exists() else None
        priors = shards.unpacked(priors)
        self.ids = np.load(priors / "generation_labels.npy")
        self.classes = np.load(priors / "generation_classes.npy")
        self.t1_classes = np.load(priors / "generation_classes_contrast_specific.npy")
        self.means = np.load(priors / "prior_means_t1.npy")
        self.deviations = np.load(priors / "prior_stds_t1.npy")
        outputs = np.load(priors / "synthseg_segmentation_labels.npy").copy()
        outputs[self.ids == 24] = 24
        index_of = {identifier: index for index, identifier in enumerate(BRAIN_IDS)}
        self.target = np.array([index_of[int(value)] for value in outputs], dtype=np.uint8)
        self.mirror = np.arange(LABELS)
        self.mirror[NEUTRAL:36], self.mirror[36:] = np.arange(36, LABELS), np.arange(NEUTRAL, 36)
        self.position = {int(value): index for index, value in enumerate(self.ids)}


def uniform(generator: np.random.Generator, low: float, high: float) -> float:
    return float(generator.uniform(low, high))


def contrast(brain: Brain, generator: np.random.Generator, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation for each of the 54 generation labels, in arbitrary units (about 0..255)."""
    if name == "T1w":
        count = brain.means.shape[1]
        means = generator.normal(brain.means[0], 1.1 * brain.means[1])[brain.t1_classes]
        spread = np.abs(generator.normal(brain.deviations[0], brain.deviations[1]))[brain.t1_classes]
        spread = np.minimum(spread, 35) * uniform(generator, 0.1, 0.6)
        assert count > brain.t1_classes.max()
        own = generator.normal(0, 8, brain.classes.max() + 1)[brain.classes]
        return np.maximum(means + own, 0), spread
    if name == "other":
        classes = brain.classes.max() + 1
        means = generator.uniform(0, 255, classes)[brain.classes]
        spread = generator.uniform(0, 25, classes)[brain.classes]
        if generator.random() < 0.5:
            # Nearly the same grey for the nuclei as for cortex or white matter is usual in real scans.
            pull = uniform(generator, 0.3, 0.9)
            for group in ("thalamus", "striatum", "pallidum", "stem"):
                anchor = means[brain.position[3 if generator.random() < 0.5 else 2]]
                for identifier in TISSUE[group]:
                    index = brain.position[identifier]
                    means[index] += pull * (anchor - means[index])
        means[0] = uniform(generator, 0, 20) if generator.random() < 0.8 else means[0]
        return means, spread
    table = SEQUENCES[name]
    means = np.zeros(LABELS)
    jitter = {key: generator.normal(1.0, 0.12) for key in table}
    for key, identifiers in TISSUE.items():
        for identifier in identifiers:
            means[brain.position[identifier]] = table[key] * jitter[key]
    for identifier in brain.ids:
        index = brain.position[int(identifier)]
        if identifier == 0:
            means[index] = uniform(generator, 0, 8)
        elif identifier in NOT_BRAIN or identifier >= 500:
            kind = ("soft", "bone", "fat")[int(generator.integers(3))]
            means[index] = table[kind] * generator.normal(1.0, 0.25)
        elif identifier in (30, 62, 136, 137, 163, 164):
            means[index] = table["csf"] * generator.normal(0.7, 0.3)
    own = generator.normal(1.0, 0.04, brain.classes.max() + 1)[brain.classes]
    spread = np.full(LABELS, 8.0) * generator.uniform(0.5, 1.8, LABELS)
    return np.maximum(means * own, 0), spread


def field(generator: torch.Generator, nodes: list[int], size: tuple, channels: int) -> Tensor:
    """A smooth random field [channels, *size]: unit normals on a coarse grid, upsampled."""
    coarse = torch.randn(1, channels, *nodes, generator=generator)
    return functional.interpolate(coarse, size=size, mode="trilinear", align_corners=True)[0]


def affine(generator: np.random.Generator, strength: float) -> np.ndarray:
    """Random rotation (to 12 degrees), scale (to 15 %) and shear, 3x3."""
    angles = generator.uniform(-12, 12, 3) * math.pi / 180 * (0.4 + 0.6 * strength)
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        rotation = np.eye(3)
        first, second = [(1, 2), (0, 2), (0, 1)][axis]
        rotation[first, first] = rotation[second, second] = math.cos(angle)
        rotation[first, second], rotation[second, first] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ rotation
    scale = 1 + generator.uniform(-0.08, 0.08) + generator.uniform(-0.08, 0.08, 3)
    shear = np.eye(3) + generator.uniform(-0.02, 0.02, (3, 3)) * (1 - np.eye(3))
    return matrix @ np.diag(scale) @ shear


def blur(image: Tensor, sigma: tuple[float, float, float]) -> Tensor:
    """Separable Gaussian, sigma in voxels."""
    volume = image[None, None]
    for axis, value in enumerate(sigma):
        if value < 0.15:
            continue
        radius = max(1, int(math.ceil(2.5 * value)))
        kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / value) ** 2)
        shape, padding = [1, 1, 1, 1, 1], [0, 0, 0]
        shape[2 + axis], padding[axis] = 2 * radius + 1, radius
        volume = functional.conv3d(volume, (kernel / kernel.sum()).view(shape), padding=padding)
    return volume[0, 0]


def coarsen(image: Tensor, axis: int, factor: float) -> Tensor:
    """Thick slices along one axis: averaged to a coarser grid, then interpolated back."""
    size = list(image.shape)
    coarse = size.copy()
    coarse[axis] = max(4, int(round(size[axis] / factor)))
    volume = functional.interpolate(image[None, None], size=coarse, mode="area")
    return functional.interpolate(volume, size=size, mode="trilinear", align_corners=False)[0, 0]


def squeeze(positions: list[Tensor], outward: np.ndarray, amount: float) -> None:
    """Narrows the ventricles by `amount` millimetres a side (widens them when negative), in place."""
    shape = outward.shape[1:]
    index = torch.zeros(positions[0].shape, dtype=torch.int32)
    for position, length, stride in zip(positions, shape, (shape[1] * shape[2], shape[2], 1)):
        index += (position * 0.5).round_().clamp_(0, length - 1).to(torch.int32).mul_(stride)
    index = index.reshape(-1)
    for axis, position in enumerate(positions):
        flat = torch.from_numpy(outward[axis].reshape(-1))
        position += flat[index].float().mul_(amount).reshape(position.shape)


@dataclass
class Scene:
    """A deformed head on the output grid, as packed voxels (int32)."""

    corners: list[Tensor]
    """Four reads around every voxel's centre."""
    centre: Tensor
    half: Tensor
    quarter: Tensor
    flip: bool
    scan: list[Tensor] | None
    """The head's own scan at the four corners, 0..1."""


def sample_labels(
    maps: Maps,
    rng: np.random.Generator,
    torch_rng: torch.Generator,
    plan: Plan,
    scan: bool = False,
    push: Tensor | None = None,
) -> Scene:
    """Draws a head and a deformation; `scan` reads the head's own scan as well.

    `push` [3, *size] adds a displacement of the reading positions, in millimetres (a mass effect).
    """
    which = int(rng.choice(len(maps.volumes), p=maps.odds))
    volume = maps.volumes[which]
    flip = rng.random() < 0.5
    size = plan.size
    matrix = affine(rng, plan.strength)
    if flip:
        matrix[0] *= -1
    room = np.maximum(np.array([10.0, 10.0, 10.0]), 88 - np.array(size) * plan.spacing / 2)
    room = np.minimum(room, np.array([30.0, 34.0, 30.0]))
    shift = rng.uniform(-room, room)
    axes = [
        torch.arange(n, dtype=torch.float32).mul_(plan.spacing).sub_((n - 1) * plan.spacing / 2 - move)
        for n, move in zip(size, shift)
    ]
    elastic = field(torch_rng, [5, 6, 5], size, 3) * (uniform(rng, 0, 3.0) * (0.5 + 0.5 * plan.strength))
    if rng.random() < 0.7:
        elastic += field(torch_rng, [11, 13, 11], size, 3) * uniform(rng, 0, 1.3)
    if push is not None:
        elastic += push
    spread = uniform(rng, 0.45, 1.0) * plan.spacing / SPACING
    strides = [volume.shape[1] * volume.shape[2], volume.shape[2], 1]
    flat = torch.from_numpy(volume.view(np.int16).reshape(-1))
    centres, lows, highs, halves, quarters = [], [], [], [], []

    def index(position: Tensor, axis: int) -> Tensor:
        limit = volume.shape[axis] - 1
        return position.round().clamp_(0, limit).to(torch.int32).mul_(strides[axis])

    positions = []
    for axis in range(3):
        position = elastic[axis]
        position += (
            (axes[0] * matrix[axis, 0])[:, None, None]
            + (axes[1] * matrix[axis, 1])[None, :, None]
            + (axes[2] * matrix[axis, 2] + maps.centres[which][axis])[None, None, :]
        )
        positions.append(position)
    if rng.random() < 0.85:
        widest = 2.0 if maps.narrow[which] else 4.5
        squeeze(positions, maps.ventricles[which], uniform(rng, -1.0, widest))
    for axis, position in enumerate(positions):
        centres.append(index(position, axis))
        lows.append(index(position - spread, axis))
        highs.append(index(position + spread, axis))
        half = functional.avg_pool3d(position[None, None], 2)
        halves.append(index(half[0, 0], axis))
        quarters.append(index(functional.avg_pool3d(half, 2)[0, 0], axis))

    def read(x: Tensor, y: Tensor, z: Tensor, source: Tensor = flat) -> Tensor:
        return source[(x + y + z).reshape(-1)].reshape(x.shape)

    tetrahedron = [
        (lows[0], lows[1], lows[2]),
        (lows[0], highs[1], highs[2]),
        (highs[0], lows[1], highs[2]),
        (highs[0], highs[1], lows[2]),
    ]
    corners = [read(*corner).to(torch.int32) for corner in tetrahedron]
    grey = None
    if scan:
        source = torch.from_numpy(maps.scans[which].reshape(-1))
        grey = [read(*corner, source).float().div_(255) for corner in tetrahedron]
    codes = [read(*place).to(torch.int32) for place in (centres, halves, quarters)]
    return Scene(corners, *codes, flip, grey)


def code(values: Tensor) -> Tensor:
    """Index into look-up tables over distance and label."""
    return ((values >> DISTANCE_BIT) & 31) * LABELS + (values & 63)


def skull_strip(brain: Brain, rng: np.random.Generator) -> np.ndarray | None:
    """[distances, labels], 1 where the tissue is kept; None for a whole head.

    A skull-strip keeps brain and what lies within a few millimetres of it; some strips leave no CSF, some
    leave the meninges.
    """
    if rng.random() >= 0.55:
        return None
    keep = np.ones((DISTANCES, LABELS))
    outside = np.isin(brain.ids, NOT_BRAIN)
    csf = np.isin(brain.ids, [24, 72, 30, 62, 85])
    reach_csf = uniform(rng, 0, 7) if rng.random() < 0.8 else 25.0
    reach_other = uniform(rng, 0, 3.0) if rng.random() < 0.4 else -1.0
    distance = np.arange(DISTANCES)[:, None]
    keep = np.where(outside[None], distance <= min(reach_other, reach_csf), keep)
    return np.where(csf[None], distance <= reach_csf, keep)


def mean_image(scene: Scene, table: Tensor, real: bool) -> Tensor:
    """Mean over the four reads around every voxel; `table` over `code`, of a real scan only what is kept."""
    image = torch.zeros(scene.centre.shape)
    for number, values in enumerate(scene.corners):
        seen = table[code(values)]
        image += seen * scene.scan[number] if real else seen
    image *= 0.25
    return image


@dataclass
class Acquired:
    """How a sequence was taken, as far as `acquire` needs it."""

    widths: Tensor
    """Deviation of the tissue at every voxel."""
    inside: Tensor | None
    """What a skull-strip left."""
    scale: float
    """The brightest tissue's mean."""
    strength: float
    gamma: float
    thick: float = 0.15
    """Share of thick slices."""
    finest: float = 1.0
    """Voxels of the grid in 2 mm: thick slices are 2.4 to 7 mm."""


def acquire(image: Tensor, how: Acquired, rng: np.random.Generator, torch_rng: torch.Generator) -> Tensor:
    """Texture, bias, resolution, noise and the intensity rule; `image` is used up."""
    size = tuple(image.shape)
    noise = torch.randn(size, generator=torch_rng)
    if rng.random() < 0.3:
        noise = 0.6 * noise + 0.8 * functional.interpolate(
            torch.randn(1, 1, *[n // 2 for n in size], generator=torch_rng), size=size
        )[0, 0]
    image += how.widths * noise * uniform(rng, 0.05, 0.7)

    if rng.random() < 0.9:
        nodes = [int(rng.integers(2, 5)) for _ in range(3)]
        image *= torch.exp(field(torch_rng, nodes, size, 1)[0] * uniform(rng, 0, 0.25))
    draw = rng.random()
    if draw < how.thick * how.strength:
        image = coarsen(image, int(rng.integers(3)), uniform(rng, 1.2, 3.5) * how.finest)
    elif draw < 0.45 + how.thick:
        image = blur(image, tuple(rng.uniform(0, 0.6, 3)))
    if rng.random() < 0.7:
        level = how.scale * uniform(rng, 0, 0.03)
        image += torch.randn(size, generator=torch_rng) * level
    image = image.abs_() if rng.random() < 0.5 else image.clamp_(min=0)
    if how.inside is not None:
        image *= how.inside
    elif rng.random() < 0.3:
        image *= image > how.scale * uniform(rng, 0.02, 0.08)

    positive = image[::2, ::2, ::2]
    positive = positive[positive > 0].numpy()
    if positive.size < 50:
        positive = np.array([0.0, 1.0])
    low, high = np.percentile(positive, [uniform(rng, 0.2, 1.0), uniform(rng, 98.8, 99.8)])
    image = ((image - low) / max(high - low, 1e-6)).clamp_(0, 1)
    if rng.random() < 0.7:
        image = image ** math.exp(rng.normal(0, how.gamma))
    return image


def synthesise(brain: Brain, seed: int, index: int, plan: Plan) -> dict[str, Tensor]:
    """One sample: image [1, x, y, z] in 0..1, target (uint8), target_half, target_quarter, contrast,
    stripped (whether the skull is gone).

    Predicted maps add the voxels' weights: certainty, certainty_half, certainty_quarter in 0..1.
    """
    rng = np.random.default_rng([seed, index])
    torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
    draw = rng.random()
    real, predicted = draw < plan.real, draw < plan.real + plan.predicted
    if predicted and brain.predicted is None:
        raise FileNotFoundError("no predicted label maps in the cache: run training.self_training")
    scene = sample_labels(brain.predicted if predicted else brain.drawn, rng, torch_rng, plan, real)
    centre, half, quarter, flip = scene.centre, scene.half, scene.quarter, scene.flip
    if real:
        kind, means, spread = CONTRASTS.index("T1w"), np.ones(LABELS), np.zeros(LABELS)
    else:
        kind = int(rng.choice(len(CONTRASTS), p=np.array(plan.shares) / sum(plan.shares)))
        means, spread = contrast(brain, rng, CONTRASTS[kind])

    keep = skull_strip(brain, rng)
    stripped = keep is not None
    if keep is None:
        keep = np.ones((DISTANCES, LABELS))
    table = torch.from_numpy((keep * means[None]).reshape(-1)).float()
    widths = torch.from_numpy((keep * spread[None]).reshape(-1)).float()
    centre_code = code(centre)
    image = mean_image(scene, table, real)
    how = Acquired(
        widths[centre_code],
        image > 0 if stripped else None,
        max(float(means.max()), 1.0),
        plan.strength,
        gamma=0.3 if real else 0.2 if kind < 4 else 0.35,
        finest=SPACING / plan.spacing,
    )
    image = acquire(image, how, rng, torch_rng)

    target = torch.from_numpy(
        brain.target[brain.mirror] if flip else brain.target
    )
    result = {
        "image": image[None],
        "target": target[(centre & 63).long()],
        "target_half": target[(half & 63).long()],
        "target_quarter": target[(quarter & 63).long()],
        "contrast": torch.tensor(kind),
        "real": torch.tensor(real),
        "stripped": torch.tensor(stripped),
    }
    if predicted:
        for name, values in (("", centre), ("_half", half), ("_quarter", quarter)):
            result["certainty" + name] = 1 - (values >> DOUBT_BIT).float() / DOUBTS
    if stripped:
        # Where the strip took the tissue away there is nothing to segment.
        kept = torch.from_numpy(keep.reshape(-1) > 0)
        result["target"] = result["target"] * kept[centre_code]
        result["target_half"] = result["target_half"] * kept[code(half)]
        result["target_quarter"] = result["target_quarter"] * kept[code(quarter)]
    return result
