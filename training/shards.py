"""A run's data in files of at most 64 MiB, to carry them to another machine; read back as if they lay there whole.

    python -m training.shards training/configs/brain1mm_gpu.toml --out FOLDER
    python -m training.train training/configs/brain1mm_gpu.toml --cache FOLDER/cache --data FOLDER/data

Beside where a folder would lie stands FOLDER.shards with shard-000.safetensors and so on. They hold every file of
the folder compressed (zlib) in pieces, uint8 tensors "path:piece"; the metadata entry `files` of a shard has length
and SHA-256 of the files that end in it. Whoever reads the folder (`unpacked`) writes it from them once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import tomllib
import zlib
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from training.paths import cache_folder, data_folder, development_folder

LIMIT = 64 << 20
ENTRY = 512  # bytes of the header that a piece takes, its name aside


def pack(folder: Path, out: Path, limit: int = LIMIT) -> list[Path]:
    """Writes the files of `folder` into shards of at most `limit` bytes; returns them."""
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    written: list[Path] = []
    pieces: dict[str, np.ndarray] = {}
    files: dict[str, dict] = {}
    full = limit - ENTRY
    room = full

    def close() -> None:
        nonlocal room
        written.append(out / f"shard-{len(written):03}.safetensors")
        save_file(dict(pieces), written[-1], {"files": json.dumps(files)})
        pieces.clear()
        files.clear()
        room = full

    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        content = path.read_bytes()
        rest = np.frombuffer(zlib.compress(content, 1), np.uint8)
        cost = ENTRY + 3 * len(name)
        number = 0
        while len(rest):
            if room <= cost:
                close()
            piece, rest = rest[: room - cost], rest[room - cost :]
            pieces[f"{name}:{number:04}"] = piece
            room -= len(piece) + cost
            number += 1
        files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if pieces:
        close()
    return written


def unpack(packed: Path, folder: Path) -> None:
    """Writes the files of the shards in `packed` to `folder`, whole or not at all."""
    where: dict[str, list[tuple[int, Path]]] = {}
    files: dict[str, dict] = {}
    for shard in sorted(packed.glob("*.safetensors")):
        with safe_open(shard, "np") as file:
            files |= json.loads(file.metadata()["files"])
            for key in file.keys():
                name, _, number = key.rpartition(":")
                where.setdefault(name, []).append((int(number), shard))
    if not files or where.keys() != files.keys():
        raise ValueError(f"{packed}: a shard is missing; copy all of them again")
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}."))
    try:
        for name, pieces in where.items():
            content = b""
            for number, shard in sorted(pieces):
                with safe_open(shard, "np") as file:
                    content += file.get_tensor(f"{name}:{number:04}").tobytes()
            try:
                content = zlib.decompress(content)
            except zlib.error:
                content = b""
            if hashlib.sha256(content).hexdigest() != files[name]["sha256"]:
                raise ValueError(f"{packed}: {name} is not what was packed; copy all shards again")
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if not folder.exists():
            try:
                os.rename(beside, folder)
            except OSError:
                if not folder.exists():  # else another worker was faster
                    raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def unpacked(folder: Path) -> Path:
    """`folder`, written from its shards where only they are there."""
    packed = folder.with_name(f"{folder.name}.shards")
    if not folder.exists() and packed.exists():
        unpack(packed, folder)
    return folder


def folders(config: dict) -> tuple[list[str], list[str]]:
    """What the config's task reads: folders of the cache, folders of the data."""
    if config.get("task") == "labelled":
        return [], [config["folder"]]
    priors = ["labelmaps_brain/priors"]
    if config.get("task") == "lesions":
        return ["brain", "self_training", "self_training_pack"], priors
    predicted = ["self_training"] if any(config.get("self_training", {}).values()) else []
    scored = development_folder(Path(), config.get("spacing", 2.0)).name
    return ["brain", scored, *predicted], priors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    arguments = parser.parse_args()
    own = folders(tomllib.loads(arguments.config.read_text()))
    for part, root, names in zip(("cache", "data"), (arguments.cache, arguments.data), own):
        for name in names:
            if not (root / name).exists():
                print(f"{root / name}: not there, left out")
                continue
            shards = pack(root / name, arguments.out / part / f"{name}.shards")
            print(f"{name}: {len(shards)} shards, {sum(s.stat().st_size for s in shards) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
