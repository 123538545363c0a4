"""Scores `prism follow-up`: no change where there is none, and new lesions against a drawn mask.

    python -m training.follow_up target/debug/prism

Writes training/results/follow_up.json after every step, and goes on where it stopped, or anew with
another pack. `--only lesions retest` does some of its parts, which have the names of the result's.

- Retest (eval_t1_labelled): each scan against itself, moved by some degrees and millimetres,
  resampled and with noise. Every structure that is called changed is a false change; what the map
  of local change shows is noise: its size in percent that half, 95 % and 99 % of the places stay below.
- Sensitivity (eval_t1_labelled): left hippocampus, thalamus and lateral ventricle shrunk by a smooth known
  field (training.shrink), the scan moved and with noise: how often that is called a change, its
  error, false changes on the right; the same for a single segmentation of each scan.
- Lesions (ms_longitudinal): the mask of new, larger and shrunken lesions in FLAIR against the drawn mask
  of change: Dice, drawn lesions touched, apart for those brighter and darker than what is around them
  in the second FLAIR, spots that touch none. The drawn mask does not tell what came from what went, so
  shrunken ones count as well; Dice without them and how many spots they are is told apart.
- Null lesions (kirby113, patient19 of ms_lesions): FLAIR against itself, moved and with noise.
- Painted lesions: the pairs of training.lesions.change, where they were made.
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

from training import resumed, two_scans_card
from training.evaluate import labelled
from training.labels import scoring_map
from training.lesions.change import PAIRS
from training.paths import REPOSITORY, data_folder, runs_folder
from training.registration import PACK, displaced, random_motion
from training.scores import dice
from training.shrink import shrunk

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

LESION_PACK = ["--lesion-pack", str(resumed.PACKS / "lesions.safetensors")]

SHRUNK = ("hippocampus", "thalamus", "lateral ventricle")
PERCENT = (2, 5, 10)
FLAIR = ("multi_sequence/kirby113_FLAIR", "ms_lesions/patient19_FLAIR")

# In the order in which they are done.
PARTS = ("lesions", "null_lesions", "painted", "retest", "sensitivity")

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


def again(scan: Path, random: np.random.Generator, out: Path) -> None:
    """The scan moved, resampled and with noise."""
    image = nibabel.load(scan)
    centre = nibabel.affines.apply_affine(image.affine, np.array(image.shape) / 2)
    displaced(scan, random_motion(random, centre), out)
    moved = nibabel.load(out)
    data = np.asarray(moved.dataobj)
    data = np.where(data > 1, np.maximum(data + random.normal(0, NOISE, data.shape), 0), 0)
    nibabel.save(nibabel.Nifti1Image(data.astype(np.float32), moved.affine), out)


def retest(command: Path, scan: Path, random: np.random.Generator) -> dict:
    with tempfile.TemporaryDirectory() as place:
        second, out = Path(place) / "again.nii.gz", Path(place) / "out.json"
        again(scan, random, second)
        jacobian = Path(place) / "map.nii.gz"
        seconds = run(command, scan, second, "--json", out, "--jacobian", jacobian)
        said = json.loads(out.read_text())
        changes = said["changes"]
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
        # The command's own bound from repeats, and how many places lie beyond it.
        "local_noise_percent": round(said["local_noise_percent"], 2),
        "local_beyond_noise": round(
            float((sizes > np.log(1 + said["local_noise_percent"] / 100)).mean()), 4
        ),
    }


def volumes_of(command: Path, scan: Path, place: Path) -> dict[int, float]:
    """Millilitres by FreeSurfer id of one segmentation."""
    out = place / "single.nii.gz"
    line = ["nice", "-n", "5", str(command), "segment", str(scan), "-o", str(out), "--device", "cpu", *PACK]
    subprocess.run(line, capture_output=True, check=True)
    image = nibabel.load(out)
    ids, counts = np.unique(np.asarray(image.dataobj), return_counts=True)
    voxel = abs(np.linalg.det(image.affine)) / 1000
    return {int(one): float(count * voxel) for one, count in zip(ids, counts)}


def sensitivity(command: Path, data: Path, subject: str, percent: float, random) -> dict:
    """Structure by structure on the left: true and found percent, whether it was called; the right as well."""
    folder = data / "eval_t1_labelled"
    image = nibabel.load(folder / f"{subject}_T1w_brain.nii.gz")
    drawn = np.asarray(nibabel.load(folder / f"{subject}_glm.nii.gz").dataobj)
    entries = {name: scoring_map()[name] for name in SHRUNK}
    masks = [np.isin(drawn, entry["left"]["neuromorphometrics"]) for entry in entries.values()]
    grey, lost = shrunk(np.asarray(image.dataobj, np.float32), masks, percent / 100, image.header.get_zooms())
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        small, second, out = (place / name for name in ("small.nii.gz", "second.nii.gz", "out.json"))
        nibabel.save(nibabel.Nifti1Image(grey, image.affine), small)
        again(small, random, second)
        first = folder / f"{subject}_T1w_brain.nii.gz"
        seconds = run(command, first, second, "--json", out)
        changes = {row["id"]: row for row in json.loads(out.read_text())["changes"]}
        single = [volumes_of(command, scan, place) for scan in (first, second)]
    rows = {}
    for (name, entry), part in zip(entries.items(), lost):
        for side in ("left", "right"):
            # The largest of a structure's parts: the lateral ventricle's body.
            number = entry[side]["freesurfer"][0]
            before, after = (volumes.get(number, 0.0) for volumes in single)
            row = changes[number]
            rows[f"{side} {name}"] = {
                "true_percent": round(-100 * float(part), 3) if side == "left" else 0.0,
                "percent": round(row["change_percent"], 3),
                "interval_percent": round(row["interval_percent"], 3),
                "changed": row["changed"],
                "single_percent": round(100 * (after / before - 1), 3) if before else None,
            }
    return {"processor_seconds": seconds, "structures": rows}


def null_lesions(command: Path, scan: Path, random: np.random.Generator) -> dict:
    with tempfile.TemporaryDirectory() as place:
        second, out, mask = (Path(place) / name for name in ("again.nii.gz", "out.json", "mask.nii.gz"))
        again(scan, random, second)
        seconds = run(command, scan, second, "--json", out, "--lesions", mask, *LESION_PACK)
        return {"processor_seconds": seconds, **counted(json.loads(out.read_text())["lesions"])}


def counted(found: dict) -> dict:
    """How many spots there were, and how many lay outside what repeats show."""
    outside = [row for row in found["findings"] if row["outside"]]
    return {
        "found": len(found["findings"]),
        "outside": len(outside),
        "outside_ml": round(sum(row["millilitres"] for row in outside), 3),
        "largest_null_ml": round(found["largest_null_ml"], 3),
    }


def painted(command: Path, folder: Path, name: str) -> dict:
    truth = np.asarray(nibabel.load(folder / f"{name}_gt.nii.gz").dataobj) > 0
    with tempfile.TemporaryDirectory() as place:
        out, mask = (Path(place) / part for part in ("out.json", "mask.nii.gz"))
        scans = [folder / f"{name}_{time}.nii.gz" for time in (1, 2)]
        seconds = run(command, *scans, "--json", out, "--lesions", mask, *LESION_PACK)
        values = np.asarray(nibabel.load(mask).dataobj)
        said = counted(json.loads(out.read_text())["lesions"])
    mine = (values == 1) | (values == 2)
    (drawn, many), (spots, count) = label(truth), label(mine)
    return {
        "processor_seconds": seconds, **said,
        "dice": round(dice(mine, truth), 3), "drawn": many, "touched": len(set(drawn[mine]) - {0}),
        "spots": count, "false": count - len(set(spots[truth]) - {0}),
        "shrunken": int(label(values == 3)[1]),
    }  # fmt: skip


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


def shrunken_apart(mine: np.ndarray, shrunken: np.ndarray, drawn: np.ndarray) -> dict:
    """Spots of shrunken lesions, and the Dice of the others."""
    return {
        "spots_shrunken": label(shrunken)[1],
        "dice_without_shrunken": round(dice(mine & ~shrunken, drawn), 3),
    }


def lesions(command: Path, data: Path, *more) -> dict:
    folder = data / "ms_longitudinal"
    truth = nibabel.load(folder / "patient01_gt.nii.gz")
    drawn = np.asarray(truth.dataobj) > 0
    spacing = truth.header.get_zooms()
    scans = [folder / f"patient01_study{time}_FLAIR.nii.gz" for time in (1, 2)]
    with tempfile.TemporaryDirectory() as place:
        mask, out = Path(place) / "lesions.nii.gz", Path(place) / "out.json"
        seconds = run(command, *scans, "--lesions", mask, "--json", out, *more)
        said = json.loads(out.read_text())["lesions"]
        fates = on_mask(nibabel.load(mask), truth, order=0)
    mine, shrunken = fates > 0, fates == 3
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
        **(counted(said) if more else {}),
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
        **shrunken_apart(mine, shrunken, drawn),
        "millilitres": [
            round(float(part.sum() * abs(np.linalg.det(truth.affine)) / 1000), 2) for part in (mine, drawn)
        ],
    }


def rates(rows: list[dict]) -> dict:
    """Of the shrunk structures by how much they shrank, and of those on the right."""
    mean = lambda values: round(float(np.mean([abs(value) for value in values])), 2)  # noqa: E731
    by_percent = []
    for percent in PERCENT:
        left = [
            part for row in rows if row["percent"] == percent
            for name, part in row["structures"].items() if name.startswith("left")
        ]  # fmt: skip
        if left:
            by_percent.append({
                "percent": percent,
                "of": len(left),
                "detected": sum(part["changed"] and part["percent"] < 0 for part in left),
                "error_percent": mean(part["percent"] - part["true_percent"] for part in left),
                "single_error_percent": mean(part["single_percent"] - part["true_percent"] for part in left),
                "interval_percent": mean(part["interval_percent"] for part in left),
            })  # fmt: skip
    right = [part for row in rows for name, part in row["structures"].items() if name.startswith("right")]
    return {
        "scans": len({row["subject"] for row in rows}),
        "rates": by_percent,
        "right": len(right),
        "false_right": sum(part["changed"] for part in right),
        "right_percent": mean(part["percent"] for part in right),
        "single_right_percent": mean(part["single_percent"] for part in right),
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
    if known := [*result.get("sensitivity", {}).values()]:
        found["sensitivity"] = rates(known)
    if pairs := [*result.get("painted", {}).values()]:
        total = lambda name: sum(row[name] for row in pairs)  # noqa: E731
        found["painted"] = {
            "pairs": len(pairs),
            **{name: total(name) for name in ("drawn", "touched", "spots", "false")},
            "dice": round(float(np.mean([row["dice"] for row in pairs if row["drawn"]])), 3),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prism", type=Path, help="the command")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--scans", type=int, default=8, help="retests")
    parser.add_argument("--shrunk", type=int, default=3, help="scans with shrunk structures")
    parser.add_argument("--pairs", type=Path, default=runs_folder() / "pairs", help="of training.lesions.change")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts [default: all]")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/follow_up.json")
    arguments = parser.parse_args()
    command = arguments.prism.resolve()
    line = "python -m training.follow_up target/debug/prism"
    result = resumed.resume(arguments.out, line, resumed.digests("brain", "lesions"))

    def save() -> None:
        result["summary"] = summary(result)
        resumed.save(arguments.out, result)
        two_scans_card.write()

    def step(part: str, name: str, made) -> None:
        if part not in arguments.only:
            return
        rows = result.setdefault(part, {})
        if name not in rows:
            rows[name] = made()
            print(part, name, rows[name], flush=True)
            save()

    if "lesions" in arguments.only and "lesions" not in result:
        result["lesions"] = lesions(command, arguments.data, *LESION_PACK)
        print(result["lesions"], flush=True)
        save()
    for turn, name in enumerate(FLAIR):
        scan = arguments.data / f"{name}.nii.gz"
        step("null_lesions", name, lambda: null_lesions(command, scan, np.random.default_rng(turn)))
    for pair in PAIRS:
        if (arguments.pairs / f"{pair.name}_gt.nii.gz").exists():
            step("painted", pair.name, lambda: painted(command, arguments.pairs, pair.name))
    subjects = labelled(arguments.data)
    for turn, subject in enumerate(subjects[: arguments.scans]):
        scan = arguments.data / "eval_t1_labelled" / f"{subject}_T1w_brain.nii.gz"
        step("retest", subject, lambda: retest(command, scan, np.random.default_rng(turn)))
    for turn, subject in enumerate(subjects[: arguments.shrunk]):
        for percent in PERCENT:
            random = np.random.default_rng([turn, percent])
            row = {"subject": subject, "percent": percent}
            step(
                "sensitivity", f"{subject} {percent} %",
                lambda: row | sensitivity(command, arguments.data, subject, percent, random),
            )  # fmt: skip
    save()
    print(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main()
