"""Reads and writes packs: safetensors with one JSON document under the metadata key `prism`.

The document's `sha256` covers the data section only (every byte after the header), so it can be
stored in the header.
"""

from __future__ import annotations

import hashlib
import json
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


