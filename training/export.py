"""Checkpoint -> pack (and a float16 copy of the averaged weights from which training can resume).

    python -m training.export --run RUN --out public/packs/brain.safetensors
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from training import labels, pack
from training.model import Network
from training.paths import REPOSITORY, runs_folder
from training.prepare import PREPROCESSING
from training.train import brain_network

DATA = [
    {"name": "SynthSeg training label maps (20 whole heads) and intensity priors", "licence": "Apache-2.0"}
]
NOTE = "Prism's own weights, trained from scratch on synthetic scans; not the published PRISM weights"


def commit() -> str:
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "unknown"


def document(steps: int, seed: int, seconds: float, version: str, scores: dict) -> dict:
    return {
        "name": "brain",
        "title": "Brain, any contrast, 32 structures (2 mm)",
        "version": version,
        "preprocessing": PREPROCESSING,
        "labels": labels.label_table(),
        "provenance": {
            "data": DATA,
            "commit": commit(),
            "steps": steps,
            "seed": seed,
            "hardware": f"2 shared CPU cores, bfloat16, {seconds / 60:.0f} minutes",
            "trained": time.strftime("%Y-%m-%d"),
            "note": NOTE,
        },
        "scores": scores,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=runs_folder() / "brain2mm")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "public/packs/brain.safetensors")
    parser.add_argument("--weights", choices=["average", "network"], default="average")
    parser.add_argument("--heads", nargs="+", default=["segmentation"],
                        help="heads that have earned their place in the pack")  # fmt: skip
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--scores", type=Path, help="JSON of training.evaluate to embed")
    parser.add_argument("--half", type=Path, help="also write the averaged weights as float16")
    arguments = parser.parse_args()
    state = torch.load(arguments.run / "checkpoint.pt", map_location="cpu", weights_only=True)
    first = (arguments.run / "log.jsonl").read_text().split("\n", 1)[0]
    seed = json.loads(first)["seed"]
    scores = json.loads(arguments.scores.read_text())["summary"] if arguments.scores else {}
    config = brain_network()
    config.heads = tuple(head for head in config.heads if head.name in arguments.heads)
    network = Network(config)
    dropped = tuple(f"heads.{h.name}." for h in brain_network().heads if h.name not in arguments.heads)
    weights = {k: v for k, v in state[arguments.weights].items() if not k.startswith(dropped or ("-",))}
    network.load_state_dict(weights)
    described = document(state["step"], seed, state["seconds"], arguments.version, scores)
    size = pack.write(arguments.out, network, described)
    print(f"{arguments.out}: {size / 1e6:.2f} MB, step {state['step']}")
    if arguments.half:
        arguments.half.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {k: v.half().contiguous() for k, v in state[arguments.weights].items()},
            arguments.half,
            {"step": str(state["step"]), "seconds": f"{state['seconds']:.0f}", "seed": str(seed)},
        )
        print(f"{arguments.half}: {arguments.half.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
