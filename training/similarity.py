"""Scores the similarity search on real scans: same head in another sequence, other heads.

    python -m training.similarity target/debug/prism

Writes training/results/similarity.json. Three searchers answer the same clicks: the `prism
similarity` command, the same formula on chosen sets of the encoder's maps (`prism encode`), and
normalised correlation of raw intensity patches as the baseline.

- Same head (kirby113, T1w, T2w, FLAIR, aligned): distance in mm from the click's own world point to
  the best match, over random foreground points and all ordered pairs.
- Other heads (eval_t1_labelled): clicks at the centre of each structure; share of best matches that
  lie inside the same structure of the next subject, left and right apart.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import torch
from safetensors import safe_open
from torch.nn import functional

from training import preprocess
from training.evaluate import labelled
from training.labels import scoring_map
from training.paths import REPOSITORY, data_folder
from training.prepare import PREPROCESSING

KIRBY = {"T1w": "MPRAGE", "T2w": "T2w", "FLAIR": "FLAIR"}
CHOICES = [
    ["maps.1", "maps.2", "maps.3", "maps.4"], ["maps.2", "maps.3", "maps.4"],
    ["maps.2", "maps.3", "structure"], ["maps.2"], ["maps.3"], ["fused"],
]  # fmt: skip
PATCHES = (5, 7, 9)


class Grid:
    """The network's input of a scan, and where it lies."""

    def __init__(self, path: Path):
        image = nibabel.load(path)
        volume = np.asarray(image.dataobj, dtype=np.float32)
        prepared = preprocess.prepare(volume, image.affine, PREPROCESSING)
        _, affine = preprocess.reorient(volume, image.affine)
        ratio = prepared.target / prepared.spacing
        first = (prepared.box_start - prepared.pad_before + 0.5) * ratio - 0.5
        self.affine = affine @ np.block([[np.diag(ratio), first[:, None]], [np.zeros((1, 3)), 1]])
        self.input = torch.from_numpy(prepared.input)
        self.foreground = self.input > preprocess.BOX_THRESHOLD

    def world(self, voxel) -> np.ndarray:
        return (self.affine @ np.append(voxel, 1))[:3]

    def nearest(self, point) -> np.ndarray:
        voxel = np.rint((np.linalg.inv(self.affine) @ np.append(point, 1))[:3]).astype(int)
        return np.clip(voxel, 0, np.array(self.input.shape) - 1)

    def best(self, similarity: torch.Tensor) -> np.ndarray:
        index = int(torch.where(self.foreground, similarity, -9.0).argmax())
        return self.world(np.unravel_index(index, similarity.shape))


grid = cache(Grid)


def by_command(command: Path):
    def search(source: Path, target: Path, points: list) -> list:
        line = ["nice", "-n", "10", str(command), "similarity", str(source), str(target), "--json"]
        line += ["--device", "cpu", *(f"--at={x:.3f},{y:.3f},{z:.3f}" for x, y, z in points)]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        return [np.array(match["best_mm"]) for match in json.loads(done.stdout)]

    return search


def by_maps(command: Path, names: list[str]):
    def search(source: Path, target: Path, points: list) -> list:
        here, there = encoded(command, source), encoded(command, target)
        result = []
        for point in points:
            voxel = grid(source).nearest(point)
            total = 0.0
            for name in names:
                stride = grid(source).input.shape[0] // here[name].shape[1]
                place = torch.tensor((voxel + 0.5) / stride - 0.5)
                wanted = functional.normalize(interpolated(here[name], place), dim=0)
                cosine = torch.einsum("c,cxyz->xyz", wanted, functional.normalize(there[name], dim=0))
                total = total + functional.interpolate(
                    cosine[None, None], size=grid(target).input.shape, mode="trilinear"
                )
            result.append(grid(target).best(total[0, 0]))
        return result

    return search


def interpolated(values: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Trilinear value of [channels, x, y, z] at a voxel position."""
    sides = torch.tensor(values.shape[1:])
    unit = (2 * place + 1) / sides - 1
    at = unit.flip(0).float().reshape(1, 1, 1, 1, 3)
    sampled = functional.grid_sample(values[None], at, padding_mode="border", align_corners=False)
    return sampled.flatten()


@cache
def encoded(command: Path, scan: Path) -> dict[str, torch.Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "features.safetensors"
        line = ["nice", "-n", "10", str(command), "encode", str(scan), "-o", str(out)]
        subprocess.run([*line, "--device", "cpu"], capture_output=True, check=True)
        with safe_open(out, "pt") as file:
            names = [name for name in file.keys() if not name.startswith("pooled")]
            return {name: file.get_tensor(name) for name in names}


def by_patches(side: int):
    """Normalised cross-correlation with the patch around the click, on the network's input."""
    half = side // 2

    def search(source: Path, target: Path, points: list) -> list:
        padded = [functional.pad(grid(scan).input[None, None], [half] * 6) for scan in (source, target)]
        mean = functional.avg_pool3d(padded[1], side, 1)
        square = functional.avg_pool3d(padded[1] ** 2, side, 1)
        length = (square - mean**2).clamp_min(1e-8).sqrt()
        result = []
        for point in points:
            x, y, z = grid(source).nearest(point)
            patch = padded[0][:, :, x : x + side, y : y + side, z : z + side]
            patch = patch - patch.mean()
            product = functional.conv3d(padded[1], patch)
            result.append(grid(target).best((product / length)[0, 0]))
        return result

    return search


def same_head(search, data: Path, count: int) -> dict:
    scans = {name: data / "multi_sequence" / f"kirby113_{file}.nii.gz" for name, file in KIRBY.items()}
    points = common_points(list(scans.values()), count)
    result, every = {}, []
    for first, second in itertools.permutations(scans, 2):
        found = search(scans[first], scans[second], points)
        distances = [float(np.linalg.norm(best - point)) for best, point in zip(found, points)]
        result[f"{first}-{second}"] = round(float(np.median(distances)), 2)
        every += distances
    return {
        "median_mm": round(float(np.median(every)), 2),
        "mean_mm": round(float(np.mean(every)), 2),
        "within_5_mm": round(float(np.mean(np.array(every) <= 5)), 3),
        "clicks": len(every),
        "median_mm_of_pairs": result,
    }


def common_points(scans: list[Path], count: int) -> list[np.ndarray]:
    """Random foreground points of the first scan that are foreground in all."""
    first = grid(scans[0])
    places = np.argwhere(first.foreground.numpy())
    np.random.default_rng(0).shuffle(places)
    points = (first.world(place) for place in places)
    inside = (p for p in points if all(grid(s).foreground[tuple(grid(s).nearest(p))] for s in scans))
    return list(itertools.islice(inside, count))


def other_heads(search, data: Path) -> dict:
    folder = data / "eval_t1_labelled"
    subjects = labelled(data)
    drawn = {s: nibabel.load(folder / f"{s}_glm.nii.gz") for s in subjects}
    numbers = {s: np.asarray(image.dataobj) for s, image in drawn.items()}
    hits: dict[str, list[bool]] = {}
    for first, second in zip(subjects, subjects[1:] + subjects[:1]):
        clicks = {name: centre(drawn[first], numbers[first], ids) for name, ids in regions().items()}
        scans = [folder / f"{subject}_T1w_brain.nii.gz" for subject in (first, second)]
        for name, best in zip(clicks, search(*scans, list(clicks.values()))):
            inverse = np.linalg.inv(drawn[second].affine)
            voxel = np.rint((inverse @ np.append(best, 1))[:3]).astype(int)
            voxel = np.clip(voxel, 0, np.array(numbers[second].shape) - 1)
            hits.setdefault(name, []).append(int(numbers[second][tuple(voxel)]) in regions()[name])
    every = [hit for row in hits.values() for hit in row]
    return {
        "inside_same_structure": round(float(np.mean(every)), 3),
        "clicks": len(every),
        "structures": {name: round(float(np.mean(row)), 2) for name, row in hits.items()},
    }


def regions() -> dict[str, list[int]]:
    result = {}
    for name, entry in scoring_map().items():
        for side in ("left", "right") if "left" in entry else ("",):
            part = entry[side] if side else entry
            result[f"{side} {name}".strip()] = part["neuromorphometrics"]
    return result


def centre(image, numbers: np.ndarray, ids: list[int]) -> np.ndarray:
    """World point of the structure's voxel nearest to its centroid."""
    places = np.argwhere(np.isin(numbers, ids))
    nearest = places[((places - places.mean(0)) ** 2).sum(1).argmin()]
    return (image.affine @ np.append(nearest, 1))[:3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prism", type=Path, help="the command")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--points", type=int, default=60)
    parser.add_argument("--only", default="", help="words in names of searchers, by commas; others are kept")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/similarity.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    command = arguments.prism.resolve()
    searchers = {"prism similarity": by_command(command)}
    searchers |= {" + ".join(names): by_maps(command, names) for names in CHOICES}
    searchers |= {f"patches of {side}^3 voxels (2 mm)": by_patches(side) for side in PATCHES}
    result = json.loads(arguments.out.read_text()) if arguments.only and arguments.out.exists() else {}
    result["command"] = "python -m training.similarity target/debug/prism"
    result.setdefault("searchers", {})
    for name, search in searchers.items():
        if not any(word in name for word in arguments.only.split(",")):
            continue
        row = {
            "same_head": same_head(search, arguments.data, arguments.points),
            "other_heads": other_heads(search, arguments.data),
        }
        result["searchers"][name] = row
        print(name, row["same_head"]["median_mm"], row["other_heads"]["inside_same_structure"], flush=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
