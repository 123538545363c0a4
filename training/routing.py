"""Does every scan find its pack, and is it known? Through `prism identify`, one scan at a time.

    python -m training.routing --command target/debug/prism --packs public/packs    # to results/routing.json

What a scan should find is in training/identification/scans.py; a pack that is not in the folder counts as
none. Sequence, body part and skull are scored on `test` scans, among them those of the registries where the
folder is there. `--every N` takes one of N scans of the large sets, and counts them as what they are.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

from training import pack
from training.identification import scans
from training.paths import REPOSITORY, cache_folder, data_folder

KNOWN = ("sequence", "body_part", "skull")


def asked(command: Path, packs: Path, scan: scans.Scan) -> dict:
    line = [str(command), "identify", str(scan.path), "--json", "--packs", str(packs), "--device", "cpu"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout)


def count(heads: dict, scan: scans.Scan, found: dict) -> None:
    """What was said of a scan, by head and data set."""
    skull = None if scan.stripped is None else "stripped" if scan.stripped else "whole"
    for head, true in (("sequence", scan.sequence), ("body_part", scan.part), ("skull", skull)):
        if true is None or (head == "skull" and not found["skull"]):
            continue
        given = found[head]["given"]
        row = heads[head].setdefault(scan.data_set, {"scans": 0, "answered": 0, "right": 0, "wrong": []})
        row["scans"] += 1
        row["answered"] += given is not None
        row["right"] += given == true
        if given not in (None, true):
            row["wrong"].append({"scan": scan.name, "true": true, "given": given})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", type=Path, default=REPOSITORY / "target/debug/prism")
    parser.add_argument("--packs", type=Path, default=REPOSITORY / "public/packs")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--registry", type=Path, default=cache_folder() / "registry")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/routing.json")
    arguments = parser.parse_args()
    there = {document["name"] for document in pack.documents(arguments.packs).values()}
    wrong, counts = [], {}
    heads = {head: {} for head in KNOWN}
    for scan in scans.some(arguments.data, arguments.registry, arguments.every):
        found = asked(arguments.command, arguments.packs, scan)
        if scan.use == "test" and "error" not in found:
            count(heads, scan, found)
        wanted = scan.pack if scan.pack in there else None
        row = counts.setdefault(scan.data_set, {"scans": 0, "right": 0})
        row["scans"] += 1
        if "error" not in found and found["fits"] == wanted:
            row["right"] += 1
        else:
            given = found.get("fits") or found.get("error") or found["routing"]["packs"]
            wrong.append({"scan": scan.name, "wanted": wanted, "given": given})
            print(wrong[-1], flush=True)
    for head in heads.values():
        unseen = [row for name, row in head.items() if name not in scans.LARGE]
        head["data sets not learnt from"] = {
            "scans": sum(row["scans"] for row in unseen), "answered": sum(row["answered"] for row in unseen),
            "right": sum(row["right"] for row in unseen), "wrong": sum((row["wrong"] for row in unseen), []),
        }  # fmt: skip
    result = {"packs": sorted(there), "one of so many scans of the large sets": arguments.every,
              "by data set": counts, "wrong": wrong, "heads": heads}  # fmt: skip
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
