"""What the pretraining is worth: the brain segmentation from its encoder and from random weights.

    python -m training.ablation --pretrained training/runs/pretrain/checkpoint.pt --steps 400

Trained for 10 %, 50 % and 100 % of the steps, each a run of its own whose rates fall to zero, on the same
samples; scored with the averaged weights on the development scans (mean over 16 structures). Writes
training/results/ablation.json after every run, goes on where it stopped, and draws the curve beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

from training.development import Development
from training.model import Network
from training.paths import REPOSITORY, cache_folder, runs_folder
from training.plot import dice_over
from training.train import brain_network

SHARES = (0.1, 0.5, 1.0)
CONFIG = "training/configs/brain2mm.toml"


def trained(start: str, source: str, steps: int) -> Path:
    run = runs_folder() / "ablation" / f"{start}-{steps}"
    run.mkdir(parents=True, exist_ok=True)
    # The smallest crops throughout; the contrasts as at the end of the curriculum.
    settings = [
        f'start_from="{source}"',
        "curriculum.size_shares=[[0.0, [1.0, 0.0, 0.0]]]",
        "curriculum.contrast_shares=[[0.0, [0.52, 0.14, 0.14, 0.05, 0.15]]]",
        "optimiser.decay=1.0",
        f"optimiser.warmup={max(steps // 20, 5)}",
        "average=0.98",
        f"score_every={steps}",
        f"save_every={max(steps // 4, 1)}",
    ]
    line = [sys.executable, "-m", "training.train", CONFIG, "--run", str(run), "--steps", str(steps)]
    subprocess.run([*line, "--set", *settings], check=True, cwd=REPOSITORY)
    return run / "checkpoint.pt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, default=runs_folder() / "pretrain" / "checkpoint.pt")
    parser.add_argument("--steps", type=int, required=True, help="of the longest run")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "training" / "results")
    arguments = parser.parse_args()
    out = arguments.results / "ablation.json"
    step = torch.load(arguments.pretrained, map_location="cpu", weights_only=True)["step"]
    results = {"name": "brain", "pretraining step": step, "runs": []}
    if out.exists() and (before := json.loads(out.read_text()))["pretraining step"] == step:
        results = before
    sources = {"pretrained": str(arguments.pretrained.resolve()), "scratch": ""}
    development = Development(cache_folder())
    for share in SHARES:
        for start, source in sources.items():
            steps = round(share * arguments.steps)
            if any((row["start"], row["steps"]) == (start, steps) for row in results["runs"]):
                continue
            network = Network(brain_network())
            state = torch.load(trained(start, source, steps), map_location="cpu", weights_only=True)
            network.load_state_dict(state["average"])
            row = {"start": start, "steps": steps, **development.score(network)}
            results["runs"].append(row)
            out.write_text(json.dumps(results, indent=1) + "\n")
            print(row, flush=True)
    words = {"axis": "training steps", "title": f"brain segmentation, pretrained for {step} steps"}
    words |= {"pretrained": "from the pretrained encoder", "scratch": "from random weights"}
    dice_over("steps", results, out.with_suffix(".png"), words)


if __name__ == "__main__":
    main()
