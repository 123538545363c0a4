"""Checkpoints in one form: of training.train and training.pretrain (.pt), and their float16 exports (.safetensors)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

NONE_BEFORE = {"steps": 0, "seconds": 0.0}


def load(path: Path | str, device: str = "cpu") -> dict:
    """`model` (all of the pretraining) or `average` (the averaged weights), with `step`, `seconds` and `before`
    (steps and seconds of runs before it); `auxiliary` and what else the file holds.

    `path`: the file, or a run's folder for its checkpoint.pt. An export counts every step as its own.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "checkpoint.pt"
    if not path.exists():
        raise SystemExit(f"{path}: there is no such checkpoint; name a run's folder, a .pt or a .safetensors file")
    if path.suffix == ".pt":
        state = torch.load(path, map_location=device, weights_only=True)
        return {"before": dict(NONE_BEFORE), **state}
    with safe_open(path, "pt", device=device) as file:
        about = file.metadata() or {}
        weights = {name: file.get_tensor(name).float() for name in file.keys()}
    if missing := {"step", "seconds"} - about.keys():
        raise SystemExit(f"{path}: no checkpoint of a training: its metadata lack {', '.join(sorted(missing))}")
    state = {"step": int(about["step"]), "seconds": float(about["seconds"]), "before": dict(NONE_BEFORE)}
    if "seed" in about:
        state["seed"] = int(about["seed"])
    if any(name.startswith("network.") for name in weights):
        return {"model": weights, **state}
    extra = {name: weights.pop(name) for name in list(weights) if name.startswith("auxiliary.")}
    if extra:
        state["auxiliary"] = {name.removeprefix("auxiliary."): value for name, value in extra.items()}
    return {"average": weights, **state}


def finished(run: Path, steps: int) -> bool:
    """Whether the run's checkpoint has made its steps."""
    return (run / "checkpoint.pt").exists() and load(run)["step"] >= steps
