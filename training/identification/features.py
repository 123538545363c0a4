"""Pooled features of scans through the product's preprocessing, kept in the cache one file a scan.

    python -m training.identification.features [--registry FOLDER]

Real scans as they are; training scans also in variants that break what would be shortcuts: thick slices
(else "isotropic" would mean head and "10 mm" heart), noise, bias and gamma (one scanner a data set), the
skull taken away by the label maps (else "stripped" would mean another data set), air that is grey. `develop`
scans come in variants, too, their skulls taken away by the pack's own labels. Synthetic scans
(`synthetic.py`) for the sequences that no training scan has, and for other body parts. The encoder is the
brain pack's, as it ships (int8); a vector is what `prism encode` writes.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from training import pack, predict, preprocess
from training.identification import scans
from training.identification.grids import boxed, conformed, in_grey_air, varied
from training.identification.synthetic import Synthetic
from training.model import SHALLOW, Network
from training.paths import REPOSITORY, cache_folder, data_folder
from training.synth import DISTANCE_BIT

ONE_PASS_VOXELS = 1 << 21  # as in core/src/pipeline/sliding.rs
VECTORS = ("sequence", "structure", "centre")


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


def stripped(folder: Path, name: str, rng: np.random.Generator, settings: dict) -> np.ndarray | None:
    """A real head without its skull, by its predicted label map (training.self_training), at 2 mm."""
    if not (folder / f"{name}-scan.npy").exists():
        return None
    codes, scan = np.load(folder / f"{name}.npy"), np.load(folder / f"{name}-scan.npy").astype(np.float32)
    reach = float(rng.uniform(0, 4))
    scan[((codes >> DISTANCE_BIT) & 31) > reach] = 0
    return preprocess.resample(scan, np.ones(3), np.asarray(settings["spacing_mm"], np.float64))


def without_skull(network: Network, image: np.ndarray, rng: np.random.Generator, settings: dict) -> np.ndarray:
    """A normalised whole head without its skull, by the labels that the pack itself gives."""
    brain = predict.logits_of(network, image, settings).argmax(0) > 0
    reach = int(rng.integers(0, 3))
    brain = ndimage.binary_fill_holes(ndimage.binary_dilation(brain, iterations=1 + reach))
    return image * brain


def as_it_is(scan: scans.Scan, settings: dict) -> np.ndarray:
    """The network input of a scan, without variants."""
    volume, affine = scans.read(scan.path)
    return boxed(preprocess.normalise(conformed(volume, affine, settings), settings["intensity"]))


def inputs(scan: scans.Scan, cache: Path, settings: dict, network: Network):
    """(variant, network input, stripped) of a scan: itself, and of what may be learnt from its variants."""
    volume, affine = scans.read(scan.path)
    rule = settings["intensity"]
    grid = conformed(volume, affine, settings)
    yield "", boxed(preprocess.normalise(grid, rule)), scan.stripped
    rng = np.random.default_rng([zlib.crc32(scan.name.encode()), 1])
    if scan.use == "train":
        yield from of_training(scan, grid, rng, cache, settings, (volume, affine))
    elif scan.use == "develop":
        yield from of_development(scan, grid, rng, settings, network)


def of_training(scan: scans.Scan, grid: np.ndarray, rng, cache: Path, settings: dict, read: tuple):
    """The variants of a scan to train on."""
    rule = settings["intensity"]
    if scan.part == scans.HEART:
        if scan.name.endswith("frame01"):
            grid = conformed(*read, settings, float(rng.uniform(0.75, 1.25)))
            yield "varied", boxed(varied(grid, rng, rule, thick=False)), scan.stripped
        return
    yield "varied", boxed(varied(grid, rng, rule)), scan.stripped
    if scan.data_set == "t1_wholehead":
        bare = stripped(cache / "self_training", scan.path.name.removesuffix(".nii.gz"), rng, settings)
        if bare is not None:
            yield "stripped", boxed(preprocess.normalise(bare, rule)), True
            yield "stripped varied", boxed(varied(bare, rng, rule)), True
        yield "grey air", boxed(in_grey_air(grid, rng, rule)), True


def of_development(scan: scans.Scan, grid: np.ndarray, rng, settings: dict, network: Network):
    """The variants of the few scans that choose strength and temperature: else three people decide."""
    rule = settings["intensity"]
    for number in (1, 2):
        yield f"varied {number}", boxed(varied(grid, rng, rule)), scan.stripped
    bare = grid
    if not scan.stripped:
        whole = boxed(preprocess.normalise(grid, rule))
        bare = without_skull(network, whole, rng, settings)
        yield "stripped", boxed(preprocess.normalise(bare, rule)), True
        yield "stripped varied", boxed(varied(bare, rng, rule)), True
    yield "grey air", boxed(in_grey_air(bare, rng, rule)), True


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
    parser.add_argument("--subjects", type=int, default=80, help="synthetic subjects with lesions, three sequences each")
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
    counts = {"head": arguments.heads, "physics": arguments.heads // 2, "bare": arguments.heads // 2,
              "subject": arguments.subjects, "body": arguments.bodies}  # fmt: skip
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
        found = sorted(inputs(scan, cache, settings, network), key=lambda row: row[0], reverse=True)
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
            stem = f"synthetic-{kind}-{index:04}"
            # Of a subject the last sequence says that all are done.
            path = out / (f"{stem}-FLAIR.npz" if kind == "subject" else f"{stem}.npz")
            if index >= count or path.exists():
                continue
            for name, image, row in of_synthetic(made, kind, index, stem):
                known = {"name": name, "subject": stem, "variant": kind, "use": "train", "data_set": "synthetic"}
                keep(out / f"{name}.npz", vectors(network, image, settings), sides=image.shape, **(known | row))
        if index % 20 == 0:
            print("synthetic", index, flush=True)


def of_synthetic(made: Synthetic, kind: str, index: int, stem: str):
    """(name, network input, what is known of it) of one synthetic scan, or of a subject's three."""
    if kind == "subject":
        for image, sequence in made.subject(index):
            yield f"{stem}-{sequence}", image, {"part": scans.HEAD, "sequence": sequence, "stripped": None}
    elif kind == "body":
        image, part = made.body(index)
        yield stem, image, {"part": scans.OTHER, "sequence": None, "stripped": None, "variant": part}
    elif kind == "head":
        image, sequence, bare = made.head(index)
        yield stem, image, {"part": scans.HEAD, "sequence": sequence, "stripped": bare}
    else:
        image, sequence = made.physics_brain(index) if kind == "bare" else made.physics_head(index)
        yield stem, image, {"part": scans.HEAD, "sequence": sequence, "stripped": kind == "bare"}


if __name__ == "__main__":
    main()
