"""Packs from labelled scans: NAME.nii.gz with NAME_gt.nii.gz beside it (the hippocampus crops).

    python -m training.train training/configs/hippocampus.toml
    python -m training.export --run training/runs/hippocampus --best --out public/packs/hippocampus.safetensors
    python -m training.labelled evaluate public/packs/hippocampus.safetensors

Every 8th scan is kept for scoring and the one before it for development; the rest is trained on, with
random affine and elastic deformation, flip, intensity curve, bias, blur and noise. Everything happens on
the pack's own grid, and every sample depends on (seed, step) only.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import nibabel
import numpy as np
import torch
import torch.nn.functional as functional
from scipy import ndimage
from torch import Tensor

from training import pack, predict, preprocess, scores
from training.model import HeadConfig, NetworkConfig
from training.paths import REPOSITORY, data_folder
from training.synth import affine, blur, field

HELD_OUT = 8


def files(folder: Path, part: str) -> list[Path]:
    """The scans of a part: "train", "development" or "score"."""
    scans = [p for p in sorted(folder.glob("*.nii.gz")) if not p.name.endswith("_gt.nii.gz")]
    role = lambda i: {0: "score", HELD_OUT - 1: "development"}.get((i + 1) % HELD_OUT, "train")  # noqa: E731
    return [path for i, path in enumerate(scans) if role(i) == part]


def labels_of(path: Path) -> np.ndarray:
    image = nibabel.load(str(path).replace(".nii.gz", "_gt.nii.gz"))
    return preprocess.reorient(np.asarray(image.dataobj).astype(np.uint8), image.affine)[0]


def network(config: dict) -> NetworkConfig:
    classes = len(config["labels"]) + 1
    return NetworkConfig(heads=(HeadConfig("segmentation", "segmentation", classes=classes),))


def on_grid(path: Path, settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """Image (normalised, float32) and labels (uint8) resampled to the pack's spacing, RAS."""
    volume, matrix = predict.load(path)
    ras, ras_affine = preprocess.reorient(volume, matrix)
    spacing, target = preprocess.spacing_of(ras_affine), np.asarray(settings["spacing_mm"])
    image = preprocess.normalise(preprocess.resample(ras, spacing, target), settings["intensity"])
    labels = labels_of(path)
    if labels.shape != image.shape:
        labels = ndimage.zoom(labels, np.array(image.shape) / labels.shape, order=0)
    return image, labels


class Samples(torch.utils.data.Dataset):
    """Augmented training scans by step; read once by the worker."""

    def __init__(self, config: dict, data: Path, length: int):
        self.config, self.folder, self.length = config, data / config["folder"], length
        self.cases: list[tuple[Tensor, Tensor]] | None = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> dict:
        if self.cases is None:
            torch.set_num_threads(1)
            paths = files(self.folder, "train")[: self.config.get("scans")]
            pairs = [on_grid(path, self.config["preprocessing"]) for path in paths]
            self.cases = [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in pairs]
        return augment(self.cases, tuple(self.config["size"]), self.config["seed"], step)


def augment(cases: list[tuple[Tensor, Tensor]], size: tuple, seed: int, step: int) -> dict:
    """One sample: image [1, *size], target, target_half and target_quarter."""
    rng = np.random.default_rng([seed, step])
    torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
    image, labels = cases[int(rng.integers(len(cases)))]
    matrix = affine(rng, 1.0)
    if rng.random() < 0.5:
        matrix[0] *= -1
    shift = rng.uniform(-4, 4, 3)
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in size]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    place = place @ torch.from_numpy(matrix.T).float() + torch.from_numpy(shift).float()
    bend = field(torch_rng, [4, 5, 4], size, 3) * float(rng.uniform(0, 1.5))
    place = place + bend.permute(1, 2, 3, 0)
    # grid_sample's order is z, y, x, its unit the half extent of the source.
    extent = torch.tensor(image.shape, dtype=torch.float32) / 2
    grid = (place / extent).flip(-1)[None]
    read = lambda values, mode: functional.grid_sample(  # noqa: E731
        values[None, None].float(), grid, mode=mode, padding_mode="zeros", align_corners=False
    )[0, 0]
    seen, target = read(image, "bilinear"), read(labels, "nearest").to(torch.uint8)
    nodes = [int(rng.integers(2, 4)) for _ in range(3)]
    seen = seen * torch.exp(field(torch_rng, nodes, size, 1)[0] * float(rng.uniform(0, 0.15)))
    if rng.random() < 0.3:
        seen = blur(seen, tuple(rng.uniform(0, 0.8, 3)))
    seen = seen + torch.randn(size, generator=torch_rng) * float(rng.uniform(0, 0.05))
    low, high = float(rng.normal(0, 0.03)), float(rng.normal(1, 0.06))
    seen = ((seen - low) / (high - low)).clamp(0, 1) ** float(np.exp(rng.normal(0, 0.25)))
    coarse = lambda n: target[n // 2 :: n, n // 2 :: n, n // 2 :: n].contiguous()  # noqa: E731
    return {"image": seen[None], "target": target, "target_half": coarse(2), "target_quarter": coarse(4)}


class Development:
    """Mean Dice of scans that are neither trained on nor scored at the end."""

    def __init__(self, config: dict, data: Path):
        self.names = config["labels"]
        self.cases = []
        for path in files(data / config["folder"], "development"):
            volume, matrix = predict.load(path)
            prepared = preprocess.prepare(volume, matrix, config["preprocessing"])
            self.cases.append((prepared, labels_of(path)))

    @torch.no_grad()
    def score(self, model: torch.nn.Module, device: str = "cpu") -> dict:
        model.eval()
        table = []
        for prepared, truth in self.cases:
            x = torch.from_numpy(prepared.input)[None, None].to(device)
            with torch.autocast(device, torch.bfloat16):
                logits = model(x)["heads"]["segmentation"]
            odds = logits[0].float().softmax(0).cpu().numpy()
            mine, _ = preprocess.reorient(preprocess.to_scan_labels(odds, prepared), prepared.affine)
            table.append([scores.dice(mine == k + 1, truth == k + 1) for k in range(len(self.names))])
        model.train()
        table = np.array(table)
        return {
            "mean": round(float(table.mean()), 4),
            "worst": round(float(table.mean(1).min()), 4),
            "structures": {n: round(float(v), 3) for n, v in zip(self.names, table.mean(0))},
        }


def surface_distance(a: np.ndarray, b: np.ndarray, spacing: np.ndarray) -> float:
    """HD95 in millimetres: the larger 95th percentile of the surface distances both ways."""
    if not a.any() or not b.any():
        return float("nan")
    edge = lambda m: m & ~ndimage.binary_erosion(m)  # noqa: E731
    to_b = ndimage.distance_transform_edt(~edge(b), sampling=spacing)[edge(a)]
    to_a = ndimage.distance_transform_edt(~edge(a), sampling=spacing)[edge(b)]
    return float(max(np.percentile(to_b, 95), np.percentile(to_a, 95)))


def evaluate(path: Path, command: Path, data: Path) -> dict:
    """Scores the pack through the `prism` command on the scans kept for it."""
    _, document = pack.read(path)
    names = {row["id"]: row["name"] for row in document["labels"]}
    cases = {}
    for scan in files(data / document["name"], "score"):
        ids = predict.with_command(command, path, scan)
        image = nibabel.load(scan)
        mine, truth = preprocess.reorient(ids, image.affine)[0], labels_of(scan)
        spacing = preprocess.spacing_of(preprocess.reorient(ids, image.affine)[1])
        cases[scan.name.removesuffix(".nii.gz")] = {
            name: {
                "dice": round(scores.dice(mine == i, truth == i), 4),
                "hd95_mm": round(surface_distance(mine == i, truth == i, spacing), 2),
                "predicted": int((mine == i).sum()),
                "drawn": int((truth == i).sum()),
            }
            for i, name in names.items()
        }
    summary = {"scans": len(cases), "structures": {}}
    for name in names.values():
        rows = [case[name] for case in cases.values()]
        dices = [row["dice"] for row in rows]
        summary["structures"][name] = {
            "dice": round(float(np.mean(dices)), 4),
            "worst": round(min(dices), 4),
            "worst_scan": list(cases)[int(np.argmin(dices))],
            "hd95_mm": round(float(np.nanmean([row["hd95_mm"] for row in rows])), 2),
            "volume_icc": round(scores.intraclass_correlation(
                np.array([row["predicted"] for row in rows]), np.array([row["drawn"] for row in rows])
            ), 3),
        }  # fmt: skip
    summary["mean_dice"] = round(float(np.mean([s["dice"] for s in summary["structures"].values()])), 4)
    return {"pack": path.name, "sha256": document["sha256"], "summary": summary, "cases": cases}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["evaluate"])
    parser.add_argument("pack", type=Path)
    parser.add_argument("--prism", type=Path, default=REPOSITORY / "target" / "debug" / "prism")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--results", type=Path, default=REPOSITORY / "training" / "results")
    arguments = parser.parse_args()
    result = evaluate(arguments.pack, arguments.prism, arguments.data)
    out = arguments.results / f"{arguments.pack.stem}.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main()
