"""Scores `prism follow-up`: no change where there is none, and new lesions against a drawn mask.

    python -m training.follow_up target/debug/prism

Writes training/results/follow_up.json after every step, and goes on where it stopped.

- Retest (eval_t1_labelled): each scan against itself, moved by some degrees and millimetres,
  resampled and with noise. Every structure that is called changed is a false change; what the map
  of local change shows is noise: its size in percent that half, 95 % and 99 % of the places stay below.
- Lesions (ms_longitudinal): the mask of new and larger bright spots in FLAIR against the drawn mask
  of change, placed by the headers: Dice, share of drawn lesions touched, spots that touch none.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from scipy.ndimage import label, map_coordinates

from training.evaluate import labelled
from training.paths import REPOSITORY, data_folder
from training.registration import displaced, random_motion
from training.scores import dice

NOISE = 3.0  # of 255


def run(command: Path, *parts) -> float:
    """Runs the command; processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = ["nice", "-n", "5", str(command), "follow-up", *map(str, parts), "--device", "cpu"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, 1)


def retest(command: Path, scan: Path, random: np.random.Generator) -> dict:
    with tempfile.TemporaryDirectory() as place:
        again, out = Path(place) / "again.nii.gz", Path(place) / "out.json"
        image = nibabel.load(scan)
        centre = nibabel.affines.apply_affine(image.affine, np.array(image.shape) / 2)
        displaced(scan, random_motion(random, centre), again)
        moved = nibabel.load(again)
        data = np.asarray(moved.dataobj)
        data = np.where(data > 1, np.maximum(data + random.normal(0, NOISE, data.shape), 0), 0)
        nibabel.save(nibabel.Nifti1Image(data.astype(np.float32), moved.affine), again)
        jacobian = Path(place) / "map.nii.gz"
        seconds = run(command, scan, again, "--json", out, "--jacobian", jacobian)
        changes = json.loads(out.read_text())["changes"]
        factors = np.asarray(nibabel.load(jacobian).dataobj, np.float64)
    # Exactly 1 where nothing was aligned.
    sizes = np.abs(np.log(factors[np.abs(factors - 1) > 1e-6]))
    percent = 100 * (np.exp(np.percentile(sizes, [50, 95, 99])) - 1)
    return {
        "processor_seconds": seconds,
        "structures": len(changes),
        "false_changes": {c["name"]: round(c["change_percent"], 2) for c in changes if c["changed"]},
        "median_interval_percent": round(
            float(np.median([100 * c["interval_ml"] / c["baseline_ml"] for c in changes])), 2
        ),
        "local_change_percent_50_95_99": [round(float(value), 2) for value in percent],
    }


def lesions(command: Path, data: Path) -> dict:
    folder = data / "ms_longitudinal"
    truth = nibabel.load(folder / "patient01_gt.nii.gz")
    drawn = np.asarray(truth.dataobj) > 0
    with tempfile.TemporaryDirectory() as place:
        mask = Path(place) / "lesions.nii.gz"
        scans = [folder / f"patient01_study{time}_FLAIR.nii.gz" for time in (1, 2)]
        seconds = run(command, *scans, "--lesions", mask)
        found = nibabel.load(mask)
        # The found mask where the drawn one has its voxels.
        places = np.indices(drawn.shape).reshape(3, -1).T
        voxels = nibabel.affines.apply_affine(np.linalg.inv(found.affine) @ truth.affine, places)
        values = map_coordinates(np.asarray(found.dataobj, np.float32), voxels.T, order=0)
        mine = values.reshape(drawn.shape) > 0
    (theirs, many), (spots, count) = label(drawn), label(mine)
    return {
        "processor_seconds": seconds,
        "dice": round(dice(mine, drawn), 3),
        "drawn_lesions": many,
        "drawn_lesions_touched": len(set(theirs[mine]) - {0}),
        "spots": count,
        "spots_that_touch_none": count - len(set(spots[drawn]) - {0}),
        "millilitres": [
            round(float(part.sum() * abs(np.linalg.det(truth.affine)) / 1000), 2) for part in (mine, drawn)
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prism", type=Path, help="the command")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--scans", type=int, default=8)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/follow_up.json")
    arguments = parser.parse_args()
    command = arguments.prism.resolve()
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    result["command"] = "python -m training.follow_up target/debug/prism"

    def save() -> None:
        rows = result.get("retest", {}).values()
        result["summary"] = {
            "retests": len(rows),
            "comparisons": sum(row["structures"] for row in rows),
            "false_changes": sum(len(row["false_changes"]) for row in rows),
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")

    if "lesions" not in result:
        result["lesions"] = lesions(command, arguments.data)
        print(result["lesions"], flush=True)
        save()
    rows = result.setdefault("retest", {})
    for turn, subject in enumerate(labelled(arguments.data)[: arguments.scans]):
        if subject not in rows:
            scan = arguments.data / "eval_t1_labelled" / f"{subject}_T1w_brain.nii.gz"
            rows[subject] = retest(command, scan, np.random.default_rng(turn))
            print(subject, rows[subject], flush=True)
            save()


if __name__ == "__main__":
    main()
