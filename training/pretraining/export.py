"""Pretraining checkpoint -> pack: encoder, disentangling, renderer and the two heads of the pretraining, int8.

    python -m training.pretraining.export --run training/runs/pretrain
    python -m training.pretraining.export --run training/checkpoints/pretrain.safetensors    # on a fresh machine

writes public/packs/pretrained.safetensors with its card and lists it in index.json. The judge, the projection and
the queue stay behind. Scores of an earlier pack of the same tensors are kept; of others they are dropped.
"""

from __future__ import annotations

import argparse
import json
import time
import tomllib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from training import checkpoint, pack
from training.export import NOTE, anatomies, commit
from training.model import NetworkConfig
from training.paths import REPOSITORY, runs_folder
from training.prepare import PREPROCESSING
from training.pretraining import card
from training.pretraining.data import BODY_PARTS
from training.pretraining.networks import STYLE, Pretraining
from training.pretraining.physics import SCALES

OUT = REPOSITORY / "public" / "packs" / "pretrained.safetensors"
RESULTS = REPOSITORY / "training" / "results"
# The crops of the pretraining: what the norms see in a window is what they saw there.
WINDOW = [48, 48, 48]
PARAMETERS = ["ln TR / ms", "ln TE / ms", "flip angle / degrees"]
DATA = [
    anatomies(16)[0] | {"name": "SynthSeg training label maps (16 of 20 whole heads)"},
    {"name": "SPL atlases of abdomen, knee, head and neck (label maps, one subject each)",
     "licence": "3D Slicer licence"},
    {"name": "OpenNeuro ds002748, 40 T1w heads", "licence": "CC0"},
    {"name": "ACDC, 50 patients, end of diastole", "licence": "non-commercial (ACDC)"},
]  # fmt: skip


def architecture(config: NetworkConfig) -> dict:
    heads = [
        {"kind": "regression", "name": "sequence_parameters", "input": "sequence", "outputs": PARAMETERS},
        {"kind": "classification", "name": "body_part", "input": "structure", "outputs": BODY_PARTS},
    ]
    return {**config.as_pack(), "heads": heads, "renderer": {"kind": "styled", "style": STYLE}}


def tensors(model: Pretraining) -> dict[str, Tensor]:
    """What the pack holds, under its names (core/src/model/renderer.rs); heads read vectors as they are pooled,
    and that of the sequence parameters answers in the units of its outputs."""
    network, head = model.network, model.parameters_head
    shift, scale = torch.tensor(list(SCALES.values())).T
    parts = nn.ModuleDict({
        "encoder": network.encoder,
        "disentangle": network.disentangle,
        "renderer": nn.ModuleDict({
            "mapping": model.mapping, "sequence_style": model.sequence_style, "decoder": model.decoder,
        }),
        "heads": nn.ModuleDict({"sequence_parameters": head, "body_part": model.body_head}),
    })  # fmt: skip
    result = {name: value.detach().clone() for name, value in parts.state_dict().items()}
    for name, feature in (("sequence_parameters", "sequence"), ("body_part", "structure")):
        # Standardising is linear, so the first layer takes it over.
        hidden, (mean, deviation) = f"heads.{name}.hidden", model.standard[feature].moments()
        result[f"{hidden}.weight"] /= deviation
        result[f"{hidden}.bias"] -= result[f"{hidden}.weight"] @ mean
    output = "heads.sequence_parameters.output"
    result[f"{output}.weight"] *= scale[:, None]
    result[f"{output}.bias"] = result[f"{output}.bias"] * scale + shift
    return result


def pretraining_scores(path: Path, step: int) -> dict:
    """Short figures of training.probes, where they are of this checkpoint."""
    probed = json.loads(path.read_text()) if path.exists() else {}
    trained = probed.get("pretrained", {})
    if trained.get("step") != step:
        return {}
    names = ("sequence", "body part", "same anatomy, other sequence (synthetic)")
    return {key: {name: row[name] for name in names} for key, row in probed.items()}


def save_half(state: dict, path: Path) -> None:
    """All weights as float16, to go on from; moments stay float32, since a variance is what is left of two of them."""
    kept = {name: value if name.startswith("standard.") else value.half() for name, value in state["model"].items()}
    kept = {name: value.contiguous() for name, value in kept.items()}
    about = {"step": state["step"], "seconds": round(state["seconds"])}
    about |= {"seed": state["seed"]} if "seed" in state else {}
    save_file(kept, path, {name: str(value) for name, value in about.items()})


def seed_of(state: dict, run: Path) -> int:
    """Of the checkpoint; older ones do not hold it: then of the run's log, or of the config."""
    log = run / "log.jsonl"
    if "seed" in state:
        return state["seed"]
    if log.exists():
        return json.loads(log.read_text().split("\n", 1)[0])["seed"]
    return tomllib.loads((REPOSITORY / "training/configs/pretrain.toml").read_text())["seed"]


def document(state: dict, seed: int, version: str) -> dict:
    minutes = state["seconds"] / 60
    return {
        "name": "pretrained",
        "title": "Pretrained encoder and renderer (2 mm)",
        "version": version,
        "preprocessing": {**PREPROCESSING, "window": WINDOW},
        "labels": [],
        "provenance": {
            "data": DATA,
            "commit": commit(),
            "steps": state["step"],
            "seed": seed,
            "hardware": f"2 shared CPU cores, {minutes:.0f} minutes",
            "trained": time.strftime("%Y-%m-%d"),
            "note": NOTE.format("pretrained by re-rendering, without labels of structures"),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=runs_folder() / "pretrain", help="or a checkpoint file")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--results", type=Path, default=RESULTS, help="with pretraining.json")
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--half", type=Path, help="also write all weights as float16, to go on from")
    arguments = parser.parse_args()
    state = checkpoint.load(arguments.run)
    seed = state["seed"] = seed_of(state, arguments.run)
    config = NetworkConfig()
    model = Pretraining(config)
    model.load_state_dict(state["model"])
    described = document(state, seed, arguments.version)
    before = pack.document(arguments.out) if arguments.out.exists() else {}
    described["scores"] = {}
    size = pack.write_tensors(arguments.out, tensors(model), architecture(config), described)
    written = pack.document(arguments.out)
    kept = before.get("scores", {}) if before.get("sha256") == written["sha256"] else {}
    scores = {**kept, "pretraining": pretraining_scores(arguments.results / "pretraining.json", state["step"])}
    pack.describe(arguments.out, scores=scores)
    card.write(arguments.out)
    pack.index(arguments.out.parent)
    print(f"{arguments.out}: {size / 1e6:.2f} MB, step {state['step']}")
    if arguments.half:
        save_half(state, arguments.half)


if __name__ == "__main__":
    main()
