"""Scores the lesion pack through the `prism lesions` command.

    python -m training.lesions.calibrate --run training/runs/lesions
    python -m training.export --run training/runs/lesions --calibrated \
        --scores training/runs/lesions/calibration.json --out public/packs/lesions.safetensors
    python -m training.lesions.evaluate public/packs/lesions.safetensors --describe

Multiple sclerosis: Dice, and lesions found (a drawn lesion is found when it shares a voxel with what was
called; a called one is right when it shares a voxel with a drawn one; connected by faces, from 14 mm3 on).
Healthy scans: how many lesions and how many millilitres are called. The glioma has no drawn mask: volumes
by class only. None of these scans was trained on but the eight T1w heads kept for development.

`--describe` also writes the summary into the pack's description and the folder's index.json: the page says
from it how often the pack is wrong.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from training import pack, scores
from training.lesions.samples import HELD_REAL
from training.paths import REPOSITORY, data_folder

SETS = [["FLAIR"], ["T1"], ["T2"], ["T1", "FLAIR"], ["T1", "T1POST", "T2", "FLAIR"]]
SMALLEST_ML = 0.014


def run(command: Path, path: Path, scans: list[Path]) -> tuple[np.ndarray, dict]:
    """Label map on the first scan's grid, and what `--json` says."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lesions.nii.gz"
        answer = subprocess.run(
            [command, "lesions", "--pack", path, *scans, "-o", out, "--json", "--device", "cpu"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return np.asarray(nibabel.load(out).dataobj), json.loads(answer.stdout)


def pieces(mask: np.ndarray, voxel_ml: float) -> tuple[np.ndarray, int]:
    """Connected pieces of at least the smallest volume, numbered from 1."""
    numbered, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, numbered, np.arange(1, count + 1)) * voxel_ml
    keep = np.zeros(count + 1, int)
    large = np.flatnonzero(sizes >= SMALLEST_ML) + 1
    keep[large] = np.arange(1, large.size + 1)
    return keep[numbered], large.size


def against(mine: np.ndarray, drawn: np.ndarray, voxel_ml: float) -> dict:
    called, calls = pieces(mine, voxel_ml)
    truth, lesions = pieces(drawn, voxel_ml)
    found = len(np.unique(truth[mine & (truth > 0)]))
    right = len(np.unique(called[drawn & (called > 0)]))
    precision, recall = right / max(1, calls), found / max(1, lesions)
    return {
        "dice": round(scores.dice(mine, drawn), 4), "lesions_drawn": lesions, "lesions_found": found,
        "lesions_called": calls, "lesions_right": right,
        "lesion_f1": round(2 * precision * recall / max(precision + recall, 1e-9), 4),
        "precision": round(precision, 4), "recall": round(recall, 4),
        "drawn_ml": round(float(drawn.sum() * voxel_ml), 2), "called_ml": round(float(mine.sum() * voxel_ml), 2),
    }  # fmt: skip


def healthy(data: Path) -> dict[str, list[Path]]:
    """Studies without a known lesion."""
    kirby = data / "multi_sequence"
    studies = {
        f"kirby113 {' '.join(s)}": [kirby / f"kirby113_{q}.nii.gz" for q in s]
        for s in (["FLAIR"], ["MPRAGE"], ["T2w"], ["MPRAGE", "T2w", "FLAIR"])
    }
    heads = sorted((data / "t1_wholehead").glob("*_T1w.nii.gz"))[HELD_REAL]
    for path in [*heads, *sorted((data / "eval_t1_labelled").glob("*_T1w_brain.nii.gz"))]:
        studies[path.name.split(".")[0]] = [path]
    return studies


def evaluate(path: Path, command: Path, data: Path) -> dict:
    _, document = pack.read(path)
    result = {"pack": path.name, "sha256": document["sha256"], "ms_lesions": {}, "healthy": {}}
    for patient in ("patient07", "patient19"):
        folder = data / "ms_lesions"
        image = nibabel.load(folder / f"{patient}_GOLD_STANDARD.nii.gz")
        drawn = np.asarray(image.dataobj) > 0
        voxel_ml = float(abs(np.linalg.det(image.affine[:3, :3]))) / 1000
        for names in SETS:
            scans = [folder / f"{patient}_{name}.nii.gz" for name in names]
            labels, said = run(command, path, scans)
            row = against(labels > 0, drawn, voxel_ml) | {"probability": said["summary"]["probability"]}
            result["ms_lesions"][f"{patient} {' '.join(names)}"] = row
            print(patient, names, row, flush=True)
    glioma = [data / "multi_sequence" / f"glioma00001_{q}.nii.gz" for q in ("t1n", "t1c", "t2w", "t2f")]
    result["glioma00001"] = run(command, path, glioma)[1]["summary"]
    for name, scans in healthy(data).items():
        summary = run(command, path, scans)[1]["summary"]
        result["healthy"][name] = {
            "lesions": summary["lesions"], "ml": round(summary["millilitres"], 3),
            "probability": summary["probability"],
        }  # fmt: skip
        print(name, result["healthy"][name], flush=True)
    result["summary"] = summarise(result)
    return result


def summarise(result: dict) -> dict:
    """The figures that the page's caution is made of (app/src/lesions/caution.rs)."""
    rows, studies = result["ms_lesions"], list(result["healthy"].values())
    volumes = [study["ml"] for study in studies]
    patients = [row["probability"] for row in rows.values()] + [result["glioma00001"]["probability"]]

    def likely(probabilities: list[float | None]) -> int:
        return sum(p is not None and p > 0.5 for p in probabilities)

    return {
        "dice": {name: row["dice"] for name, row in rows.items()},
        "lesion_f1": {name: row["lesion_f1"] for name, row in rows.items()},
        "patients": {"people": 3, "studies": len(patients), "said_likely": likely(patients)},
        "healthy": {
            "studies": len(volumes),
            "without_a_call": sum(volume == 0 for volume in volumes),
            "median_lesions": float(np.median([study["lesions"] for study in studies])),
            "median_ml": round(float(np.median(volumes)), 2),
            "largest_ml": round(max(volumes), 2),
            "said_likely": likely([study["probability"] for study in studies]),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--prism", type=Path, default=REPOSITORY / "target" / "debug" / "prism")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--results", type=Path, default=REPOSITORY / "training" / "results")
    parser.add_argument("--describe", action="store_true", help="write the summary into the pack, too")
    arguments = parser.parse_args()
    result = evaluate(arguments.pack, arguments.prism, arguments.data)
    (arguments.results / f"{arguments.pack.stem}.json").write_text(json.dumps(result, indent=1) + "\n")
    if arguments.describe:
        _, document = pack.read(arguments.pack)
        pack.describe(arguments.pack, scores=document["scores"] | {"real": result["summary"]})
        pack.index(arguments.pack.parent)
    print(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main()
