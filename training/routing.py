"""Does every scan of the data folder find its pack? Through `prism identify`, one scan at a time.

    python -m training.routing --command target/debug/prism --packs public/packs    # to results/routing.json

What a scan should find is in training/identification/scans.py; a pack that is not in the folder counts as
none. `--every N` takes one of N scans of the large sets.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

from training import pack
from training.identification import scans
from training.paths import REPOSITORY, data_folder


def asked(command: Path, packs: Path, scan: scans.Scan) -> dict:
    line = [str(command), "identify", str(scan.path), "--json", "--packs", str(packs), "--device", "cpu"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", type=Path, default=REPOSITORY / "target/debug/prism")
    parser.add_argument("--packs", type=Path, default=REPOSITORY / "public/packs")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/routing.json")
    arguments = parser.parse_args()
    there = {document["name"] for document in pack.documents(arguments.packs).values()}
    wrong, counts, seen = [], {}, {}
    for scan in [*scans.of_data(arguments.data), *scans.label_maps(arguments.data)]:
        seen[scan.data_set] = seen.get(scan.data_set, -1) + 1
        large = scan.data_set in ("t1_wholehead", "hippocampus", "cardiac_acdc")
        if large and seen[scan.data_set] % arguments.every:
            continue
        found = asked(arguments.command, arguments.packs, scan)
        wanted = scan.pack if scan.pack in there else None
        row = counts.setdefault(scan.data_set, {"scans": 0, "right": 0})
        row["scans"] += 1
        if "error" not in found and found["fits"] == wanted:
            row["right"] += 1
        else:
            given = found.get("fits") or found.get("error") or found["routing"]["packs"]
            wrong.append({"scan": scan.name, "wanted": wanted, "given": given})
            print(wrong[-1], flush=True)
    result = {"packs": sorted(there), "by data set": counts, "wrong": wrong}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
