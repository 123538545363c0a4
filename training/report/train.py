"""Trains the report decoder on drawn facts; training.report.export makes the pack.

    python -m training.report.train --minutes 20 [--features FOLDER]

FOLDER holds safetensors of `prism encode`, one a scan (NAME_T1w..., _T2..., _FLAIR...): their pooled
features go with a part of the samples; without any the decoder is trained on facts alone. In half of the technique sections that say the weighting, no
fact says it, so that only the features can. Scans of HELD_OUT are kept for training.report.score.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from torch.nn import functional

from training.paths import cache_folder
from training.report.facts import draw
from training.report.grammar import SECTIONS, Grammar
from training.report.network import FACTS, FEATURES, LONGEST, Coder, Decoder, save

HELD_OUT = ("kirby113", "patient19", "1017", "sub-06")
BATCH, POOL = 48, 16
SEED = 9


def weighting(stem: str) -> str:
    lower = stem.lower()
    if "flair" in lower or "t2f" in lower:
        return "FLAIR"
    return "T2w" if "t2" in lower else "T1w"


class Features:
    """Pooled vectors of real scans, standardised over those of training."""

    def __init__(self, folder: Path, held_out: bool, scale=None, only=None) -> None:
        self.scans: dict[str, list[np.ndarray]] = {}
        for path in sorted(folder.glob("*.safetensors")):
            if any(path.stem.startswith(name) for name in HELD_OUT) != held_out:
                continue
            if only and path.stem != only:
                continue
            maps = load_file(path)
            vectors = np.zeros((2, FEATURES), np.float32)
            for row, branch in zip(vectors, ("structure", "sequence")):
                row[: len(maps[f"pooled.{branch}"])] = maps[f"pooled.{branch}"]
            self.scans.setdefault(weighting(path.stem), []).append(vectors)
        if scale is None and not self.scans:
            scale = (None, None)
        elif scale is None:
            everything = np.stack([v for vectors in self.scans.values() for v in vectors])
            scale = everything.mean(0), everything.std(0) + 1e-3
        self.mean, self.std = scale

    def draw(self, rng: random.Random, name: str, noise: float = 0.3) -> np.ndarray:
        """A scan's vectors, with a little noise: there are few scans."""
        vectors = (rng.choice(self.scans[name]) - self.mean) / self.std
        added = np.random.default_rng(rng.getrandbits(32)).normal(0, noise, vectors.shape)
        return np.clip(vectors + added, -5, 5).astype(np.float32)


def sample(rng: random.Random, grammar: Grammar, features: Features | None, section=None):
    """(section, facts told, features or None, tokens)."""
    while True:
        section_, facts = draw(rng, section)
        tokens = grammar.text(rng, facts)
        if len(tokens) < LONGEST and len(facts) <= FACTS:
            break
    said = [fact.name for fact in facts if fact.kind == "weighting"]
    vectors, told = None, facts
    name = said[0] if said else rng.choice(("T1w", "T2w", "FLAIR"))
    if features and name in features.scans and rng.random() < 0.7:
        vectors = features.draw(rng, name)
        if rng.random() < 0.5:
            told = [fact for fact in facts if fact.kind != "weighting"]
    return section_, told, vectors, tokens


def collate(samples, coder: Coder):
    longest = max(len(tokens) for *_, tokens in samples) + 1
    most = max(len(facts) for _, facts, *_ in samples)
    tokens = torch.zeros(len(samples), longest + 1, dtype=torch.long)
    facts = torch.full((len(samples), most, 5), -1)
    features = torch.full((len(samples), 2, FEATURES), float("nan"))
    for i, (_, told, vectors, words) in enumerate(samples):
        line = ["<begin>", *words, "<end>"]
        tokens[i, : len(line)] = torch.tensor([coder.token[word] for word in line])
        if told:
            facts[i, : len(told)] = torch.tensor([coder.fact(fact) for fact in told])
        if vectors is not None:
            features[i] = torch.from_numpy(vectors)
    section = torch.tensor([SECTIONS.index(s) for s, *_ in samples])
    return tokens, section, facts, features


def loss_of(network: Decoder, batch) -> torch.Tensor:
    tokens, section, facts, features = batch
    logits = network(tokens[:, :-1], section, facts, features)
    return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--features", type=Path, default=cache_folder() / "report/features")
    parser.add_argument("--out", type=Path, default=cache_folder() / "report")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    grammar = Grammar()
    coder = Coder(grammar)
    features = Features(arguments.features, held_out=False)
    network = Decoder(len(grammar.vocabulary), len(grammar.kinds))
    print(sum(p.numel() for p in network.parameters()), "parameters", flush=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01, betas=(0.9, 0.98))
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = (arguments.out / "train.jsonl").open("w")
    begin, step, smooth = time.monotonic(), 0, None
    while (share := (time.monotonic() - begin) / (60 * arguments.minutes)) < 1:
        # Alike lengths together: padding is not computed for nothing.
        pool = [sample(rng, grammar, features) for _ in range(BATCH * POOL)]
        pool.sort(key=lambda s: len(s[3]))
        batches = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        rng.shuffle(batches)
        for samples in batches:
            share = min(1.0, (time.monotonic() - begin) / (60 * arguments.minutes))
            rate = 3e-3 * min(1, (step + 1) / 60) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * share)))
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = loss_of(network, collate(samples, coder))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            step += 1
            smooth = loss.item() if smooth is None else 0.95 * smooth + 0.05 * loss.item()
            if step % 20 == 0:
                line = {"step": step, "loss": round(smooth, 4), "minutes": round(share * arguments.minutes, 2)}
                print(json.dumps(line), file=log, flush=True)
        scale = (features.mean, features.std) if features.scans else None
        facts = {"steps": step, "minutes": arguments.minutes}
        save(arguments.out / "decoder.safetensors", network, facts, scale)


if __name__ == "__main__":
    main()
