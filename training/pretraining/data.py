"""Samples for pretraining: brain, head-neck, abdomen, knee and heart, at 2 mm, with what is known of each.

Synthetic volumes come from label maps through signal equations, so their sequence parameters are known;
real ones (T1w heads, cardiac cine) have unknown parameters, which the loss ignores. Four label maps of
the brain, the last eight T1w heads and the cardiac patients 51-60 are kept for the probes; of the body
there is one subject a part, so there the probes see other crops, tissues and sequences of the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import torch
from scipy import ndimage

from training import preprocess
from training.pretraining import physics
from training.synth import Brain, Plan, coarsen, field, sample_labels

BODY_PARTS = ["head", "neck", "chest", "upper abdomen", "lower abdomen", "knee"]
UNKNOWN = -1
TARGET = np.array([2.0, 2.0, 2.0])
UNSEEN = {"brain": 4, "real_head": 8, "real_chest": 10}
PERCENTILE = {"rule": "percentile", "low": 0.5, "high": 99.5}


@dataclass
class Sample:
    image: torch.Tensor
    """[1, x, y, z], 0..1."""
    parameters: np.ndarray
    """TR, TE, flip normalised; NaN where unknown."""
    body_part: int
    sequence: int
    """Index into physics.SEQUENCES, -1 unknown."""


def prepare_body(data: Path, cache: Path) -> None:
    """Label maps of the body and real volumes, on RAS axes at 2 mm, into the cache."""
    folder = cache / "pretraining"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("abdomen", "head_neck", "knee"):
        if (folder / f"{name}.npz").exists():
            continue
        image = nibabel.load(data / "labelmaps_body" / f"{name}.nii.gz")
        ids, affine = preprocess.reorient(np.asarray(image.dataobj).astype(np.int32), image.affine)
        spacing = preprocess.spacing_of(affine)
        fine = 1.0 if name == "knee" else 2.0
        _, dense = np.unique(ids, return_inverse=True)
        zoomed = ndimage.zoom(dense.reshape(ids.shape), spacing / fine, order=0)
        np.savez(folder / f"{name}.npz", labels=zoomed.astype(np.uint8), spacing=fine)
    for kind, pattern, limit in (
        ("real_head", "t1_wholehead/*_T1w.nii.gz", 48),
        ("real_chest", "cardiac_acdc/*_frame01.nii.gz", 60),
    ):
        for path in sorted(data.glob(pattern))[:limit]:
            if (folder / f"{kind}-{path.name.split('.')[0]}.npy").exists():
                continue
            image = nibabel.load(path)
            volume, affine = preprocess.reorient(np.asarray(image.dataobj, np.float32), image.affine)
            grid = preprocess.resample(volume, preprocess.spacing_of(affine), TARGET)
            grid = preprocess.normalise(grid, PERCENTILE)
            np.save(folder / f"{kind}-{path.name.split('.')[0]}.npy", (grid * 255).astype(np.uint8))


def crop(volume: np.ndarray, size: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """A random crop, padded where the volume is smaller; also the crop's start along z."""
    out = np.zeros(size, dtype=volume.dtype)
    source, place, first = [], [], 0
    for axis, want in enumerate(size):
        have = volume.shape[axis]
        start = int(rng.integers(0, have - want + 1)) if have > want else 0
        take = min(want, have)
        offset = (want - take) // 2
        source.append(slice(start, start + take))
        place.append(slice(offset, offset + take))
        first = start
    out[tuple(place)] = volume[tuple(source)]
    return out, first


class Source:
    """Everything the pretraining reads (or what is kept from it); a sample depends on (seed, index) only."""

    def __init__(self, cache: Path, priors: Path, size: tuple[int, int, int], unseen: bool = False):
        self.brain = Brain(cache, priors)
        split = lambda count, kept: slice(count - kept, count) if unseen else slice(0, count - kept)  # noqa: E731
        self.maps_of_brain = self.brain.drawn.part(split(len(self.brain.drawn.names), UNSEEN["brain"]))
        folder = cache / "pretraining"
        self.maps = {name: np.load(folder / f"{name}.npz") for name in ("abdomen", "head_neck", "knee")}
        self.maps = {name: stored["labels"] for name, stored in self.maps.items()}
        self.real = {
            kind: [np.load(path) for path in sorted(folder.glob(f"{kind}-*.npy"))]
            for kind in ("real_head", "real_chest")
        }
        for kind, volumes in self.real.items():
            self.real[kind] = volumes[split(len(volumes), UNSEEN[kind])]
        self.size = size

    def _finish(self, image: torch.Tensor, rng, torch_rng) -> torch.Tensor:
        """Bias field, slice thickness, noise, normalisation."""
        nodes = [int(rng.integers(2, 5)) for _ in range(3)]
        image = image * torch.exp(field(torch_rng, nodes, self.size, 1)[0] * float(rng.uniform(0, 0.25)))
        if rng.random() < 0.3:
            image = coarsen(image, int(rng.integers(3)), float(rng.uniform(1.2, 3.0)))
        level = float(image.max()) * float(rng.uniform(0.005, 0.04))
        image = (image + level * torch.randn(self.size, generator=torch_rng)).abs()
        return torch.from_numpy(preprocess.normalise(image.numpy(), PERCENTILE))[None]

    def drawn(self, labels: torch.Tensor, tissues: np.ndarray, rng, torch_rng, parameters: dict):
        """The image [1, x, y, z] of a label map whose tissues are known, in one acquisition."""
        values = physics.signal(tissues[0], tissues[1], tissues[2], parameters)
        image = torch.from_numpy(values).float()[labels.long()]
        texture = torch.randn(self.size, generator=torch_rng) * float(rng.uniform(0.01, 0.05))
        return self._finish(image * (1 + texture), rng, torch_rng)

    def sample(self, seed: int, index: int, variant: int = 0) -> Sample:
        """`variant` changes the acquisition but not the anatomy (of a real scan only its gamma)."""
        rng = np.random.default_rng([seed, index])
        torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
        kind = rng.choice(["brain", "head_neck", "abdomen", "knee", "real_head", "real_chest"],
                          p=[0.35, 0.12, 0.18, 0.1, 0.15, 0.1])  # fmt: skip
        if kind.startswith("real"):
            volumes = self.real[kind]
            image, _ = crop(volumes[int(rng.integers(len(volumes)))], self.size, rng)
            part = BODY_PARTS.index("head" if kind == "real_head" else "chest")
            sequence = 0 if kind == "real_head" else UNKNOWN
            look = np.random.default_rng([seed, index, 1000 + variant])
            image = torch.from_numpy(image.astype(np.float32) / 255)[None]
            image = image ** float(np.exp(look.normal(0, 0.2)))
            return Sample(image, np.full(3, np.nan, np.float32), part, sequence)
        if kind == "brain":
            plan = Plan(self.size, (1.0,), 1.0)
            scene = sample_labels(self.maps_of_brain, rng, torch_rng, plan)
            labels, part = scene.centre & 63, BODY_PARTS.index("head")
        else:
            volume = self.maps[kind]
            cut, start = crop(volume, self.size, rng)
            labels = torch.from_numpy(cut)
            middle = (start + min(self.size[2], volume.shape[2]) / 2) / volume.shape[2]
            high = middle > 0.5
            names = {"abdomen": ("lower abdomen", "upper abdomen"), "head_neck": ("neck", "head")}
            part = BODY_PARTS.index("knee" if kind == "knee" else names[kind][int(high)])
        look = np.random.default_rng([seed, index, 1000 + variant])
        look_torch = torch.Generator().manual_seed(int(look.integers(2**62)))
        sequence = int(look.integers(len(physics.SEQUENCES)))
        parameters = physics.draw(look, physics.SEQUENCES[sequence])
        if kind == "brain":
            tissues = physics.brain_tissues(self.brain, rng)
        else:
            tissues = physics.body_tissues(rng, int(self.maps[kind].max()))
        image = self.drawn(labels, tissues, look, look_torch, parameters)
        return Sample(image, physics.targets(parameters), part, sequence)
