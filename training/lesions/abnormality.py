"""Scores the abnormality map through the `prism abnormality` command. Nothing is tuned on these scans.

    python -m training.lesions.abnormality target/debug/prism

Multiple sclerosis (ms_lesions): how well the size of the map ranks the voxels of the brain, drawn lesion against
the rest (area under the curve), the best Dice of any threshold (chosen on the mask itself, so an upper bound), and
the mean of the map in lesions and elsewhere. Signed: brighter counts on FLAIR and T2, darker on T1. Baselines, in
the same voxels: distance of the grey from the brain's median, as it is and blurred by 4 mm; signed, the grey itself,
so that a signed map is held against a signed baseline. The glioma has no
drawn mask: only where the map is largest. Healthy scans: the size that 99 of 100 voxels of the brain stay below.

Goes on where it stopped, for one pair of this pack and the brain pack. At the end the summary goes into the pack's
description, its card and index.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage, stats

from training import pack, preprocess, resumed
from training.lesions.samples import HELD_REAL
from training.paths import REPOSITORY, data_folder
from training.pretraining import card

# Which way a lesion of multiple sclerosis differs.
SEQUENCES = {"FLAIR": 1, "T2": 1, "T1": -1, "T1POST": -1}
PATIENTS = ("patient07", "patient19")
GLIOMA = ("t1n", "t1c", "t2w", "t2f")
KIRBY = ("FLAIR", "T2w", "MPRAGE")
BLUR_MM = 4.0
OUTSIDE = 1e-4  # interpolation leaves less than this where the map is 0


def run(command: Path, path: Path, scan: Path) -> tuple[np.ndarray, dict]:
    """The map on the scan's own grid, and what `--json` says."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "map.nii.gz"
        answer = subprocess.run(
            [command, "abnormality", "--pack", path, scan, "-o", out, "--json", "--anyway", "--device", "cpu"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return np.asarray(nibabel.load(out).dataobj), json.loads(answer.stdout)


def area(values: np.ndarray, drawn: np.ndarray) -> float:
    """Area under the receiver operating characteristic (Mann and Whitney 1947); ties count half."""
    count = int(drawn.sum())
    ranks = stats.rankdata(values)
    return float((ranks[drawn].sum() - count * (count + 1) / 2) / (count * (drawn.size - count)))


def best_dice(values: np.ndarray, drawn: np.ndarray) -> float:
    """The largest Dice of any threshold: an upper bound, since the mask chooses it."""
    order = np.argsort(-values, kind="stable")
    right = np.cumsum(drawn[order])
    called = np.arange(1, drawn.size + 1)
    last = np.append(np.diff(values[order]) != 0, True)  # equal values are called together
    return float((2 * right / (called + drawn.sum()))[last].max())


def distance(grey: np.ndarray) -> np.ndarray:
    """Robust deviations from the median, without sign."""
    away = np.abs(grey - np.median(grey))
    return away / max(1.4826 * float(np.median(away)), 1e-12)


def against(found: np.ndarray, scan: np.ndarray, drawn: np.ndarray, spacing: np.ndarray, sign: int) -> dict:
    """Scores of one map inside the brain."""
    brain = np.abs(found) > OUTSIDE
    values, truth = found[brain], drawn[brain]
    blurred = ndimage.gaussian_filter(scan.astype(np.float32), BLUR_MM / spacing, mode="nearest")
    rows = {
        "map": np.abs(values), "map signed": sign * values,
        "grey": distance(scan[brain]), "grey signed": sign * scan[brain],
        "grey blurred": distance(blurred[brain]), "grey blurred signed": sign * blurred[brain],
    }  # fmt: skip
    voxel_ml = float(np.prod(spacing)) / 1000
    return {
        "drawn_ml": round(float(drawn.sum()) * voxel_ml, 2),
        "drawn_in_brain_ml": round(float(truth.sum()) * voxel_ml, 2),
        "auc": {name: round(area(row, truth), 4) for name, row in rows.items()},
        "best_dice": {name: round(best_dice(row, truth), 4) for name, row in rows.items()},
        "mean_in_lesions": round(float(np.abs(values[truth]).mean()), 3),
        "mean_elsewhere": round(float(np.abs(values[~truth]).mean()), 3),
        "percentiles_in_lesions": [round(float(v), 3) for v in np.percentile(np.abs(values[truth]), range(0, 101, 5))],
    }  # fmt: skip


def healthy(data: Path) -> list[Path]:
    """Scans without a known lesion that the pretraining did not see."""
    heads = sorted((data / "t1_wholehead").glob("*_T1w.nii.gz"))[HELD_REAL]
    kirby = [data / "multi_sequence" / f"kirby113_{name}.nii.gz" for name in KIRBY]
    return [*kirby, *heads, *sorted((data / "eval_t1_labelled").glob("*_T1w_brain.nii.gz"))]


def share_above(percentiles: list[float], limit: float) -> float:
    """Share of values above a limit, from every fifth percentile."""
    return 1 - float(np.interp(limit, percentiles, np.linspace(0, 1, len(percentiles))))


def summarise(result: dict) -> dict:
    """What the card and the page say."""
    high = [row["percentile_99"] for row in result["healthy"].values()]
    usual = float(np.median(high))
    rows = {
        name: {
            "drawn_ml": row["drawn_ml"], "auc": row["auc"]["map"], "baseline_auc": row["auc"]["grey blurred"],
            "grey_auc": row["auc"]["grey"], "signed_auc": row["auc"]["map signed"],
            "signed_baseline_auc": row["auc"]["grey blurred signed"], "signed_grey_auc": row["auc"]["grey signed"],
            "dice": row["best_dice"]["map"], "baseline_dice": row["best_dice"]["grey blurred"],
            "above_healthy": round(share_above(row["percentiles_in_lesions"], usual), 4),
        }
        for name, row in result["ms_lesions"].items()
    }  # fmt: skip
    mean = lambda key: round(float(np.mean([row[key] for row in rows.values()])), 4)  # noqa: E731
    return {
        "scans": rows, "patients": len(PATIENTS), "mean_auc": mean("auc"), "mean_baseline_auc": mean("baseline_auc"),
        "mean_grey_auc": mean("grey_auc"), "mean_signed_auc": mean("signed_auc"),
        "mean_signed_baseline_auc": mean("signed_baseline_auc"), "mean_signed_grey_auc": mean("signed_grey_auc"),
        "worst_auc": min(row["auc"] for row in rows.values()), "best_dice": max(row["dice"] for row in rows.values()),
        "healthy_scans": len(high), "healthy_99": round(usual, 2), "healthy_99_worst": round(max(high), 2),
    }  # fmt: skip


def evaluate(path: Path, command: Path, data: Path, out: Path) -> dict:
    packs = {path.stem: pack.document(path)["sha256"]} | resumed.digests("brain")
    line = "python -m training.lesions.abnormality target/debug/prism"
    result = resumed.resume(out, line, packs)
    for part in ("ms_lesions", "glioma00001", "healthy"):
        result.setdefault(part, {})

    def once(part: str, name: str, work) -> None:
        if name not in result[part]:
            result[part][name] = work()
            resumed.save(out, result)
            print(name, json.dumps(result[part][name])[:200], flush=True)

    def scored(patient: str, name: str) -> dict:
        folder = data / "ms_lesions"
        drawn = np.asarray(nibabel.load(folder / f"{patient}_GOLD_STANDARD.nii.gz").dataobj) > 0
        image = nibabel.load(folder / f"{patient}_{name}.nii.gz")
        found, said = run(command, path, folder / f"{patient}_{name}.nii.gz")
        scan, spacing = np.asarray(image.dataobj, np.float32), preprocess.spacing_of(image.affine)
        return said | against(found, scan, drawn, spacing, SEQUENCES[name])

    for patient in PATIENTS:
        for name in SEQUENCES:
            once("ms_lesions", f"{patient} {name}", lambda: scored(patient, name))  # noqa: B023
    for name in GLIOMA:
        scan = data / "multi_sequence" / f"glioma00001_{name}.nii.gz"
        once("glioma00001", name, lambda: run(command, path, scan)[1])  # noqa: B023
    for scan in healthy(data):
        once("healthy", scan.name.split(".")[0], lambda: run(command, path, scan)[1])  # noqa: B023
    result["summary"] = summarise(result)
    resumed.save(out, result)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prism", type=Path)
    parser.add_argument("--pack", type=Path, default=REPOSITORY / "public" / "packs" / "pretrained.safetensors")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training" / "results" / "abnormality.json")
    arguments = parser.parse_args()
    result = evaluate(arguments.pack, arguments.prism, arguments.data, arguments.out)
    described = pack.document(arguments.pack)
    pack.describe(arguments.pack, scores=described["scores"] | {"abnormality": result["summary"]})
    card.write(arguments.pack)
    pack.index(arguments.pack.parent)
    print(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main()
