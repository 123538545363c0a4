"""Scores heads fitted on a few labelled scans with the encoder frozen, on other scans.

    python -m training.few_shot target/debug/prism [--only structures|labels]

Writes training/results/few_shot.json. `structures`: for each structure and 1, 2 and 4 scans the
Dice of `prism segment` with the pack that `prism fit` wrote, left and right apart, beside the
cross-validated Dice that `prism fit` itself reported from the fitted scans alone. `whole_scans`:
for each task and number of people a label the share of other people's scans that `prism classify`
labels right with the head of `prism fit-classifier`, over draws of people with a fixed seed, and
the share that leaving one scan out had promised. People are never on both sides; in `sequence` a
person gives one scan of each label, and there are five people.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import random
import subprocess
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from training import predict, scores
from training.evaluate import labelled
from training.labels import scoring_map
from training.paths import REPOSITORY, data_folder

STRUCTURES = ("hippocampus", "thalamus")
COUNTS = (1, 2, 4)


def fit(command: Path, folder: Path, subjects: list[str], sides: dict, out: Path) -> dict:
    line = ["nice", "-n", "10", str(command), "fit", "--device", "cpu"]
    line += [str(folder / f"{subject}_T1w_brain.nii.gz") for subject in subjects]
    line += ["--labels", *(str(folder / f"{subject}_glm.nii.gz") for subject in subjects)]
    line += [f"--class={number}={name}" for name, number in sides.items()]
    line += ["-o", str(out), "--json", str(out.with_suffix(".json"))]
    subprocess.run(line, capture_output=True, check=True)
    return json.loads(out.with_suffix(".json").read_text())


SEQUENCES = {
    "patient07": {"T1w": "ms_lesions/patient07_T1", "T2w": "ms_lesions/patient07_T2", "FLAIR": "ms_lesions/patient07_FLAIR"},
    "patient19": {"T1w": "ms_lesions/patient19_T1", "T2w": "ms_lesions/patient19_T2", "FLAIR": "ms_lesions/patient19_FLAIR"},
    "patient01": {"T1w": "ms_longitudinal/patient01_study1_T1W", "T2w": "ms_longitudinal/patient01_study1_T2W",
                  "FLAIR": "ms_longitudinal/patient01_study1_FLAIR"},
    "kirby113": {"T1w": "multi_sequence/kirby113_MPRAGE", "T2w": "multi_sequence/kirby113_T2w",
                 "FLAIR": "multi_sequence/kirby113_FLAIR"},
    "glioma00001": {"T1w": "multi_sequence/glioma00001_t1n", "T2w": "multi_sequence/glioma00001_t2w",
                    "FLAIR": "multi_sequence/glioma00001_t2f"},
}  # fmt: skip
DRAWS = 10


def sexes(folder: Path) -> dict[str, dict[str, str]]:
    """Scans of people by sex, as SEQUENCES has them by sequence."""
    people = {}
    with (folder / "t1_wholehead/participants.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            scan = f"t1_wholehead/{row['participant_id']}_T1w"
            if (folder / f"{scan}.nii.gz").exists():
                people[row["participant_id"]] = {row["sex"]: scan}
    return people


def encoded(command: Path, folder: Path, scan: str, scratch: Path) -> str:
    """The pooled vectors of a scan as a file; the maps are not kept."""
    path = scratch / f"{scan.replace('/', '_')}.safetensors"
    if not path.exists():
        line = ["nice", "-n", "10", str(command), "encode", "--device", "cpu", str(folder / f"{scan}.nii.gz"), "-o", str(path)]
        subprocess.run(line, capture_output=True, check=True)
        pooled = {name: values for name, values in load_file(path).items() if name.startswith("pooled.")}
        with safe_open(path, "np") as file:
            metadata = file.metadata()
        save_file(pooled, path, metadata)
    return str(path)


def draws(people: dict[str, dict[str, str]], count: int, seed: int) -> list[set[str]]:
    """`count` people a label; all choices where these are few."""
    labels = sorted({label for scans in people.values() for label in scans})
    if all(set(scans) == set(labels) for scans in people.values()):
        return [set(some) for some in itertools.combinations(sorted(people), count)]
    some = random.Random(seed)
    of = {label: sorted(person for person, scans in people.items() if label in scans) for label in labels}
    return [{person for label in labels for person in some.sample(of[label], count)} for _ in range(DRAWS)]


def whole_scans(command: Path, folder: Path, people: dict[str, dict[str, str]], counts: tuple[int, ...], scratch: Path) -> dict:
    files = {scan: encoded(command, folder, scan, scratch) for scans in people.values() for scan in scans.values()}
    head, scores = scratch / "head.safetensors", scratch / "scores.json"
    rows = {}
    for count in counts:
        right, promised, majority, total, inputs = [], [], [], 0, {}
        for chosen in draws(people, count, seed=count):
            pairs = [(files[scan], label) for person in sorted(chosen) for label, scan in people[person].items()]
            line = [str(command), "fit-classifier", *(path for path, _ in pairs), "--labels", *(label for _, label in pairs)]
            subprocess.run([*line, "-o", str(head), "--json", str(scores)], capture_output=True, check=True)
            fitted = json.loads(scores.read_text())["scores"]
            promised.append(fitted["accuracy"])
            name = "+".join(fitted["inputs"])
            inputs[name] = inputs.get(name, 0) + 1
            others = [(files[scan], label) for person in sorted(people) if person not in chosen
                      for label, scan in people[person].items()]  # fmt: skip
            line = [str(command), "classify", *(path for path, _ in others), "--head", str(head), "--json"]
            said = json.loads(subprocess.run(line, capture_output=True, check=True, text=True).stdout)
            found = [answer["given"] == label for answer, (_, label) in zip(said, others)]
            right.append(float(np.mean(found)))
            total += len(found)
            labels = [label for _, label in others]
            majority.append(max(labels.count(label) for label in set(labels)) / len(labels))
        rows[count] = {
            "accuracy": round(float(np.mean(right)), 4),
            "worst_draw": round(min(right), 4),
            "best_draw": round(max(right), 4),
            "promised_by_leaving_one_out": round(float(np.mean(promised)), 4),
            "majority": round(float(np.mean(majority)), 4),
            "draws": len(right),
            "answers": total,
            "inputs_chosen": inputs,
        }
        print(count, rows[count], flush=True)
    return rows


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prism", type=Path, help="the command")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/few_shot.json")
    parser.add_argument("--only", choices=("structures", "labels"), help="one part; the other stays as it is in the file")
    arguments = parser.parse_args()
    command = arguments.prism.resolve()
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    result["command"] = "python -m training.few_shot target/debug/prism"
    if arguments.only != "labels":
        structures(command, arguments.data, result, arguments.out)
    if arguments.only != "structures":
        labels(command, arguments.data, result, arguments.out)


def labels(command: Path, folder: Path, result: dict, out: Path) -> None:
    rows = result["whole_scans"] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for task, people, counts in (("sequence", SEQUENCES, (2, 3, 4)), ("sex", sexes(folder), (2, 4, 8))):
            rows[task] = {
                "labels": sorted({label for scans in people.values() for label in scans}),
                "people": len(people),
                "people_a_label": whole_scans(command, folder, people, counts, Path(scratch)),
            }
            out.write_text(json.dumps(result, indent=1) + "\n")


def structures(command: Path, data: Path, result: dict, out: Path) -> None:
    folder, subjects = data / "eval_t1_labelled", labelled(data)
    examples, others = subjects[: max(COUNTS)], subjects[max(COUNTS) :]
    result.update({"fitted_on": examples, "scored_on": others, "structures": {}})
    with tempfile.TemporaryDirectory() as scratch:
        for structure in STRUCTURES:
            entry = scoring_map()[structure]
            sides = {f"{s} {structure}": entry[s]["neuromorphometrics"][0] for s in ("left", "right")}
            rows = result["structures"][structure] = {}
            for count in COUNTS:
                pack = Path(scratch) / f"{structure}{count}.safetensors"
                report = fit(command, folder, examples[:count], sides, pack)
                found: dict[str, float] = {}
                for subject in others:
                    ids = predict.with_command(command, pack, folder / f"{subject}_T1w_brain.nii.gz")
                    truth = np.asarray(nibabel.load(folder / f"{subject}_glm.nii.gz").dataobj)
                    pairs = [scores.dice(ids == n, truth == n) for n in sides.values()]
                    found[subject] = round(float(np.mean(pairs)), 4)
                rows[count] = {
                    "dice": round(float(np.mean(list(found.values()))), 4),
                    "subjects": found,
                    "cross_validated_dice": rounded(report["scores"]["mean"]),
                    "lambda": report["lambda"],
                    "shift": round(report["shift"], 2),
                }
                print(structure, count, rows[count], flush=True)
                out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
