"""Runs a pack on a scan: through PyTorch (float32) or through the `prism` command."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import torch

from training import preprocess


def gaussian_window(size: tuple[int, ...]) -> np.ndarray:
    """MONAI's importance map: a Gaussian of sigma 0.125 * size, one factor per axis."""
    result = np.ones(size, dtype=np.float32)
    for axis, length in enumerate(size):
        centre = (length - 1) / 2
        weight = np.exp(-0.5 * ((np.arange(length) - centre) / (0.125 * length)) ** 2)
        shape = [1, 1, 1]
        shape[axis] = -1
        result = result * weight.reshape(shape).astype(np.float32)
    return np.maximum(result, 1e-3)


def positions(length: int, window: int, overlap: float) -> list[int]:
    """Window starts that cover `length`, the last one flush with the end."""
    if length <= window:
        return [0]
    stride = max(1, int(window * (1 - overlap)))
    count = -(-(length - window) // stride) + 1
    return [min(i * stride, length - window) for i in range(count)]


def mirrored(network, image: np.ndarray, settings: dict, axes: list[int]) -> np.ndarray:
    """As `logits_of`, the mean over all combinations of mirrored `axes`."""
    views: list[tuple[int, ...]] = [()]
    for axis in axes:
        views += [(*view, axis) for view in views]
    total = 0.0
    for view in views:
        seen = np.ascontiguousarray(np.flip(image, view))
        total = total + np.flip(logits_of(network, seen, settings), [axis + 1 for axis in view])
    return total / len(views)


@torch.no_grad()
def logits_of(network, image: np.ndarray, settings: dict, budget: int = 1 << 21) -> np.ndarray:
    """[classes, x, y, z] for a padded input; one pass if it fits `budget` voxels, else windows."""
    x = torch.from_numpy(image)[None, None]
    if image.size <= budget:
        return network(x)["heads"]["segmentation"][0].float().numpy()
    window = tuple(min(w, n) for w, n in zip(settings["window"], image.shape))
    weight = gaussian_window(window)
    total, weights = None, np.zeros(image.shape, dtype=np.float32)
    starts = [positions(n, w, settings["overlap"]) for n, w in zip(image.shape, window)]
    for i in starts[0]:
        for j in starts[1]:
            for k in starts[2]:
                cut = (slice(i, i + window[0]), slice(j, j + window[1]), slice(k, k + window[2]))
                part = network(x[(slice(None), slice(None), *cut)])["heads"]["segmentation"][0]
                if total is None:
                    total = np.zeros((part.shape[0], *image.shape), dtype=np.float32)
                total[(slice(None), *cut)] += part.float().numpy() * weight
                weights[cut] += weight
    return total / weights


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=0, keepdims=True))
    return shifted / shifted.sum(axis=0, keepdims=True)


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nibabel.load(path)
    return np.asarray(image.dataobj, dtype=np.float32), image.affine


def states_unit(path: Path) -> bool:
    """Whether the file says in which unit its spacing is."""
    return nibabel.load(path).header.get_xyzt_units()[0] != "unknown"


def ids_of(document: dict) -> np.ndarray:
    table = np.zeros(len(document["labels"]) + 1, dtype=np.int16)
    for row in document["labels"]:
        table[row["index"]] = row["id"]
    return table


def with_torch(network, document: dict, scan: Path) -> np.ndarray:
    """FreeSurfer ids on the scan's own grid."""
    volume, affine = load(scan)
    prepared = preprocess.prepare(volume, affine, document["preprocessing"], states_unit(scan))
    settings, mirrors = document["preprocessing"], document.get("mirrors", [])
    if document.get("one_organ"):
        logits = logits_of(network, prepared.input, settings)
        closer = preprocess.around(prepared, logits.argmax(0), settings["window"])
        if (logits.argmax(0) > 0).any() and (closer is not None or mirrors):
            prepared = closer or prepared
            logits = mirrored(network, prepared.input, settings, mirrors)
    else:
        logits = mirrored(network, prepared.input, settings, mirrors)
    return ids_of(document)[preprocess.to_scan_labels(softmax(logits), prepared)]


def with_command(command: Path, pack: Path, scan: Path, device: str = "cpu") -> np.ndarray:
    """The same through `prism segment SCAN -o SEG --pack P --device D`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "segmentation.nii.gz"
        line = [str(command), "segment", str(scan), "-o", str(out)]
        line += ["--pack", str(pack), "--device", device]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"prism segment failed on {scan.name}: {done.stderr.strip()}")
        image = nibabel.load(out)
        ids = np.asarray(image.dataobj).astype(np.int16)
        if ids.shape != nibabel.load(scan).shape[:3]:
            raise RuntimeError(f"{scan.name}: labels {ids.shape} are not on the scan's grid")
        return ids
