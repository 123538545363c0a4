"""Scores `prism follow-up`: no change where there is none, and new lesions against a drawn mask.

    python -m training.follow_up target/debug/prism

Writes training/results/follow_up.json after every step, and goes on where it stopped, or anew with
another pack.

- Retest (eval_t1_labelled): each scan against itself, moved by some degrees and millimetres,
  resampled and with noise. Every structure that is called changed is a false change; what the map
  of local change shows is noise: its size in percent that half, 95 % and 99 % of the places stay below.
- Lesions (ms_longitudinal): the mask of new and larger bright spots in FLAIR against the drawn mask
  of change: Dice, drawn lesions touched, apart for those brighter and darker than what is around them
  in the second FLAIR, spots that touch none.
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
from scipy.ndimage import distance_transform_edt, label, map_coordinates

from training import resumed
from training.evaluate import labelled
from training.paths import REPOSITORY, data_folder
from training.registration import PACK, displaced, random_motion
from training.scores import dice

NOISE = 3.0  # of 255

# From the data set's common space, where the mask of change lies, to the second FLAIR: matrix, shift
# and centre of an ITK transform, so in LPS. longitudinal/coregistered/patient01/
# study2_FLAIR_to_common_space.txt of github.com/muschellij2/open_ms_data (Lesjak et al.,
# Neuroinformatics 14, 2016; CC BY).
MATRIX = [
    [0.999555, -0.0136326, 0.022232],
    [0.0117721, 0.998513, 0.0578017],
    [-0.0236183, -0.0554887, 1.00006],
]
SHIFT = [0.0593291, 0.11945, -4.34217]
CENTRE = [0.431239, 13.066, -14.9495]

# What is around a drawn lesion: from here to there outside its border, mm.
RING_MM = (1.5, 4.0)


def run(command: Path, *parts) -> float:
    """Runs the command; processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = ["nice", "-n", "5", str(command), "follow-up", *map(str, parts), "--device", "cpu", *PACK]
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


def from_common_space() -> np.ndarray:
    """RAS points of the common space to those of the second FLAIR."""
    matrix, shift, centre = np.array(MATRIX), np.array(SHIFT), np.array(CENTRE)
    map_ = np.eye(4)
    map_[:3, :3], map_[:3, 3] = matrix, shift + centre - matrix @ centre
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    return flip @ map_ @ flip


def on_mask(image: nibabel.Nifti1Image, truth: nibabel.Nifti1Image, order: int) -> np.ndarray:
    """An image on the second FLAIR's points where the drawn mask has its voxels."""
    places = np.indices(truth.shape).reshape(3, -1).T
    to_voxel = np.linalg.inv(image.affine) @ from_common_space() @ truth.affine
    voxels = nibabel.affines.apply_affine(to_voxel, places)
    values = map_coordinates(np.asarray(image.dataobj, np.float32), voxels.T, order=order)
    return values.reshape(truth.shape)


def ring(mask: np.ndarray, spacing) -> np.ndarray:
    """What is around a mask."""
    distance = distance_transform_edt(~mask, sampling=spacing)
    return (distance >= RING_MM[0]) & (distance <= RING_MM[1])


def lesions(command: Path, data: Path, *more) -> dict:
    folder = data / "ms_longitudinal"
    truth = nibabel.load(folder / "patient01_gt.nii.gz")
    drawn = np.asarray(truth.dataobj) > 0
    spacing = truth.header.get_zooms()
    scans = [folder / f"patient01_study{time}_FLAIR.nii.gz" for time in (1, 2)]
    with tempfile.TemporaryDirectory() as place:
        mask = Path(place) / "lesions.nii.gz"
        seconds = run(command, *scans, "--lesions", mask, *more)
        mine = on_mask(nibabel.load(mask), truth, order=0) > 0
    grey = on_mask(nibabel.load(scans[1]), truth, order=1)
    (theirs, many), (spots, count) = label(drawn), label(mine)
    touched = set(theirs[mine]) - {0}
    found = {"brighter": [0, 0], "darker": [0, 0]}
    for number in range(1, many + 1):
        one = theirs == number
        around = ring(one, spacing) & ~drawn
        row = found["brighter" if grey[one].mean() > grey[around].mean() else "darker"]
        row[0] += number in touched
        row[1] += 1
    return {
        "processor_seconds": seconds,
        # Where the mask lies: the grey inside it and around it in the second FLAIR.
        "grey_inside_and_around": [
            round(float(grey[part].mean()), 1) for part in (drawn, ring(drawn, spacing))
        ],
        "dice": round(dice(mine, drawn), 3),
        "drawn_lesions": many,
        "drawn_lesions_touched": len(touched),
        "touched_of_drawn": found,
        "spots": count,
        "spots_that_touch_none": count - len(set(spots[drawn]) - {0}),
        "millilitres": [
            round(float(part.sum() * abs(np.linalg.det(truth.affine)) / 1000), 2) for part in (mine, drawn)
        ],
    }


def summary(result: dict) -> dict:
    rows = [*result.get("retest", {}).values()]
    found = {
        "retests": len(rows),
        "comparisons": sum(row["structures"] for row in rows),
        "false_changes": sum(len(row["false_changes"]) for row in rows),
    }
    if rows:
        seconds = [row["processor_seconds"] for row in rows]
        found["processor_seconds"] = round(float(np.median(seconds)), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prism", type=Path, help="the command")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--scans", type=int, default=8)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/follow_up.json")
    arguments = parser.parse_args()
    command = arguments.prism.resolve()
    line = "python -m training.follow_up target/debug/prism"
    result = resumed.resume(arguments.out, line, resumed.digests("brain"))

    def save() -> None:
        result["summary"] = summary(result)
        resumed.save(arguments.out, result)

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
