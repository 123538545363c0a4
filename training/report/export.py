"""Writes the trained report decoder as a pack, and a reference for the Rust decoder's test.

    python -m training.report.export

Reads the decoder of training.report.train, or the checkpoint that ships; writes public/packs/report.safetensors,
training/checkpoints/report.safetensors and tests/golden/report/wording.json (logits of this network with the pack's
own rounded weights, with and without maps).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save as serialise

from training import quantise
from training.pack import data_section
from training.paths import REPOSITORY
from training.report import network as shape
from training.report.facts import draw
from training.report.grammar import SECTIONS, SIDES, SIGNALS, SIZES, Grammar
from training.report.network import CHECKPOINT, PACK, STRUCTURES, Coder, Decoder, load, newest
from training.report.train import SEED, collate

GOLDEN = REPOSITORY / "tests/golden/report/wording.json"


def rounded(state: dict) -> tuple[Decoder, dict]:
    """The network with the pack's weights, and the pack's tensors."""
    grammar = Grammar()
    values = {name: value.numpy() for name, value in state.items()}
    # What maps are standardised by stays as it is.
    scale = {name: values.pop(name) for name in ("maps.mean", "maps.deviation")}
    stored = quantise.quantise_all(values) | scale
    network = Decoder(len(grammar.vocabulary), len(grammar.kinds)).eval()
    weights = quantise.dequantise_all(stored)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network, stored


def write(stored: dict, saved: dict, scores: dict, helps: bool, path: Path = PACK) -> int:
    grammar = Grammar()
    data = [{"name": "facts drawn by training.report.facts", "licence": "Apache-2.0"}]
    maps = None
    if saved["scans"]:
        name = f"{saved['scans']} synthetic scans of training.report.scans, from SynthSeg's training label maps"
        data.append({"name": name, "licence": "Apache-2.0"})
        maps = {"pack": saved["encoder"], "structures": STRUCTURES, "channels": shape.CHANNELS, "helps": helps}
    else:
        stored = {k: v for k, v in stored.items() if not k.startswith("maps.")}
    digest = hashlib.sha256(data_section(serialise(stored))).hexdigest()
    document = {
        "schema": 1,
        "title": "Report decoder",
        "version": "0.2.0",
        "vocabulary": grammar.vocabulary,
        "kinds": grammar.kinds,
        "sides": SIDES,
        "sizes": SIZES,
        "signals": SIGNALS,
        "sections": SECTIONS,
        "width": shape.WIDTH,
        "layers": shape.LAYERS,
        "heads": shape.HEADS,
        "hidden": shape.HIDDEN,
        "longest": shape.LONGEST,
        "facts": shape.FACTS,
        "maps": maps,
        "provenance": {
            "data": data,
            "steps": saved["steps"],
            "minutes": saved["minutes"],
            "seed": SEED,
            "hardware": "CPU, 1 thread",
            "note": "not the published PRISM weights",
        },
        "scores": scores,
        "sha256": digest,
    }
    content = serialise(stored, {"prism_wording": json.dumps(document, ensure_ascii=False)})
    path.write_bytes(content)
    return len(content)


def drawn_maps(network: Decoder, rng: np.random.Generator) -> np.ndarray:
    """Maps such as the training scans have, of six structures."""
    mean, deviation = network.maps.mean.numpy(), network.maps.deviation.numpy()
    maps = np.full(mean.shape, np.nan, np.float32)
    for row in rng.choice(len(maps), 6, replace=False):
        maps[row] = np.round(mean[row] + deviation[row] * rng.normal(size=mean.shape[1]), 3)
    return maps


def named(maps: np.ndarray | None, encoder: str | None) -> dict | None:
    """Maps as the program has them (core/src/report/wording/maps.rs)."""
    if maps is None:
        return None
    found = [(name, row) for name, row in zip(STRUCTURES, maps) if not np.isnan(row).any()]
    return {"pack": encoder, "structures": [(name, [round(float(v), 4) for v in row]) for name, row in found]}


def golden(network: Decoder, saved: dict) -> dict:
    """Logits after each word of one section of each kind, of some with maps: the first eight and the likeliest."""
    grammar, rng = Grammar(), random.Random(3)
    coder, cases = Coder(grammar), []
    for at, section in enumerate(SECTIONS):
        _, facts = draw(rng, section)
        seen = drawn_maps(network, np.random.default_rng(at)) if saved["scans"] and at % 3 == 0 else None
        tokens, sections, told, maps = collate([(section, facts, seen, grammar.text(rng, facts)[:30])], coder)
        with torch.no_grad():
            logits = network(tokens[:, :-1], sections, told, maps)[0]
        cases.append(
            {
                "section": section,
                "facts": [vars(fact) for fact in facts],
                "maps": named(seen, saved["encoder"]),
                "tokens": tokens[0, :-1].tolist(),
                "logits": [[round(v, 4) for v in row[:8].tolist()] for row in logits],
                "likeliest": logits.argmax(-1).tolist(),
            }
        )
    return {"cases": cases}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decoder", type=Path, default=newest())
    parser.add_argument("--scores", type=Path, default=REPOSITORY / "training/results/report.json")
    arguments = parser.parse_args()
    trained, saved = load(arguments.decoder, Grammar())
    network, stored = rounded(trained.state_dict())
    scores = json.loads(arguments.scores.read_text()) if arguments.scores.exists() else {}
    # Reports are worded with maps only by a decoder that says more with a scan's own than without any.
    recall = {way: row["recall"] for way, row in scores.get("attending", {}).items()}
    helps = bool(recall) and recall["own"] > recall["none"]
    size = write(stored, saved, scores.get("drawn", {}).get("all", {}), helps)
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(json.dumps(golden(network, saved)) + "\n")
    if arguments.decoder.resolve() != CHECKPOINT.resolve():
        shutil.copyfile(arguments.decoder, CHECKPOINT)
    print(PACK, size, "bytes;", GOLDEN)


if __name__ == "__main__":
    main()
