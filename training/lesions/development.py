"""The score watched during training: Dice on held-out anatomies, samples without a lesion among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from training.lesions.fused import probabilities
from training.lesions.samples import HELD_DRAWN, HELD_REAL, PREDICTED, synthesise
from training.synth import Brain, Plan

SEED = 4711
SETS = [
    ["FLAIR"], ["T1w"], ["T2w"], ["T1w", "FLAIR"], ["T1ce", "T2w"], ["T1w", "T1ce", "T2w", "FLAIR"],
]  # fmt: skip


class Development:
    """Synthetic samples, drawn once: every set of sequences with white-matter lesions, a mass and nothing."""

    def __init__(self, config: dict, cache: Path, data: Path):
        brain = Brain(cache, data / "labelmaps_brain" / "priors", PREDICTED)
        drawn, real = brain.drawn.part(HELD_DRAWN), brain.predicted.part(HELD_REAL)
        spacing = config["preprocessing"]["spacing_mm"][0]
        plan = Plan(tuple(config["development_size"]), (1.0,), 1.0, real=0.6, spacing=spacing, acted=config.get("acted", 0.0))
        self.voxel_ml = spacing**3 / 1000
        self.cases = [
            synthesise(brain, drawn, real, SEED, 10 * i + j, plan, names, finding)
            for i, names in enumerate(SETS)
            for j, finding in enumerate(["white matter", "mass", "none"])
        ]

    def score(self, model: torch.nn.Module, device: str = "cpu") -> dict:
        """`mean`: of the Dice with white-matter lesions and with masses, each over the lesion-free samples too."""
        model.eval()
        hit, size, false = {}, {}, []
        for case in self.cases:
            odds = probabilities(model, case["image"], device)
            mine, truth = odds[0] < 0.5, case["target"].numpy() > 0
            finding = case["finding"]
            hit[finding] = hit.get(finding, 0) + 2 * int((mine & truth).sum())
            size[finding] = size.get(finding, 0) + int(mine.sum() + truth.sum())
            if finding == "none":
                false.append(round(float(mine.sum() * self.voxel_ml), 2))
        model.train()
        pooled = {f: hit[f] / max(1, size[f] + size["none"]) for f in ("white matter", "mass")}
        return {
            "mean": round(float(np.mean(list(pooled.values()))), 4),
            "dice": {f: round(hit[f] / max(1, size[f]), 3) for f in ("white matter", "mass")},
            "with_none": {f: round(v, 3) for f, v in pooled.items()},
            "false_ml": false,
        }
