"""Scans that come with packages of others, as a new user would try them.

    python -m training.registry_trial target/debug/prism FOLDER
    python -m training.registry_trial --table

FOLDER holds the unpacked source distributions cardiacmodelgenerator 0.1.9 (MIT; 83 slices of a heart, DICOM) and
pyradiomics 3.1.0 (BSD; brain, breast, lung, NRRD). Every scan goes through `info`, `identify`, `segment` with the brain's,
the heart's and the hippocampus's pack, a heart also through `cine`. What each says, and the volume of what it labels, is written into
training/results/registry_trial.json; a file that a refused command left behind would be an error. `--table` runs nothing and
prints what is written there as Markdown, a line a scan and pack, with whether it was right to give labels or none; "a note
only" where there should be none and it says no more than not to trust them. How good labels are is not told here.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

from training.paths import REPOSITORY

SCANS = {
    "heart, 83 slices": "cardiacmodelgenerator-0.1.9/ExampleData/patient27",
    "brain 1": "pyradiomics-3.1.0/data/brain1_image.nrrd",
    "brain 2": "pyradiomics-3.1.0/data/brain2_image.nrrd",
    "breast": "pyradiomics-3.1.0/data/breast1_image.nrrd",
    "lung 1 (CT)": "pyradiomics-3.1.0/data/lung1_image.nrrd",
    "lung 2 (CT)": "pyradiomics-3.1.0/data/lung2_image.nrrd",
}
PACKS = ("brain", "cardiac", "hippocampus")
# What is to be labelled; nothing else is a short-axis stack, a whole head or a crop of a hippocampus.
FITTING = {("brain 1", "brain"), ("brain 2", "brain")}


def run(*line) -> dict:
    done = subprocess.run([str(word) for word in line], capture_output=True, text=True, check=False)
    # Graphics drivers say things of their own.
    said = [line for line in done.stderr.splitlines() if line.startswith("prism: ")]
    return {"exit": done.returncode, "said": "\n".join(said), "out": done.stdout.strip()}


def digest(path: Path) -> str:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def trial(command: Path, scan: Path) -> dict:
    result = {"sha256": digest(scan), "info": run(command, "info", scan)}
    identified = run(command, "identify", scan)
    result["identify"] = {"exit": identified["exit"], "said": identified["said"], "out": identified["out"]}
    with tempfile.TemporaryDirectory() as folder:
        for name in PACKS:
            labels, table = Path(folder, f"{name}.nii.gz"), Path(folder, f"{name}.csv")
            line = [command, "segment", scan, "--device", "cpu", "-o", labels, "--csv", table]
            # The brain's pack is the command's own, and asks what the scan shows.
            if name != "brain":
                line += ["--pack", REPOSITORY / f"public/packs/{name}.safetensors"]
            row = run(*line)
            row.pop("out")
            if row["exit"] and (labels.exists() or table.exists()):
                raise RuntimeError(f"{scan}: refused, and a file was written")
            if table.exists():
                with table.open(newline="") as file:
                    volumes = [float(r["volume_ml"]) for r in csv.DictReader(file)]
                row["labelled_ml"] = round(sum(volumes), 2)
            result[f"segment, {name}"] = row
        if scan.is_dir():
            row = run(command, "cine", scan, "--pack", REPOSITORY / "public/packs/cardiac.safetensors")
            result["cine"] = row
    return result


def table(scans: dict) -> str:
    """Scan, pack, what it said and whether it was right to give labels or none, as a Markdown table."""
    lines = ["| scan | pack | what it said | labels or none: right |", "| --- | --- | --- | --- |"]
    for scan, rows in scans.items():
        for name in PACKS:
            row = rows[f"segment, {name}"]
            refused, doubted = row["exit"] != 0, "do not trust" in row["said"]
            said = row["said"].splitlines()[-1].removeprefix("prism: ").split(". ")[0] if row["said"] else ""
            if not refused:
                said = f"{row['labelled_ml']:g} mL" + (f"; {said}" if said else "")
            fits = (scan, name) in FITTING
            right = "yes" if refused != fits else "**no**"
            if doubted and not refused:
                right = "**no**" if fits else "a note only"
            lines.append(f"| {scan} | {name} | {said.replace('|', '/')} | {right} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prism", type=Path, nargs="?", help="the command")
    parser.add_argument("folder", type=Path, nargs="?", help="the unpacked distributions")
    parser.add_argument("--table", action="store_true", help="print the written results as Markdown, and run nothing")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/registry_trial.json")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(arguments.out.read_text())["scans"]))
        return
    if arguments.folder is None:
        parser.error("give the command and the folder, or --table")
    scans = {}
    for name, place in SCANS.items():
        scans[name] = trial(arguments.prism.resolve(), arguments.folder / place)
        told = {key: (row["exit"], row.get("labelled_ml")) for key, row in scans[name].items() if key != "sha256"}
        print(name, told, flush=True)
    # Folders are named on this machine only.
    text = json.dumps({"command": "python -m training.registry_trial target/debug/prism FOLDER", "scans": scans}, indent=1)
    text = text.replace(f"{arguments.folder.resolve()}/", "").replace(f"{arguments.folder}/", "")
    arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
