"""What the heart's and the hippocampus's packs do with scans that are turned, mirrored, cut or of something else.

    python -m training.refusals target/debug/prism

Scans kept for scoring are changed voxel by voxel while their header stays as it was, written anew and segmented by the
command: turned by 90, 180 and 37 degrees in the plane of the slices, mirrored, upside down, one slice alone, and given to the
other packs. A result is either refused, with its sentence, or compared with the drawn labels changed alike. Both phases of
a heart, whole and as four middle slices, go through `cine`, which has to say that the apex is missing. Crops of heads
without the hippocampus and heads of thick slices are given to the packs that they are not for. Writes
training/results/refusals.json after every row and goes on where it stopped, anew where a pack has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from training import pack, scores
from training.labelled import files
from training.paths import REPOSITORY, data_folder

SCANS = 5
MIDDLE = 4
# Crops as large as those of the hippocampus, mm, and their centres as parts of a head's sides (R, A, S).
CROP_MM = (40, 56, 40)
PLACES = {"frontal": (0.35, 0.82, 0.62), "occipital": (0.38, 0.17, 0.55), "cerebellar": (0.38, 0.27, 0.24)}
THICK_MM, MOST_SLICES = 8, 24
Change = Callable[[np.ndarray, int], np.ndarray]


def turned(degrees: float) -> Change:
    """About the last axis, on the same grid; `order` 0 for labels, 1 for greys."""
    return lambda values, order: ndimage.rotate(values, degrees, axes=(0, 1), reshape=False, order=order)


def middle_slice(values: np.ndarray, order: int) -> np.ndarray:
    at = values.shape[2] // 2
    return values[:, :, at : at + 1]


CHANGES: dict[str, Change] = {
    "as it is": lambda values, order: values,
    "turned by 90 degrees": lambda values, order: np.rot90(values),
    "turned by 180 degrees": lambda values, order: np.rot90(values, 2),
    "turned by 37 degrees": turned(37.0),
    "mirrored": lambda values, order: values[::-1],
    "upside down": lambda values, order: values[:, :, ::-1],
    "one slice": middle_slice,
}


def segment(command: Path, name: str, scan: Path, folder: Path) -> tuple[str, np.ndarray | None]:
    """What the command said on its error stream, and the ids if it gave any."""
    out = folder / "labels.nii.gz"
    out.unlink(missing_ok=True)
    line = [command, "segment", scan, "--device", "cpu", "-o", out, "--pack", REPOSITORY / f"public/packs/{name}.safetensors"]
    done = subprocess.run([str(word) for word in line], capture_output=True, text=True, check=False)
    said = "\n".join(row for row in done.stderr.splitlines() if row.startswith("prism: "))
    if done.returncode:
        if out.exists():
            raise RuntimeError(f"{scan}: refused, and labels were written")
        return said, None
    return said, np.asarray(nibabel.load(out).dataobj)


def changed(scan: Path, change: Change, folder: Path) -> tuple[Path, np.ndarray]:
    """A changed scan as a file, and its drawn labels changed alike."""
    image = nibabel.load(scan)
    truth = np.asarray(nibabel.load(str(scan).replace(".nii.gz", "_gt.nii.gz")).dataobj)
    path = folder / "scan.nii.gz"
    values = change(np.asarray(image.dataobj, dtype=np.float32), 1)
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(values), None, image.header), path)
    return path, change(truth, 0)


def trial(command: Path, name: str, scans: list[Path], change: Change) -> dict:
    """Refusals and Dice of one change, over the scans."""
    _, document = pack.read(REPOSITORY / f"public/packs/{name}.safetensors")
    ids = [row["id"] for row in document["labels"]]
    refused, dices, said = 0, {}, set()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for scan in scans:
            path, truth = changed(scan, change, folder)
            words, labels = segment(command, name, path, folder)
            if words:
                said.add(words)
            if labels is None:
                refused += 1
            else:
                rows = [scores.dice(labels == i, truth == k + 1) for k, i in enumerate(ids)]
                dices[scan.name.removesuffix(".nii.gz")] = round(float(np.mean(rows)), 3)
    row = {"scans": len(scans), "refused": refused, "said": sorted(said), "dice": dices}
    if dices:
        row |= {"mean": round(float(np.mean(list(dices.values()))), 3), "worst": min(dices.values())}
    return row


def foreign(command: Path, name: str, scans: list[Path]) -> dict:
    """Scans of another part of the body: refused ones, and the millilitres labelled in the others (by the header's unit)."""
    refused, given, said = 0, {}, set()
    with tempfile.TemporaryDirectory() as place:
        for scan in scans:
            words, labels = segment(command, name, scan, Path(place))
            if words:
                said.add(words)
            if labels is None:
                refused += 1
            else:
                unit = np.abs(np.linalg.det(nibabel.load(scan).affine[:3, :3])) / 1000
                given[scan.name] = round(float((labels > 0).sum() * unit), 2)
    return {"scans": len(scans), "refused": refused, "said": sorted(said), "labelled_ml": given}


def beat(command: Path, phases: list[Path], slices: int | None, folder: Path) -> dict:
    """What `cine` makes of phases, whole or of their middle slices: what it said, its flag and numbers; {} if refused."""
    paths = []
    for phase in phases:
        image = nibabel.load(phase)
        values = np.asarray(image.dataobj, dtype=np.float32)
        if slices is not None:
            first = (values.shape[2] - slices) // 2
            values = values[:, :, first : first + slices]
        paths.append(folder / phase.name)
        nibabel.save(nibabel.Nifti1Image(values, None, image.header), paths[-1])
    out = folder / "cine.json"
    out.unlink(missing_ok=True)
    heart = REPOSITORY / "public/packs/cardiac.safetensors"
    line = [command, "cine", *paths, "--device", "cpu", "--json", out, "--pack", heart]
    done = subprocess.run([str(word) for word in line], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"refused": "\n".join(row for row in done.stderr.splitlines() if row.startswith("prism: "))}
    told = json.loads(out.read_text())
    numbers = {row["key"]: row["value"] and round(row["value"], 1) for row in told["rows"]}
    return {"cut": told["cut"], "cautions": told["cautions"], "usable": any(row["usable"] for row in told["rows"])} | numbers


def cut_stacks(command: Path, scans: list[Path], slices: int | None) -> dict:
    """Both phases of each patient; how many stacks are said to end inside the left ventricle."""
    rows = {}
    for scan in scans:
        patient = scan.name.split("_")[0]
        phases = sorted(p for p in scan.parent.glob(f"{patient}_*.nii.gz") if not p.name.endswith("_gt.nii.gz"))
        with tempfile.TemporaryDirectory() as place:
            rows[patient] = beat(command, phases, slices, Path(place))
    refused = sum("refused" in row for row in rows.values())
    cut = sum(row.get("cut", False) for row in rows.values())
    return {"scans": len(rows), "refused": refused, "cut": cut, "patients": rows}


def fine_heads(data: Path) -> list[Path]:
    """The first T1w heads of 1 mm."""
    heads = sorted((data / "t1_wholehead").glob("*_T1w.nii.gz"))
    return [path for path in heads if max(nibabel.load(path).header.get_zooms()[:3]) < 1.5][:SCANS]


def saved(values: np.ndarray, affine: np.ndarray, path: Path) -> Path:
    image = nibabel.Nifti1Image(np.ascontiguousarray(values), affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def crops(heads: list[Path], place: str, folder: Path) -> list[Path]:
    """A crop of each head around a place that is not the hippocampus."""
    paths = []
    for head in heads:
        image = nibabel.as_closest_canonical(nibabel.load(head))
        sides = np.round(np.array(CROP_MM) / image.header.get_zooms()[:3]).astype(int)
        corner = np.round(np.array(image.shape) * PLACES[place] - sides / 2).astype(int)
        corner = np.clip(corner, 0, np.array(image.shape) - sides)
        part = image.slicer[tuple(slice(a, a + n) for a, n in zip(corner, sides))]
        name = head.name.replace("_T1w", f"_{place}")
        paths.append(saved(np.asarray(part.dataobj, dtype=np.float32), part.affine, folder / name))
    return paths


def thick(heads: list[Path], folder: Path) -> list[Path]:
    """Heads averaged to slices of 8 mm along z, the middle 24 where there are more."""
    paths = []
    for head in heads:
        image = nibabel.as_closest_canonical(nibabel.load(head))
        many = max(round(THICK_MM / float(image.header.get_zooms()[2])), 1)
        slices = min(image.shape[2] // many, MOST_SLICES)
        first = (image.shape[2] - slices * many) // 2
        values = np.asarray(image.dataobj, dtype=np.float32)[:, :, first : first + slices * many]
        values = values.reshape(*values.shape[:2], slices, many).mean(axis=3)
        affine = image.affine @ np.diag([1, 1, many, 1])
        # The middle of the first slices that are averaged.
        affine[:3, 3] = (image.affine @ [0, 0, first + (many - 1) / 2, 1])[:3]
        paths.append(saved(values, affine, folder / head.name.replace(".nii.gz", "_thick.nii.gz")))
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prism", type=Path, help="the command")
    parser.add_argument("--packs", nargs="+", choices=("cardiac", "hippocampus"), default=["cardiac", "hippocampus"])
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/refusals.json")
    arguments = parser.parse_args()
    command = arguments.prism.resolve()
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    result["command"] = "python -m training.refusals target/debug/prism"

    def row(name: str, words: str, made: Callable[[], dict]) -> None:
        """One row of a pack, unless it is there."""
        if words in result[name]:
            return
        found = result[name][words] = made()
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
        print(name, words, {key: found[key] for key in ("refused", "mean", "worst", "cut") if key in found}, flush=True)

    kept = {}
    for name in ("cardiac", "hippocampus"):
        config = tomllib.loads((REPOSITORY / f"training/configs/{name}.toml").read_text())
        # Hearts come as two phases each: one of them.
        every = 2 if name == "cardiac" else 1
        kept[name] = files(config, arguments.data, "score")[::every][:SCANS]
        if name not in arguments.packs:
            continue
        sha256 = hashlib.sha256((REPOSITORY / f"public/packs/{name}.safetensors").read_bytes()).hexdigest()
        if result.get(name, {}).get("pack_sha256") != sha256:
            result[name] = {"pack_sha256": sha256}
        for words, change in CHANGES.items():
            row(name, words, lambda: trial(command, name, kept[name], change))
    if "cardiac" in arguments.packs:
        row("cardiac", "both phases", lambda: cut_stacks(command, kept["cardiac"], None))
        row("cardiac", "four middle slices", lambda: cut_stacks(command, kept["cardiac"], MIDDLE))
    kept["heads"] = sorted((arguments.data / "eval_t1_labelled").glob("*_T1w_brain.nii.gz"))[:SCANS]
    sequences = (arguments.data / "ms_longitudinal").glob("*.nii.gz")
    kept["heads of thick slices"] = sorted(path for path in sequences if not path.name.endswith("_gt.nii.gz"))
    fine = fine_heads(arguments.data)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        kept["heads averaged to 8 mm slices"] = thick(fine, folder)
        kept |= {f"{part} crops": crops(fine, part, folder) for part in PLACES}
        others = {
            "cardiac": ("hippocampus", "heads", "heads of thick slices", "heads averaged to 8 mm slices"),
            "hippocampus": ("cardiac", "heads", *(f"{part} crops" for part in PLACES)),
        }
        for name in arguments.packs:
            for other in others[name]:
                row(name, f"given {other}", lambda: foreign(command, name, kept[other]))


if __name__ == "__main__":
    main()
