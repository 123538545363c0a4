"""Chooses the numbers of the finder of new lesions (core/src/follow_up/lesions.rs) on painted pairs.

    python -m training.lesions.change --pairs training/runs/pairs

A healthy FLAIR (kirby113) and one of a patient (ms_lesions, patient07) get spots: some at both times, some of
these larger at the second, some at the second alone. Each time is moved, resliced to 3 or 4 mm, with a
bias field and noise of its own. Pairs without anything new, of the same and of patient19, are the nulls. The
finder is written here once more in NumPy, behind the packs in PyTorch, so that many settings can be tried;
the chosen ones are scored by training.follow_up through the command.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from training import pack, predict, preprocess
from training.lesions import paint
from training.lesions.intensities import Tissue, wet
from training.paths import REPOSITORY, data_folder
from training.synth import uniform

WHITE = [2, 41]
FLUID = [4, 5, 14, 15, 24, 43, 44]
SMALLEST_MM3 = 14.0


@dataclass(frozen=True)
class Settings:
    """Names as in core/src/follow_up/lesions.rs."""

    seed_probability: float = 0.5
    seed_rise: float = 3.0
    edge_probability: float = 0.3
    edge_rise: float = 1.5
    reach_mm: float = 1.5
    thickness_mm: float = 4.0


@dataclass(frozen=True)
class Pair:
    """How a pair is made."""

    name: str
    scan: str
    seed: int
    both: int
    larger: int
    new: int
    thick: tuple[float, float]


PAIRS = [
    Pair("kirby-1", "multi_sequence/kirby113_FLAIR", 1, 6, 2, 6, (3, 3)),
    Pair("patient19-null", "ms_lesions/patient19_FLAIR", 7, 0, 0, 0, (4, 3)),
    Pair("patient07-1", "ms_lesions/patient07_FLAIR", 4, 2, 1, 6, (4, 3)),
    Pair("kirby-old", "multi_sequence/kirby113_FLAIR", 6, 8, 0, 0, (3, 3)),
    Pair("kirby-2", "multi_sequence/kirby113_FLAIR", 2, 4, 1, 3, (4, 3)),
    Pair("kirby-null", "multi_sequence/kirby113_FLAIR", 5, 0, 0, 0, (4, 3)),
    Pair("kirby-3", "multi_sequence/kirby113_FLAIR", 3, 12, 3, 8, (3, 4)),
]


def resampled(data, affine, grid_affine, shape, order=1) -> np.ndarray:
    """An image on another grid, by the world."""
    to_voxel = np.linalg.inv(affine) @ grid_affine
    return ndimage.affine_transform(
        data, to_voxel[:3, :3], to_voxel[:3, 3], output_shape=shape, order=order, mode="constant"
    )


def jolt(rng: np.random.Generator, centre: np.ndarray, degrees: float, mm: float) -> np.ndarray:
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-degrees, degrees, 3), degrees=True).as_matrix()
    motion[:3, 3] = centre - motion[:3, :3] @ centre + rng.uniform(-mm, mm, 3)
    return motion


def spots(anatomy: paint.Anatomy, count: int, taken: np.ndarray, grow: int = 0):
    """Fractions of `count` spots away from those of before, and of the first `grow` made larger."""
    rng = anatomy.generator
    small, large = np.zeros(anatomy.ids.shape, np.float32), np.zeros(anatomy.ids.shape, np.float32)
    near, under = anatomy.white & (anatomy.to_ventricle < 6), anatomy.white & (anatomy.to_cortex < 3.5)
    places = [near, under, anatomy.white & ~near & ~under]
    allowed, fine = anatomy.allowed(0.3, 0.5), anatomy.noise(3.5)
    far = ndimage.distance_transform_edt(~(taken > 0.1)) > 8 if taken.any() else np.ones(taken.shape, bool)
    for turn in range(count):
        centre = paint.pick(places[int(rng.choice(3, p=[0.4, 0.25, 0.35]))] & far, rng)
        radius = float(np.clip(2.8 * rng.lognormal(0, 0.4), 1.8, 8))
        axes = radius * np.array([1, uniform(rng, 0.7, 1.1), uniform(rng, 0.8, 1.7)])
        for target, factor in ((small, 1.0), (large, 1.6 if turn < grow else 1.0)):
            state = rng.bit_generator.state
            cut, depth = paint.blob(anatomy.ids.shape, centre, axes * factor, rng, anatomy.spacing)
            if target is small:
                rng.bit_generator.state = state
            value = paint.edge(depth + 0.3 * fine[cut] * min(radius, 4), 1.5) * allowed[cut]
            np.maximum(target[cut], value, out=target[cut])
    return small, large


def acquired(image, affine, motion, thick: float, rng, noise: float):
    """Moved, sliced along z with a boxed profile, another scale, a bias field, noise."""
    centre = affine @ [*(np.array(image.shape) / 2), 1]
    sides = (np.array([230, 240, 200]) / [0.9, 0.9, thick]).astype(int)
    grid = np.diag([0.9, 0.9, thick, 1.0])
    grid[:3, 3] = centre[:3] - grid[:3, :3] @ (sides / 2)
    grid[2, 3] += rng.uniform(-thick / 2, thick / 2)
    parts = 4
    total = 0.0
    for k in range(parts):
        shifted = grid.copy()
        shifted[2, 3] += thick * ((k + 0.5) / parts - 0.5)
        total = total + resampled(image, affine, np.linalg.inv(motion) @ shifted, tuple(sides)) / parts
    along = [np.linspace(-1, 1, n) for n in sides]
    x, y, z = np.meshgrid(*along, indexing="ij")
    bias = np.exp(0.08 * (rng.normal() * x + rng.normal() * y + rng.normal() * z + rng.normal() * x * y))
    data = np.where(total > 0.5, np.maximum(total * bias + rng.normal(0, noise, total.shape), 0), 0)
    return (rng.uniform(0.8, 1.3) * data).astype(np.float32), grid


def brain(document: dict, network, volume, affine) -> np.ndarray:
    """FreeSurfer ids."""
    prepared = preprocess.prepare(volume, affine, document["preprocessing"])
    logits = predict.logits_of(network, prepared.input, document["preprocessing"])
    return predict.ids_of(document)[preprocess.to_scan_labels(predict.softmax(logits), prepared)]


def odds(document: dict, network, volume, affine, mask) -> np.ndarray:
    """Probability of any lesion on a RAS grid, looked for in the mask (pipeline::study_probabilities)."""
    settings = document["preprocessing"]
    grid, _, spacing, target = preprocess.on_grid(volume, affine, settings)
    inside = preprocess.on_grid(mask.astype(np.float32), affine, settings)[0]
    low, high = np.percentile(grid[inside > 0.5], [settings["intensity"]["low"], settings["intensity"]["high"]])
    grid = np.clip((grid - low) / max(high - low, 1e-9), 0, 1).astype(np.float32)
    start, stop = preprocess.foreground_box(inside)
    box = grid[tuple(slice(a, b) for a, b in zip(start, stop))]
    sides = np.array([preprocess.padded_side(n) for n in box.shape])
    before = (sides - np.array(box.shape)) // 2
    cut = tuple(slice(b, b + n) for b, n in zip(before, box.shape))
    padded = np.zeros(sides, np.float32)
    padded[cut] = box
    logits = predict.logits_of(network, padded, settings, budget=0)[(slice(None), *cut)]
    any_lesion = 1 - predict.softmax(logits)[0]
    whole = np.zeros(grid.shape, np.float32)
    whole[tuple(slice(a, b) for a, b in zip(start, stop))] = any_lesion
    for axis in range(3):
        taps = preprocess.linear_taps(whole.shape[axis], target[axis], volume.shape[axis], spacing[axis], 0)
        shape = [1, 1, 1]
        shape[axis] = -1
        weight = taps[2].reshape(shape)
        whole = np.take(whole, taps[0], axis) * (1 - weight) + np.take(whole, taps[1], axis) * weight
    return whole


def make(pair: Pair, data: Path, packs: dict, folder: Path) -> None:
    """Two scans, the mask of what is new at the second (its grid), and both half-way with probabilities."""
    rng = np.random.default_rng(pair.seed)
    image = nibabel.as_closest_canonical(nibabel.load(data / f"{pair.scan}.nii.gz"))
    shape = tuple(np.ceil(np.array(image.shape) * image.header.get_zooms()).astype(int))
    affine = np.eye(4)
    affine[:3, 3] = image.affine[:3, 3]
    grey = resampled(np.asarray(image.dataobj, np.float32), image.affine, affine, shape)
    ids = brain(*packs["brain"], grey, affine)
    away = ndimage.distance_transform_edt(ids == 0).astype(np.float32)
    anatomy = paint.Anatomy(ids, away, 1.0, rng, torch.Generator().manual_seed(pair.seed))
    nothing = np.zeros(shape, np.float32)
    old, grown = spots(anatomy, pair.both, nothing, pair.larger)
    new, _ = spots(anatomy, pair.new, old)
    mean = lambda wanted: float(np.median(grey[np.isin(ids, wanted)]))  # noqa: E731
    tissue = Tissue(mean(WHITE), mean([3, 42]), mean([4, 43]))
    second = np.maximum(grown, new)
    texture = anatomy.noise(4)
    scans = []
    value = wet(tissue, "FLAIR", uniform(rng, 0.3, 0.9), rng) * (1 + 0.05 * texture)
    centre = (affine @ [*(np.array(shape) / 2), 1])[:3]
    motions = [jolt(rng, centre, 6, 5), jolt(rng, centre, 6, 5)]
    noise = 0.025 * tissue.white
    for fraction, motion, thick in zip((old, second), motions, pair.thick):
        scans.append(acquired(grey + fraction * (value - grey), affine, motion, thick, rng, noise))
    truth = ((second > 0.5) & (old < 0.5) & (second - old > 0.3)).astype(np.float32)
    # Half-way is the head's own place here, but for an error of registration.
    error = jolt(rng, centre, 0.25, 0.15)
    shown = [
        resampled(scan, grid, motion @ extra @ affine, shape)
        for (scan, grid), motion, extra in zip(scans, motions, (np.eye(4), error))
    ]
    labels = [brain(*packs["brain"], each, affine) for each in shown]
    mask = (labels[0] > 0) | (labels[1] > 0)
    chances = [odds(*packs["lesions"], each, affine, mask) for each in shown]
    for number, (scan, grid) in enumerate(scans, 1):
        nibabel.save(nibabel.Nifti1Image(scan, grid), folder / f"{pair.name}_{number}.nii.gz")
    on_second = resampled(truth, affine, np.linalg.inv(motions[1]) @ scans[1][1], scans[1][0].shape) > 0.5
    nibabel.save(nibabel.Nifti1Image(on_second.astype(np.uint8), scans[1][1]), folder / f"{pair.name}_gt.nii.gz")
    np.savez_compressed(
        folder / f"{pair.name}.npz", shown=np.array(shown, np.float16), labels=np.array(labels, np.uint8),
        odds=np.array(chances, np.float16), truth=truth > 0.5, thick=np.array(pair.thick),
    )  # fmt: skip


def ball(mm: float) -> np.ndarray:
    reach = int(mm)
    axes = np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij")
    return sum(axis**2 for axis in axes) <= mm**2


def find(shown, labels, odds, thick, s: Settings) -> tuple[np.ndarray, int, np.ndarray]:
    """Mask of what is new or larger, number of spots, whether each is larger (not new)."""
    mask = (labels[0] > 0) | (labels[1] > 0)
    white = np.isin(labels[0], WHITE) & np.isin(labels[1], WHITE)
    normal = ndimage.binary_erosion(white) & (odds[0] < 0.1) & (odds[1] < 0.1)
    greys = []
    for grey, own in zip(shown, thick):
        grey = grey.astype(np.float32)
        if own < s.thickness_mm and max(thick) > 2:
            grey = ndimage.gaussian_filter1d(grey, math.sqrt(s.thickness_mm**2 - own**2) / 2.355, axis=2)
        middle = np.median(grey[normal])
        greys.append((grey - middle) / max(1.4826 * np.median(np.abs(grey[normal] - middle)), 1e-6))
    difference = greys[1] - greys[0]
    fluid = np.isin(labels[0], FLUID) | np.isin(labels[1], FLUID)
    weight = (mask & ~fluid).astype(np.float32)
    smooth = lambda values: ndimage.gaussian_filter(values, 15.0, truncate=2)  # noqa: E731
    bias = smooth(np.clip(difference, -3, 3) * weight) / np.maximum(smooth(weight), 1e-3)
    near = ball(s.reach_mm)
    rise = greys[1] - bias - ndimage.maximum_filter(greys[0], footprint=near)
    before = ndimage.maximum_filter(odds[0], footprint=near)
    there = rise[normal]
    sigma = 1.4826 * np.median(np.abs(there - np.median(there)))
    look = mask & ~fluid
    edge = look & (odds[1] >= s.edge_probability) & (rise >= s.edge_rise * sigma)
    seed = edge & (odds[1] >= s.seed_probability) & (rise >= s.seed_rise * sigma)
    spots, count = ndimage.label(edge)
    sizes = np.bincount(spots.ravel(), minlength=count + 1)
    seeded = np.bincount(spots[seed], minlength=count + 1) > 0
    keep = seeded & (sizes >= SMALLEST_MM3)
    keep[0] = False
    mine = keep[spots]
    numbered, found = ndimage.label(mine)
    old = ndimage.binary_dilation(odds[0] >= 0.5, ball(2.0))
    larger = np.array([old[numbered == k].any() for k in range(1, found + 1)], bool)
    del before
    return mine, found, larger


def score(mine, count, truth) -> dict:
    (drawn, many), (called, _) = ndimage.label(truth), ndimage.label(mine)
    total = int(mine.sum() + truth.sum())
    return {
        "dice": 2 * int((mine & truth).sum()) / total if total else 1.0,
        "drawn": many, "touched": len(set(drawn[mine]) - {0}),
        "spots": count, "false": count - len(set(called[truth]) - {0}),
    }  # fmt: skip


def all_scores(cases: dict, s: Settings) -> dict:
    result = {}
    for name, case in cases.items():
        forward = find(case["shown"], case["labels"], case["odds"], case["thick"], s)
        back = find(case["shown"][::-1], case["labels"][::-1], case["odds"][::-1], case["thick"][::-1], s)
        row = score(forward[0], forward[1], case["truth"])
        result[name] = row | {"larger": int(forward[2].sum()), "false_shrunken": back[1]}
    return result


def merit(rows: dict) -> float:
    """Mean F1 over lesions where something is new, less what is called where nothing is."""
    scores, false = [], 0
    for row in rows.values():
        false += row["false_shrunken"]
        if row["drawn"]:
            precision = (row["spots"] - row["false"]) / max(row["spots"], 1)
            recall = row["touched"] / row["drawn"]
            scores.append(2 * precision * recall / max(precision + recall, 1e-9) + row["dice"])
        else:
            false += row["spots"]
    return float(np.mean(scores)) / 2 - 0.05 * false


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, default=REPOSITORY / "training" / "runs" / "pairs")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training" / "results" / "lesion_change.json")
    parser.add_argument("--make-only", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    arguments.pairs.mkdir(parents=True, exist_ok=True)
    packs = {}
    for pair in PAIRS:
        if not (arguments.pairs / f"{pair.name}.npz").exists():
            for name in ("brain", "lesions"):
                if name not in packs:
                    network, document = pack.read(REPOSITORY / "public" / "packs" / f"{name}.safetensors")
                    packs[name] = (document, network)
            make(pair, arguments.data, packs, arguments.pairs)
            print(pair.name, flush=True)
    if arguments.make_only:
        return
    cases = {pair.name: dict(np.load(arguments.pairs / f"{pair.name}.npz")) for pair in PAIRS}
    for case in cases.values():
        case["odds"] = case["odds"].astype(np.float32)
    best, rows, tried = Settings(), None, {}
    axes = {
        "seed_probability": (0.3, 0.5, 0.7), "seed_rise": (2.0, 3.0, 4.0, 5.0),
        "edge_probability": (0.1, 0.2, 0.3), "edge_rise": (1.0, 1.5, 2.0, 2.5), "thickness_mm": (3.0, 4.0, 5.0),
    }  # fmt: skip
    # One number after another, twice round.
    for name, values in itertools.chain(axes.items(), axes.items()):
        for value in values:
            candidate = replace(best, **{name: value})
            key = json.dumps(asdict(candidate))
            if key not in tried:
                tried[key] = all_scores(cases, candidate)
                print(round(merit(tried[key]), 4), key, flush=True)
        choices = [replace(best, **{name: value}) for value in values]
        best = max(choices, key=lambda s: merit(tried[json.dumps(asdict(s))]))
    rows = tried[json.dumps(asdict(best))]
    result = {
        "command": "python -m training.lesions.change", "settings": asdict(best),
        "merit": round(merit(rows), 4), "pairs": rows,
    }  # fmt: skip
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
