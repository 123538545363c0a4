"""What the pretraining is worth: the brain segmentation from its encoder and from random weights.

    python -m training.ablation --pretrained training/checkpoints/pretrain.safetensors --steps 300 --seeds 1 2 3

Trained for 10 %, 50 % and 100 % of the steps, each a run of its own whose rates fall to zero, with every seed on the
same samples in both arms; the auxiliary heads, which no start has, begin at zero in both. Scored with the averaged
weights on the development scans (mean over 16 structures). Writes training/results/ablation.json after every run, goes
on where it stopped, and draws the curve beside it: the mean over seeds, with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from training import checkpoint
from training.development import Development
from training.model import Network
from training.paths import REPOSITORY, cache_folder, runs_folder
from training.plot import dice_over
from training.train import brain_network

SHARES = (0.1, 0.5, 1.0)
CONFIG = "training/configs/brain2mm.toml"


def settings_of(source: str, steps: int, seed: int) -> list[str]:
    """What differs from the config."""
    # The smallest crops throughout; the contrasts as at the end of the curriculum.
    return [
        f'start_from="{source}"',
        f"seed={seed}",
        "auxiliary_at_zero=true",
        "curriculum.size_shares=[[0.0, [1.0, 0.0, 0.0]]]",
        "curriculum.contrast_shares=[[0.0, [0.52, 0.14, 0.14, 0.05, 0.15]]]",
        "optimiser.decay=1.0",
        f"optimiser.warmup={max(steps // 20, 5)}",
        "average=0.98",
        f"score_every={steps}",
        f"save_every={max(steps // 4, 1)}",
    ]


def trained(start: str, source: str, steps: int, seed: int) -> Path:
    """The run's folder."""
    run = runs_folder() / "ablation" / f"{start}-{steps}-{seed}"
    run.mkdir(parents=True, exist_ok=True)
    if not checkpoint.finished(run, steps):
        line = [sys.executable, "-m", "training.train", CONFIG, "--run", str(run), "--steps", str(steps)]
        subprocess.run([*line, "--set", *settings_of(source, steps, seed)], check=True, cwd=REPOSITORY)
    return run


def over_seeds(runs: list[dict]) -> list[dict]:
    """Mean Dice of every start and number of steps: mean over seeds, its standard deviation (0 of one), lowest, highest."""
    groups: dict[tuple, list[float]] = {}
    for row in runs:
        groups.setdefault((row["start"], row["steps"]), []).append(row["mean"])
    return [
        {"start": start, "steps": steps, "seeds": len(values), "mean": round(float(np.mean(values)), 4),
         "deviation": round(float(np.std(values, ddof=1)), 4) if len(values) > 1 else 0.0,
         "lowest": min(values), "highest": max(values)}
        for (start, steps), values in groups.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, default=runs_folder() / "pretrain" / "checkpoint.pt")
    parser.add_argument("--steps", type=int, required=True, help="of the longest run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--results", type=Path, default=REPOSITORY / "training" / "results")
    arguments = parser.parse_args()
    out = arguments.results / "ablation.json"
    step = checkpoint.load(arguments.pretrained)["step"]
    about = {"name": "brain", "pretraining step": step, "auxiliary heads": "at zero in both"}
    results = {**about, "runs": []}
    if out.exists() and about.items() <= (before := json.loads(out.read_text())).items():
        results = before
    sources = {"pretrained": str(arguments.pretrained.resolve()), "scratch": ""}
    development = Development(cache_folder())
    plan = itertools.product(arguments.seeds, SHARES, sources.items())
    for seed, share, (start, source) in plan:
        steps = round(share * arguments.steps)
        if any((row["start"], row["steps"], row["seed"]) == (start, steps, seed) for row in results["runs"]):
            continue
        network = Network(brain_network())
        network.load_state_dict(checkpoint.load(trained(start, source, steps, seed))["average"])
        row = {"start": start, "steps": steps, "seed": seed, **development.score(network)}
        results["runs"].append(row)
        results["over seeds"] = over_seeds(results["runs"])
        out.write_text(json.dumps(results, indent=1) + "\n")
        print(row, flush=True)
    words = {"axis": "training steps", "title": f"brain segmentation, pretrained for {step} steps"}
    words |= {"pretrained": "from the pretrained encoder", "scratch": "from random weights"}
    dice_over("steps", results, out.with_suffix(".png"), words)


if __name__ == "__main__":
    main()
