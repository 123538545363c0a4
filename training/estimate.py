"""Age and sex from T1w scans without skull: what 48 people allow, against what needs no scan at all.

    cargo build --workspace                               # target/debug/prism, which measures the volumes
    python -m training.estimate                           # to training/results/estimate.json
    python -m training.identify --people                  # the heads that ship, fitted on all

Volumes are those that `prism segment` writes with the brain pack that ships, on each scan's own grid; they and
the vectors are kept in the cache by the pack's SHA-256 (folders estimate_volumes, identify_people), so that what
was stopped goes on. Where the command segments otherwise than before, remove the first one.

Everything is scored on people who had no part in the fit, its strength included (leave one out; inside,
again leave one out). Compared are the mean of the others, a ridge on the volumes of the brain pack, and
ridge and a Gaussian process on the pooled vectors of its encoder. The interval is the jackknife's: the
quantile of the leave-one-out errors of the others; how many people it held is counted in the outer loop.
28 scans came at 1 mm and 20 at 2 mm: all go through the same 2 mm grid, and it is measured whether vectors
and volumes still tell the two apart, and how well people of one spacing are known by those of the other.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training import pack, resumed
from training.identification import features, rows, scans
from training.labels import BRAIN_IDS
from training.paths import REPOSITORY, cache_folder, data_folder

STRENGTHS = np.logspace(-1, 5, 25)
COVERAGE = 0.9

STRUCTURES = BRAIN_IDS[1:]
LEAST_ML = 0.02  # smaller volumes count as this one, as in core/src/identify/volumes.rs
VOLUME_INPUTS = [*(f"volume {structure}" for structure in STRUCTURES), "volume sum"]
VOLUMES = "volumes of the brain pack"

# What is shipped, as the scores decided.
HEADS = ("age", "sex")
AGE_READS = "vectors: structure and sequence"
SEX_READS = VOLUMES
SEX = f"ridge, {SEX_READS}"
RESULTS = REPOSITORY / "training/results/estimate.json"
COMMAND = REPOSITORY / "target/debug/prism"
BRAIN = REPOSITORY / "public/packs/brain.safetensors"
MEAN = "the mean of the others"


@dataclass
class People:
    names: list[str]
    age: np.ndarray
    male: np.ndarray
    coarse: np.ndarray
    """Whether the scan came at 2 mm."""
    depressed: np.ndarray


def people(data: Path) -> People:
    with (data / "t1_wholehead/participants.tsv").open() as file:
        table = sorted(csv.DictReader(file, delimiter="\t"), key=lambda row: row["participant_id"])
    column = lambda key: np.array([row[key] for row in table])  # noqa: E731
    return People(
        list(column("participant_id")), column("age").astype(float), column("sex") == "m",
        column("spacing_mm") == "2", column("group") == "depr",
    )  # fmt: skip


def segmented(command: Path, brain: Path, scan: Path) -> dict[int, float]:
    """Volumes in mL by FreeSurfer id, as `prism segment` writes them into its table."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "volumes.csv"
        line = [command, "segment", scan, "--pack", brain, "--device", "cpu", "-o", Path(folder) / "labels.nii.gz", "--csv", table]
        done = subprocess.run([str(part) for part in line], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"estimate: {scan.name} was not segmented: {done.stderr.strip()}")
        with table.open(newline="") as file:
            return {int(row["id"]): float(row["volume_ml"]) for row in csv.DictReader(file)}


def volumes(command: Path, brain: Path, wanted: list[scans.Scan], cache: Path) -> dict[str, dict[int, float]]:
    """Volumes in mL by subject and FreeSurfer id; those that are in the cache are not measured again."""
    folder, found = cache / "estimate_volumes" / pack.document(brain)["sha256"][:12], {}
    folder.mkdir(parents=True, exist_ok=True)
    for scan in wanted:
        path = folder / f"{scan.subject}.json"
        if not path.exists():
            resumed.save(path, segmented(command, brain, scan.path))
            print(scan.name, "segmented", flush=True)
        found[scan.subject] = {int(structure): ml for structure, ml in json.loads(path.read_text()).items()}
    return found


def logarithms(found: list[dict[int, float]]) -> np.ndarray:
    """Natural logarithms of the structures' volumes (mL) and of their sum: `VOLUME_INPUTS`, a row a person."""
    each = np.array([[volume[structure] for structure in STRUCTURES] for volume in found])
    return np.log(np.maximum(np.hstack([each, each.sum(1, keepdims=True)]), LEAST_ML))


def standardised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean, deviation = x.mean(0), x.std(0) + 1e-4
    return (x - mean) / deviation, mean, deviation


class Ridge:
    """Ridge regression; its strength by leave-one-out error in closed form."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        z, self.mean, self.deviation = standardised(x)
        self.centre = y.mean()
        u, s, vt = np.linalg.svd(z, full_matrices=False)
        n, uy = len(y), u.T @ (y - self.centre)
        best = (np.inf, None, None)
        for strength in STRENGTHS:
            shrink = s**2 / (s**2 + strength)
            fitted = u @ (shrink * uy)
            # The mean is estimated, too: 1 / n more of every person in his own prediction.
            leverage = (u**2) @ shrink + 1 / n
            errors = (y - self.centre - fitted) / (1 - leverage)
            if (score := float((errors**2).mean())) < best[0]:
                best = (score, strength, errors)
        _, self.strength, self.errors = best
        self.weight = vt.T @ (s / (s**2 + self.strength) * uy)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x - self.mean) / self.deviation @ self.weight + self.centre


class Mean:
    """What is known without a scan."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self.centre, n = y.mean(), len(y)
        self.errors = (y - self.centre) * n / (n - 1)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), self.centre)


AGE = Mean


class GaussianProcess:
    """Squared-exponential kernel on standardised features; length and noise by leave-one-out error."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        z, self.mean, self.deviation = standardised(x)
        self.z, self.centre = z, y.mean()
        square = ((z[:, None] - z[None]) ** 2).mean(2)
        best = (np.inf,)
        for length in (0.5, 1, 2, 4, 8):
            kernel = np.exp(-square / (2 * length**2))
            for noise in np.logspace(-2, 2, 9):
                inverse = np.linalg.inv(kernel + noise * np.eye(len(y)))
                alpha = inverse @ (y - self.centre)
                errors = alpha / np.diag(inverse)
                if (score := float((errors**2).mean())) < best[0]:
                    best = (score, length, noise, alpha, errors)
        _, self.length, self.noise, self.alpha, self.errors = best

    def __call__(self, x: np.ndarray) -> np.ndarray:
        z = (x - self.mean) / self.deviation
        square = ((z[:, None] - self.z[None]) ** 2).mean(2)
        return np.exp(-square / (2 * self.length**2)) @ self.alpha + self.centre


def half_width(errors: np.ndarray) -> float:
    """The jackknife's: the (n + 1) * coverage-th smallest absolute leave-one-out error."""
    rank = min(len(errors), int(np.ceil((len(errors) + 1) * COVERAGE)))
    return float(np.sort(np.abs(errors))[rank - 1])


def left_out(model, x: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None):
    """Prediction and half width for everyone, by models fitted without them (or their group)."""
    groups = np.arange(len(y)) if groups is None else groups
    given, widths = np.zeros(len(y)), np.zeros(len(y))
    for group in np.unique(groups):
        out = groups == group
        fitted = model(x[~out], y[~out])
        given[out], widths[out] = fitted(x[out]), half_width(fitted.errors)
    return given, widths


def regression_scores(y: np.ndarray, given: np.ndarray, widths: np.ndarray, base: np.ndarray) -> dict:
    errors, rng = np.abs(y - given), np.random.default_rng(1)
    gain = np.abs(y - base) - errors
    draws = [gain[rng.integers(len(y), size=len(y))].mean() for _ in range(4000)]
    return {
        "MAE": round(float(errors.mean()), 2),
        "R2": round(float(1 - ((y - given) ** 2).sum() / ((y - base) ** 2).sum()), 3),
        "gain over the mean in MAE, 95 % bootstrap": [round(float(v), 2) for v in np.percentile(draws, [2.5, 97.5])],
        "interval half width": round(float(widths.mean()), 1),
        "people in their 90 % interval": f"{int((errors <= widths).sum())} of {len(y)}",
    }


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half (Mann-Whitney)."""
    above = scores[labels][:, None] - scores[~labels][None]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def class_scores(labels: np.ndarray, scores: np.ndarray) -> dict:
    right = int(((scores > 0.5) == labels).sum())
    return {"accuracy": round(right / len(labels), 3), "right": f"{right} of {len(labels)}",
            "AUC": round(auc(labels, scores), 3)}  # fmt: skip


def cautions(results: dict) -> dict[str, str]:
    """What is to be known of age and sex, by head, with the figures of `results/estimate.json`.

    The age that ships is the mean: `prism` shows no number of a head that reads nothing, only this sentence.
    """
    ages, people = results["age"], results["people"]
    best = min(row["MAE"] for name, row in ages.items() if name != MEAN)
    women, men = results["women, men"]
    youngest, oldest = results["ages"]
    return {
        "age": f"Nothing that was tried on {people} people beat guessing their mean age beyond chance "
               f"(mean error {best:.1f} years at best, {ages[MEAN]['MAE']:.1f} by the mean).",
        "sex": f"Learnt from {women} women and {men} men of one study; {results['sex'][SEX]['right']} were right when left out. "
               f"It holds for people of {youngest:.0f} to {oldest:.0f} years only, the ages that were trained on.",
    }  # fmt: skip


def scans_of(data: Path) -> list[scans.Scan]:
    """The scans of the people."""
    return [scan for scan in scans.of_data(data) if scan.data_set == "t1_wholehead"]


def vectors(brain: Path, wanted: list[scans.Scan], cache: Path) -> rows.Table:
    """The pooled vectors of scans; those that are in the cache are not computed again."""
    network, document = pack.read(brain)
    folder = cache / "identify_people" / document["sha256"][:12]
    features.as_they_are(network, document["preprocessing"], wanted, folder)
    return rows.load(folder)


def readable(table: rows.Table, measured: dict[str, dict[int, float]], names: list[str]) -> dict[str, tuple[list[str], np.ndarray]]:
    """What can be read of people, in their order: the inputs as a pack names them, and their values."""
    table = table.where((table.known["data_set"] == "t1_wholehead") & (table.known["variant"] == ""))
    order = [int(np.flatnonzero(table.known["subject"] == name)[0]) for name in names]
    kinds = {"structure": ["structure"], "sequence": ["sequence"], "structure and sequence": ["structure", "sequence"]}
    found = {f"vectors: {kind}": (inputs, table.x(inputs)[order]) for kind, inputs in kinds.items()}
    return found | {VOLUMES: (VOLUME_INPUTS, logarithms([measured[name] for name in names]))}


def shipped(table: rows.Table, measured: dict[str, dict[int, float]], data: Path):
    """(name, linear model, distance, description) of the heads that go into the pack: `AGE`, `SEX_READS` say which."""
    who, known = people(data), cautions(json.loads(RESULTS.read_text()))
    read = readable(table, measured, who.names)
    inputs, x = read[AGE_READS]
    age = AGE(x, who.age)
    weight = getattr(age, "weight", np.zeros(x.shape[1]))
    yield "age", rows.Linear(x.mean(0), x.std(0) + 1e-4, weight[None], np.array([age.centre])), None, {
        "name": "age", "kind": "regression", "inputs": inputs, "outputs": ["years"], "body_parts": ["head"],
        "half_width": half_width(age.errors), "coverage": COVERAGE,
        "range": [float(who.age.min()), float(who.age.max())], "caution": known["age"],
    }  # fmt: skip
    inputs, x = read[SEX_READS]
    sex = Ridge(x, who.male.astype(float))
    labels = np.where(who.male, "male", "female")
    # A ridge on 0 and 1 turned into a probability by one slope and one offset, fitted on left-out values.
    given, _ = left_out(Ridge, x, who.male.astype(float))
    scale = rows.logistic(given[:, None], labels, np.ones(len(labels)), ["female", "male"], 1e-3)
    slope, offset = (scale.weight / scale.deviation)[:, 0], scale.bias - (scale.weight / scale.deviation)[:, 0] * scale.mean[0]
    weight, bias = slope[:, None] * sex.weight[None], slope * sex.centre + offset
    model = rows.Linear(sex.mean, sex.deviation, weight, bias)
    balanced = rows.balance(labels, np.full(len(labels), "t1_wholehead"))
    distance, most_distance = rows.known_by_distance(model.z(x), labels, balanced, ["female", "male"], np.array(who.names))
    yield "sex", model, distance, {
        "name": "sex", "kind": "classification", "inputs": inputs, "outputs": ["female", "male"], "body_parts": ["head"],
        "temperature": 1.0, "least_probability": 0.8, "most_distance": most_distance, "caution": known["sex"],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--pack", type=Path, default=BRAIN)
    parser.add_argument("--command", type=Path, default=COMMAND, help="the command that segments")
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    brain, wanted, who = pack.document(arguments.pack), scans_of(arguments.data), people(arguments.data)
    measured = volumes(arguments.command, arguments.pack, wanted, arguments.cache)
    table = vectors(arguments.pack, wanted, arguments.cache)
    x = {name: values for name, (_, values) in readable(table, measured, who.names).items()}
    base, widths = left_out(Mean, who.age[:, None], who.age)
    ages = {MEAN: regression_scores(who.age, base, widths, base)}
    sexes = {"the more frequent sex": {"accuracy": round(float(max(who.male.mean(), 1 - who.male.mean())), 3)}}
    for name, values in x.items():
        for kind, model in (("ridge", Ridge), ("Gaussian process", GaussianProcess)):
            given, widths = left_out(model, values, who.age)
            ages[f"{kind}, {name}"] = regression_scores(who.age, given, widths, base) | {
                "MAE at 1 mm, at 2 mm": [round(float(np.abs(who.age - given)[who.coarse == c].mean()), 2) for c in (False, True)],
                "MAE when fitted at the other spacing": round(float(np.abs(who.age - left_out(model, values, who.age, who.coarse)[0]).mean()), 2),
            }  # fmt: skip
        male = who.male.astype(float)
        sexes[f"ridge, {name}"] = class_scores(who.male, left_out(Ridge, values, male)[0]) | {
            "fitted at the other spacing": class_scores(who.male, left_out(Ridge, values, male, who.coarse)[0]),
        }
    coarse = who.coarse.astype(float)
    leak = {f"AUC of the spacing from {name}": round(auc(who.coarse, left_out(Ridge, v, coarse)[0]), 3) for name, v in x.items()}
    leak["AUC of the spacing from age alone"] = round(auc(who.coarse, who.age), 3)
    leak["age at 1 mm, at 2 mm (mean, deviation)"] = [
        [round(float(who.age[who.coarse == c].mean()), 1), round(float(who.age[who.coarse == c].std()), 1)] for c in (False, True)
    ]
    leak["men at 1 mm, at 2 mm"] = [f"{int(who.male[who.coarse == c].sum())} of {int((who.coarse == c).sum())}" for c in (False, True)]
    result = {
        "command": "python -m training.estimate", "commit": resumed.commit(), "packs": {brain["name"]: brain["sha256"]},
        "people": len(who.names), "ages": [float(who.age.min()), float(who.age.max())],
        "women, men": [int((~who.male).sum()), int(who.male.sum())], "depressed": int(who.depressed.sum()),
        "age": ages, "sex": sexes, "spacing": leak,
    }  # fmt: skip
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
