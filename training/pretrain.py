"""PRISM pretraining at our scale: every loss of the published recipe on a compact encoder.

    python -m training.pretrain training/configs/pretrain.toml

Each step: corrupt, encode, reconstruct; re-render the same anatomy in a random style, encode it again and
pull the two structure features together; read the sequence parameters from the sequence feature and the
body part from the structure feature; and let the encoder judge real against rendered. Resumes from its
checkpoint. `--probe` runs the linear probes and the retrieval on unseen samples and stops.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import tomllib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional

from training.model import NetworkConfig
from training.paths import cache_folder, data_folder, runs_folder
from training.pretraining.corruption import corrupt
from training.pretraining.data import Source, prepare_body
from training.pretraining.networks import STYLE, Pretraining, contrastive
from training.pretraining.probe import probe
from training.train import save


def batch_of(source: Source, seed: int, step: int, size: int) -> dict:
    samples = [source.sample(seed, step * size + i) for i in range(size)]
    return {
        "image": torch.stack([sample.image for sample in samples]),
        "parameters": torch.from_numpy(np.stack([sample.parameters for sample in samples])),
        "part": torch.tensor([sample.body_part for sample in samples]),
    }


def rate(config: dict, step: int) -> float:
    """Linear warm-up, then cosine to zero."""
    if step < config["warmup"]:
        return (step + 1) / config["warmup"]
    progress = (step - config["warmup"]) / max(1, config["steps"] - config["warmup"])
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def generator_loss(model: Pretraining, batch: dict, config: dict, random: torch.Generator, device: str):
    """Everything but the discriminator's own loss; also returns the re-rendered volumes."""
    images = batch["image"].to(device)
    encoded = model.encode(corrupt(batch["image"], random).to(device))
    structure, sequence = encoded["structure"], encoded["sequence"]
    parts = {"reconstruction": (model.render(structure, sequence, None).float() - images).abs().mean()}

    z = torch.randn(len(images), STYLE, generator=random).to(device)
    rendered = model.render(structure, sequence, z).float()
    again = model.encode(rendered)
    first = model.project(model.pool(structure))
    second = model.project(model.pool(again["structure"]))
    parts["contrastive"] = contrastive(first.float(), second.float())

    wanted = batch["parameters"].to(device)
    known = ~wanted.isnan()
    predicted = model.parameters_head(sequence).float()
    difference = (predicted - wanted.nan_to_num()).abs() * known
    parts["parameters"] = difference.sum() / known.sum().clamp(min=1)
    body = model.body_head(structure).float()
    parts["body"] = functional.cross_entropy(body, batch["part"].to(device), ignore_index=-1)

    judged = model.frozen_realness(rendered).float()
    parts["adversarial"] = functional.softplus(-judged).mean()
    total = sum(config["weights"][name] * value for name, value in parts.items())
    return total, parts, rendered.detach()


def judge_loss(model: Pretraining, images: torch.Tensor, rendered: torch.Tensor) -> torch.Tensor:
    real = functional.softplus(-model(images).float()).mean()
    return real + functional.softplus(model(rendered).float()).mean()


def train(config: dict, run: Path, source: Source, device: str, stop_at: int) -> None:
    torch.manual_seed(config["seed"])
    model = Pretraining(NetworkConfig()).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"])
    checkpoint, step = run / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
    log = open(run / "log.jsonl", "a", buffering=1)
    started = time.time()
    while step < config["steps"] and step != stop_at:
        random = torch.Generator().manual_seed(config["seed"] * 1000003 + step)
        torch.manual_seed(config["seed"] * 7919 + step)
        for group in optimiser.param_groups:
            group["lr"] = config["lr"] * rate(config, step)
        batch = batch_of(source, config["seed"], step, config["batch"])
        with torch.autocast(device, torch.bfloat16):
            total, parts, rendered = generator_loss(model, batch, config, random, device)
        total.backward()
        # The judge's loss reaches the shared encoder with the same optimiser step.
        with torch.autocast(device, torch.bfloat16):
            judged = judge_loss(model, batch["image"].to(device), rendered)
        (config["weights"]["adversarial"] * judged).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        if step % config["log_every"] == 0:
            line = {name: round(value.item(), 4) for name, value in parts.items()}
            line |= {"judge": round(judged.item(), 4), "kind": "train", "step": step}
            log.write(json.dumps(line | {"seconds": round(time.time() - started, 1)}) + "\n")
        if step % config["probe_every"] == 0:
            scores = probe(model, source, config["seed"] + 1000, config["probe_samples"])
            log.write(json.dumps({"kind": "probe", "step": step, **scores}) + "\n")
        if step % config["save_every"] == 0 or step in (config["steps"], stop_at):
            save(checkpoint, {"model": model.state_dict(), "optimiser": optimiser.state_dict(),
                              "step": step})  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stop-at", type=int, default=-1)
    parser.add_argument("--probe", action="store_true", help="only probe the checkpoint")
    arguments = parser.parse_args()
    config = tomllib.loads(arguments.config.read_text())
    torch.set_num_threads(arguments.threads)
    run = arguments.run or runs_folder() / config["name"]
    run.mkdir(parents=True, exist_ok=True)
    if not (arguments.cache / "pretraining" / "knee.npz").exists():
        prepare_body(arguments.data, arguments.cache)
    priors = arguments.data / "labelmaps_brain" / "priors"
    source = Source(arguments.cache, priors, tuple(config["size"]))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if arguments.probe:
        model = Pretraining(NetworkConfig()).to(device)
        state = torch.load(run / "checkpoint.pt", map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        print(json.dumps(probe(model, source, config["seed"] + 1000, config["probe_samples"]), indent=1))
        return
    train(config, run, source, device, arguments.stop_at)


if __name__ == "__main__":
    main()
