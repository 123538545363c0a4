"""Reference activations and preprocessing results that the Rust tests must reproduce.

    python -m training.golden

Writes tests/golden/model/tiny.safetensors (a small pack with seeded random weights),
tiny_io.safetensors (an input and every named output, computed from the dequantised weights), fused.safetensors
(two sequences and the probabilities of both together), self_test.safetensors (answers that every device must give before
it runs anything, core/src/pipeline/self_test), windows.safetensors (a scan in several windows, blended by
MONAI) and tests/golden/preprocess/anisotropic.safetensors (a tilted, anisotropic volume and each step's result),
slices.safetensors (thick oblique slices).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.inferers import sliding_window_inference
from safetensors.numpy import save_file
from scipy import ndimage

from training import pack, preprocess
from training.golden_swin import fill, noise
from training.lesions.fused import decode
from training.model import HeadConfig, Network, NetworkConfig
from training.paths import REPOSITORY

SEED = 20261124


def write_file(tensors: dict, path: Path, metadata: dict) -> None:
    save_file(tensors, path, metadata)
    path.chmod(0o644)


def tiny_network() -> Network:
    config = NetworkConfig(
        channels=(4, 4, 8, 8, 8),
        heads=(
            HeadConfig("segmentation", "segmentation", classes=5),
            HeadConfig("classification", "contrast", outputs=["T1w", "T2w", "other"], input="sequence"),
            HeadConfig("regression", "age", outputs=["age_years"], input="structure"),
        ),
    )
    torch.manual_seed(SEED)
    network = Network(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".norm.weight" in name:
                parameter.uniform_(0.5, 1.5)
            elif parameter.ndim == 1:
                parameter.uniform_(-0.3, 0.3)
    return network


def tiny_labels() -> list[dict]:
    rows = [(2, "Left-A", "left", 2), (41, "Right-A", "right", 1), (14, "B", None, None), (16, "C", None, None)]
    return [
        {"index": i + 1, "id": n, "name": name, "color": [40 * i, 80, 200 - 40 * i], "side": side, "pair": pair}
        for i, (n, name, side, pair) in enumerate(rows)
    ]


def write_model(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "name": "tiny",
        "title": "Seeded random network for tests",
        "version": "0.0.0",
        "preprocessing": {
            "orientation": "RAS",
            "spacing_mm": [2.0, 2.0, 2.0],
            "intensity": {"rule": "percentile", "low": 0.5, "high": 99.5},
            "window": [32, 48, 32],
            "overlap": 0.5,
        },
        "labels": tiny_labels(),
        "provenance": {
            "data": [], "commit": "", "steps": 0, "seed": SEED, "hardware": "none", "trained": "never",
            "note": "random weights for tests; not the published PRISM weights",
        },
        "scores": {},
    }  # fmt: skip
    pack.write(folder / "tiny.safetensors", tiny_network(), description)
    network, _ = pack.read(folder / "tiny.safetensors")
    generator = torch.Generator().manual_seed(SEED + 1)
    coarse = torch.rand(1, 1, 8, 12, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(32, 48, 32), mode="trilinear")
    x = (smooth + 0.1 * torch.rand(1, 1, 32, 48, 32, generator=generator)).clamp(0, 1)
    # In float64 first: the stored numbers are then good to float32's last digits.
    with torch.no_grad():
        result = network.double()(x.double())
    tensors = {"input": x.numpy()}
    for index, level in enumerate(result["maps"]):
        tensors[f"maps.{index}"] = level.float().numpy()
    for name in ("structure", "sequence", "fused"):
        tensors[name] = result[name].float().numpy()
        tensors[f"vectors.{name}"] = result["vectors"][name].float().numpy()
    for name, value in result["heads"].items():
        tensors["logits" if name == "segmentation" else f"heads.{name}"] = value.float().numpy()
    # The two full-resolution outputs are stored at every second voxel of each axis, from voxel 0.
    for name in ("maps.0", "logits"):
        tensors[name + ".every2"] = tensors.pop(name)[:, :, ::2, ::2, ::2]
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    about = "axes [batch, channels, x, y, z]; NAME.every2 holds voxels 0, 2, 4 ... of each axis"
    write_file(tensors, folder / "tiny_io.safetensors", {"about": about})


def write_fused(folder: Path) -> None:
    """Two sequences of one head through the tiny pack, fused as training.lesions.fused does."""
    network, document = pack.read(folder / "tiny.safetensors")
    generator = torch.Generator().manual_seed(SEED + 3)
    coarse = torch.rand(2, 1, 8, 12, 8, generator=generator)
    scans = torch.nn.functional.interpolate(coarse, size=(32, 48, 32), mode="trilinear")[:, 0]
    # Scan units; zeros are air.
    scans = (scans * 900 - 150).clamp(min=0).round().numpy()
    rule = document["preprocessing"]["intensity"]
    image = torch.from_numpy(np.stack([preprocess.normalise(scan, rule) for scan in scans]))
    with torch.no_grad():
        decoded, _ = decode(network.double(), image.double())
        odds = network.heads["segmentation"](decoded[0])[0].softmax(0)
    tensors = {"scans": scans, "probabilities.every2": odds.float().numpy()[:, ::2, ::2, ::2]}
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    about = "2 mm; axes [sequence or class, x, y, z]; probabilities at voxels 0, 2, 4 ... of each axis"
    write_file(tensors, folder / "fused.safetensors", {"about": about})


def write_self_test(folder: Path) -> None:
    """Logits of the tiny network with weights and an input that are hashes, so that no file need hold them."""
    network = fill(tiny_network())
    with torch.no_grad():
        logits = network(torch.from_numpy(noise("input", (1, 1, 32, 48, 32))).double())["heads"]["segmentation"]
    tensors = {"logits.every4": np.ascontiguousarray(logits.float().numpy()[:, :, ::4, ::4, ::4])}
    about = "axes [batch, classes, x, y, z]; voxels 0, 4, 8 ... of each axis"
    write_file(tensors, folder / "self_test.safetensors", {"about": about})


def write_windows(folder: Path) -> None:
    """A scan of 64x64x48 voxels through the tiny pack in twelve windows, blended by MONAI.

    The scan is `coarse`, every value a cell of 4x4x4 voxels.
    """
    network, document = pack.read(folder / "tiny.safetensors")
    settings = document["preprocessing"]
    generator = torch.Generator().manual_seed(SEED + 4)
    # Scan units; zeros are air.
    coarse = (torch.rand(16, 16, 12, generator=generator) * 900 - 150).clamp(min=0).round().numpy()
    scan = coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)
    image = torch.from_numpy(preprocess.normalise(scan, settings["intensity"]))[None, None].double()
    network = network.double()
    with torch.no_grad():
        logits = sliding_window_inference(
            image, settings["window"], 1, lambda x: network(x)["heads"]["segmentation"],
            overlap=settings["overlap"], mode="gaussian", sigma_scale=0.125,
        )  # fmt: skip
    odds = logits[0].softmax(0).float().numpy()
    tensors = {"coarse": coarse, "probabilities.every4": odds[:, 1::4, 1::4, 1::4]}
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    about = "2 mm; axes [x, y, z] and [class, x, y, z]; probabilities at voxels 1, 5, 9 ... of each axis"
    write_file(tensors, folder / "windows.safetensors", {"about": about})


def write_preprocess(folder: Path) -> None:
    """Voxel axes are (Posterior, Inferior, Right) with a small tilt; 23x31x17 voxels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    noise = rng.random((23, 31, 17))
    volume = ndimage.gaussian_filter(noise, 2.0)
    volume = np.clip((volume - volume.min()) / np.ptp(volume) * 900 - 150, 0, None).astype(np.float32)
    tilt = np.deg2rad(8)
    turn = np.array(
        [[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1.0]]
    )
    axes = np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes @ np.diag([0.9, 1.1, 2.4])
    affine[:3, 3] = [-18.5, 20.25, 31.0]
    settings = {"orientation": "RAS", "spacing_mm": [2.0, 2.0, 2.0],
                "intensity": {"rule": "percentile", "low": 0.5, "high": 99.5}}  # fmt: skip
    ras, ras_affine = preprocess.reorient(volume, affine)
    spacing = preprocess.spacing_of(ras_affine)
    target = np.array([2.0, 2.0, 2.0])
    grid = preprocess.resample(ras, spacing, target)
    prepared = preprocess.prepare(volume, affine, settings)
    zscore = preprocess.normalise(grid, {"rule": "zscore_nonzero"})
    generator = np.random.default_rng(SEED + 1)
    votes = ndimage.gaussian_filter(generator.random((3, *prepared.input.shape)), (0, 2, 2, 2))
    votes = (votes / votes.sum(0)).astype(np.float32)
    tensors = {
        "volume": volume,
        "affine": affine,
        "ras": ras,
        "ras_affine": ras_affine,
        "resampled": grid,
        "normalised_percentile": preprocess.normalise(grid, settings["intensity"]),
        "normalised_zscore_nonzero": zscore,
        "box_start": np.asarray(prepared.box_start, dtype=np.int64),
        "box_stop": np.asarray(prepared.box_stop, dtype=np.int64),
        "pad_before": np.asarray(prepared.pad_before, dtype=np.int64),
        "input": prepared.input,
        "votes": votes,
        "scan_labels": preprocess.to_scan_labels(votes, prepared),
    }
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    about = "arrays are [i, j, k] in C order; votes [classes, x, y, z] on the padded grid"
    metadata = {"about": about, "preprocessing": json.dumps(settings)}
    write_file(tensors, folder / "anisotropic.safetensors", metadata)


def write_slices(folder: Path) -> None:
    """Oblique thick slices: voxel axes (slice, row, column) of a short axis, 7x41x58 voxels.

    `turned` and its affine are NumPy's and nibabel's own.
    """
    rng = np.random.default_rng(SEED + 2)
    volume = ndimage.gaussian_filter(rng.random((7, 41, 58)), (0.3, 2.0, 2.0))
    volume = ((volume - volume.min()) / np.ptp(volume) * 300).astype(np.float32)
    # The normal of a short axis points to the left, forward and down.
    normal = np.array([-0.62, 0.58, -0.53])
    row = np.cross(normal, [0.0, 0.0, 1.0])
    matrix = np.stack([normal, row, np.cross(normal, row)], axis=1)
    affine = np.eye(4)
    affine[:3, :3] = matrix / np.linalg.norm(matrix, axis=0) @ np.diag([9.0, 1.1, 1.3])
    affine[:3, 3] = [42.5, -61.0, 88.25]
    settings = {"orientation": "slices", "spacing_mm": [1.5, 1.5, None], "field_mm": 120.0,
                "intensity": {"rule": "percentile", "low": 0.5, "high": 99.5}}  # fmt: skip
    order = np.array([[2, 1], [0, 1], [1, 1]])  # where each voxel axis goes
    tensors = {
        "volume": volume,
        "affine": affine,
        "turned": np.moveaxis(volume, 0, 2),
        "turned_affine": affine @ nibabel.orientations.inv_ornt_aff(order, volume.shape),
    }
    for suffix, stated in (("", True), ("_unstated", False)):
        prepared = preprocess.prepare(volume, affine, settings, stated)
        tensors["input" + suffix] = prepared.input
        tensors["box_start" + suffix] = np.asarray(prepared.box_start, dtype=np.int64)
        tensors["pad_before" + suffix] = np.asarray(prepared.pad_before, dtype=np.int64)
        organ = np.zeros(prepared.input.shape, dtype=np.uint8)
        organ[10:17, 33:45, 5:10] = 1
        closer = preprocess.around(prepared, organ, [32, 32, 16])
        tensors["closer" + suffix] = closer.input
        tensors["closer_start" + suffix] = np.asarray(closer.box_start, dtype=np.int64)
        tensors["closer_stop" + suffix] = np.asarray(closer.box_stop, dtype=np.int64)
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    metadata = {"about": "arrays are [i, j, k] in C order", "preprocessing": json.dumps(settings)}
    write_file(tensors, folder / "slices.safetensors", metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "golden")
    arguments = parser.parse_args()
    write_model(arguments.out / "model")
    write_fused(arguments.out / "model")
    write_windows(arguments.out / "model")
    write_self_test(arguments.out / "model")
    write_preprocess(arguments.out / "preprocess")
    write_slices(arguments.out / "preprocess")


if __name__ == "__main__":
    main()
