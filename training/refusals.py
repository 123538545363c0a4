"""What the heart's and the hippocampus's packs do with scans that are turned, mirrored, cut or of something else.

    python -m training.refusals target/debug/prism

Scans kept for scoring are changed voxel by voxel while their header stays as it was, written anew and segmented by the
command: turned by 90, 180 and 37 degrees in the plane of the slices, mirrored, upside down, one slice alone, and given to the
other packs. A result is either refused, with its sentence, or compared with the drawn labels changed alike. Writes
training/results/refusals.json.
"""

from __future__ import annotations

import argparse
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
    kept = {}
    for name in ("cardiac", "hippocampus"):
        config = tomllib.loads((REPOSITORY / f"training/configs/{name}.toml").read_text())
        # Hearts come as two phases each: one of them.
        every = 2 if name == "cardiac" else 1
        kept[name] = files(config, arguments.data, "score")[::every][:SCANS]
        if name not in arguments.packs:
            continue
        result[name] = {}
        for words, change in CHANGES.items():
            row = result[name][words] = trial(command, name, kept[name], change)
            print(name, words, {key: row.get(key) for key in ("refused", "mean", "worst")}, flush=True)
    kept["heads"] = sorted((arguments.data / "eval_t1_labelled").glob("*_T1w_brain.nii.gz"))[:SCANS]
    for name, others in (("cardiac", ("hippocampus", "heads")), ("hippocampus", ("cardiac", "heads"))):
        for other in others if name in arguments.packs else ():
            row = result[name][f"given {other}"] = foreign(command, name, kept[other])
            print(name, "given", other, row["refused"], row["labelled_ml"], flush=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
