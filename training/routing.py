"""Does every scan find its pack, and is it known? Through `prism identify`, one scan at a time.

    python -m training.routing --command target/debug/prism --packs public/packs    # to results/routing.json
    python -m training.routing --baseline                                            # its baselines alone

What a scan should find is in training/identification/scans.py; a pack that is not in the folder counts as
none. Sequence, body part and skull are scored on `test` scans, among them those of the registries where the
folder is there. `--every N` takes one of N scans of the large sets, and counts them as what they are. Of images
outside the kinds, label maps above all, it is counted how often the command says that it does not know them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
from safetensors import safe_open

from training import pack, resumed
from training.identification import scans
from training.identify import calibration_error
from training.paths import REPOSITORY, cache_folder, data_folder

KNOWN = ("sequence", "body_part", "skull")


def asked(command: Path, packs: Path, scan: scans.Scan) -> dict:
    line = [str(command), "identify", str(scan.path), "--json", "--packs", str(packs), "--device", "cpu"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout)


def truth(scan: scans.Scan) -> dict[str, str]:
    """What is known of a scan, by head."""
    skull = None if scan.stripped is None else "stripped" if scan.stripped else "whole"
    known = {"sequence": scan.sequence, "body_part": scan.part, "skull": skull}
    return {head: true for head, true in known.items() if true is not None}


def count(heads: dict, scan: scans.Scan, found: dict) -> None:
    """What was said of a scan, by head and data set, with the probability of the likeliest class."""
    for head, true in truth(scan).items():
        if not found[head]:
            continue
        likely = found[head]["probabilities"][0]
        row = {"scan": scan.name, "true": true, "given": found[head]["given"], "p": round(likely[1], 4)}
        heads[head].setdefault(scan.data_set, []).append(row)


def summed(rows: list[dict]) -> dict:
    """Counts, calibration of the answers, and every answer."""
    answered = [row for row in rows if row["given"] is not None]
    right = np.array([row["given"] == row["true"] for row in answered])
    calibration = calibration_error(right, np.array([row["p"] for row in answered])) if answered else None
    return {"scans": len(rows), "answered": len(answered), "right": int(right.sum()),
            "expected calibration error of the answers": calibration, "answers": rows}  # fmt: skip


def unknown(rows: list[dict]) -> dict[str, int]:
    """How often the command does not know images of no kind that a head knows, as it answered them."""
    count = lambda true: sum(map(true, rows))  # noqa: E731
    return {
        "images": len(rows),
        "sequence unknown": count(lambda found: found["sequence"]["given"] is None),
        "body part unknown": count(lambda found: found["body_part"]["given"] is None),
        "told to be a map": count(lambda found: any("looks like a map" in line for line in found["warnings"])),
        "no pack fits": count(lambda found: found["fits"] is None),
    }


def of_unseen(by_set: dict[str, list]) -> list:
    return [row for name, rows in by_set.items() if name not in scans.LARGE for row in rows]


def hashes(packs: Path) -> dict[str, str]:
    """SHA-256 of the packs and of the heads, by name."""
    found = {document["name"]: document["sha256"] for document in pack.documents(packs).values()}
    with safe_open(packs / "identify.safetensors", framework="np") as file:
        document = json.loads(file.metadata()["prism_heads"])
    return dict(sorted({**found, document["name"]: document["sha256"]}.items()))


def baselines(command: Path, wanted: list[scans.Scan]) -> dict:
    """On the test scans of sets that were not learnt from: what needs no network."""
    unseen = [scan for scan in wanted if scan.use == "test" and scan.data_set not in scans.LARGE]
    result = {}
    for head in KNOWN:
        known = [truth(scan)[head] for scan in unseen if head in truth(scan)]
        classes = sorted(set(known), key=known.count)
        if classes:
            result[head] = {"scans": len(known), "most frequent class": classes[-1], "right": known.count(classes[-1])}
    said = {"fields": [], "file name": []}
    for scan in unseen:
        if scan.sequence is None:
            continue
        line = [str(command), "info", str(scan.path), "--json"]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        series = json.loads(done.stdout)[0] if done.returncode == 0 else {}
        # A folder of DICOM files has no name that somebody gave the scan.
        of_file = None if scan.path.is_dir() else series.get("sequence_by_title")
        for source, given in (("fields", series.get("sequence_by_fields")), ("file name", of_file)):
            said[source].append({"scan": scan.name, "true": scan.sequence, "given": given})
    for source, rows in said.items():
        answered = [row for row in rows if row["given"]]
        result[f"sequence by the {source}"] = {
            "scans": len(rows), "answered": len(answered), "right": sum(row["given"] == row["true"] for row in answered),
            "wrong": [row for row in answered if row["given"] != row["true"]],
        }  # fmt: skip
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", type=Path, default=REPOSITORY / "target/debug/prism")
    parser.add_argument("--packs", type=Path, default=REPOSITORY / "public/packs")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--registry", type=Path, default=cache_folder() / "registry")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/routing.json")
    parser.add_argument("--baseline", action="store_true", help="the baselines alone; what was scored before stays")
    arguments = parser.parse_args()
    wanted_scans = scans.some(arguments.data, arguments.registry, arguments.every)
    if arguments.baseline:
        result = json.loads(arguments.out.read_text()) | {"baselines": baselines(arguments.command, wanted_scans)}
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps(result["baselines"], indent=1))
        return
    wanted_scans += scans.hand_labels(arguments.data, arguments.every)
    there = hashes(arguments.packs)
    wrong, counts, outside = [], {}, {}
    heads = {head: {} for head in KNOWN}
    for scan in wanted_scans:
        found = asked(arguments.command, arguments.packs, scan)
        if scan.use == "test" and "error" not in found:
            count(heads, scan, found)
        if scan.use == "outside" and "error" not in found:
            outside.setdefault(scan.data_set, []).append(found)
        wanted = scan.pack if scan.pack in there else None
        row = counts.setdefault(scan.data_set, {"scans": 0, "right": 0})
        row["scans"] += 1
        if "error" not in found and found["fits"] == wanted:
            row["right"] += 1
        else:
            given = found.get("fits") or found.get("error") or found["routing"]["packs"]
            wrong.append({"scan": scan.name, "wanted": wanted, "given": given})
            print(wrong[-1], flush=True)
    scored = {head: {**{name: summed(rows) for name, rows in by_set.items()},
                     "data sets not learnt from": summed(of_unseen(by_set))} for head, by_set in heads.items()}  # fmt: skip
    result = {
        "command": f"python -m training.routing --every {arguments.every}", "commit": resumed.commit(), "packs": there,
        "one of so many scans of the large sets": arguments.every, "by data set": counts, "wrong": wrong, "heads": scored,
        "outside": {name: unknown(rows) for name, rows in outside.items()},
        "baselines": baselines(arguments.command, wanted_scans),
    }  # fmt: skip
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
