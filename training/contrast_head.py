"""Fits the brain pack's contrast head on the frozen encoder, and scores it on real scans.

    python -m training.contrast_head --run training/runs/brain2mm_self

Synthetic scans with equal shares of T1w, T2w, FLAIR, PD and random contrasts, and the CC0 heads as real
T1w, pass the encoder once; the head is fitted on their sequence vectors. Scored on real scans of other
people (accuracy over T1w, T2w, FLAIR); the scores go to training/results/contrast.json and the head's
weights beside the checkpoint (contrast.pt), from where `training.export --heads segmentation contrast`
takes them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional

from training import predict, preprocess
from training.labels import CONTRASTS
from training.model import SHALLOW, Network, PooledHead, pool, vector_size
from training.paths import REPOSITORY, cache_folder, data_folder, runs_folder
from training.precision import autocast
from training.prepare import PREPROCESSING
from training.probes import REAL
from training.synth import Brain, Plan, synthesise
from training.train import brain_network, load_matching, save

SIZES = [(64, 80, 64), (80, 96, 80), (96, 112, 96)]
REAL_SHARE = 0.12


@torch.no_grad()
def vector(network: Network, image: torch.Tensor) -> torch.Tensor:
    """The sequence vector of [1, x, y, z]; the encoder stops where the vector is complete."""
    x = image[None].contiguous(memory_format=torch.channels_last_3d)
    with autocast("cpu"):
        return torch.cat([pool(m) for m in network.encoder(x, SHALLOW)], dim=1)[0]


def synthetic(network: Network, brain: Brain, seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows, kinds = [], []
    for index in range(count):
        size = SIZES[int(np.random.default_rng([seed, index, 7]).integers(len(SIZES)))]
        plan = Plan(size, (1.0,) * len(CONTRASTS), 1.0, REAL_SHARE if brain.predicted else 0.0)
        sample = synthesise(brain, seed, index, plan)
        rows.append(vector(network, sample["image"]))
        kinds.append(int(sample["contrast"]))
    return torch.stack(rows), torch.tensor(kinds)


def fit(rows: torch.Tensor, kinds: torch.Tensor, channels: tuple[int, ...], seed: int) -> PooledHead:
    """Full-batch AdamW; the standardisation of the vectors is folded into the first layer."""
    torch.manual_seed(seed)
    head = PooledHead(rows.shape[1], channels[-1] // 2, len(CONTRASTS))
    mean, deviation = rows.mean(0), rows.std(0) + 1e-6
    x = (rows - mean) / deviation
    weight = 1 / torch.bincount(kinds, minlength=len(CONTRASTS)).clamp(min=1).float()
    optimiser = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=0.1)
    for step in range(600):
        optimiser.param_groups[0]["lr"] = 2e-3 * (1 - step / 600)
        noisy = x + 0.3 * torch.randn_like(x)
        loss = functional.cross_entropy(head(noisy), kinds, weight, label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        head.hidden.weight.div_(deviation)
        head.hidden.bias.sub_(head.hidden.weight @ mean)
    return head.eval()


@torch.no_grad()
def score_real(network: Network, head: PooledHead, data: Path) -> dict:
    """Given and true sequence of real scans; none of these people is in the training data."""
    scans = [(path, kind) for files in REAL.values() for path, kind in files.items()]
    folder = data / "eval_t1_labelled"
    scans += [(f"eval_t1_labelled/{p.name.removesuffix('.nii.gz')}", "T1w") for p in sorted(folder.glob("*_T1w_brain.nii.gz"))]
    rows, right = {}, []
    for name, kind in scans:
        volume, affine = predict.load(data / f"{name}.nii.gz")
        image = preprocess.prepare(volume, affine, PREPROCESSING).input
        odds = head(vector(network, torch.from_numpy(image)[None])[None])[0].softmax(0)
        given = CONTRASTS[int(odds.argmax())]
        rows[name] = {"true": kind, "given": given, "probability": round(float(odds.max()), 3)}
        right.append(given == kind)
    by = {k: [r["given"] == k for r in rows.values() if r["true"] == k] for k in ("T1w", "T2w", "FLAIR")}
    return {
        "scans": len(rows),
        "accuracy": round(float(np.mean(right)), 4),
        "by sequence": {k: f"{sum(v)} of {len(v)}" for k, v in by.items()},
        "answers": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=runs_folder() / "brain2mm_self")
    parser.add_argument("--weights", default="best.pt", help="file of the run with the averaged weights")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--samples", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    state = torch.load(arguments.run / arguments.weights, map_location="cpu", weights_only=True)
    network = Network(brain_network()).eval().to(memory_format=torch.channels_last_3d)
    load_matching(network, state["average"])
    brain = Brain(arguments.cache, arguments.data / "labelmaps_brain" / "priors")
    rows, kinds = synthetic(network, brain, arguments.seed, arguments.samples)
    cut = int(len(rows) * 0.85)
    channels = network.config.channels
    assert rows.shape[1] == vector_size(channels, "sequence")
    trial = fit(rows[:cut], kinds[:cut], channels, arguments.seed)
    with torch.no_grad():
        held = float((trial(rows[cut:]).argmax(1) == kinds[cut:]).float().mean())
    head = fit(rows, kinds, channels, arguments.seed)
    save(arguments.run / "contrast.pt", head.state_dict())
    result = {
        "synthetic scans": len(rows),
        "accuracy on held-out synthetic scans (five classes)": round(held, 4),
        "real scans": score_real(network, head, arguments.data),
    }
    out = REPOSITORY / "training/results/contrast.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
