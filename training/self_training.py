"""Labels for unlabelled T1w heads, made by the model itself: the anatomies of the second training phase.

    python -m training.self_training --run training/runs/brain2mm
    python -m training.self_training --run training/checkpoints/brain2mm.safetensors    # on a fresh machine
    python -m training.self_training --prism target/debug/prism    # by the pack that ships, to a folder of its own

For every head of t1_wholehead (never of eval_t1_labelled) the model's probabilities are averaged over
flips (sides exchanged), scales and gammas at 2 mm. The average is the prior of a mixture model: every
tissue gets a Gaussian fitted on the scan itself, and prior times likelihood at 1 mm puts the boundaries
where the intensities change, which the model alone does only roughly. What is not brain is sorted by
intensity into the label maps' own soft-tissue classes. The result has the form of the drawn label maps
(`training.prepare`) plus a doubt a voxel and the scan, and serves as anatomy for real and for synthetic
contrasts. `--check` scores the same labels on the development scans and writes nothing.

The deep structures are left in full doubt, which takes them and their surroundings out of the loss: what
the model gets wrong there (too large) the intensities do not correct, and a student taught with it lost
.03 to .11 Dice on pallidum, putamen and accumbens in 150 steps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import torch
import torch.nn.functional as functional
from scipy import ndimage

from training import prepare, preprocess
from training.development import Development
from training.labels import BRAIN, BRAIN_IDS, CLASSES, LEFT_RIGHT
from training.model import Network
from training.paths import cache_folder, data_folder, runs_folder
from training.precision import autocast
from training.synth import BY_PACK, DOUBT_BIT, DOUBTS, PREDICTED, Brain, Plan, synthesise
from training.train import brain_network, earlier, load_matching

# FreeSurfer ids that share one Gaussian in T1w.
TISSUES = [
    [2, 41], [3, 42], [17, 18, 53, 54], [11, 26, 50, 58], [12, 51], [13, 52], [10, 49], [28, 60], [16],
    [8, 47], [7, 46], [4, 5, 14, 15, 24, 43, 44],
]  # fmt: skip
TISSUE_OF = np.array([next((t for t, ids in enumerate(TISSUES) if i in ids), -1) for i in BRAIN_IDS])
# Outside the brain: T1w priors of the label maps (white matter 160) -> generation label.
OUTSIDE = {0: 7, 506: 18, 515: 30, 514: 48, 512: 68, 507: 94, 508: 117, 530: 144}
WHITE_MATTER = 160.0
EMPTY = 0.02
PRIOR_EXPONENT = 0.5  # the prior is a smoothed belief: taken whole it would outvote the intensities
CALIBRATION = 4.0
CALIBRATION_SAMPLES = 12
VARIANTS = [(False, 0.93, 1.15), (True, 1.0, 1.0), (True, 0.93, 0.87)]  # flip, scale, gamma
CROP_MARGIN = 8  # voxels of 2 mm around the brain
# Labels that the intensities decide: white matter, cortex, ventricles and fluid, cerebellum.
BORDERS = [2, 3, 4, 5, 7, 8, 14, 15, 24, 41, 42, 43, 44, 46, 47]
DEEP_MARGIN = 2  # voxels of 1 mm
MIRROR = np.arange(CLASSES)
for _left, _right in LEFT_RIGHT.items():
    _pair = BRAIN_IDS.index(_left), BRAIN_IDS.index(_right)
    MIRROR[_pair[0]], MIRROR[_pair[1]] = _pair[1], _pair[0]


@torch.no_grad()
def soft(network: Network, image: np.ndarray) -> torch.Tensor:
    """[classes, x, y, z] for an image of any size."""
    x = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    room = [preprocess.padded_side(n) - n for n in image.shape]
    x = functional.pad(x, (0, room[2], 0, room[1], 0, room[0]))
    with autocast("cpu"):
        logits = network(x.contiguous(memory_format=torch.channels_last_3d))["heads"]["segmentation"]
    i, j, k = image.shape
    return logits[0, :, :i, :j, :k].float().softmax(0)


def probabilities(network: Network, image: np.ndarray) -> np.ndarray:
    """[classes, x, y, z]: the whole image once, then the mean over the variants on the brain's box."""
    total = soft(network, image)
    where = np.argwhere(total[0].numpy() < 0.5)
    if len(where) == 0:
        return total.numpy()
    start = np.maximum(where.min(0) - CROP_MARGIN, 0)
    stop = np.minimum(where.max(0) + 1 + CROP_MARGIN, image.shape)
    cut = tuple(slice(a, b) for a, b in zip(start, stop))
    box, part = image[cut], total[(slice(None), *cut)]
    for flip, scale, gamma in VARIANTS:
        seen = (box[::-1] if flip else box) ** gamma
        if scale != 1:
            size = [int(round(n * scale)) for n in box.shape]
            seen = resized(torch.from_numpy(np.ascontiguousarray(seen))[None], size)[0].numpy()
        result = resized(soft(network, seen), list(box.shape))
        part += result.flip(1)[torch.from_numpy(MIRROR)] if flip else result
    part /= 1 + len(VARIANTS)
    return total.numpy()


def resized(values: torch.Tensor, size: list[int]) -> torch.Tensor:
    """[channels, x, y, z] by trilinear interpolation."""
    if list(values.shape[1:]) == size:
        return values
    return functional.interpolate(values[None], size=size, mode="trilinear", align_corners=False)[0]


@torch.no_grad()
def volume_ratios(network: Network, brain: Brain, seed: int) -> np.ndarray:
    """Predicted over true volume of every class on synthetic T1w scans (soft counts, sides pooled).

    A Dice loss rewards small structures that are a little too large; this says by how much.
    """
    predicted, true = np.zeros(CLASSES), np.zeros(CLASSES)
    plan = Plan((80, 96, 80), (1.0, 0, 0, 0, 0), 1.0)
    for index in range(CALIBRATION_SAMPLES):
        sample = synthesise(brain, seed, index, plan)
        x = sample["image"][None].contiguous(memory_format=torch.channels_last_3d)
        with autocast("cpu"):
            logits = network(x)["heads"]["segmentation"]
        predicted += logits[0].float().softmax(0).sum((1, 2, 3)).numpy()
        true += np.bincount(sample["target"].numpy().ravel(), minlength=CLASSES)
    predicted, true = predicted + predicted[MIRROR], true + true[MIRROR]
    ratio = np.clip(predicted / np.maximum(true, 1), 0.5, 2.0)
    ratio[0] = 1.0
    return ratio


def calibrated(prior: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """The prior with every class pulled against its surplus of volume."""
    prior = prior * (ratio**-CALIBRATION).astype(np.float32)[:, None, None, None]
    return prior / prior.sum(0)


def gaussians(grey: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of every tissue by expectation-maximisation; grey [voxels], prior [classes, voxels]."""
    belief = prior
    for _ in range(5):
        weight = np.stack([belief[TISSUE_OF == t].sum(0) for t in range(len(TISSUES))]) ** 2
        total = weight.sum(1) + 1e-6
        mean = (weight * grey).sum(1) / total
        spread = np.sqrt((weight * (grey - mean[:, None]) ** 2).sum(1) / total) + 0.02
        belief = posterior(grey, prior, mean, spread)
    return mean, spread


def posterior(grey: np.ndarray, prior: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """[classes, voxels]; background is as likely everywhere as a middling tissue."""
    likelihood = -0.5 * ((grey - mean[:, None]) / spread[:, None]) ** 2 - np.log(spread)[:, None]
    best = likelihood.max(0)
    likelihood = np.maximum(likelihood, best - 8)
    score = PRIOR_EXPONENT * np.log(prior + 1e-5)
    score[1:] += likelihood[TISSUE_OF[1:]]
    score[0] += best - 1
    score = np.exp(score - score.max(0))
    return score / score.sum(0)


def refine(image: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Class index and its probability on the prior's own grid, and the white matter's mean intensity."""
    inside = prior[0] < 0.98
    grey, inner = image[inside], prior[:, inside]
    step = max(1, grey.size // 60_000)
    mean, spread = gaussians(grey[::step], inner[:, ::step])
    belief = posterior(grey, inner, mean, spread)
    labels, sure = np.zeros(image.shape, np.uint8), np.ones(image.shape, np.float32)
    labels[inside] = belief.argmax(0)
    sure[inside] = belief.max(0)
    return labels, sure, float(mean[0])


def at_one_millimetre(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The scan on RAS axes at 1 mm, by the intensity rule."""
    ras, turned = preprocess.reorient(volume, affine)
    fine = preprocess.resample(ras, preprocess.spacing_of(turned), np.ones(3))
    return preprocess.normalise(fine, {"rule": "percentile", "low": 0.5, "high": 99.7})


def label_by_network(volume: np.ndarray, affine: np.ndarray, fine: np.ndarray, network: Network, ratio: np.ndarray):
    """FreeSurfer ids and certainties on the grid of `fine`, and the mean grey of white matter there."""
    prepared = preprocess.prepare(volume, affine, prepare.PREPROCESSING)
    prior = calibrated(probabilities(network, prepared.input), ratio)
    # Twice the grid: voxel i at 1 mm lies at (i + 0.5) / 2 - 0.5 of the 2 mm grid, as interpolation has it.
    where = np.argwhere(prior[0] < 0.5)
    low = prepared.pad_before
    high = low + prepared.box_stop - prepared.box_start
    start, stop = np.maximum(where.min(0) - 3, low), np.minimum(where.max(0) + 4, high)
    box = torch.from_numpy(prior[(slice(None), *(slice(a, b) for a, b in zip(start, stop)))])
    box = resized(box, [2 * n for n in box.shape[1:]]).numpy()
    first = 2 * (start - prepared.pad_before + prepared.box_start)
    last = np.minimum(first + box.shape[1:], fine.shape)
    place = tuple(slice(a, b) for a, b in zip(first, last))
    box = box[(slice(None), *(slice(0, b - a) for a, b in zip(first, last)))]
    labels, sure = np.zeros(fine.shape, np.uint8), np.ones(fine.shape, np.float32)
    labels[place], sure[place], white = refine(fine[place], box)
    return np.array(BRAIN_IDS)[labels].astype(np.int32), sure, white


def label_by_command(prism: Path, path: Path, affine: np.ndarray, fine: np.ndarray):
    """The same by `prism segment` with the pack that ships, whose borders follow the scan's own grid; all certain."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "labels.nii.gz"
        subprocess.run([prism, "segment", path, "-o", written], check=True, capture_output=True)
        labels = np.asarray(nibabel.load(written).dataobj).astype(np.int32)
    ras, _ = preprocess.reorient(labels, affine)
    # The nearest voxel, by the centres of both grids.
    picked = [
        np.minimum(((np.arange(n) + 0.5) * m / n).astype(int), m - 1) for n, m in zip(fine.shape, ras.shape)
    ]
    ids = ras[np.ix_(*picked)]
    return ids, np.ones(fine.shape, np.float32), float(np.median(fine[np.isin(ids, [2, 41])]))


def pack_head(ids: np.ndarray, sure: np.ndarray, white: float, fine: np.ndarray, generation: np.ndarray):
    """Packed voxels, scan (uint8) and centre of one head at 1 mm."""
    # Where a skull-strip has left nothing there is no fluid either.
    ids = np.where((ids == 24) & (fine < EMPTY), 0, ids)
    cut, centre = prepare.brain_cut(prepare.brain_tissue(ids))
    ids, sure, fine = ids[cut], sure[cut].copy(), fine[cut]
    names, values = np.array(list(OUTSIDE)), np.array(list(OUTSIDE.values()), dtype=np.float32)
    outside = names[np.searchsorted((values[1:] + values[:-1]) / 2, fine * WHITE_MATTER / white)]
    packed = prepare.pack_voxels(np.where(ids == 0, outside, ids), generation)
    deep = (ids > 0) & ~np.isin(ids, BORDERS)
    sure[ndimage.binary_dilation(deep, iterations=DEEP_MARGIN)] = 0
    packed |= np.rint((1 - sure) * DOUBTS).astype(np.uint16) << DOUBT_BIT
    scan = np.rint(fine * 255).astype(np.uint8)
    prepare.border(scan, 0)
    return packed, scan, centre


def folder_of(cache: Path, by_pack: bool) -> Path:
    """Where the labels go: those of a run and those of the pack lie apart."""
    return cache / PREDICTED[int(by_pack)]


def check(network: Network, ratio: np.ndarray, cache: Path) -> dict:
    """Mean Dice on the development scans: one pass, averaged, averaged and refined (2 mm grid)."""
    development = Development(cache)
    rows: dict[str, list[float]] = {"one pass": [], "averaged": [], "refined": []}
    for _, image, truth in development.cases:
        prior = probabilities(network, image)
        results = {
            "one pass": soft(network, image).numpy().argmax(0),
            "averaged": prior.argmax(0),
            "refined": refine(image, calibrated(prior, ratio))[0],
        }
        for name, labels in results.items():
            rows[name].append(float(development.dice(labels, truth).mean()))
    return {name: round(float(np.mean(values)), 4) for name, values in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=runs_folder() / "brain2mm", help="or a float16 export")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=999)
    parser.add_argument("--check", action="store_true", help="only score on the development scans")
    parser.add_argument("--only", help="part of the file name")
    parser.add_argument("--prism", type=Path, help="label by this command instead of the run")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    brain = Brain(arguments.cache, arguments.data / "labelmaps_brain" / "priors")
    if arguments.prism is None:
        stored = arguments.run if arguments.run.is_file() else arguments.run / "checkpoint.pt"
        weights, _, source, _ = earlier(str(stored), "cpu")
        network = Network(brain_network()).eval().to(memory_format=torch.channels_last_3d)
        load_matching(network, weights)
        ratio = volume_ratios(network, brain, arguments.seed)
        print({name: round(float(ratio[i + 1]), 2) for i, (_, name, _) in enumerate(BRAIN[:18])}, flush=True)
        if arguments.check:
            print(json.dumps(check(network, ratio, arguments.cache)))
            return
    else:
        source = BY_PACK
    folder = folder_of(arguments.cache, arguments.prism is not None)
    folder.mkdir(parents=True, exist_ok=True)
    index = {"step": source, "centres": {}, "ventricles_ml": {}}
    written = folder / "index.json"
    if written.exists() and json.loads(written.read_text())["step"] == source:
        index = json.loads(written.read_text())  # goes on where it was interrupted
    for path in sorted((arguments.data / "t1_wholehead").glob("*_T1w.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        if name in index["centres"] or (arguments.only or "") not in name:
            continue
        image = nibabel.load(path)
        volume = np.asarray(image.dataobj, dtype=np.float32)
        fine = at_one_millimetre(volume, image.affine)
        if arguments.prism is None:
            labelled = label_by_network(volume, image.affine, fine, network, ratio)
        else:
            labelled = label_by_command(arguments.prism, path, image.affine, fine)
        packed, scan, centre = pack_head(*labelled, fine, brain.ids)
        np.save(folder / f"{name}.npy", packed)
        np.save(folder / f"{name}-scan.npy", scan)
        np.save(folder / f"{name}-ventricles.npy", prepare.ventricle_field(packed, brain.ids))
        index["centres"][name] = centre
        index["ventricles_ml"][name] = prepare.ventricle_millilitres(packed, brain.ids)
        written.write_text(json.dumps(index, indent=1))
        print(name, packed.shape, round(index["ventricles_ml"][name], 1), flush=True)


if __name__ == "__main__":
    main()
