"""PRISM pretraining at our scale: every loss of the published recipe on a compact encoder.

    python -m training.pretrain training/configs/pretrain.toml

A batch holds every anatomy twice, in two acquisitions. Each step: corrupt, encode, reconstruct; re-render
the anatomy in a random style; encode the clean and the rendered volumes, judge real against rendered, and
pull the structure features of one anatomy together, away from others; read the sequence parameters from
the sequence feature and the body part from the structure feature. Interrupt at will: the same command
goes on (`--set 'start_from="FILE"'` begins with the file's weights and makes `steps` more), and samples and noise
depend on (seed, step) only. `training.probes` measures what came out.
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
from torch import Tensor, nn

from training import checkpoint, optimiser, timing
from training.model import NetworkConfig
from training.paths import cache_folder, data_folder, runs_folder
from training.precision import autocast
from training.pretraining.corruption import corrupt
from training.pretraining.data import Source, prepare_body
from training.pretraining.networks import STYLE, Pretraining, contrastive
from training.timing import LAST_STEP
from training.train import loaded, override, save


LARGEST_GRADIENT = 1e4


class Batches(torch.utils.data.Dataset):
    """Batches by step: `batch` volumes, two acquisitions of each anatomy side by side."""

    def __init__(self, config: dict, cache: Path, priors: Path):
        self.config, self.cache, self.priors = config, cache, priors
        self.source = None

    def __getitem__(self, step: int) -> dict:
        if self.source is None:
            torch.set_num_threads(1)
            self.source = Source(self.cache, self.priors, tuple(self.config["size"]))
        pairs, seed = self.config["batch"] // 2, self.config["seed"]
        samples = [
            self.source.sample(seed, step * pairs + pair, variant)
            for pair in range(pairs)
            for variant in (0, 1)
        ]
        return {
            "image": torch.stack([sample.image for sample in samples]),
            "parameters": torch.from_numpy(np.stack([sample.parameters for sample in samples])),
            "part": torch.tensor([sample.body_part for sample in samples]),
        }

    def __len__(self) -> int:
        return LAST_STEP


def rate(config: dict, step: int, timed: dict | None = None, spent: float = 0.0) -> float:
    """Linear warm-up, then cosine to zero over the steps, or over the time of `timed` (training.timing.plan)."""
    warm = min(1.0, (step + 1) / config["warmup"])
    progress = timing.gone(timed, spent) if timed else step / config["steps"]
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def told(model: Pretraining, encoded: dict, batch: dict, device: str) -> tuple[Tensor, Tensor]:
    """L1 of the known sequence parameters, and cross-entropy of the body part."""
    wanted = batch["parameters"].to(device)
    known = ~wanted.isnan()
    parameters, body = model.told(encoded)
    error = (parameters - wanted.nan_to_num()).abs() * known
    entropy = functional.cross_entropy(body, batch["part"].to(device), ignore_index=-1)
    return error.sum() / known.sum().clamp(min=1), entropy


def render_losses(model: Pretraining, batch: dict, random: torch.Generator, device: str):
    """Losses of the damaged volume and of its rendering; also the rendered volumes, detached."""
    images = batch["image"].to(device)
    encoded = model.encode(corrupt(batch["image"], random).to(device))
    own = model.render(encoded["map"], encoded["sequence"], None).float()
    parts = {"reconstruction": (own - images).abs().mean()}
    parts["parameters"], parts["body"] = told(model, encoded, batch, device)
    z = torch.randn(len(images), STYLE, generator=random).to(device)
    rendered = model.render(encoded["map"], encoded["sequence"], z).float()
    judged, seen = model.frozen(rendered)
    parts["adversarial"] = functional.softplus(-judged.float()).mean()
    # What the frozen encoder sees in the rendering has to be the anatomy that went in.
    parts["kept"] = (1 - (seen * model.projected(encoded["structure"])).sum(1)).mean()
    return parts, rendered.detach()


def judge_losses(model: Pretraining, batch: dict, rendered: Tensor, device: str):
    """Real against rendered, and the contrastive loss over both acquisitions and the rendering."""
    images = batch["image"].to(device)
    encoded = model.encode(images)
    for name, standard in model.standard.items():
        standard.see(encoded[name])
    real = model.judge(encoded["fused"])[:, 0]
    projected = model.projected(encoded["structure"])
    fake, again = model(rendered)
    parts = {
        "judge": functional.softplus(-real.float()).mean() + functional.softplus(fake.float()).mean()
    }
    anatomy = torch.arange(len(images), device=device) // 2
    rows = torch.cat([projected, again])
    parts["contrastive"] = contrastive(rows, torch.cat([anatomy, anatomy]), model.queue.clone())
    parts["clean parameters"], parts["clean body"] = told(model, encoded, batch, device)
    model.remember(projected[::2])
    return parts


# Each loss and the weight of the recipe that it counts with.
WEIGHT_OF = {
    "reconstruction": ("reconstruction", 1.0), "adversarial": ("adversarial", 1.0),
    "judge": ("adversarial", 1.0), "kept": ("contrastive", 1.0), "contrastive": ("contrastive", 1.0),
    "parameters": ("parameters", 0.5), "clean parameters": ("parameters", 0.5),
    "body": ("body", 0.5), "clean body": ("body", 0.5),
}  # fmt: skip


def weighted(parts: dict, weights: dict) -> Tensor:
    return sum(weights[WEIGHT_OF[name][0]] * WEIGHT_OF[name][1] * value for name, value in parts.items())


def train(config: dict, run: Path, batches: Batches, device: str, stop_at: int) -> None:
    torch.manual_seed(config["seed"])
    model = Pretraining(NetworkConfig()).to(device)
    model.network.to(memory_format=torch.channels_last_3d)
    rest = nn.ModuleList(child for name, child in model.named_children() if name != "network")
    optimisers = optimiser.build(model.network, rest, config["optimiser"])
    base = [[group["lr"] for group in opt.param_groups] for opt in optimisers]
    stored, step, first, seconds, timed = run / "checkpoint.pt", 0, 0, 0.0, None
    if stored.exists():
        state = checkpoint.load(stored, device)
        model.load_state_dict(state["model"])
        for opt, saved in zip(optimisers, state["optimisers"]):
            opt.load_state_dict(saved)
        step, seconds = state["step"], state["seconds"]
        first, timed = state.get("first", 0), state.get("timed")
    elif config.get("start_from"):
        # New optimiser states and other samples: the steps before count on, `steps` more are made.
        state = checkpoint.load(config["start_from"], device)
        if "model" not in state:
            raise SystemExit(f"{config['start_from']}: no checkpoint of training.pretrain")
        model.load_state_dict(state["model"])
        step = first = state["step"]
        seconds = state["seconds"]
    timed = timing.plan(config.get("minutes"), seconds, timed)
    end = first + config["steps"]
    steps = timing.left(step, end, timed)
    log = open(run / "log.jsonl", "a", buffering=1)
    start = {"kind": "start", "step": step, "time": time.time(), **config}
    log.write(json.dumps(start | ({"timed": timed} if timed else {})) + "\n")
    loader = loaded(batches, steps, config["workers"])
    totals: dict[str, list[float]] = {}
    started = time.time()
    for batch in loader:
        random = torch.Generator().manual_seed(config["seed"] * 1000003 + step)
        torch.manual_seed(config["seed"] * 7919 + step)  # dropout
        factor = rate(config, step - first, timed, seconds + time.time() - started)
        for opt, rates in zip(optimisers, base):
            for group, value in zip(opt.param_groups, rates):
                group["lr"] = value * factor
        # Two backward passes, one optimiser step: the second frees the first one's memory.
        with autocast(device):
            parts, rendered = render_losses(model, batch, random, device)
        weighted(parts, config["weights"]).backward()
        with autocast(device):
            judged = judge_losses(model, batch, rendered, device)
        weighted(judged, config["weights"]).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config["clip"])
        # A step without sound gradients would spoil the weights (training/__init__.py names one cause): none then.
        sound = bool(norm < LARGEST_GRADIENT)
        for opt in optimisers:
            if sound:
                opt.step()
            opt.zero_grad(set_to_none=True)
        step += 1
        for name, value in {**parts, **judged, "skipped": torch.tensor(float(not sound))}.items():
            totals.setdefault(name, []).append(value.item())
        spent = seconds + time.time() - started
        if step % config["log_every"] == 0:
            line = {name: round(float(np.mean(values)), 4) for name, values in totals.items()}
            line |= {"kind": "train", "step": step, "seconds": round(spent, 1), "factor": round(factor, 4)}
            log.write(json.dumps(line) + "\n")
            totals = {}
        ended = step == stop_at or (spent >= timed["end"] if timed else step == end)
        if step % config["save_every"] == 0 or ended:
            save(stored, {"model": model.state_dict(), "step": step, "seconds": spent,
                              "first": first, "timed": timed, "seed": config["seed"],
                              "optimisers": [opt.state_dict() for opt in optimisers]})  # fmt: skip
        if ended:
            break
    log.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="decay the rates to zero in this training time, then stop")
    parser.add_argument("--stop-at", type=int, default=-1)
    parser.add_argument("--set", nargs="*", default=[], help="section.key=value overrides")
    arguments = parser.parse_args()
    config = tomllib.loads(arguments.config.read_text())
    if arguments.minutes:
        config["minutes"] = arguments.minutes
    override(config, arguments.set)
    torch.set_num_threads(arguments.threads)
    run = arguments.run or runs_folder() / config["name"]
    run.mkdir(parents=True, exist_ok=True)
    prepare_body(arguments.data, arguments.cache)
    batches = Batches(config, arguments.cache, arguments.data / "labelmaps_brain" / "priors")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train(config, run, batches, device, arguments.stop_at)


if __name__ == "__main__":
    main()
