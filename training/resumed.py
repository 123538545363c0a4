"""Results that grow step by step: of one set of packs, from where they stopped, never half written."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from training.pack import documents
from training.paths import REPOSITORY

PACKS = REPOSITORY / "public" / "packs"


def digests(*names: str) -> dict[str, str]:
    """SHA-256 of the packs' tensors by name, as their own descriptions have it."""
    known = {path.stem: document["sha256"] for path, document in documents(PACKS).items()}
    return {name: known[name] for name in names}


def commit() -> str:
    line = ["git", "rev-parse", "HEAD"]
    answer = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


def resume(path: Path, command: str, packs: dict[str, str]) -> dict:
    """What is in the file already, if it came from the same packs; else nothing. Every commit that
    added to it is named."""
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("packs") != packs:
        known = {}
    commits = [*known.get("commits", [])]
    if commit() not in commits:
        commits.append(commit())
    return {"command": command, "packs": packs, "commits": commits} | {
        name: value for name, value in known.items() if name not in ("command", "packs", "commits")
    }


def save(path: Path, result: dict) -> None:
    """Whole or not at all: beside its place, then renamed."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(beside, path)
