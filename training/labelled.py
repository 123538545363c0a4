"""Packs from labelled scans: NAME.nii.gz with NAME_gt.nii.gz beside it (hippocampus crops, cardiac cine).

    python -m training.train training/configs/hippocampus.toml
    python -m training.export --run training/runs/hippocampus --best --out public/packs/hippocampus.safetensors
    python -m training.labelled evaluate public/packs/hippocampus.safetensors

The config's [split] names the patients of each part by number; without one, every 8th scan is kept for
scoring and the one before it for development. The rest is trained on, with random affine and elastic
deformation, flip, intensity curve, bias, blur and noise (training.augment). Everything
happens on the pack's own grid, and every sample depends on (seed, step) only.
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from pathlib import Path

import nibabel
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from training import augment, pack, predict, preprocess, scores, shards
from training.model import HeadConfig, NetworkConfig
from training.paths import REPOSITORY, data_folder
from training.precision import autocast

HELD_OUT = 8


def files(config: dict, data: Path, part: str) -> list[Path]:
    """The scans of a part: "train", "development" or "score"."""
    folder = shards.unpacked(data / config["folder"])
    scans = [p for p in sorted(folder.glob("*.nii.gz")) if not p.name.endswith("_gt.nii.gz")]
    if "split" in config:
        first, last = config["split"][part]
        return [path for path in scans if first <= int(re.search(r"\d+", path.name)[0]) <= last]
    role = lambda i: {0: "score", HELD_OUT - 1: "development"}.get((i + 1) % HELD_OUT, "train")  # noqa: E731
    return [path for i, path in enumerate(scans) if role(i) == part]


def drawn(path: Path, rule: str = "RAS") -> np.ndarray:
    """Drawn labels on the rule's axes."""
    image = nibabel.load(str(path).replace(".nii.gz", "_gt.nii.gz"))
    return preprocess.reorient(np.asarray(image.dataobj).astype(np.uint8), image.affine, rule)[0]


def network(config: dict) -> NetworkConfig:
    classes = len(config["labels"]) + 1
    return NetworkConfig(heads=(HeadConfig("segmentation", "segmentation", classes=classes),))


def on_grid(path: Path, settings: dict) -> tuple[np.ndarray, np.ndarray]:
    """Image (normalised, float32) and labels (uint8) on the pack's axes and spacing."""
    volume, matrix = predict.load(path)
    image, *_ = preprocess.on_grid(volume, matrix, settings, predict.states_unit(path))
    labels = drawn(path, settings["orientation"])
    if labels.shape != image.shape:
        labels = ndimage.zoom(labels, np.array(image.shape) / labels.shape, order=0)
    return preprocess.normalise(image, settings["intensity"]), labels


class Samples(torch.utils.data.Dataset):
    """Augmented training scans by step; read once by the worker."""

    def __init__(self, config: dict, data: Path, length: int):
        self.config, self.data, self.length = config, data, length
        self.cases: list[tuple[Tensor, Tensor]] | None = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> dict:
        if self.cases is None:
            torch.set_num_threads(1)
            paths = files(self.config, self.data, "train")[: self.config.get("scans")]
            pairs = [on_grid(path, self.config["preprocessing"]) for path in paths]
            self.cases = [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in pairs]
        if self.config["preprocessing"]["orientation"] == "slices":
            return augment.slices(self.cases, self.config, step)
        return augment.block(self.cases, tuple(self.config["size"]), self.config["seed"], step)


class Development:
    """Mean Dice of scans that are neither trained on nor scored at the end, or of another part."""

    def __init__(self, config: dict, data: Path, part: str = "development"):
        self.names = config["labels"]
        self.cases = []
        for path in files(config, data, part):
            volume, matrix = predict.load(path)
            stated = predict.states_unit(path)
            self.cases.append((preprocess.prepare(volume, matrix, config["preprocessing"], stated), drawn(path)))

    @torch.no_grad()
    def score(self, model: torch.nn.Module, device: str = "cpu") -> dict:
        model.eval()
        table = []
        for prepared, truth in self.cases:
            x = torch.from_numpy(prepared.input)[None, None].to(device)
            with autocast(device):
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
    settings = tomllib.loads((REPOSITORY / f"training/configs/{document['name']}.toml").read_text())
    for scan in files(settings, data, "score"):
        ids = predict.with_command(command, path, scan)
        image = nibabel.load(scan)
        mine, truth = preprocess.reorient(ids, image.affine)[0], drawn(scan)
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
    if {"Left-Ventricle", "Right-Ventricle", "Myocardium"} <= set(names.values()):
        summary["function"] = heart_function(cases)
    summary["mean_dice"] = round(float(np.mean([s["dice"] for s in summary["structures"].values()])), 4)
    return {"pack": path.name, "sha256": document["sha256"], "summary": summary, "cases": cases}


def heart_function(cases: dict) -> dict:
    """Ejection fractions and volumes of patients with two phases against the drawn ones.

    Voxels are counted: the ejection fraction needs no spacing, and volumes and mass are compared as
    ratios, because the spacing of the ACDC files at hand is not known.
    """
    patients: dict[str, list[dict]] = {}
    for name, case in cases.items():
        patients.setdefault(name.split("_")[0], []).append(case)
    rows = {}
    for patient, phases in patients.items():
        if len(phases) != 2:
            continue
        row = {}
        for ventricle in ("Left-Ventricle", "Right-Ventricle"):
            for source in ("predicted", "drawn"):
                # Diastole is where the left ventricle is larger.
                phases.sort(key=lambda case: -case["Left-Ventricle"][source])
                first, last = (case[ventricle][source] for case in phases)
                row[f"{ventricle} EF % {source}"] = round(100 * (first - last) / max(first, 1), 1)
        phases.sort(key=lambda case: -case["Left-Ventricle"]["drawn"])
        for structure in ("Left-Ventricle", "Right-Ventricle", "Myocardium"):
            counts = phases[0][structure]
            row[f"{structure} at diastole, predicted / drawn"] = round(counts["predicted"] / counts["drawn"], 3)
        rows[patient] = row
    error = lambda v: [row[f"{v} EF % predicted"] - row[f"{v} EF % drawn"] for row in rows.values()]  # noqa: E731
    summary = {"patients": len(rows), "cases": rows}
    for ventricle in ("Left-Ventricle", "Right-Ventricle"):
        errors = np.array(error(ventricle))
        summary[f"{ventricle} EF mean absolute error, points"] = round(float(np.abs(errors).mean()), 2)
        summary[f"{ventricle} EF bias, points"] = round(float(errors.mean()), 2)
    for structure in ("Left-Ventricle", "Right-Ventricle", "Myocardium"):
        key = f"{structure} at diastole, predicted / drawn"
        summary[key] = round(float(np.mean([row[key] for row in rows.values()])), 3)
    return summary


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
