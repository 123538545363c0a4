"""What the brain pack gives for differences between the sides in people who were not chosen for any.

    python -m training.report.sides target/debug/prism

Runs `prism segment` over the T1w heads of t1_wholehead (48 people, half of them depressed, no other disease known; no
outlines are needed) and writes, for every pair, the mean of the asymmetry index 100 (L - R) / ((L + R) / 2) less and plus
two standard deviations into training/results/sides.json and the pack's scores (`usual_sides`). A report names a difference
only beyond that range: within it the difference is as likely the pack's. Its effect is scored on other people, with
outlines drawn by hand, by training.report.truth. Volumes are kept in the cache by the hashes of command and pack.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
from pathlib import Path

import numpy as np

from training import pack
from training.paths import REPOSITORY, cache_folder, data_folder
from training.report.score import stamp

BRAIN = REPOSITORY / "public/packs/brain.safetensors"
DEVIATIONS = 2.0


def indices(command: Path, scan: Path, folder: Path) -> dict[str, float]:
    """Asymmetry index in percent of every pair that the pack found on both sides."""
    table = folder / f"{scan.name.removesuffix('.nii.gz')}.csv"
    if not table.exists():
        line = [command, "segment", scan, "--pack", BRAIN, "--device", "cpu"]
        line += ["-o", folder / "labels.nii.gz", "--csv", table]
        subprocess.run(line, check=True, capture_output=True)
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["side"] == "left" and row["asymmetry_percent"]]
    return {row["display_name"].removeprefix("left "): float(row["asymmetry_percent"]) for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prism", type=Path, help="the command")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/sides.json")
    arguments = parser.parse_args()
    command = arguments.prism.resolve()
    folder = cache_folder() / "report/sides" / stamp(command)
    folder.mkdir(parents=True, exist_ok=True)
    people: dict[str, dict[str, float]] = {}
    for scan in sorted((arguments.data / "t1_wholehead").glob("sub-*_T1w.nii.gz")):
        people[scan.name.split("_")[0]] = indices(command, scan, folder)
        print(scan.name, flush=True)
    ranges = {}
    for name in sorted(set.union(*(set(found) for found in people.values()))):
        values = np.array([found[name] for found in people.values() if name in found])
        mean, spread = float(values.mean()), DEVIATIONS * float(values.std(ddof=1))
        ranges[name] = [round(mean - spread, 1), round(mean + spread, 1)]
        outside = int(((values < mean - spread) | (values > mean + spread)).sum())
        print(f"{name}: {ranges[name]}, {outside} of {len(values)} outside")
    result = {
        "command": "python -m training.report.sides target/debug/prism",
        "pack": pack.document(BRAIN)["sha256"],
        "people": len(people),
        "usual_percent": ranges,
        "cases": people,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    usual = {"people": len(people), "percent": ranges}
    pack.describe(BRAIN, scores=pack.document(BRAIN)["scores"] | {"usual_sides": usual})
    pack.index(BRAIN.parent)


if __name__ == "__main__":
    main()
