"""Does the separation hold? Linear probes and retrieval on subjects that the pretraining never saw.

    python -m training.probes --run training/runs/pretrain
    python -m training.probes --run training/checkpoints/pretrain.safetensors    # on a fresh machine

Sequence should be read from the sequence feature and not from the structure feature; the body part the
other way round; and the structure feature should find the same head under another sequence. Writes
training/results/pretraining.json. `--untrained` probes the same network with random weights instead: what
a probe reads without any training is the floor that counts, not chance alone. `--retrieval` does nothing but the retrieval
of real scans anew.

Real scans: a scan's candidates are those of other sequences only, its own person's among them, so that two T1w scans
(before and after contrast agent, or of two visits) are no hit.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path

import numpy as np
import torch

from training import checkpoint, predict, preprocess
from training.model import NetworkConfig
from training.paths import REPOSITORY, cache_folder, data_folder, runs_folder
from training.prepare import PREPROCESSING
from training.pretraining import physics
from training.pretraining.data import Source
from training.pretraining.networks import Pretraining

VECTORS = ("structure", "sequence")
# Real scans of the same person in several sequences: subject -> {file: sequence}.
REAL = {
    "kirby113": {"multi_sequence/kirby113_MPRAGE": "T1w", "multi_sequence/kirby113_T2w": "T2w",
                 "multi_sequence/kirby113_FLAIR": "FLAIR"},
    "glioma00001": {"multi_sequence/glioma00001_t1n": "T1w", "multi_sequence/glioma00001_t1c": "T1w",
                    "multi_sequence/glioma00001_t2w": "T2w", "multi_sequence/glioma00001_t2f": "FLAIR"},
    **{patient: {f"ms_lesions/{patient}_{file}": sequence for file, sequence in
                 (("T1", "T1w"), ("T1POST", "T1w"), ("T2", "T2w"), ("FLAIR", "FLAIR"))}
       for patient in ("patient07", "patient19")},
    "patient01": {f"ms_longitudinal/patient01_{study}_{file}": sequence for study in ("study1", "study2")
                  for file, sequence in (("T1W", "T1w"), ("T2W", "T2w"), ("FLAIR", "FLAIR"))},
}  # fmt: skip


def ridge(train: np.ndarray, labels: np.ndarray, strength: float = 10.0):
    """A ridge-regression classifier on standardised features; returns features -> labels."""
    mean, deviation = train.mean(0), train.std(0) + 1e-6
    with_bias = lambda x: np.hstack([(x - mean) / deviation, np.ones((len(x), 1))])  # noqa: E731
    a, classes = with_bias(train), np.unique(labels)
    wanted = (labels[:, None] == classes[None]).astype(float)
    weights = np.linalg.solve(a.T @ a + strength * np.eye(a.shape[1]), a.T @ wanted)
    return lambda x: classes[(with_bias(x) @ weights).argmax(1)]


@torch.no_grad()
def features(model: Pretraining, source: Source, seed: int, count: int, variant: int = 0) -> dict:
    """The vectors, body part, sequence of `count` samples."""
    device = next(model.parameters()).device
    rows: dict[str, list] = {name: [] for name in (*VECTORS, "part", "kind", "paired")}
    for index in range(count):
        sample = source.sample(seed, index, variant)
        encoded = model.encode(sample.image[None].to(device))
        for name in VECTORS:
            rows[name].append(encoded[name][0].float().cpu().numpy())
        rows["part"].append(sample.body_part)
        rows["kind"].append(sample.sequence)
        rows["paired"].append(not np.isnan(sample.parameters).any())
    return {name: np.array(values) for name, values in rows.items()}


def accuracies(train: dict, test: dict) -> dict:
    """Of ridge classifiers, with the largest class's share as chance."""
    result = {}
    for label, target in (("sequence", "kind"), ("body part", "part")):
        known, seen = train[target] >= 0, test[target] >= 0
        row = {"chance": float(np.bincount(test[target][seen]).max() / seen.sum())}
        for name in VECTORS:
            answer = ridge(train[name][known], train[target][known])(test[name][seen])
            row[f"from {name} feature"] = float((answer == test[target][seen]).mean())
        result[label] = {key: round(value, 4) for key, value in row.items()}
    return result


def unit(rows: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Standardised by `like`, then of length one."""
    rows = (rows - like.mean(0)) / (like.std(0) + 1e-6)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def synthetic_retrieval(train: dict, first: dict, second: dict) -> dict:
    """Share of anatomies whose nearest in the other acquisition is themselves."""
    some = first["paired"]
    result = {"anatomies": int(some.sum()), "chance": round(1 / max(int(some.sum()), 1), 4)}
    for name in VECTORS:
        a, b = (unit(rows[name][some], train[name]) for rows in (first, second))
        result[f"by {name} feature"] = round(float(((a @ b.T).argmax(1) == np.arange(len(a))).mean()), 4)
    return result


@torch.no_grad()
def vectors_of(model: Pretraining, path: Path, size: tuple[int, ...]) -> dict:
    """The vectors of a scan's middle."""
    volume, affine = predict.load(path)
    image = preprocess.prepare(volume, affine, PREPROCESSING).input
    cut = tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(image.shape, size))
    device = next(model.parameters()).device
    encoded = model.encode(torch.from_numpy(np.ascontiguousarray(image[cut]))[None, None].to(device))
    return {name: encoded[name][0].float().cpu().numpy() for name in VECTORS}


def retrieval(values: np.ndarray, subjects: np.ndarray, kinds: np.ndarray, names: list[str]) -> dict:
    """Is the nearest scan of another sequence of the same person? `values` [scans, features], standardised among them.

    Asked of the scans whose person has another sequence.
    """
    near = unit(values, values) @ unit(values, values).T
    other = kinds[:, None] != kinds[None]
    own = (subjects[:, None] == subjects[None]) & other
    nearest = np.where(other, near, -2).argmax(1)
    asked = np.flatnonzero(own.any(1))
    people = {}
    for i in asked:
        hits = people.setdefault(str(subjects[i]), [0, 0])
        hits[0] += int(subjects[nearest[i]] == subjects[i])
        hits[1] += 1
    return {
        "same person nearest": round(sum(hit for hit, _ in people.values()) / max(len(asked), 1), 4),
        "same person: chance": round(float(np.mean([own[i].sum() / other[i].sum() for i in asked])), 4),
        "by person": {person: f"{hit} of {count}" for person, (hit, count) in people.items()},
        "found": {names[i]: names[int(nearest[i])] for i in asked},
    }


def scans_read(model: Pretraining, data: Path, size: tuple[int, ...], heads: int = 8) -> list[tuple]:
    """Person, sequence, file name and vectors of the real scans."""
    rows = []
    for subject, files in REAL.items():
        for file, sequence in files.items():
            path = data / f"{file}.nii.gz"
            rows.append((subject, sequence, path.name, vectors_of(model, path, size)))
    for path in sorted((data / "t1_wholehead").glob("*_T1w.nii.gz"))[-heads:]:
        rows.append((path.name.split("_")[0], "T1w", path.name, vectors_of(model, path, size)))
    return rows


def real_scans(rows: list[tuple], train: dict | None) -> dict:
    """Retrieval of the same person, and where `train` is given the sequence by the probe fitted on synthetic scans."""
    subjects = np.array([row[0] for row in rows])
    kinds = np.array([physics.SEQUENCES.index(row[1]) for row in rows])
    result = {"scans": len(rows)}
    for name in VECTORS:
        values = np.stack([row[3][name] for row in rows])
        result[f"{name} feature"] = retrieval(values, subjects, kinds, [row[2] for row in rows])
        if train is not None:
            known = train["kind"] >= 0
            answer = ridge(train[name][known], train["kind"][known])(values)
            result[f"{name} feature"] |= {
                "sequence accuracy": round(float((answer == kinds).mean()), 4),
                "sequence given": {row[2]: physics.SEQUENCES[a] for row, a in zip(rows, answer)},
            }
    return result


def renewed(known: dict, retrieved: dict) -> dict:
    """The retrieval of real scans in an earlier result replaced."""
    parts = dict(known["real scans"])
    parts.pop("same person: chance", None)  # once of all candidates
    for name in VECTORS:
        parts[f"{name} feature"] = parts[f"{name} feature"] | retrieved[f"{name} feature"]
    return known | {"real scans": parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=runs_folder() / "pretrain", help="or a checkpoint file")
    parser.add_argument("--config", type=Path, default=REPOSITORY / "training/configs/pretrain.toml")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/pretraining.json")
    parser.add_argument("--samples", type=int, default=600, help="for fitting; a third as many for scoring")
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--retrieval", action="store_true", help="only the retrieval of real scans, into the results")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = tomllib.loads(arguments.config.read_text())
    size, priors = tuple(config["size"]), arguments.data / "labelmaps_brain" / "priors"
    torch.manual_seed(config["seed"])
    model, state = Pretraining(NetworkConfig()), {"step": 0, "seconds": 0.0}
    if not arguments.untrained:
        state = checkpoint.load(arguments.run)
        if "model" not in state:
            raise SystemExit(f"{arguments.run}: no checkpoint of training.pretrain")
        model.load_state_dict(state["model"])
    model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    key = "untrained" if arguments.untrained else "pretrained"
    written = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    scans = scans_read(model, arguments.data, size)
    if arguments.retrieval:
        if written.get(key, {}).get("step") != state["step"]:
            raise SystemExit(f"{arguments.out}: has no {key} results of step {state['step']}; run it without --retrieval")
        result = renewed(written[key], real_scans(scans, None))
        arguments.out.write_text(json.dumps({**written, key: result}, indent=1) + "\n")
        print(json.dumps(result["real scans"], indent=1))
        return
    seed = config["seed"] + 1000
    train = features(model, Source(arguments.cache, priors, size), seed, arguments.samples)
    unseen = Source(arguments.cache, priors, size, unseen=True)
    count = max(2, arguments.samples // 3)
    test = features(model, unseen, seed + 1, count)
    other = features(model, unseen, seed + 1, count, variant=1)
    result = {
        "step": state["step"],
        "minutes": round(state["seconds"] / 60, 1),
        "samples": {"fitted on": arguments.samples, "scored on (unseen subjects)": count},
        **accuracies(train, test),
        "same anatomy, other sequence (synthetic)": synthetic_retrieval(train, test, other),
        "real scans": real_scans(scans, train),
    }
    arguments.out.write_text(json.dumps({**written, key: result}, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
