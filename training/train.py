"""Trains a pack's network (the brain's on synthetic scans, others on labelled ones); resumes exactly.

    python -m training.train training/configs/brain2mm.toml

Samples and dropout depend on (seed, step) only, so a checkpoint holds the weights, their moving average,
the optimisers' states, the step, and with --minutes the plan of the rates. The averaged weights with the best
development score are kept beside it (best.pt). One JSON line per log interval and per development score goes to the
run's log.jsonl.
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
from torch import Tensor, nn

from training import checkpoint, labelled, losses, optimiser, timing
from training.development import Development
from training.lesions import loss as lesion_loss
from training.lesions import samples as lesions
from training.lesions.development import Development as LesionDevelopment
from training.lesions.fused import decode
from training.labels import CLASSES, CONTRASTS
from training.model import HeadConfig, Network, NetworkConfig
from training.paths import cache_folder, data_folder, runs_folder
from training.precision import autocast
from training.synth import BY_PACK, PREDICTED, SPACING, Brain, Plan, predicted_folder, source_of, synthesise
from training.timing import LAST_STEP


def interpolate(points: list, progress: float) -> np.ndarray:
    """Piecewise linear in progress (0..1); `points` are [progress, values]."""
    xs = [point[0] for point in points]
    ys = np.array([point[1] for point in points], dtype=float)
    return np.array([np.interp(progress, xs, ys[:, i]) for i in range(ys.shape[1])])


class Samples(torch.utils.data.Dataset):
    """Synthetic samples, config["batch"] a step; the plan (crop, contrasts) follows the curriculum by step."""

    def __init__(self, config: dict, cache: Path, priors: Path):
        self.config, self.cache, self.priors = config, cache, priors
        self.brain = None

    def plan(self, index: int) -> Plan:
        step = index // self.config.get("batch", 1)
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
            tuple(size), tuple(shares), strength, real.get("real", 0.0), real.get("predicted", 0.0),
            self.config.get("spacing", SPACING),
        )  # fmt: skip

    def __getitem__(self, index: int) -> dict:
        if self.brain is None:
            torch.set_num_threads(1)
            self.brain = Brain(self.cache, self.priors, PREDICTED[:1])
        return synthesise(self.brain, self.config["seed"], index, self.plan(index))

    def __len__(self) -> int:
        return LAST_STEP


class Batches(torch.utils.data.Dataset):
    """Lists of `batch` samples by step."""

    def __init__(self, samples: torch.utils.data.Dataset, batch: int):
        self.samples, self.batch = samples, batch

    def __getitem__(self, step: int) -> list[dict]:
        return [self.samples[step * self.batch + i] for i in range(self.batch)]

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
    development = Development(cache, config.get("spacing", SPACING))
    return brain_network(), Samples(config, cache, priors), development


def anatomies(config: dict, cache: Path) -> dict:
    """Of which labels of real heads the samples are made, for the start line of the log; {} of none."""
    if config.get("task") == "lesions":
        return source_of(predicted_folder(cache, lesions.PREDICTED))
    if not any(config.get("self_training", {}).values()):
        return {}
    found = source_of(predicted_folder(cache, PREDICTED[:1]))
    if found.get("step") == BY_PACK:
        raise SystemExit("the labels of the real heads are the pack's, certain where it is wrong: run training.self_training")
    return found


def schedule(config: dict, step: int, timed: dict | None = None, spent: float = 0.0) -> float:
    """Warm-up, constant, then linear decay to 2 % over the last `decay` share of the steps.

    With `timed` (training.timing.plan) the decay runs over its time instead, `spent` training seconds having gone:
    on a shared machine the number of steps that fit is not known before.
    """
    settings = config["optimiser"]
    warm = min(1.0, (step + 1) / settings["warmup"])
    left = (config["steps"] - step) / max(1.0, config["steps"] * settings["decay"])
    if timed:
        left = 1 - timing.gone(timed, spent)
    return warm * max(0.02, min(1.0, left))


def rows(x: torch.Tensor) -> torch.Tensor:
    """[1, channels, x, y, z] -> [voxels, channels]; a view for channels-last memory."""
    return x.permute(0, 2, 3, 4, 1).reshape(-1, x.shape[1])


def decode_all(network: Network, images: list[Tensor]) -> list[tuple[list[Tensor], dict]]:
    """The decoder's levels and the first sequence's features of every sample [sequences, x, y, z].

    Samples of one sequence and one size go through the network together.
    """
    if len(images) == 1 or any(image.shape != images[0].shape or len(image) > 1 for image in images):
        return [decode(network, image) for image in images]
    features = network.features(torch.stack(images))
    decoded = network.decoder(features["fused"], features["maps"])
    return [
        ([level[i : i + 1] for level in decoded],
         {"vectors": {name: rows[i : i + 1] for name, rows in features["vectors"].items()}})
        for i in range(len(images))
    ]  # fmt: skip


def training_loss(network, auxiliary, batch: list[dict], config: dict, generator, device: str):
    """Mean loss of the samples, and its parts (of those samples that have them)."""
    with autocast(device, config.get("bf16", True)):
        decoded = decode_all(network, [sample["image"].to(device) for sample in batch])
    loss, parts = 0.0, {}
    for sample, one in zip(batch, decoded):
        own, told = sample_loss(network, auxiliary, sample, *one, config, generator, device)
        loss = loss + own / len(batch)
        for name, value in told.items():
            parts.setdefault(name, []).append(value)
    return loss, {name: float(np.mean(values)) for name, values in parts.items()}


def sample_loss(network, auxiliary, batch: dict, decoded, features: dict, config: dict, generator, device: str):
    """Loss and its parts for one sample: [sequences, x, y, z], one sequence but for the lesions."""
    with autocast(device, config.get("bf16", True)):
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
    state = checkpoint.load(source, device)
    steps, seconds = (state["before"][name] + state[own] for name, own in (("steps", "step"), ("seconds", "seconds")))
    if "model" in state:
        own = {n.removeprefix("network."): v for n, v in state["model"].items() if n.startswith("network.")}
        return own, None, steps, seconds
    return state["average"], state.get("auxiliary"), steps, seconds


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


def compiled(network: Network, sides: list, device: str) -> bool:
    """Compiles the network's parts in place where `device` is CUDA; says so where it cannot. `sides`: of a first crop."""
    if not device.startswith("cuda"):
        return False
    parts = (network.encoder, network.disentangle, network.decoder)
    try:
        for part in parts:
            part.compile(dynamic=False)
        with autocast(device):
            levels, _ = decode(network, torch.zeros(1, *sides, device=device))
            levels[0].float().mean().backward()
    except Exception as error:  # noqa: BLE001 the compiler raises whatever its back end does
        print(f"torch.compile failed, the network runs uncompiled: {str(error).splitlines()[:1]}", flush=True)
        for part in parts:
            part._compiled_call_impl = None
    network.zero_grad(set_to_none=True)
    return parts[0]._compiled_call_impl is not None


def loaded(batches: torch.utils.data.Dataset, steps: range, workers: int) -> torch.utils.data.DataLoader:
    """The batches of `steps` in order, made by `workers` processes (0: by this one)."""
    ahead = {"prefetch_factor": 4} if workers else {}
    return torch.utils.data.DataLoader(batches, batch_size=None, sampler=steps, num_workers=workers, **ahead)


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
    stored = run / "checkpoint.pt"
    step, seconds, best, timed = 0, 0.0, 0.0, None
    before = dict(checkpoint.NONE_BEFORE)
    if stored.exists():
        state = checkpoint.load(stored, device)
        network.load_state_dict(state["network"])
        auxiliary.load_state_dict(state["auxiliary"])
        average.load_state_dict(state["average"])
        for opt, saved in zip(optimisers, state["optimisers"]):
            opt.load_state_dict(saved)
        step, seconds, best = state["step"], state["seconds"], state.get("best", 0.0)
        before, timed = state["before"], state.get("timed")
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
    if config.get("auxiliary_at_zero") and not stored.exists():
        for value in auxiliary.parameters():
            nn.init.zeros_(value)
    if config.get("frozen"):
        # Decoder and heads learn; what they read stays as it was.
        network.encoder.requires_grad_(False)
        network.disentangle.requires_grad_(False)
    timed = timing.plan(config.get("minutes"), seconds, timed)
    steps = timing.left(step, config["steps"], timed)
    if config.get("compile", True):
        first = config.get("curriculum", config).get("sizes") or [config.get("size", [64, 64, 64])]
        compiled(network, first[0], device)
    log = open(run / "log.jsonl", "a", buffering=1)
    start = {"kind": "start", "step": step, "time": time.time(), **config}
    start |= {"device": torch.cuda.get_device_name() if device == "cuda" else device}
    start |= {"timed": timed} if timed else {}
    start |= {"anatomies": source} if (source := anatomies(config, cache)) else {}
    log.write(json.dumps(start) + "\n")
    loader = loaded(Batches(samples, config.get("batch", 1)), steps, config.get("workers", 1))
    totals: dict[str, list[float]] = {}
    started = time.time()
    waited, mark = 0.0, time.time()
    pairs = list(zip(average.parameters(), network.parameters()))
    for batch in loader:
        waited += time.time() - mark
        factor = schedule(config, step, timed, seconds + time.time() - started)
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
        ended = step == stop_at or (total_seconds >= timed["end"] if timed else step == config["steps"])
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
            save(stored, {
                "network": network.state_dict(), "auxiliary": auxiliary.state_dict(),
                "average": average.state_dict(), "optimisers": [o.state_dict() for o in optimisers],
                "step": step, "seconds": total_seconds, "before": before, "best": best, "timed": timed,
            })  # fmt: skip
        if ended:
            break
        mark = time.time()
    log.close()


def override(config: dict, items: list[str]) -> None:
    """Sets values of a config, in place: "key=value" or "section.key=value", the values as TOML has them."""
    for item in items:
        name, given, value = item.partition("=")
        place = config
        *sections, key = name.split(".")
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not given or not isinstance(place, dict):
            raise SystemExit(f"--set {item}: write section.key=value, with a section of the config")
        try:
            place[key] = tomllib.loads(f"v={value}")["v"]
        except tomllib.TOMLDecodeError:
            raise SystemExit(f"--set {item}: the value is no TOML; text needs quotes inside: 'key=\"text\"'") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path, help="folder of checkpoint and log")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, help="change the planned number of steps")
    parser.add_argument("--minutes", type=float, help="decay the rates to zero in this training time, then stop")
    parser.add_argument("--stop-at", type=int, default=-1)
    parser.add_argument("--set", nargs="*", default=[], help="section.key=value overrides")
    arguments = parser.parse_args()
    config = {"dice_weight": 1.0, **tomllib.loads(arguments.config.read_text())}
    if arguments.steps:
        config["steps"] = arguments.steps
    if arguments.minutes:
        config["minutes"] = arguments.minutes
    override(config, arguments.set)
    torch.set_num_threads(arguments.threads)
    run = arguments.run or runs_folder() / config["name"]
    run.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train(config, run, arguments.cache, arguments.data, device, arguments.stop_at)


if __name__ == "__main__":
    main()
