"""Checkpoint -> pack (and a float16 copy of the averaged weights from which training can resume).

    python -m training.export --run RUN --out public/packs/brain.safetensors
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
import tomllib
from pathlib import Path

import torch
from safetensors.torch import save_file

from training import checkpoint, labelled, labels, pack, preprocess
from training.lesions import samples
from training.model import Network
from training.paths import REPOSITORY, runs_folder
from training.prepare import preprocessing as brain_preprocessing
from training.train import brain_network

DRAWN, REAL = 20, 48
NOTE = "Prism's own weights, {}; not the published PRISM weights"


def anatomies(drawn: int = DRAWN, real: int = REAL) -> list[dict]:
    """Label maps and heads with predicted labels, so many of each."""
    of = lambda count, whole: f"{count}" if count == whole else f"{count} of {whole}"  # noqa: E731
    return [
        {
            "name": f"SynthSeg training label maps ({of(drawn, DRAWN)} whole heads) and intensity priors",
            "licence": "Apache-2.0",
        },
        {
            "name": f"OpenNeuro ds002748, {of(real, REAL)} T1w heads with labels predicted by the first phase",
            "licence": "CC0",
        },
    ]


def commit() -> str:
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "unknown"


def task_description(settings: dict) -> dict:
    """Name, title, preprocessing, labels and data of the run's task."""
    if settings.get("task") == "lesions":
        painted = (
            "trained on lesions painted into label maps and real T1w heads, starting from the brain pack, "
            f"which was trained on all {DRAWN} and {REAL} of them"
        )
        return {
            **task_description({**settings, "task": "labelled"}),
            "data": anatomies(*(len(range(*part.indices(whole))) for part, whole in
                                ((samples.DRAWN, DRAWN), (samples.REAL, REAL)))),
            "note": NOTE.format(painted),
        }
    if settings.get("task") == "labelled":
        rows = zip(settings["labels"], settings["colors"])
        begin = "starting from the brain pack's encoder" if settings.get("start_from") else "from scratch"
        before = anatomies() if settings.get("start_from") else []
        preprocessing = dict(settings["preprocessing"])
        wanted = preprocessing["spacing_mm"]
        preprocessing["spacing_mm"] = [None if preprocess.is_native(want) else want for want in wanted]
        return {
            "name": settings["name"],
            "title": settings["title"],
            "preprocessing": preprocessing,
            "one_organ": settings.get("one_organ", False),
            "mirrors": settings.get("mirrors", []),
            "labels": [
                {"index": i + 1, "id": i + 1, "name": name, "color": colour, "side": None, "pair": None}
                for i, (name, colour) in enumerate(rows)
            ],
            "fits": settings.get("fits"),
            "data": before + [{"name": settings["data"], "licence": settings["licence"]}],
            "note": NOTE.format(f"trained on labelled scans, {begin}"),
        }
    real = settings.get("self_training", {}).get("real", 0) > 0
    spacing = settings.get("spacing", 2.0)
    return {
        "name": "brain" if spacing == 2 else f"brain-{spacing:g}mm",
        "title": f"Brain, any contrast, 32 structures ({spacing:g} mm)",
        "preprocessing": brain_preprocessing(spacing, settings.get("window")),
        "labels": labels.label_table(),
        "fits": {"body_part": ["head"], "extent_mm": [90, 1000]},
        "data": anatomies() if real else anatomies()[:1],
        "note": NOTE.format(
            "trained from scratch on synthetic scans" + (", then on real ones as well" if real else "")
        ),
    }


def hardware(settings: dict) -> str:
    """What the run's log says; logs that say nothing are of the shared CPU, too."""
    device = settings.get("device", "cpu")
    return "2 shared CPU cores" if device == "cpu" else device


def document(state: dict, settings: dict, version: str, scores: dict) -> dict:
    """The pack's description, of a checkpoint and the settings of its run."""
    before = state.get("before", {"steps": 0, "seconds": 0.0})
    minutes = (before["seconds"] + state["seconds"]) / 60
    task = task_description(settings)
    data, note = task.pop("data"), task.pop("note")
    return {
        **task,
        "version": version,
        "provenance": {
            "data": data,
            "commit": commit(),
            "steps": before["steps"] + state["step"],
            "seed": settings["seed"],
            "hardware": f"{hardware(settings)}, {minutes:.0f} minutes",
            "trained": time.strftime("%Y-%m-%d"),
            "note": note,
        },
        "scores": scores,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=runs_folder() / "brain2mm")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "public/packs/brain.safetensors")
    parser.add_argument("--best", action="store_true",
                        help="the weights with the best development score instead of the last")  # fmt: skip
    parser.add_argument("--calibrated", action="store_true",
                        help="the weights of training.lesions.calibrate")  # fmt: skip
    parser.add_argument("--weights", choices=["average", "network"], default="average")
    parser.add_argument("--heads", nargs="+", default=["segmentation"],
                        help="heads that have earned their place in the pack")  # fmt: skip
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--scores", type=Path, help="JSON of training.evaluate to embed")
    parser.add_argument("--window", type=int, nargs=3, help="window of the pack, if not the run's")
    parser.add_argument("--half", type=Path, help="also write the averaged weights as float16")
    arguments = parser.parse_args()
    stored = arguments.run / ("best.pt" if arguments.best else "checkpoint.pt")
    if arguments.calibrated:
        stored = arguments.run / "calibrated.pt"
    state = checkpoint.load(stored)
    first = (arguments.run / "log.jsonl").read_text().split("\n", 1)[0]
    settings = json.loads(first)
    scores = json.loads(arguments.scores.read_text())["summary"] if arguments.scores else {}
    labelled_task = settings.get("task") in ("labelled", "lesions")
    if labelled_task:
        # How the pack is used is no part of its training: what the config says now.
        config = tomllib.loads((REPOSITORY / f"training/configs/{settings['name']}.toml").read_text())
        settings |= {key: config[key] for key in ("fits", "mirrors", "one_organ") if key in config}
    whole = labelled.network(settings) if labelled_task else brain_network()
    dropped = tuple(f"heads.{h.name}." for h in whole.heads if h.name not in arguments.heads)
    whole.heads = tuple(head for head in whole.heads if head.name in arguments.heads)
    network = Network(whole)
    weights = {k: v for k, v in state[arguments.weights].items() if not k.startswith(dropped or ("-",))}
    if "contrast" in arguments.heads:
        fitted = torch.load(arguments.run / "contrast.pt", map_location="cpu", weights_only=True)
        weights |= {f"heads.contrast.{name}": value for name, value in fitted.items()}
    network.load_state_dict(weights)
    if arguments.window:
        settings |= {"window": arguments.window}  # the brain's
        if "preprocessing" in settings:
            settings["preprocessing"]["window"] = arguments.window
    described = document(state, settings, arguments.version, scores)
    size = pack.write(arguments.out, network, described)
    steps = described["provenance"]["steps"]
    print(f"{arguments.out}: {size / 1e6:.2f} MB, step {steps}")
    if arguments.half:
        arguments.half.parent.mkdir(parents=True, exist_ok=True)
        kept = {**state[arguments.weights]}
        # With them a run goes on without unlearning what random ones would do to the network.
        kept |= {f"auxiliary.{name}": value for name, value in state.get("auxiliary", {}).items()}
        save_file(
            {k: v.half().contiguous() for k, v in kept.items()},
            arguments.half,
            {"step": str(steps), "seed": str(settings["seed"]),
             "seconds": f"{state['seconds'] + state.get('before', {}).get('seconds', 0):.0f}"},
        )
        print(f"{arguments.half}: {arguments.half.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
