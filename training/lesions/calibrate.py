"""How sure is sure enough: moves the head's background logit on held-out synthetic samples.

    python -m training.lesions.calibrate --run training/runs/lesions --last

In training a lesion's voxel weighs many others, so the network calls too much. This adds a constant to the
background's bias: the one with the best Dice on samples with and without a lesion (held-out anatomies, other
seeds than the score during training). It then fits the probability that a study shows any lesion,
1 / (1 + exp(-(intercept + slope ln(evidence + 0.001)))), where the evidence is the volume in mL weighted by
how far the probability lies above one half. Reads the weights with the best score during training, with
`--last` the last ones, which ship. Writes calibrated.pt and calibration.json beside the checkpoint.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from training.lesions.development import SETS
from training.lesions.fused import probabilities
from training.lesions.samples import HELD_DRAWN, HELD_REAL, PREDICTED, network, synthesise
from training.model import Network
from training.paths import cache_folder, data_folder, runs_folder
from training.synth import Brain, Plan

SEED = 815
SHIFTS = np.arange(0, 5.01, 0.25)
SMALLEST_VOXELS = 4  # 14 mm3 at 1.5 mm
WINDOW = (64, 80, 64)  # the pack's: the norms see as much as when it runs
FINDINGS = ["white matter", "mass", "none"]


def shifted(odds: np.ndarray, shift: float) -> np.ndarray:
    """Probability of any lesion with the background's logit moved."""
    return (1 - odds) / (1 - odds + odds * np.exp(shift))


def evidence(p: np.ndarray, voxel_ml: float) -> float:
    numbered, count = ndimage.label(p > 0.5)
    sizes = ndimage.sum_labels(p > 0.5, numbered, np.arange(1, count + 1))
    kept = np.isin(numbered, np.flatnonzero(sizes >= SMALLEST_VOXELS) + 1)
    return float((2 * (p[kept] - 0.5)).sum() * voxel_ml)


def logistic(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Intercept and slope by Newton's method with a weak prior on the slope."""
    design, beta = np.stack([np.ones_like(x), x], 1), np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ beta))
        slope = design.T @ (y - p) - np.array([0.01, 0.1]) * beta
        curve = (design * (p * (1 - p))[:, None]).T @ design + np.diag([0.01, 0.1])
        beta = beta + np.linalg.solve(curve, slope)
    return float(beta[0]), float(beta[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=runs_folder() / "lesions")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--rounds", type=int, default=2, help="samples of every set and finding")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--last", action="store_true",
                        help="the last weights instead of those with the best development score")  # fmt: skip
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    stored = arguments.run / ("checkpoint.pt" if arguments.last else "best.pt")
    state = torch.load(stored, map_location="cpu", weights_only=True)
    model = Network(network()).eval().to(memory_format=torch.channels_last_3d)
    model.load_state_dict(state["average"])
    brain = Brain(arguments.cache, arguments.data / "labelmaps_brain" / "priors", PREDICTED)
    drawn, real = brain.drawn.part(HELD_DRAWN), brain.predicted.part(HELD_REAL)
    settings = json.loads((arguments.run / "log.jsonl").read_text().split("\n", 1)[0])
    plan = Plan(WINDOW, (1.0,), 1.0, real=0.6, spacing=1.5, acted=settings.get("acted", 0.0))
    voxel_ml = 1.5**3 / 1000
    cases = []
    for index in range(arguments.rounds * len(SETS) * len(FINDINGS)):
        finding = FINDINGS[index % len(FINDINGS)]
        names = SETS[index // len(FINDINGS) % len(SETS)]
        case = synthesise(brain, drawn, real, SEED, index, plan, names, finding)
        background = probabilities(model, case["image"])[0].astype(np.float32)
        cases.append((background, case["target"].numpy() > 0))
    best, chosen = -1.0, 0.0
    for shift in SHIFTS:
        hit = total = 0
        for background, truth in cases:
            mine = shifted(background, shift) > 0.5
            hit, total = hit + 2 * int((mine & truth).sum()), total + int(mine.sum() + truth.sum())
        print(f"shift {shift:.2f}: Dice {hit / max(total, 1):.4f}", flush=True)
        if hit / max(total, 1) > best:
            best, chosen = hit / max(total, 1), float(shift)
    x = np.log([evidence(shifted(b, chosen), voxel_ml) + 0.001 for b, _ in cases])
    y = np.array([float(truth.any()) for _, truth in cases])
    intercept, slope = logistic(x, y)
    state["average"]["heads.segmentation.bias"][0] += chosen
    torch.save(state, arguments.run / "calibrated.pt")
    said = 1 / (1 + np.exp(-(intercept + slope * x))) > 0.5
    result = {
        "shift": chosen, "dice": round(best, 4), "samples": len(cases),
        "study": {
            "intercept": round(intercept, 4), "slope": round(slope, 4),
            "synthetic_sensitivity": round(float(said[y == 1].mean()), 3),
            "synthetic_specificity": round(float((~said[y == 0]).mean()), 3),
        },
    }  # fmt: skip
    (arguments.run / "calibration.json").write_text(json.dumps({"weights": stored.name, "step": state["step"], "summary": result}, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
