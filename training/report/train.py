"""Trains the report decoder on scans with known findings and on drawn facts; training.report.export makes the pack.

    python -m training.report.train --minutes 20 [--scans FOLDER]

Minutes are those of one core at work, so that a busy machine takes longer and does not learn less. FOLDER holds the scans of training.report.scans: of them come SEEN of the samples, the facts that were measured in one
section with the maps of the same scan, and without the maps in a part of them. A painted focus is told like a marked
one in a part of the samples; where the scan's maps are there, the text says it also when no fact does, since the maps
may show it. The other samples are facts drawn at random, without maps. Without any scans all are.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from training.paths import cache_folder
from training.report.facts import draw
from training.report.grammar import SECTIONS, Fact, Grammar
from training.report.network import CHANNELS, FACTS, LONGEST, STRUCTURES, Coder, Decoder, save
from training.report.scans import Scan, folder, read_all

# Shares: of scans among the samples, of those with their maps, of painted foci that are told.
SEEN, WITH_MAPS, TOLD = 0.5, 0.75, 0.6
BATCH, POOL = 48, 16
SEED = 9


def scale(scans: list[Scan]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each structure's maps over the scans."""
    maps = np.stack([scan.maps for scan in scans]).astype(np.float64)
    there = ~np.isnan(maps)
    count = np.maximum(there.sum(0), 1)
    mean = np.where(there, maps, 0).sum(0) / count
    deviation = np.sqrt((np.where(there, maps - mean, 0) ** 2).sum(0) / count)
    # A structure that was seen once has no deviation.
    return tuple(torch.from_numpy(v).float() for v in (mean, np.where(deviation > 1e-3, deviation, 1)))


def with_foci(facts: list[Fact], foci: list[Fact], section: str) -> list[Fact]:
    """The facts with foci where the program tells them: after their structure, in the impression at the end."""
    if section == "impression":
        return [*facts, *foci]
    told = list(facts)
    for focus in foci:
        here = [i for i, fact in enumerate(told) if fact.name == focus.name and fact.side in ("", focus.side)]
        told.insert(here[-1] + 1 if here else len(told), focus)
    return told


def of_scan(rng: random.Random, scan: Scan, section: str, with_maps: bool, share: float = TOLD):
    """Facts that are told and facts that the text says of a scan's section; `share` of the foci are told.

    The impression names the two largest foci, as the program does.
    """
    foci = [focus for where, focus in scan.foci if section in (where, "impression")]
    foci = foci[:2] if section == "impression" else foci
    told = [focus for focus in foci if rng.random() < share]
    # Measures of quality were not taken.
    rest = draw(rng, "impression")[1][-1:] if section == "impression" else []
    rest = [fact for fact in rest if fact.kind == "overall"]
    facts = scan.measured[section]
    said = foci if with_maps else told
    return tuple([*with_foci(facts, some, section), *rest] for some in (told, said))


def sample(rng: random.Random, grammar: Grammar, scans: list[Scan] = (), section: str | None = None):
    """(section, facts told, maps or None, tokens)."""
    while True:
        maps = None
        if scans and section != "image_quality" and rng.random() < SEEN:
            scan, with_maps = rng.choice(scans), rng.random() < WITH_MAPS
            section_ = section or rng.choice(sorted(scan.measured))
            told, said = of_scan(rng, scan, section_, with_maps)
            maps = scan.maps if with_maps else None
        else:
            section_, told = draw(rng, section)
            said = told
        tokens = grammar.text(rng, said)
        if len(tokens) < LONGEST and len(told) <= FACTS:
            return section_, told, maps, tokens


def collate(samples, coder: Coder):
    longest = max(len(tokens) for *_, tokens in samples) + 1
    most = max(len(facts) for _, facts, *_ in samples)
    tokens = torch.zeros(len(samples), longest + 1, dtype=torch.long)
    facts = torch.full((len(samples), most, 5), -1)
    maps = torch.full((len(samples), len(STRUCTURES), CHANNELS), float("nan"))
    for i, (_, told, seen, words) in enumerate(samples):
        line = ["<begin>", *words, "<end>"]
        tokens[i, : len(line)] = torch.tensor([coder.token[word] for word in line])
        if told:
            facts[i, : len(told)] = torch.tensor([coder.fact(fact) for fact in told])
        if seen is not None:
            maps[i] = torch.from_numpy(seen)
    section = torch.tensor([SECTIONS.index(s) for s, *_ in samples])
    return tokens, section, facts, maps


def loss_of(network: Decoder, batch) -> torch.Tensor:
    tokens, section, facts, maps = batch
    logits = network(tokens[:, :-1], section, facts, maps)
    return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--steps", type=int, help="stop after so many steps, to try it")
    parser.add_argument("--scans", type=Path, default=folder(held_out=False))
    parser.add_argument("--out", type=Path, default=cache_folder() / "report")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    grammar = Grammar()
    coder = Coder(grammar)
    scans = read_all(arguments.scans)
    network = Decoder(len(grammar.vocabulary), len(grammar.kinds))
    if scans:
        network.maps.mean, network.maps.deviation = scale(scans)
    print(sum(p.numel() for p in network.parameters()), "parameters,", len(scans), "scans", flush=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01, betas=(0.9, 0.98))
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = (arguments.out / "train.jsonl").open("w")
    begin, step, smooth = time.process_time(), 0, None
    while (share := (time.process_time() - begin) / (60 * arguments.minutes)) < 1:
        # Alike lengths together: padding is not computed for nothing.
        pool = [sample(rng, grammar, scans) for _ in range(BATCH * POOL)]
        pool.sort(key=lambda s: len(s[3]))
        batches = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        rng.shuffle(batches)
        for samples in batches:
            share = min(1.0, (time.process_time() - begin) / (60 * arguments.minutes))
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
            if step == arguments.steps:
                break
            if step % 20 == 0:
                line = {"step": step, "loss": round(smooth, 4), "minutes": round(share * arguments.minutes, 2)}
                print(json.dumps(line), file=log, flush=True)
        facts = {"steps": step, "minutes": arguments.minutes, "scans": len(scans)}
        facts["encoder"] = scans[0].pack if scans else None
        save(arguments.out / "decoder.safetensors", network, facts)
        if step == arguments.steps:
            break


if __name__ == "__main__":
    main()
