"""Trains a pack's network (the brain's on synthetic scans, others on labelled ones); resumes exactly.

    python -m training.train training/configs/brain2mm.toml

Samples and dropout depend on (seed, step) only, so a checkpoint holds the weights, their moving average,
the optimisers' states and the step. The averaged weights with the best development score are kept beside
it (best.pt). One JSON line per log interval and per development score goes to the run's log.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from safetensors import safe_open
from torch import nn

from training import labelled, losses, optimiser
from training.development import Development
from training.lesions import loss as lesion_loss
from training.lesions import samples as lesions
from training.lesions.development import Development as LesionDevelopment
from training.lesions.fused import decode
from training.labels import CLASSES, CONTRASTS
from training.model import HeadConfig, Network, NetworkConfig
from training.paths import cache_folder, data_folder, runs_folder
from training.precision import autocast
from training.synth import Brain, Plan, synthesise


def interpolate(points: list, progress: float) -> np.ndarray:
    """Piecewise linear in progress (0..1); `points` are [progress, values]."""
    xs = [point[0] for point in points]
    ys = np.array([point[1] for point in points], dtype=float)
    return np.array([np.interp(progress, xs, ys[:, i]) for i in range(ys.shape[1])])


LAST_STEP = 10_000_000


class Samples(torch.utils.data.Dataset):
    """Synthetic samples by step; the plan (crop, contrasts) follows the curriculum."""

    def __init__(self, config: dict, cache: Path, priors: Path):
        self.config, self.cache, self.priors = config, cache, priors
        self.brain = None

    def plan(self, step: int) -> Plan:
        curriculum = self.config["curriculum"]
        progress = step / self.config["steps"]
        sizes = curriculum["sizes"]
        odds = interpolate(curriculum["size_shares"], progress)
        rng = np.random.default_rng([self.config["seed"], step, 7])
        size = sizes[int(rng.choice(len(sizes), p=odds / odds.sum()))]
        shares = interpolate(curriculum["contrast_shares"], progress)
        strength = min(1.0, 0.3 + progress / max(curriculum["full_strength_at"], 1e-6) * 0.7)
        real = self.config.get("self_training", {})
        return Plan(
            tuple(size), tuple(shares), strength, real.get("real", 0.0), real.get("predicted", 0.0)
        )

    def __getitem__(self, step: int) -> dict:
        if self.brain is None:
            torch.set_num_threads(1)
            self.brain = Brain(self.cache, self.priors)
        return synthesise(self.brain, self.config["seed"], step, self.plan(step))

    def __len__(self) -> int:
        return LAST_STEP


def brain_network() -> NetworkConfig:
    return NetworkConfig(
        heads=(
            HeadConfig("segmentation", "segmentation", classes=CLASSES),
            HeadConfig("classification", "contrast", outputs=CONTRASTS, input="sequence"),
        )
    )


class Auxiliary(nn.Module):
    """Deep supervision: 1x1x1 heads on the decoder's half and quarter levels (not in the pack)."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        classes = next(head.classes for head in config.heads if head.kind == "segmentation")
        self.level1 = nn.Linear(config.channels[1], classes)
        self.level2 = nn.Linear(config.channels[2], classes)


def task_of(config: dict, cache: Path, data: Path):
    """Network, samples and development score of the config's task ("brain" if it names none)."""
    if config.get("task") == "lesions":
        return (
            lesions.network(),
            lesions.Samples(config, cache, data, LAST_STEP),
            LesionDevelopment(config, cache, data),
        )
    if config.get("task") == "labelled":
        return (
            labelled.network(config),
            labelled.Samples(config, data, LAST_STEP),
            labelled.Development(config, data),
        )
    priors = data / "labelmaps_brain" / "priors"
    return brain_network(), Samples(config, cache, priors), Development(cache)


def schedule(config: dict, step: int, started: float) -> float:
    """Warm-up, constant, then linear decay to 2 % over the last `decay` share of the steps.

    With `until` (a time) the decay runs from the start of this process to that time instead: on a
    shared machine the number of steps that fit is not known before.
    """
    settings = config["optimiser"]
    warm = min(1.0, (step + 1) / settings["warmup"])
    left = (config["steps"] - step) / max(1.0, config["steps"] * settings["decay"])
    if "until" in config:
        left = (config["until"] - time.time()) / max(1.0, config["until"] - started)
    return warm * max(0.02, min(1.0, left))


def rows(x: torch.Tensor) -> torch.Tensor:
    """[1, channels, x, y, z] -> [voxels, channels]; a view for channels-last memory."""
    return x.permute(0, 2, 3, 4, 1).reshape(-1, x.shape[1])


def training_loss(network, auxiliary, batch: dict, config: dict, generator, device: str):
    """Loss and its parts for one sample: [sequences, x, y, z], one sequence but for the lesions."""
    image = batch["image"].to(device)
    with autocast(device, config.get("bf16", True)):
        decoded, features = decode(network, image)
        target = batch["target"].reshape(-1).to(device)
        index, weight = losses.select(target, config["background_share"], generator)
        head = network.heads["segmentation"]
        logits = functional.linear(rows(decoded[0])[index], head.weight.flatten(1), head.bias)
        half = auxiliary.level1(rows(decoded[1]))
        quarter = auxiliary.level2(rows(decoded[2]))
    weight = weight.to(device)
    if "certainty" in batch:
        weight = weight * batch["certainty"].reshape(-1).to(device)[index]
    measure = losses.dice_cross_entropy
    if "emphasis" in config:
        measure = partial(lesion_loss.dice_cross_entropy, emphasis=config["emphasis"])
    dice, entropy = measure(logits, target[index], weight)
    loss = config["dice_weight"] * dice + entropy
    for share, values, name in ((0.3, half, "target_half"), (0.15, quarter, "target_quarter")):
        small = batch[name].reshape(-1).to(device)
        sure = batch.get(name.replace("target", "certainty"), torch.ones(small.numel()))
        small_dice, small_entropy = measure(
            values, small, sure.reshape(-1).to(device)
        )
        loss = loss + share * (config["dice_weight"] * small_dice + small_entropy)
    parts = {"dice": dice.item(), "entropy": entropy.item()}
    if "contrast" in batch:
        contrast = functional.cross_entropy(
            network.heads["contrast"](features["vectors"]["sequence"]).float(),
            batch["contrast"].reshape(1).to(device),
        )
        # Every real scan is T1w: at full weight "real" would come to mean T1w.
        loss = loss + config["contrast_weight"] * contrast * (0.25 if batch["real"] else 1.0)
        parts["contrast"] = contrast.item()
    return loss, parts


def save(path: Path, state: dict) -> None:
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    os.replace(temporary, path)


def earlier(source: str, device: str) -> tuple[dict, dict | None, int, float]:
    """Averaged weights, auxiliary heads, steps and seconds of an earlier run.

    Of its checkpoint, or of its float16 export (training.export --half), of which older ones have no auxiliary
    heads; or of the pretraining's, which have neither decoder nor heads.
    """
    pretrained = lambda weights: {  # noqa: E731
        name.removeprefix("network."): value for name, value in weights.items() if name.startswith("network.")
    }
    if source.endswith(".pt"):
        state = torch.load(source, map_location=device, weights_only=True)
        if "average" not in state:
            return pretrained(state["model"]), None, state["step"], state["seconds"]
        before, spent = state.get("before", {"steps": 0, "seconds": 0.0}).values()
        steps, seconds = before + state["step"], spent + state["seconds"]
        return state["average"], state.get("auxiliary"), steps, seconds
    with safe_open(source, "pt", device=device) as file:
        about = file.metadata()
        weights = {name: file.get_tensor(name).float() for name in file.keys()}
    if own := pretrained(weights):
        return own, None, int(about["step"]), float(about["seconds"])
    extra = {name: weights.pop(name) for name in list(weights) if name.startswith("auxiliary.")}
    extra = {name.removeprefix("auxiliary."): value for name, value in extra.items()} or None
    return weights, extra, int(about["step"]), float(about["seconds"])


def load_matching(network: Network, weights: dict) -> None:
    """Loads what has the same shape; only heads may differ (another task, another pooled feature).

    The decoder stays as it is where the weights have none.
    """
    own = network.state_dict()
    fits = {n: v for n, v in weights.items() if n in own and own[n].shape == v.shape}
    free = ["heads."] if any(n.startswith("decoder.") for n in weights) else ["heads.", "decoder."]
    missing = [n for n in own if n not in fits and not n.startswith(tuple(free))]
    if missing:
        raise ValueError(f"weights do not fit the network: {missing[0]} is missing or has another shape")
    network.load_state_dict(fits, strict=False)


def train(config: dict, run: Path, cache: Path, data: Path, device: str, stop_at: int) -> None:
    torch.manual_seed(config["seed"])
    described, samples, development = task_of(config, cache, data)
    network = Network(described)
    auxiliary = Auxiliary(described)
    network = network.to(device, memory_format=torch.channels_last_3d)
    auxiliary = auxiliary.to(device)
    average = Network(described).to(device, memory_format=torch.channels_last_3d)
    average.load_state_dict(network.state_dict())
    optimisers = optimiser.build(network, auxiliary, config["optimiser"])
    base = [[group["lr"] for group in opt.param_groups] for opt in optimisers]
    checkpoint = run / "checkpoint.pt"
    step, seconds, best = 0, 0.0, 0.0
    before = {"steps": 0, "seconds": 0.0}
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        auxiliary.load_state_dict(state["auxiliary"])
        average.load_state_dict(state["average"])
        for opt, saved in zip(optimisers, state["optimisers"]):
            opt.load_state_dict(saved)
        step, seconds, best = state["step"], state["seconds"], state.get("best", 0.0)
        before = state.get("before", before)
    elif config.get("start_from"):
        # New optimiser states: the rates begin again.
        weights, extra, before["steps"], before["seconds"] = earlier(config["start_from"], device)
        load_matching(network, weights)
        if config.get("heads_at_zero"):
            # A random head on trained features is wrong with conviction; it would spend steps on unlearning.
            for layer in (*network.heads.children(), *auxiliary.children()):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
        if extra is not None and all(extra[n].shape == v.shape for n, v in auxiliary.state_dict().items()):
            auxiliary.load_state_dict(extra)
        else:
            # Random ones would pull trained features away before they have learnt anything themselves.
            for value in auxiliary.parameters():
                nn.init.zeros_(value)
        average.load_state_dict(network.state_dict())
    if config.get("frozen"):
        # Decoder and heads learn; what they read stays as it was.
        network.encoder.requires_grad_(False)
        network.disentangle.requires_grad_(False)
    log = open(run / "log.jsonl", "a", buffering=1)
    log.write(json.dumps({"kind": "start", "step": step, "time": time.time(), **config}) + "\n")
    loader = torch.utils.data.DataLoader(
        samples,
        batch_size=None,
        sampler=range(step, LAST_STEP if "until" in config else config["steps"]),
        num_workers=config.get("workers", 1),
        prefetch_factor=4,
    )
    totals: dict[str, list[float]] = {}
    started = time.time()
    waited, mark = 0.0, time.time()
    pairs = list(zip(average.parameters(), network.parameters()))
    for batch in loader:
        waited += time.time() - mark
        factor = schedule(config, step, started)
        for opt, rates in zip(optimisers, base):
            for group, rate in zip(opt.param_groups, rates):
                group["lr"] = rate * factor
        generator = torch.Generator().manual_seed(config["seed"] * 1000003 + step)
        torch.manual_seed(config["seed"] * 7919 + step)  # dropout
        loss, parts = training_loss(network, auxiliary, batch, config, generator, device)
        loss.backward()
        for opt in optimisers:
            opt.step()
            opt.zero_grad(set_to_none=True)
        step += 1
        keep = min(config["average"], (1 + step) / (10 + step))
        torch._foreach_lerp_(
            [a.data for a, _ in pairs], [b.data for _, b in pairs], 1 - keep
        )
        for name, value in {"loss": loss.item(), **parts}.items():
            totals.setdefault(name, []).append(value)
        total_seconds = seconds + time.time() - started
        if step % config["log_every"] == 0:
            line = {name: round(float(np.mean(v)), 4) for name, v in totals.items()}
            line |= {"kind": "train", "step": step, "seconds": round(total_seconds, 1)}
            line |= {"waited": round(waited, 1), "factor": round(factor, 4)}
            log.write(json.dumps(line) + "\n")
            totals, waited = {}, 0.0
        if "until" in config:
            ended = time.time() >= config["until"] or step == stop_at
        else:
            ended = step in (config["steps"], stop_at)
        if step % config["score_every"] == 0 or ended:
            score = development.score(average, device)
            line = {"kind": "development", "step": step, "seconds": round(total_seconds, 1), **score}
            log.write(json.dumps(line) + "\n")
            if score["mean"] > best:
                best = score["mean"]
                save(run / "best.pt", {
                    "average": average.state_dict(), "step": step, "seconds": total_seconds,
                    "before": before, "development": score,
                })  # fmt: skip
        if step % config["save_every"] == 0 or ended:
            save(checkpoint, {
                "network": network.state_dict(), "auxiliary": auxiliary.state_dict(),
                "average": average.state_dict(), "optimisers": [o.state_dict() for o in optimisers],
                "step": step, "seconds": total_seconds, "before": before, "best": best,
            })  # fmt: skip
        if ended:
            break
        mark = time.time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path, help="folder of checkpoint and log")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, help="change the planned number of steps")
    parser.add_argument("--minutes", type=float, help="decay the rates to zero in this time, then stop")
    parser.add_argument("--stop-at", type=int, default=-1)
    parser.add_argument("--set", nargs="*", default=[], help="section.key=value overrides")
    arguments = parser.parse_args()
    config = {"dice_weight": 1.0, **tomllib.loads(arguments.config.read_text())}
    if arguments.steps:
        config["steps"] = arguments.steps
    if arguments.minutes:
        config["until"] = time.time() + 60 * arguments.minutes
    for item in arguments.set:
        name, value = item.split("=", 1)
        place = config
        *sections, key = name.split(".")
        for section in sections:
            place = place[section]
        place[key] = tomllib.loads(f"v={value}")["v"]
    torch.set_num_threads(arguments.threads)
    run = arguments.run or runs_folder() / config["name"]
    run.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train(config, run, arguments.cache, arguments.data, device, arguments.stop_at)


if __name__ == "__main__":
    main()
