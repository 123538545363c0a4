"""Where data, caches and runs lie; each can be set by an argument or an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """PRISM_DATA, or shared/data beside the repository."""
    return Path(os.environ.get("PRISM_DATA", REPOSITORY.parent / "shared" / "data"))


def cache_folder() -> Path:
    """PRISM_CACHE, or training/runs/cache (ignored by git)."""
    return Path(os.environ.get("PRISM_CACHE", REPOSITORY / "training" / "runs" / "cache"))


def development_folder(cache: Path, spacing: float) -> Path:
    """The development scans' network inputs at `spacing` millimetres."""
    return cache / ("development" if spacing == 2 else f"development-{spacing:g}mm")


def runs_folder() -> Path:
    """PRISM_RUNS, or training/runs (ignored by git)."""
    return Path(os.environ.get("PRISM_RUNS", REPOSITORY / "training" / "runs"))
