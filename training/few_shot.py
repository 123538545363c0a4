"""Scores heads fitted on 1, 2 and 4 labelled scans with the encoder frozen, on four other scans.

    python -m training.few_shot target/debug/prism

Writes training/results/few_shot.json: for each structure and number of scans the Dice of `prism
segment` with the pack that `prism fit` wrote, left and right apart, beside the cross-validated
Dice that `prism fit` itself reported from the fitted scans alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import nibabel
import numpy as np

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


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prism", type=Path, help="the command")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/few_shot.json")
    arguments = parser.parse_args()
    command, folder = arguments.prism.resolve(), arguments.data / "eval_t1_labelled"
    subjects = labelled(arguments.data)
    examples, others = subjects[: max(COUNTS)], subjects[max(COUNTS) :]
    result = {
        "command": "python -m training.few_shot target/debug/prism",
        "fitted_on": examples,
        "scored_on": others,
        "structures": {},
    }
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
                arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
