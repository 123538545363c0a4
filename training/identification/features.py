"""Pooled features of scans through the product's preprocessing, kept in the cache one file a scan.

    python -m training.identification.features [--registry FOLDER]

Real scans as they are; training scans also in variants that break what would be shortcuts: thick slices
(else "isotropic" would mean head and "10 mm" heart), noise, bias and gamma (one scanner a data set), the
skull taken away by the label maps (else "stripped" would mean another data set). Synthetic scans for the
sequences that no training scan has, and for other body parts. The encoder is the brain pack's, as it
ships (int8); a vector is what `prism encode` writes.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import numpy as np
import torch

from training import pack, predict, preprocess
from training.identification import scans
from training.labels import CONTRASTS
from training.model import SHALLOW, Network
from training.paths import REPOSITORY, cache_folder, data_folder
from training.pretraining import physics
from training.pretraining.data import Source, crop
from training.synth import DISTANCE_BIT, Brain, Plan, coarsen, field, sample_labels, synthesise

ONE_PASS_VOXELS = 1 << 21  # as in core/src/pipeline/sliding.rs
VECTORS = ("sequence", "structure", "centre")
SIZES = [(64, 80, 64), (64, 80, 64), (80, 96, 80)]


def centre(maps: list[torch.Tensor]) -> torch.Tensor:
    """Means, then deviations, of the first levels over the middle half of every side: [1, 2 * 112].

    Over the whole input the share of air, skull and padding drowns the contrast.
    """
    cut = [m[(..., *(slice(n // 4, n // 4 + n // 2) for n in m.shape[2:]))].flatten(2) for m in maps[:SHALLOW]]
    return torch.cat([m.mean(2) for m in cut] + [m.var(2, unbiased=False).sqrt() for m in cut], dim=1)


@torch.no_grad()
def vectors(network: Network, image: np.ndarray, settings: dict) -> dict[str, np.ndarray]:
    """The pooled vectors of a network input [x, y, z]; means over windows where it needs several."""
    x = torch.from_numpy(image)[None, None]
    if image.size <= ONE_PASS_VOXELS:
        starts, window = [[0], [0], [0]], image.shape
    else:
        window = tuple(min(w, n) for w, n in zip(settings["window"], image.shape))
        starts = [predict.positions(n, w, settings["overlap"]) for n, w in zip(image.shape, window)]
    rows = []
    for i in starts[0]:
        for j in starts[1]:
            for k in starts[2]:
                cut = (slice(i, i + window[0]), slice(j, j + window[1]), slice(k, k + window[2]))
                part = x[(slice(None), slice(None), *cut)].contiguous(memory_format=torch.channels_last_3d)
                found = network.features(part)
                rows.append(found["vectors"] | {"centre": centre(found["maps"])})
    return {f"vector_{name}": torch.stack([row[name][0] for row in rows]).mean(0).numpy() for name in VECTORS}


def boxed(grid: np.ndarray) -> np.ndarray:
    """Foreground box and padding of a normalised grid, as the product cuts it."""
    start, stop = preprocess.foreground_box(grid)
    box = grid[tuple(slice(a, b) for a, b in zip(start, stop))]
    sides = [preprocess.padded_side(side) for side in box.shape]
    padded = np.zeros(sides, dtype=np.float32)
    before = [(side - n) // 2 for side, n in zip(sides, box.shape)]
    padded[tuple(slice(b, b + n) for b, n in zip(before, box.shape))] = box
    return padded


def conformed(volume: np.ndarray, affine: np.ndarray, settings: dict, scale: float = 1.0) -> np.ndarray:
    """The scan on the pack's grid before the intensity rule; `scale` pretends another spacing."""
    ras, ras_affine = preprocess.reorient(volume, affine)
    spacing = preprocess.spacing_of(ras_affine) * scale
    return preprocess.resample(ras, spacing, np.asarray(settings["spacing_mm"], np.float64))


def varied(grid: np.ndarray, rng: np.random.Generator, rule: dict, thick: bool = True) -> np.ndarray:
    """Thick slices, a bias field, noise and gamma; normalised."""
    torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
    image, background = torch.from_numpy(grid), torch.from_numpy(grid <= 0)
    if thick and rng.random() < 0.7 and min(grid.shape) > 24:
        image = coarsen(image, int(rng.integers(3)), float(rng.uniform(1.2, 3.5)))
    nodes = [int(rng.integers(2, 5)) for _ in range(3)]
    image = image * torch.exp(field(torch_rng, nodes, tuple(grid.shape), 1)[0] * float(rng.uniform(0, 0.25)))
    level = float(image.max()) * float(rng.uniform(0, 0.03))
    image = (image + level * torch.randn(image.shape, generator=torch_rng)).abs()
    if bool(background.float().mean() > 0.2) and rng.random() < 0.7:
        image[background] = 0
    image = preprocess.normalise(image.numpy(), rule)
    return image ** np.float32(np.exp(rng.normal(0, 0.2)))


def stripped(folder: Path, name: str, rng: np.random.Generator, settings: dict) -> np.ndarray | None:
    """A real head without its skull, by its predicted label map (training.self_training), at 2 mm."""
    if not (folder / f"{name}-scan.npy").exists():
        return None
    codes, scan = np.load(folder / f"{name}.npy"), np.load(folder / f"{name}-scan.npy").astype(np.float32)
    reach = float(rng.uniform(0, 4))
    scan[((codes >> DISTANCE_BIT) & 31) > reach] = 0
    return preprocess.resample(scan, np.ones(3), np.asarray(settings["spacing_mm"], np.float64))


def inputs(scan: scans.Scan, cache: Path, settings: dict):
    """(variant, network input, stripped) of a scan: itself, and of a training scan its variants."""
    volume, affine = scans.read(scan.path)
    rule = settings["intensity"]
    grid = conformed(volume, affine, settings)
    yield "", boxed(preprocess.normalise(grid, rule)), scan.stripped
    if scan.use != "train":
        return
    rng = np.random.default_rng([zlib.crc32(scan.name.encode()), 1])
    heart = scan.part == scans.HEART
    if heart:
        if scan.name.endswith("frame01"):
            grid = conformed(volume, affine, settings, float(rng.uniform(0.75, 1.25)))
            yield "varied", boxed(varied(grid, rng, rule, thick=False)), scan.stripped
        return
    yield "varied", boxed(varied(grid, rng, rule)), scan.stripped
    if scan.data_set == "t1_wholehead":
        bare = stripped(cache / "self_training", scan.path.name.removesuffix(".nii.gz"), rng, settings)
        if bare is not None:
            yield "stripped", boxed(preprocess.normalise(bare, rule)), True
            yield "stripped varied", boxed(varied(bare, rng, rule)), True


class Synthetic:
    """Synthetic scans by index: heads of two syntheses in four sequences, and other body parts."""

    def __init__(self, cache: Path, priors: Path, settings: dict, seed: int):
        self.brain, self.rule, self.seed = Brain(cache, priors), settings["intensity"], seed
        self.sources = {size: Source(cache, priors, size) for size in set(SIZES)}

    def head(self, index: int) -> tuple[np.ndarray, str, bool | None]:
        """SynthSeg's manner: network input, sequence, whether the skull is gone."""
        rng = np.random.default_rng([self.seed, index, 1])
        kind = CONTRASTS[index % 4]
        shares = tuple(float(name == kind) for name in CONTRASTS)
        predicted = 0.5 if self.brain.predicted else 0.0
        plan = Plan(SIZES[int(rng.integers(len(SIZES)))], shares, 1.0, 0.0, predicted)
        sample = synthesise(self.brain, self.seed, index, plan)
        image = sample["image"][0]
        if rng.random() < 0.4:
            image = coarsen(image, int(rng.integers(3)), float(rng.uniform(1.3, 3.0)))
        return boxed(preprocess.normalise(image.numpy(), self.rule)), kind, bool(sample["stripped"])

    def physics_head(self, index: int) -> tuple[np.ndarray, str]:
        """By signal equations, with the skull."""
        rng, torch_rng, source = self._begin(index, 2)
        scene = sample_labels(self.brain.drawn, rng, torch_rng, Plan(source.size, (1.0,), 1.0))
        return self._drawn(source, scene.centre & 63, physics.brain_tissues(self.brain, rng), index, rng, torch_rng)

    def body(self, index: int) -> tuple[np.ndarray, str]:
        """Abdomen, knee or neck; the tissues' contrasts are drawn without anatomy in mind."""
        part = ("abdomen", "knee", "neck")[index % 3]
        rng, torch_rng, source = self._begin(index, 3)
        volume = source.maps["head_neck" if part == "neck" else part]
        if part == "neck":
            volume = volume[:, :, : volume.shape[2] // 2]
        labels, _ = crop(volume[:: int(rng.choice([1, -1]))], source.size, rng)
        tissues = physics.body_tissues(rng, int(volume.max()))
        image, _ = self._drawn(source, torch.from_numpy(labels), tissues, index, rng, torch_rng)
        return image, part

    def _begin(self, index: int, kind: int):
        rng = np.random.default_rng([self.seed, index, kind])
        torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
        return rng, torch_rng, self.sources[SIZES[int(rng.integers(len(SIZES)))]]

    def _drawn(self, source: Source, labels: torch.Tensor, tissues: np.ndarray, index: int, rng, torch_rng):
        name = physics.SEQUENCES[index % len(physics.SEQUENCES)]
        image = source.drawn(labels, tissues, rng, torch_rng, physics.draw(rng, name))
        return boxed(image[0].numpy()), name


def keep(path: Path, found: dict, **known) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **found, **{key: np.array("" if value is None else value) for key, value in known.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, default=REPOSITORY / "public/packs/brain.safetensors")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--registry", type=Path, default=cache_folder() / "registry")
    parser.add_argument("--heads", type=int, default=200, help="synthetic heads of SynthSeg's kind; half as many by signal equations")
    parser.add_argument("--bodies", type=int, default=75, help="synthetic scans of other body parts")
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network, document = pack.read(arguments.pack)
    network = network.to(memory_format=torch.channels_last_3d)
    settings = document["preprocessing"]
    out = arguments.cache / "identify" / document["sha256"][:12]
    every = [*scans.of_data(arguments.data), *scans.label_maps(arguments.data), *scans.of_registry(arguments.registry)]
    # Of a heart that is learnt from one phase is enough.
    every = [s for s in every if s.part != scans.HEART or s.use != "train" or s.name.endswith("frame01")]
    made = Synthetic(arguments.cache, arguments.data / "labelmaps_brain" / "priors", settings, arguments.seed)
    counts = {"head": arguments.heads, "physics": arguments.heads // 2, "body": arguments.bodies}
    learnt = [scan for scan in every if scan.use == "train"]
    real(network, settings, [scan for scan in every if scan.use != "train"], arguments.cache, out)
    synthetic(network, settings, made, counts, out)
    real(network, settings, sorted(learnt, key=lambda scan: scan.part == scans.HEART), arguments.cache, out)


def real(network: Network, settings: dict, wanted: list[scans.Scan], cache: Path, out: Path) -> None:
    """The vectors of scans that are not in the cache yet."""
    for scan in wanted:
        first = out / f"{scan.name.replace('/', '-')}.npz"
        if first.exists():
            continue
        if not scan.path.exists():
            print("not there:", scan.name, flush=True)
            continue
        # The scan itself last: its file says that all of it is done.
        found = sorted(inputs(scan, cache, settings), key=lambda row: row[0], reverse=True)
        for variant, image, bare in found:
            path = first.with_name(f"{first.stem}{'~' + variant.replace(' ', '-') if variant else ''}.npz")
            keep(path, vectors(network, image, settings), name=scan.name, variant=variant, stripped=bare,
                 data_set=scan.data_set, subject=scan.subject, use=scan.use, part=scan.part,
                 sequence=scan.sequence, sides=image.shape)  # fmt: skip
        print(scan.name, found[-1][1].shape, flush=True)


def synthetic(network: Network, settings: dict, made: Synthetic, counts: dict, out: Path) -> None:
    """The vectors of synthetic scans, of all kinds in turn."""
    for index in range(max(counts.values())):
        for kind, count in counts.items():
            path = out / f"synthetic-{kind}-{index:04}.npz"
            if index >= count or path.exists():
                continue
            row = {"name": path.stem, "subject": path.stem, "variant": kind, "use": "train", "data_set": "synthetic"}
            if kind == "head":
                image, sequence, bare = made.head(index)
                row |= {"part": scans.HEAD, "sequence": sequence, "stripped": bare}
            elif kind == "physics":
                image, sequence = made.physics_head(index)
                row |= {"part": scans.HEAD, "sequence": sequence, "stripped": False}
            else:
                image, part = made.body(index)
                row |= {"part": scans.OTHER, "sequence": None, "stripped": None, "variant": part}
            keep(path, vectors(network, image, settings), sides=image.shape, **row)
        if index % 20 == 0:
            print("synthetic", index, flush=True)


if __name__ == "__main__":
    main()
