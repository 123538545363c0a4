"""The score that is watched during training: Dice of three real scans that are never trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from training import preprocess, shards
from training.labels import BRAIN_IDS, scoring_map
from training.paths import development_folder
from training.precision import autocast


class Development:
    """Cached inputs and hand-drawn labels, brought to the grid of `spacing` (mm) once."""

    def __init__(self, cache: Path, spacing: float = 2.0):
        self.names = list(scoring_map())
        index_of = {identifier: index for index, identifier in enumerate(BRAIN_IDS)}
        self.lookup = np.zeros(len(BRAIN_IDS), dtype=np.uint8)
        for number, structure in enumerate(scoring_map().values()):
            for identifier in structure["freesurfer"]:
                self.lookup[index_of[identifier]] = number + 1
        self.cases = []
        folder = shards.unpacked(development_folder(cache, spacing))
        if not any(folder.glob("*.npz")):
            raise SystemExit(f"{folder}: no development scans; run python -m training.prepare --spacing {spacing:g}")
        for path in sorted(folder.glob("*.npz")):
            stored = np.load(path)
            truth = stored["truth_grid"] if "truth_grid" in stored else self._grid_truth(path, stored)
            self.cases.append((path.stem, stored["input"], truth))

    def _grid_truth(self, path: Path, stored) -> np.ndarray:
        """Hand-drawn structures on the network's padded grid, by trilinear vote."""
        ras, _ = preprocess.reorient(stored["truth"], stored["affine"])
        best = np.full(stored["input"].shape, 0.0, dtype=np.float32)
        truth = np.zeros(stored["input"].shape, dtype=np.uint8)
        place = tuple(
            slice(b, b + stop - start)
            for b, start, stop in zip(
                stored["pad_before"], stored["box_start"], stored["box_stop"]
            )
        )
        taps = [
            preprocess.linear_taps(
                ras.shape[axis], stored["spacing"][axis], int(stored["grid_shape"][axis]),
                stored["target"][axis], 0,
            )
            for axis in range(3)
        ]  # fmt: skip
        named = np.zeros(ras.shape, dtype=np.uint8)
        for number, structure in enumerate(scoring_map().values()):
            named[np.isin(ras, structure["neuromorphometrics"])] = number + 1
        for number in range(len(self.names) + 1):
            values = (named == number).astype(np.float32)
            for axis, (low, high, weight) in enumerate(taps):
                cut = slice(stored["box_start"][axis], stored["box_stop"][axis])
                shape = [1, 1, 1]
                shape[axis] = -1
                weight = weight[cut].reshape(shape)
                values = np.take(values, low[cut], axis) * (1 - weight) + (
                    np.take(values, high[cut], axis) * weight
                )
            better = values > best[place]
            truth[place][better] = number
            best[place][better] = values[better]
        np.savez(path, **{key: stored[key] for key in stored.files}, truth_grid=truth)
        return truth

    def dice(self, labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Dice of the 16 structures for class indices on the padded grid."""
        joint = np.bincount(
            self.lookup[labels].ravel().astype(np.int64) * 17 + truth.ravel(), minlength=17 * 17
        ).reshape(17, 17)
        return (2 * np.diag(joint) / np.maximum(joint.sum(0) + joint.sum(1), 1))[1:]

    @torch.no_grad()
    def score(self, network: torch.nn.Module, device: str = "cpu") -> dict:
        """Mean Dice, Dice per structure (mean over scans) and the lowest scan."""
        network.eval()
        table = []
        for _, image, truth in self.cases:
            x = torch.from_numpy(image)[None, None].to(device)
            with autocast(device):
                logits = network(x)["heads"]["segmentation"]
            table.append(self.dice(logits[0].argmax(0).cpu().numpy(), truth))
        network.train()
        table = np.array(table)
        return {
            "mean": round(float(table.mean()), 4),
            "worst": round(float(table.mean(1).min()), 4),
            "structures": {n: round(float(v), 3) for n, v in zip(self.names, table.mean(0))},
        }
