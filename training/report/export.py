"""Writes the trained report decoder as a pack, and a reference for the Rust decoder's test.

    python -m training.report.export

Reads the decoder of training.report.train, or the checkpoint that ships; writes public/packs/report.safetensors and
tests/golden/report/wording.json (logits of this network with the pack's own rounded weights).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from pathlib import Path

import torch
from safetensors.numpy import save as serialise

from training import quantise
from training.pack import data_section
from training.paths import REPOSITORY
from training.report import network as shape
from training.report.facts import draw
from training.report.grammar import SECTIONS, SIDES, SIGNALS, SIZES, Grammar
from training.report.network import PACK, Coder, Decoder, load, newest
from training.report.train import SEED, collate

GOLDEN = REPOSITORY / "tests/golden/report/wording.json"


def rounded(state: dict) -> tuple[Decoder, dict]:
    """The network with the pack's weights, and the pack's tensors."""
    grammar = Grammar()
    stored = quantise.quantise_all({name: value.numpy() for name, value in state.items()})
    network = Decoder(len(grammar.vocabulary), len(grammar.kinds)).eval()
    weights = quantise.dequantise_all(stored)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network, stored


def write(stored: dict, saved: dict, scores: dict, path: Path = PACK) -> int:
    grammar = Grammar()
    # No fact is known from the encoder's features alone, so the pack is used without them.
    stored = {k: v for k, v in stored.items() if not k.startswith(("features.", "branch."))}
    digest = hashlib.sha256(data_section(serialise(stored))).hexdigest()
    document = {
        "schema": 1,
        "title": "Report decoder",
        "version": "0.1.0",
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
        "provenance": {
            "data": [{"name": "facts drawn by training.report.facts", "licence": "Apache-2.0"}],
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


def golden(network: Decoder) -> dict:
    """Logits after each word of one section of each kind: the first eight and the likeliest."""
    grammar, rng = Grammar(), random.Random(3)
    coder, cases = Coder(grammar), []
    for section in SECTIONS:
        _, facts = draw(rng, section)
        tokens, sections, told, features = collate(
            [(section, facts, None, grammar.text(rng, facts)[:30])], coder
        )
        with torch.no_grad():
            logits = network(tokens[:, :-1], sections, told, features)[0]
        cases.append(
            {
                "section": section,
                "facts": [vars(fact) for fact in facts],
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
    trained, saved, _ = load(arguments.decoder, Grammar())
    network, stored = rounded(trained.state_dict())
    scores = json.loads(arguments.scores.read_text()) if arguments.scores.exists() else {}
    size = write(stored, saved, scores.get("drawn", {}).get("all", {}))
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(json.dumps(golden(network)) + "\n")
    print(PACK, size, "bytes;", GOLDEN)


if __name__ == "__main__":
    main()
