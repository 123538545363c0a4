"""Contrast between the brain's tissues, by the labels that the pack gives: what tells sequences apart for sure.

    python -m training.identification.tissues     # after training.identification.features

Pooled features mix contrast with anatomy: a T1w scan of a brain with much fluid looks like FLAIR to them. The
pack labels a brain in any contrast, and between its labels the order of the medians says which
sequence it is. A vector holds the medians of six tissues less that of cerebral white matter, over the largest such
difference (-1..1, whatever the scan's units), on the network's grid, as `prism` computes it
(core/src/pipeline/contrast.rs). Six numbers need few scans: the `develop` ones with their variants, some
T1w heads, and synthetic heads of every maker. One file a row, like the features.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from training import pack, predict
from training.identification import features, scans
from training.identification.synthetic import Synthetic
from training.model import Network
from training.paths import REPOSITORY, cache_folder, data_folder

WHITE = [2, 41]
OTHERS = {"cortex": [3, 42], "ventricles": [4, 43], "thalamus": [10, 49], "striatum": [11, 12, 50, 51],
          "cerebellar cortex": [8, 47], "cerebellar white matter": [7, 46]}  # fmt: skip
LEAST_VOXELS = 25  # of every tissue: two tenths of a millilitre at 2 mm
SOME = 6  # one of so many T1w heads


def contrast(image: np.ndarray, ids: np.ndarray) -> np.ndarray | None:
    """The vector of a network input and the FreeSurfer ids of its voxels; None where a tissue is not in it."""
    values = [image[np.isin(ids, wanted)] for wanted in (WHITE, *OTHERS.values())]
    if min(len(value) for value in values) < LEAST_VOXELS:
        return None
    white, *others = (float(np.median(value)) for value in values)
    differences = np.array(others) - white
    largest = np.abs(differences).max()
    return (differences / largest).astype(np.float32) if largest > 0 else None


def of_input(network: Network, image: np.ndarray, document: dict) -> np.ndarray | None:
    labels = predict.logits_of(network, image, document["preprocessing"], features.ONE_PASS_VOXELS).argmax(0)
    return contrast(image, predict.ids_of(document)[labels])


def wanted(arguments, settings: dict, network: Network):
    """(name, network input, what is known of it) of every row."""
    every = scans.of_data(arguments.data)
    some = [scan for scan in every if scan.data_set == "t1_wholehead"][::SOME]
    for scan in [scan for scan in every if scan.use == "develop"] + some:
        for variant, image, _ in features.inputs(scan, arguments.cache, settings, network):
            if scan.use == "develop" or variant == "":
                name = f"{scan.name.replace('/', '-')}~{variant.replace(' ', '-')}"
                yield name, image, {"variant": variant, "use": scan.use, "data_set": scan.data_set,
                                    "subject": scan.subject, "sequence": scan.sequence}  # fmt: skip
    made = Synthetic(arguments.cache, arguments.data / "labelmaps_brain" / "priors", settings, arguments.seed)
    for index in range(arguments.count):
        for kind in ("head", "physics", "bare", "subject"):
            stem = f"synthetic-{kind}-{index:04}"
            for name, image, row in features.of_synthetic(made, kind, index, stem):
                yield name, image, {"variant": kind, "use": "train", "data_set": "synthetic", "subject": stem,
                                    "sequence": row["sequence"]}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, default=REPOSITORY / "public/packs/brain.safetensors")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--count", type=int, default=12, help="synthetic heads of every kind")
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network, document = pack.read(arguments.pack)
    network = network.to(memory_format=torch.channels_last_3d)
    out = folder(arguments.cache, document)
    for name, image, known in wanted(arguments, document["preprocessing"], network):
        path = out / f"{name}.npz"
        if path.exists():
            continue
        found = of_input(network, image, document)
        if found is None:
            print("a tissue is missing:", name, flush=True)
            continue
        row = {"name": name, "part": scans.HEAD, "stripped": None, **known}
        features.keep(path, {"vector_tissues": found}, **row)
        print(name, known["sequence"], found.round(2), flush=True)


def folder(cache: Path, document: dict) -> Path:
    return cache / "identify_tissues" / document["sha256"][:12]


if __name__ == "__main__":
    main()
