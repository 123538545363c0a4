"""Scores the lesion pack through the `prism lesions` command.

    python -m training.lesions.calibrate --run training/runs/lesions --last
    python -m training.export --run training/runs/lesions --calibrated \
        --scores training/runs/lesions/calibration.json --out public/packs/lesions.safetensors
    python -m training.lesions.evaluate public/packs/lesions.safetensors --describe

Multiple sclerosis: Dice, and lesions found (a drawn lesion is found when it shares a voxel with what was
called; a called one is right when it shares a voxel with a drawn one; connected by faces, from 14 mm3 on).
Healthy scans: how many lesions and how many millilitres are called. None of these scans was trained on but the
eight T1w heads kept for development; `--seen` adds the 40 that were (slow, and no measure of anything new).

The glioma has no drawn mask: volumes by class, and how "mass" agrees with the enhancement. That is where t1c less t1n,
each less its median and divided by its robust deviation in the brain (voxels that are not 0 in both), lies more
than 3 robust deviations above the median of the difference, in pieces from 14 mm3 on and more than 8 mm below the brain's
surface, where meninges enhance; vessels and the choroid plexus still count, so read it as a bound.
ms_longitudinal has a mask of the lesions that are new: volumes and counts only, as of the two DICOM series. Where their
sequences cannot be brought together the command's words are kept instead.

Baseline, its numbers fixed before it was run: voxels of FLAIR (else T2w) more than 3 robust deviations above the
median, both in what the brain pack labels as white matter of the hemispheres, inside it, in pieces from 14 mm3 on; robust
deviations are 1.4826 median absolute ones. Outliers of normal tissue, as Van Leemput et al. 2001 call lesions.

The probability that a study shows any lesion was fitted on painted samples (training.lesions.calibrate), on none of
these scans as they are; but the eight T1w heads kept for development are the anatomies of some of those samples, so the
healthy studies are also counted without them. `left_out` says what fitting it on real studies would give: the same
logistic anew on the studies of all people but one, asked of that one.

Every case is kept when it is done; the command goes on where it stopped, for one pair of lesion and brain pack. Scans
that are named are taken (`--anyway`): what is scored is the pack, not what the command refuses.

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

from training import pack, preprocess, resumed, scores
from training.lesions.calibrate import logistic
from training.lesions.samples import HELD_REAL, REAL
from training.paths import REPOSITORY, data_folder

SETS = [
    ["FLAIR"], ["T1"], ["T1POST"], ["T2"], ["T1", "FLAIR"], ["T1", "T1POST"], ["T2", "FLAIR"],
    ["T1", "T1POST", "T2", "FLAIR"],
]  # fmt: skip
LONGITUDINAL = [["FLAIR"], ["T1W"], ["T2W"], ["T1W", "T2W", "FLAIR"]]
# What the command says of sequences that it cannot bring together, and of a study with nothing to look in.
REFUSALS = ("could not be registered", "no series is one to look for lesions in")
SMALLEST_ML = 0.014
OUTLYING = 3.0  # robust deviations
MENINGES_MM = 8.0
WHITE_MATTER = [2, 41]  # FreeSurfer ids
MASS = 2
BASELINE = {
    "FLAIR": "multi_sequence/kirby113_FLAIR.nii.gz", "T2": "multi_sequence/kirby113_T2w.nii.gz",
}  # fmt: skip


def run(command: Path, path: Path, scans: list[Path]) -> tuple[np.ndarray, dict]:
    """Label map on the first scan's grid, and what `--json` says."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lesions.nii.gz"
        answer = subprocess.run(
            [command, "lesions", "--pack", path, *scans, "-o", out, "--json", "--anyway", "--device", "cpu"],
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


def told(said: dict) -> dict:
    """What the command says of a study: number, volume, volume by class, probability."""
    summary = said["summary"]
    return {
        "lesions": summary["lesions"], "ml": round(summary["millilitres"], 3),
        "by_class_ml": {name: round(ml, 3) for name, ml in summary["by_class"]},
        "probability": summary["probability"],
    }  # fmt: skip


def refused(error: subprocess.CalledProcessError) -> dict:
    """A study that the command refuses, in its words; any other failure is raised again."""
    words = error.stderr.strip().rpartition("\n")[2]
    if not any(refusal in words for refusal in REFUSALS):
        raise error
    return {"refused": words}


def volume_of(image: nibabel.Nifti1Image) -> float:
    """Of one voxel, in millilitres."""
    return float(abs(np.linalg.det(image.affine[:3, :3]))) / 1000


def robust(values: np.ndarray) -> tuple[float, float]:
    """Median, and 1.4826 median absolute deviations."""
    middle = float(np.median(values))
    return middle, max(1.4826 * float(np.median(np.abs(values - middle))), 1e-12)


def bright(scan: np.ndarray, inside: np.ndarray, voxel_ml: float, among: np.ndarray | None = None) -> np.ndarray:
    """Voxels of `among` (all of `inside`) far above the greys of `inside`, without the smallest pieces."""
    middle, deviation = robust(scan[inside])
    among = inside if among is None else among
    return pieces(among & (scan > middle + OUTLYING * deviation), voxel_ml)[0] > 0


def white_matter(command: Path, scan: Path) -> np.ndarray:
    """White matter of the hemispheres, as the brain pack labels it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "labels.nii.gz"
        line = [command, "segment", scan, "-o", out, "--anyway", "--device", "cpu"]
        subprocess.run(line, check=True, capture_output=True)
        return np.isin(np.asarray(nibabel.load(out).dataobj), WHITE_MATTER)


def baseline(command: Path, scan: Path, drawn: np.ndarray | None) -> dict:
    """Bright voxels of the white matter, against a drawn mask where there is one."""
    image = nibabel.load(scan)
    voxel_ml = volume_of(image)
    called = bright(np.asarray(image.dataobj, np.float32), white_matter(command, scan), voxel_ml)
    if drawn is not None:
        return against(called, drawn, voxel_ml)
    return {"lesions": pieces(called, voxel_ml)[1], "ml": round(float(called.sum() * voxel_ml), 3)}


def enhancement(before: np.ndarray, after: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Where contrast agent went, by the rule above."""
    brain = (before != 0) & (after != 0)

    def standard(scan: np.ndarray) -> np.ndarray:
        middle, deviation = robust(scan[brain])
        return (scan - middle) / deviation

    deep = ndimage.distance_transform_edt(brain, sampling=spacing) > MENINGES_MM
    return bright(standard(after) - standard(before), brain, float(np.prod(spacing)) / 1000, deep)


def overlap(mass: np.ndarray, enhancing: np.ndarray, voxel_ml: float) -> dict:
    both = float((mass & enhancing).sum())
    return {
        "dice": round(scores.dice(mass, enhancing), 4),
        "enhancing_ml": round(float(enhancing.sum() * voxel_ml), 2), "mass_ml": round(float(mass.sum() * voxel_ml), 2),
        "of_enhancing": round(both / max(1.0, float(enhancing.sum())), 4),
        "of_mass": round(both / max(1.0, float(mass.sum())), 4),
    }  # fmt: skip


def glioma(command: Path, path: Path, data: Path) -> dict:
    scans = [data / "multi_sequence" / f"glioma00001_{q}.nii.gz" for q in ("t1n", "t1c", "t2w", "t2f")]
    labels, said = run(command, path, scans)
    before, after = (nibabel.load(scan) for scan in scans[:2])
    if before.shape != after.shape or not np.allclose(before.affine, after.affine, atol=1e-3):
        raise ValueError("t1n and t1c do not lie on one grid: bring one onto the other first")
    voxel_ml = volume_of(before)
    spacing = preprocess.spacing_of(before.affine)
    enhancing = enhancement(*(np.asarray(image.dataobj, np.float32) for image in (before, after)), spacing)
    return told(said) | {"mass_and_enhancement": overlap(labels == MASS, enhancing, voxel_ml)}


def development(data: Path) -> list[Path]:
    """The T1w heads kept for development, whose anatomies the calibration knows."""
    return sorted((data / "t1_wholehead").glob("*_T1w.nii.gz"))[HELD_REAL]


def healthy(data: Path) -> dict[str, list[Path]]:
    """Studies without a known lesion."""
    kirby = data / "multi_sequence"
    studies = {
        f"kirby113 {' '.join(s)}": [kirby / f"kirby113_{q}.nii.gz" for q in s]
        for s in (["FLAIR"], ["MPRAGE"], ["T2w"], ["MPRAGE", "T2w", "FLAIR"])
    }
    for path in [*development(data), *sorted((data / "eval_t1_labelled").glob("*_T1w_brain.nii.gz"))]:
        studies[path.name.split(".")[0]] = [path]
    return studies


def seen(data: Path) -> dict[str, list[Path]]:
    """The T1w heads that were trained on."""
    heads = sorted((data / "t1_wholehead").glob("*_T1w.nii.gz"))[REAL]
    return {path.name.split(".")[0]: [path] for path in heads}


def evaluate(path: Path, command: Path, data: Path, out: Path, with_seen: bool = False) -> dict:
    _, document = pack.read(path)
    line = f"python -m training.lesions.evaluate public/packs/{path.name}" + (" --seen" if with_seen else "")
    packs = {path.stem: document["sha256"]} | resumed.digests("brain")
    result = resumed.resume(out, line, packs)
    for part in ("ms_lesions", "ms_longitudinal", "dicom_study1", "glioma", "healthy", "seen", "baseline"):
        result.setdefault(part, {})

    def once(part: str, name: str, work) -> None:
        if name not in result[part]:
            result[part][name] = work()
            resumed.save(out, result)
            print(part, name, json.dumps(result[part][name]), flush=True)

    def drawn_of(patient: str) -> nibabel.Nifti1Image:
        return nibabel.load(data / "ms_lesions" / f"{patient}_GOLD_STANDARD.nii.gz")

    def scored(patient: str, names: list[str]) -> dict:
        image = drawn_of(patient)
        scans = [data / "ms_lesions" / f"{patient}_{name}.nii.gz" for name in names]
        labels, said = run(command, path, scans)
        row = against(labels > 0, np.asarray(image.dataobj) > 0, volume_of(image))
        return row | {key: value for key, value in told(said).items() if key not in ("lesions", "ml")}

    def counted(scans: list[Path]) -> dict:
        return told(run(command, path, scans)[1])

    def asked(scans: list[Path]) -> dict:
        try:
            return counted(scans)
        except subprocess.CalledProcessError as error:
            return refused(error)

    for patient in ("patient07", "patient19"):
        for names in SETS:
            once("ms_lesions", f"{patient} {' '.join(names)}", lambda: scored(patient, names))  # noqa: B023
        for name in BASELINE:
            scan = data / "ms_lesions" / f"{patient}_{name}.nii.gz"
            mask = np.asarray(drawn_of(patient).dataobj) > 0
            once("baseline", f"{patient} {name}", lambda: baseline(command, scan, mask))  # noqa: B023
    for name, scan in BASELINE.items():
        once("baseline", f"kirby113 {name}", lambda: baseline(command, data / scan, None))  # noqa: B023
    for time in ("study1", "study2"):
        for names in LONGITUDINAL:
            scans = [data / "ms_longitudinal" / f"patient01_{time}_{name}.nii.gz" for name in names]
            once("ms_longitudinal", f"{time} {' '.join(names)}", lambda: asked(scans))  # noqa: B023
    folder = data / "dicom_study1"
    series = {part.name: part for part in sorted(folder.iterdir()) if part.is_dir()}
    for name, chosen in {"both": folder, **series}.items():
        once("dicom_study1", name, lambda: asked([chosen]))  # noqa: B023
    once("glioma", "glioma00001", lambda: glioma(command, path, data))
    for name, scans in healthy(data).items():
        once("healthy", name, lambda: counted(scans))  # noqa: B023
    for name, scans in seen(data).items() if with_seen else ():
        once("seen", name, lambda: counted(scans))  # noqa: B023
    result["summary"] = summarise(result, [path.name.split(".")[0] for path in development(data)])
    resumed.save(out, result)
    return result


def likely(rows: list[dict]) -> int:
    return sum(row["probability"] is not None and row["probability"] > 0.5 for row in rows)


def without_lesions(rows: list[dict]) -> dict:
    """What is called where no lesion is known."""
    volumes = [row["ml"] for row in rows]
    return {
        "studies": len(rows),
        "without_a_call": sum(volume == 0 for volume in volumes),
        "median_lesions": float(np.median([row["lesions"] for row in rows])),
        "median_ml": round(float(np.median(volumes)), 2),
        "largest_ml": round(max(volumes), 2),
        "said_likely": likely(rows),
    }


def left_out(people: dict[str, list[tuple[float, bool]]]) -> dict:
    """Studies judged right at one half by a logistic that was fitted without their person, from (probability, whether a
    lesion is known) by person. It takes the logit of the probability; that is an affine function of the logarithm of the
    evidence, so nothing is lost."""
    counts = {True: [0, 0], False: [0, 0]}
    for person, own in people.items():
        others = [study for other, studies in people.items() if other != person for study in studies]
        intercept, slope = logistic(logit([p for p, _ in others]), np.array([float(known) for _, known in others]))
        for p, known in own:
            said = intercept + slope * float(logit([p])[0]) > 0
            counts[known][0] += said == known
            counts[known][1] += 1
    return {
        "people": len(people),
        "with_lesions": {"studies": counts[True][1], "said_likely": counts[True][0]},
        "healthy": {"studies": counts[False][1], "said_likely": counts[False][1] - counts[False][0]},
    }


def logit(probabilities: list[float]) -> np.ndarray:
    p = np.clip(probabilities, 1e-9, 1 - 1e-9)
    return np.log(p / (1 - p))


def by_person(result: dict) -> dict[str, list[tuple[float, bool]]]:
    """Probabilities of the studies, and whether a lesion is known, by whose they are."""
    people: dict[str, list[tuple[float, bool]]] = {}
    for part in ("ms_lesions", "ms_longitudinal", "glioma", "healthy"):
        for name, row in result[part].items():
            # Both times of ms_longitudinal are of one patient.
            person = part if part == "ms_longitudinal" else name.split()[0]
            if row.get("probability") is not None:
                people.setdefault(person, []).append((row["probability"], part != "healthy"))
    return people


def summarise(result: dict, kept: list[str]) -> dict:
    """The figures that the page's caution is made of (app/src/lesions/caution.rs). The patients are those whose scans
    are known to show a lesion: two and one with multiple sclerosis, one with a glioma. `kept`: healthy studies of the heads
    kept for development."""
    rows, simple = result["ms_lesions"], result["baseline"]
    named = [*rows.values(), *result["ms_longitudinal"].values(), *result["glioma"].values()]
    patients = [row for row in named if "refused" not in row]
    compared = {name: row for name, row in simple.items() if "dice" in row}
    summary = {
        "dice": {name: row["dice"] for name, row in rows.items()},
        "lesion_f1": {name: row["lesion_f1"] for name, row in rows.items()},
        "patients": {
            "people": 4, "studies": len(patients), "said_likely": likely(patients), "refused": len(named) - len(patients),
        },
        "healthy": without_lesions(list(result["healthy"].values())),
        "healthy_without_development": without_lesions(
            [row for name, row in result["healthy"].items() if name not in kept]
        ),
        "left_out": left_out(by_person(result)),
        "baseline": {
            "dice": {name: row["dice"] for name, row in compared.items()},
            "lesion_f1": {name: row["lesion_f1"] for name, row in compared.items()},
            "healthy_ml": {name: row["ml"] for name, row in simple.items() if name not in compared},
        },
        "enhancement": result["glioma"]["glioma00001"]["mass_and_enhancement"],
    }
    if result["seen"]:
        summary["seen"] = without_lesions(list(result["seen"].values()))
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--prism", type=Path, default=REPOSITORY / "target" / "debug" / "prism")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--results", type=Path, default=REPOSITORY / "training" / "results")
    parser.add_argument("--seen", action="store_true", help="also the heads that were trained on (slow)")
    parser.add_argument("--describe", action="store_true", help="write the summary into the pack, too")
    arguments = parser.parse_args()
    out = arguments.results / f"{arguments.pack.stem}.json"
    result = evaluate(arguments.pack, arguments.prism, arguments.data, out, arguments.seen)
    if arguments.describe:
        _, document = pack.read(arguments.pack)
        pack.describe(arguments.pack, scores=document["scores"] | {"real": result["summary"]})
        pack.index(arguments.pack.parent)
    print(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main()
