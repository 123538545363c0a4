"""Compares ways to fuse sequences on held-out synthetic samples; no scan of a patient is looked at.

    python -m training.lesions.fusions public/packs/lesions.safetensors

The samples are those of training.lesions.calibrate that have several sequences. Rules that need no training, on
the decoder's finest features of each sequence and one 1x1x1 head:

- maximum of features: the largest of each feature, then the head (what the pack was trained with);
- mean of logits: the head's answers averaged, the same as the head on averaged features, for it is linear;
- maximum of lesion logits: of each voxel the sequence that is surest of a lesion.

Beside them each sequence alone. Every rule gets the constant of its own that is added to the background's logit: the
one with the best Dice on the even rounds of samples; the Dice that counts is that of the odd ones. Goes on where it
stopped, case by case.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training import pack, resumed
from training.lesions.calibrate import FINDINGS, SEED, WINDOW
from training.lesions.development import SETS
from training.lesions.samples import HELD_DRAWN, HELD_REAL, PREDICTED, synthesise
from training.model import Network
from training.paths import REPOSITORY, cache_folder, data_folder
from training.synth import Brain, Plan

SHIFTS = np.arange(-2, 3.01, 0.25)
FUSED = ("maximum of features", "mean of logits", "maximum of lesion logits")


def odds(logits: Tensor) -> Tensor:
    """Logarithm of the odds of any lesion, [classes, x, y, z] -> [x, y, z]."""
    return logits[1:].logsumexp(0) - logits[0]


@torch.no_grad()
def rules(network: Network, image: Tensor, names: list[str]) -> dict[str, Tensor]:
    """Logarithm of the odds by rule, [x, y, z] each, of [sequences, x, y, z]."""
    features = [network.features(one[None, None]) for one in image]
    decoded = [network.decoder(each["fused"], each["maps"])[0] for each in features]
    head = network.heads["segmentation"]
    each = torch.stack([head(one)[0].float() for one in decoded])
    alone = [odds(logits) for logits in each]
    return {
        "maximum of features": odds(head(reduce(torch.maximum, decoded))[0].float()),
        "mean of logits": odds(each.mean(0)),
        "maximum of lesion logits": torch.stack(alone).amax(0),
    } | {f"{name} alone": one for name, one in zip(names, alone)}


def counted(found: Tensor, truth: np.ndarray) -> list[list[int]]:
    """Twice the overlap and both sizes, at every shift."""
    values = found.cpu().numpy()
    called = [values > shift for shift in SHIFTS]
    return [[2 * int((mine & truth).sum()), int(mine.sum() + truth.sum())] for mine in called]


def pooled(cases: list[dict], rule: str) -> np.ndarray:
    """Dice at every shift, over cases that have the rule."""
    counts = np.array([case["rules"][rule] for case in cases if rule in case["rules"]], float)
    hit, total = counts.sum(0).T
    return hit / np.maximum(total, 1)


def summarise(cases: dict[str, dict]) -> dict:
    """For each rule its shift and its Dice on the samples that did not choose it, of all sets and of each."""
    per_round = len(SETS) * len(FINDINGS)
    halves: list[list[dict]] = [[], []]
    for index, case in cases.items():
        halves[int(index) // per_round % 2].append(case)
    choose, score = halves
    summary = {}
    for rule in sorted({rule for case in choose for rule in case["rules"]}):
        at = int(pooled(choose, rule).argmax())
        having = [case for case in score if rule in case["rules"]]
        if not having:
            continue
        by_set = {}
        for names in sorted({" ".join(case["names"]) for case in having}):
            some = [case for case in having if " ".join(case["names"]) == names]
            by_set[names] = round(float(pooled(some, rule)[at]), 4)
        summary[rule] = {
            "shift": float(SHIFTS[at]), "dice": round(float(pooled(having, rule)[at]), 4), "by_set": by_set,
        }  # fmt: skip
    fused = [rule for rule in FUSED if rule in summary]
    best = max(fused, key=lambda rule: summary[rule]["dice"]) if fused else None
    return {"samples": [len(choose), len(score)], "rules": summary, "best": best}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--rounds", type=int, default=4, help="samples of every set and finding; an even number")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training" / "results" / "fusions.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network, document = pack.read(arguments.pack)
    line = f"python -m training.lesions.fusions public/packs/{arguments.pack.name}"
    result = resumed.resume(arguments.out, line, {arguments.pack.stem: document["sha256"]})
    cases = result.setdefault("cases", {})
    brain = Brain(arguments.cache, arguments.data / "labelmaps_brain" / "priors", PREDICTED)
    drawn, real = brain.drawn.part(HELD_DRAWN), brain.predicted.part(HELD_REAL)
    config = tomllib.loads((REPOSITORY / "training" / "configs" / "lesions.toml").read_text())
    spacing = config["preprocessing"]["spacing_mm"][0]
    plan = Plan(WINDOW, (1.0,), 1.0, real=0.6, spacing=spacing, acted=config.get("acted", 0.0))
    for index in range(arguments.rounds * len(SETS) * len(FINDINGS)):
        names = SETS[index // len(FINDINGS) % len(SETS)]
        if len(names) < 2 or str(index) in cases:
            continue
        finding = FINDINGS[index % len(FINDINGS)]
        case = synthesise(brain, drawn, real, SEED, index, plan, names, finding)
        truth = case["target"].numpy() > 0
        found = rules(network, case["image"], names)
        rows = {rule: counted(one, truth) for rule, one in found.items()}
        cases[str(index)] = {"names": names, "finding": finding, "rules": rows}
        resumed.save(arguments.out, result)
        print(index, names, finding, flush=True)
    result["summary"] = summarise(cases)
    resumed.save(arguments.out, result)
    print(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main()
