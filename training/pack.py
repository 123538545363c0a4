"""Reads and writes packs: safetensors with one JSON document under the metadata key `prism`.

    python -m training.pack public/packs

lists the packs of a folder in its `index.json`, which the page reads before it fetches any. With
`--fits brain '{"body_part": ["head"], "extent_mm": [90, 1000]}'` it first writes into one of them
which scans it is for (core/src/identify/routing.rs).

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
    return write_tensors(path, network.state_dict(), network.config.as_pack(), document)


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], architecture: dict, document: dict) -> int:
    """As `write`, of tensors that are not those of a `Network` alone."""
    values = {name: value.detach().float().cpu().contiguous().numpy() for name, value in tensors.items()}
    stored = quantise.quantise_all(values, coarse=True)
    digest = hashlib.sha256(data_section(serialise(stored))).hexdigest()
    document = {"schema": SCHEMA, **document, "architecture": architecture, "sha256": digest}
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


def documents(folder: Path) -> dict[Path, dict]:
    """Descriptions of the packs in a folder; heads without an encoder (training.identify) are none."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="np") as file:
            if "prism" in (metadata := file.metadata()):
                found[path] = json.loads(metadata["prism"])
    return found


def document(path: Path) -> dict:
    """A pack's description, its tensors unread."""
    with safe_open(path, framework="np") as file:
        return json.loads(file.metadata()["prism"])


def describe(path: Path, entry: str = "prism", **changes) -> None:
    """Changes a pack's description, or that of heads (`prism_heads`); the tensors, and so the SHA-256, stay."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    changed = json.loads(header["__metadata__"][entry]) | changes
    header["__metadata__"][entry] = json.dumps(changed, ensure_ascii=False)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data_section(content))


def card(path: Path, document: dict) -> dict:
    """What the page's list shows of a pack (app/src/facts.rs, `Shipped`)."""
    with safe_open(path, framework="np") as file:
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
        "fits": document.get("fits"),
        **{name: document[name] for name in ("title", "version", "sha256", "labels", "provenance", "scores")},
    }


def listed(document: dict) -> bool:
    """Whether the page can use a pack by itself: it segments, or renders a scan again."""
    architecture = document["architecture"]
    segments = any(head["kind"] == "segmentation" for head in architecture["heads"])
    return segments or architecture.get("renderer") is not None


def index(folder: Path) -> list[dict]:
    """Cards of the packs that the page lists, the brain's first."""
    cards = [card(path, document) for path, document in documents(folder).items() if listed(document)]
    cards.sort(key=lambda c: (c["file"] != "brain.safetensors", c["title"]))
    (folder / "index.json").write_text(json.dumps(cards, ensure_ascii=False, indent=1) + "\n")
    return cards


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fits", nargs=2, metavar=("NAME", "JSON"), help="which scans a pack is for")
    arguments = parser.parse_args()
    if arguments.fits:
        name, fits = arguments.fits
        describe(arguments.folder / f"{name}.safetensors", fits=json.loads(fits))
    for row in index(arguments.folder):
        print(f"{row['file']}: {row['title']}, {row['bytes'] / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
