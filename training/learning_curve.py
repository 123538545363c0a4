"""Dice against the number of labelled patients: from the brain pack's weights, the pretraining's (both fine-tuned, and
with the encoder frozen) and random ones.

    python -m training.learning_curve training/configs/cardiac.toml --patients 5 10 25 50 --steps 500
    python -m training.learning_curve training/configs/cardiac.toml --patients 5 50 --steps 800 \\
        --starts brain "brain, encoder frozen" scratch

Every run has the same number of steps, its rates falling to zero, and is scored with its last averaged weights on the
scans that the pack is scored on (mean over structures; the labels as the network gives them, without the pack's
second look and its clearing of islands). Writes training/results/learning_curve_NAME.json after every run and goes on
where it stopped; draws NAME's curve beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import torch

from training import labelled
from training.checkpoint import finished
from training.model import Network
from training.paths import REPOSITORY, data_folder, runs_folder
from training.plot import dice_over

BRAIN = 'start_from="training/checkpoints/brain2mm.safetensors"'
PRETRAINED = 'start_from="training/checkpoints/pretrain.safetensors"'
STARTS = {
    "brain": [BRAIN],
    "pretrained": [PRETRAINED],
    "scratch": ['start_from=""'],
    "brain, encoder frozen": [BRAIN, "frozen=true"],
    "pretrained, encoder frozen": [PRETRAINED, "frozen=true"],
}


def per_patient(config: dict) -> int:
    """Scans of one patient: the files of a split by patients hold two phases each."""
    return 2 if "split" in config else 1


def trained(config_path: Path, config: dict, start: str, patients: int, steps: int) -> Path:
    # A run of fewer steps ends with rates at zero: nothing goes on from it.
    run = runs_folder() / "curve" / f"{config['name']}-{start.replace(', ', '-').replace(' ', '-')}-{patients}-{steps}"
    run.mkdir(parents=True, exist_ok=True)
    settings = [*STARTS[start], f"scans={patients * per_patient(config)}", "optimiser.decay=1.0"]
    settings += [f"score_every={steps}", f"save_every={max(steps // 4, 1)}"]
    if "split" in config:
        # The development patients belong to the 50; nothing is chosen by them here.
        settings.append(f"split.train=[1,{config['split']['development'][1]}]")
    if not finished(run, steps):
        line = [sys.executable, "-m", "training.train", str(config_path), "--run", str(run), "--steps", str(steps)]
        subprocess.run([*line, "--set", *settings], check=True, cwd=REPOSITORY)
    return run / "checkpoint.pt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--patients", type=int, nargs="+", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS), help="all of them, if not given")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--results", type=Path, default=REPOSITORY / "training" / "results")
    arguments = parser.parse_args()
    config = tomllib.loads(arguments.config.read_text())
    out = arguments.results / f"learning_curve_{config['name']}.json"
    results = {"name": config["name"], "steps": arguments.steps, "runs": []}
    if out.exists() and (before := json.loads(out.read_text()))["steps"] == arguments.steps:
        results = before
    scored = labelled.Development(config, arguments.data, "score")
    for patients in arguments.patients:
        for start in arguments.starts:
            if any((row["start"], row["patients"]) == (start, patients) for row in results["runs"]):
                continue
            checkpoint = trained(arguments.config, config, start, patients, arguments.steps)
            network = Network(labelled.network(config))
            network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["average"])
            row = {"start": start, "patients": patients, **scored.score(network)}
            results["runs"].append(row)
            out.write_text(json.dumps(results, indent=1) + "\n")
            print(row, flush=True)
    words = {"axis": "labelled patients", "title": f"{results['name']}, {results['steps']} steps each"}
    words |= {"brain": "from the brain pack", "pretrained": "from the pretraining", "scratch": "from random weights"}
    words |= {f"{start}, encoder frozen": f"{words[start]}, encoder frozen" for start in ("brain", "pretrained")}
    dice_over("patients", results, out.with_suffix(".png"), words)


if __name__ == "__main__":
    main()
