"""Reads and writes packs: safetensors with one JSON document under the metadata key `prism`.

    python -m training.pack public/packs

lists the packs of a folder in its `index.json`, which the page reads before it fetches any.

The document's `sha256` covers the data section only (every byte after the header), so it can be
stored in the header.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import struct
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.numpy import save as serialise

from training import quantise
from training.model import Network, NetworkConfig

SCHEMA = 1


def data_section(content: bytes) -> bytes:
    """Every byte after the 8-byte length and the header."""
    (length,) = struct.unpack("<Q", content[:8])
    return content[8 + length :]


def write(path: Path, network: Network, document: dict) -> int:
    """Quantises `network` and writes the pack; returns its size in bytes."""
    tensors = {
        name: value.detach().float().cpu().contiguous().numpy()
        for name, value in network.state_dict().items()
    }
    stored = quantise.quantise_all(tensors)
    digest = hashlib.sha256(data_section(serialise(stored))).hexdigest()
    document = {
        "schema": SCHEMA,
        **document,
        "architecture": network.config.as_pack(),
        "sha256": digest,
    }
    content = serialise(stored, {"prism": json.dumps(document, ensure_ascii=False)})
    assert hashlib.sha256(data_section(content)).hexdigest() == digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return len(content)


def read(path: Path) -> tuple[Network, dict]:
    """The network with dequantised float32 weights, and the pack's document."""
    content = path.read_bytes()
    with safe_open(path, framework="np") as file:
        document = json.loads(file.metadata()["prism"])
        stored = {name: file.get_tensor(name) for name in file.keys()}
    if document["schema"] != SCHEMA:
        raise ValueError(f"{path.name}: schema {document['schema']} is not {SCHEMA}")
    if hashlib.sha256(data_section(content)).hexdigest() != document["sha256"]:
        raise ValueError(f"{path.name}: the tensors do not match the stored SHA-256")
    network = Network(NetworkConfig.from_pack(document["architecture"]))
    weights = quantise.dequantise_all(stored)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network.eval(), document




def card(path: Path) -> dict:
    """What the page's list shows of a pack (app/src/facts.rs, `Shipped`)."""
    with safe_open(path, framework="np") as file:
        document = json.loads(file.metadata()["prism"])
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
    heads = document["architecture"]["heads"]
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "parameters": sum(math.prod(s) for name, s in shapes.items() if not name.endswith(".scale")),
        "spacing_mm": document["preprocessing"]["spacing_mm"],
        "heads": [
            {
                "name": head["name"],
                "kind": head["kind"],
                "outputs": head.get("classes") or len(head.get("outputs", [])),
            }
            for head in heads
        ],
        **{name: document[name] for name in ("title", "version", "sha256", "labels", "provenance", "scores")},
    }


def index(folder: Path) -> list[dict]:
    """Cards of the packs that segment, the brain's first."""
    cards = [card(path) for path in sorted(folder.glob("*.safetensors"))]
    cards = [c for c in cards if any(head["kind"] == "segmentation" for head in c["heads"])]
    cards.sort(key=lambda c: (c["file"] != "brain.safetensors", c["title"]))
    (folder / "index.json").write_text(json.dumps(cards, ensure_ascii=False, indent=1) + "\n")
    return cards


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for row in index(parser.parse_args().folder):
        print(f"{row['file']}: {row['title']}, {row['bytes'] / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
