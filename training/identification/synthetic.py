"""Synthetic scans for the identify heads: sequences and body parts that no training scan has.

Heads come from four makers, because each has its own bias: SynthSeg's random contrasts, signal equations
with the skull and without it, and the lesion pack's subjects (white-matter lesions and masses, weak
contrast between cortex and white matter, also on the anatomy of real T1w heads), one row a sequence.
Without the last two, a T1w scan with little contrast and much fluid passed for FLAIR.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from training import preprocess
from training.identification.grids import boxed
from training.labels import CONTRASTS
from training.lesions import samples
from training.pretraining import physics
from training.pretraining.data import Source, crop
from training.synth import Brain, Plan, code, coarsen, sample_labels, skull_strip, synthesise

SIZES = [(64, 80, 64), (64, 80, 64), (80, 96, 80)]
REAL_ANATOMY = 0.4  # share of the subjects with lesions


class Synthetic:
    """Synthetic scans by index: heads in four sequences, and other body parts."""

    def __init__(self, cache: Path, priors: Path, settings: dict, seed: int):
        self.brain, self.rule, self.seed = Brain(cache, priors), settings["intensity"], seed
        self.sources = {size: Source(cache, priors, size) for size in set(SIZES)}

    def head(self, index: int) -> tuple[np.ndarray, str, bool | None]:
        """SynthSeg's manner: network input, sequence, whether the skull is gone."""
        rng = np.random.default_rng([self.seed, index, 1])
        kind = CONTRASTS[index % 4]
        shares = tuple(float(name == kind) for name in CONTRASTS)
        predicted = 0.5 if self.brain.predicted else 0.0
        plan = Plan(SIZES[int(rng.integers(len(SIZES)))], shares, 1.0, 0.0, predicted)
        sample = synthesise(self.brain, self.seed, index, plan)
        image = sample["image"][0]
        if rng.random() < 0.4:
            image = coarsen(image, int(rng.integers(3)), float(rng.uniform(1.3, 3.0)))
        return boxed(preprocess.normalise(image.numpy(), self.rule)), kind, bool(sample["stripped"])

    def physics_head(self, index: int) -> tuple[np.ndarray, str]:
        """By signal equations, with the skull."""
        rng, torch_rng, source = self._begin(index, 2)
        scene = sample_labels(self.brain.drawn, rng, torch_rng, Plan(source.size, (1.0,), 1.0))
        return self._drawn(source, scene.centre & 63, physics.brain_tissues(self.brain, rng), index, rng, torch_rng)

    def physics_brain(self, index: int) -> tuple[np.ndarray, str]:
        """By signal equations, without the skull; of the sequences that the head answers."""
        rng, torch_rng, source = self._begin(index, 4)
        scene = sample_labels(self.brain.drawn, rng, torch_rng, Plan(source.size, (1.0,), 1.0))
        kept = None
        while kept is None:
            kept = skull_strip(self.brain, rng)
        tissues = physics.brain_tissues(self.brain, rng)
        name = physics.SEQUENCES[index % 3]
        image = source.drawn(scene.centre & 63, tissues, rng, torch_rng, physics.draw(rng, name))[0]
        image *= torch.from_numpy(kept.reshape(-1) > 0)[code(scene.centre)]
        return boxed(preprocess.normalise(image.numpy(), self.rule)), name

    def subject(self, index: int) -> list[tuple[np.ndarray, str]]:
        """A subject of the lesion pack in three sequences, T1w with or without contrast agent."""
        names = ["T1ce" if index % 3 == 0 else "T1w", "T2w", "FLAIR"]
        real = self.brain.predicted
        plan = Plan(SIZES[index % len(SIZES)], (1.0,), 1.0, real=REAL_ANATOMY)
        sample = samples.synthesise(self.brain, self.brain.drawn, real, self.seed, index, plan, names)
        images = [boxed(preprocess.normalise(image.numpy(), self.rule)) for image in sample["image"]]
        return list(zip(images, ["T1w", "T2w", "FLAIR"]))

    def body(self, index: int) -> tuple[np.ndarray, str]:
        """Abdomen, knee or neck; the tissues' contrasts are drawn without anatomy in mind."""
        part = ("abdomen", "knee", "neck")[index % 3]
        rng, torch_rng, source = self._begin(index, 3)
        volume = source.maps["head_neck" if part == "neck" else part]
        if part == "neck":
            volume = volume[:, :, : volume.shape[2] // 2]
        labels, _ = crop(volume[:: int(rng.choice([1, -1]))], source.size, rng)
        tissues = physics.body_tissues(rng, int(volume.max()))
        image, _ = self._drawn(source, torch.from_numpy(labels), tissues, index, rng, torch_rng)
        return image, part

    def _begin(self, index: int, kind: int):
        rng = np.random.default_rng([self.seed, index, kind])
        torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
        return rng, torch_rng, self.sources[SIZES[int(rng.integers(len(SIZES)))]]

    def _drawn(self, source: Source, labels: torch.Tensor, tissues: np.ndarray, index: int, rng, torch_rng):
        name = physics.SEQUENCES[index % len(physics.SEQUENCES)]
        image = source.drawn(labels, tissues, rng, torch_rng, physics.draw(rng, name))
        return boxed(image[0].numpy()), name
