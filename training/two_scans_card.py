"""Writes what registration and follow-up score into the brain pack's card, from their results.

    python -m training.two_scans_card
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from training.paths import REPOSITORY
from training.resumed import PACKS, digests

START, STOP = "<!-- two-scans:start -->", "<!-- two-scans:stop -->"
RESULTS = REPOSITORY / "training" / "results"
WAYS = {
    "affine": "affine alone",
    "greys": "squared difference of the greys in the same optimiser",
    "mind": "MIND-SSC in the same optimiser",
    "structures": "this pack's structures without MIND-SSC inside them",
    "encoder": "the structure branch of this pack's encoder in place of the structures",
    "network": "this pack",
}


def registration(result: dict) -> list[str]:
    rows = result.get("summary", {})
    lines = []
    if rows.get("pairs"):
        lines += [
            f"Hand-drawn labels carried between heads, {rows['pairs']} of the 56 ordered pairs of eight T1w scans "
            "(`python -m training.registration target/debug/prism --pairs 56`):",
            "",
            "| | mean Dice, 16 structures | space folded, worst pair | processor seconds, median |",
            "| --- | --- | --- | --- |",
        ]
        for way, words in WAYS.items():
            if f"dice_{way}" not in rows:
                continue
            folded = rows.get(f"folded_{way}")
            folded = "" if folded is None else f"{100 * folded:.3f} %"
            lines.append(
                f"| {words} | {rows[f'dice_{way}']:.3f} | {folded} | {rows[f'processor_seconds_{way}']:.0f} |"
            )
        better = rows["pairs_in_which_network_is_better_than_mind"]
        worst = sorted(rows["structures"].items(), key=lambda item: item[1]["network"])[:3]
        lines += [
            "",
            f"The structures do better than MIND in {better} of {rows['pairs']} pairs. Carried worst: "
            + ", ".join(f"{name} {row['network']:.2f}" for name, row in worst)
            + ".",
            "",
        ]
    lines += to_mni(rows.get("to_mni", {}))
    if "motion_mean_mm_network" in rows:
        most = max(row["network"]["most_mm"] for row in result["motions"].values())
        lines += [
            f"One head in T1w, T2w and FLAIR, moved by up to 15 degrees and 15 mm about and along each axis: mean "
            f"error {rows['motion_mean_mm_network']:.2f} mm over {len(result['motions'])} pairs of sequences, "
            f"{most:.2f} mm at most (MIND: {rows['motion_mean_mm_mind']:.2f} mm).",
            "",
        ]
    if rows.get("bends"):
        lines += [
            f"The same head bent by waves of {rows['bend_mm']:.1f} mm in the mean, {rows['bends']} pairs of sequences: mean "
            f"error {rows['bend_mean_mm_network']:.2f} mm (MIND: {rows['bend_mean_mm_mind']:.2f} mm, affine alone: "
            f"{rows['bend_mean_mm_affine']:.2f} mm).",
            "",
        ]
    if read := result.get("read_by_simpleitk"):
        lines += [
            f"The displacement field read by SimpleITK {read['version']} gives the same moved scan but for "
            f"{read['mean_difference']:.1e} of {read['range_of_scan']:.0f} grey levels in the mean.",
            "",
        ]
    return lines


def to_mni(rows: dict) -> list[str]:
    if not rows:
        return []
    lines = [
        f"The same labels carried to MNI, where those of every two heads should meet ({rows['heads']} heads, "
        f"{rows['pairs']} pairs):",
        "",
        "| | mean Dice, 16 structures | space folded, worst head | processor seconds, median |",
        "| --- | --- | --- | --- |",
    ]
    for way, words in WAYS.items():
        if row := rows.get(way):
            folded = "" if row["folded"] is None else f"{100 * row['folded']:.3f} %"
            lines.append(f"| {words} | {row['dice']:.3f} | {folded} | {row['processor_seconds']:.0f} |")
    return [*lines, ""]


def follow_up(result: dict) -> list[str]:
    rows = result.get("summary", {})
    lines = []
    if rows.get("retests"):
        each = [*result["retest"].values()]
        intervals = [row["median_interval_percent"] for row in each]
        lines += [
            f"**No change where there is none** (`python -m training.follow_up target/debug/prism`): {rows['retests']} "
            f"scans against themselves, moved, resampled and with noise: {rows['false_changes']} of "
            f"{rows['comparisons']} structures called changed. The interval is {min(intervals):.1f} to "
            f"{max(intervals):.1f} % of a structure's volume in the median: smaller changes are not seen. "
            f"{rows['processor_seconds']:.0f} processor seconds.",
            "",
        ]
        worst = max(row["local_beyond_noise"] for row in each)
        beyond = float(np.mean([row["local_beyond_noise"] for row in each]))
        low, high = (pick(row["local_noise_percent"] for row in each) for pick in (min, max))
        most = max(row["local_change_percent_50_95_99"][2] for row in each)
        lines += [
            f"The map of local change of the same pairs: repeats of the baseline stay below {low:.1f} to {high:.1f} % in "
            f"99 of 100 places, which is what the map calls noise; {100 * beyond:.2f} % of the places of a pair lie beyond "
            f"it in the mean and {100 * worst:.2f} % in the worst pair, where 1 % is expected (largest change that 99 of "
            f"100 places stay below: {most:.1f} %).",
            "",
        ]
    elif result:
        lines += ["How often a change is called where there is none was not measured with this pack.", ""]
    if found := rows.get("sensitivity"):
        lines += [
            "**Known change**: left hippocampus, thalamus and lateral ventricle shrunk by a smooth field in "
            f"{found['scans']} scans.",
            "",
            "| shrunk by | called changed | mean error | of a single segmentation each time |",
            "| --- | --- | --- | --- |",
        ]
        for row in found["rates"]:
            lines.append(
                f"| {row['percent']:.0f} % | {row['detected']} of {row['of']} | {row['error_percent']:.1f} % | "
                f"{row['single_error_percent']:.1f} % |"
            )
        lines += [
            "",
            f"Of the same structures on the right, unchanged, {found['false_right']} of {found['right']} were called "
            f"changed; single segmentations differ there by {found['single_right_percent']:.1f} % in the mean.",
            "",
        ]
    if lesions := result.get("lesions"):
        nulls = [*result.get("null_lesions", {}).values()]
        bright, dark = (lesions["touched_of_drawn"][name] for name in ("brighter", "darker"))
        lines += [
            "**Lesions between two FLAIR scans** (`python -m training.follow_up target/debug/prism --only lesions`; "
            f"the lesion pack at both times; 1 patient, {lesions['drawn_lesions']} drawn changes): "
            f"Dice {lesions['dice']:.2f}, {lesions['drawn_lesions_touched']} touched ({bright[0]} of {bright[1]} "
            f"brighter than what is around them, {dark[0]} of {dark[1]} darker), "
            f"{lesions['spots_that_touch_none']} of {lesions['spots']} spots touch none"
            f"{of_fates(lesions)}. For comparison: LST-AI's change on this data set has a median Dice of .15, .53 at "
            "best (README of github.com/youzi-forge/ms-lam, its own figures over 20 patients).",
            "",
        ]
        if before := result.get("lesions_before"):
            lines += [
                f"The finder before this one, a threshold on the difference of the greys: Dice {before['dice']:.2f}, "
                f"{before['drawn_lesions_touched']} touched, {before['spots_that_touch_none']} of {before['spots']} "
                "spots touch none.",
                "",
            ]
        if nulls:
            called = sum(row["outside"] for row in nulls)
            lines += [
                f"FLAIR scans against themselves, moved: {called} spots called in {len(nulls)} scans.",
                "",
            ]
        if painted := rows.get("painted"):
            lines += [
                f"Lesions painted into FLAIR scans ({painted['pairs']} pairs): {painted['touched']} of "
                f"{painted['drawn']} new or larger ones touched, {painted['false']} of {painted['spots']} spots wrong, "
                f"mean Dice {painted['dice']:.2f}.",
                "",
            ]
    return lines


def of_fates(lesions: dict) -> str:
    """What of the mask is new or larger, and what shrank: both count, as the drawn mask is of any change."""
    if "spots_shrunken" not in lesions:
        return ""
    return (
        f"; {lesions['spots_shrunken']} spots are of shrunken lesions, and without them Dice is "
        f"{lesions['dice_without_shrunken']:.2f}"
    )


def read(name: str) -> dict:
    """A result that names its packs; others were made before they did."""
    path = RESULTS / f"{name}.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    return result if "packs" in result else {}


def section() -> str:
    two, one = read("registration"), read("follow_up")
    lines = [
        "What is aligned are the probabilities of this pack's structures at 2 mm, left and right together, and inside "
        "them MIND-SSC of the intensities; where the pack finds nothing, MIND-SSC and mutual information alone. Follow-up "
        "segments both scans five times half-way between them, turned, shifted and with noise added; the scatter gives "
        "the interval. Scans of two sequences, and scans whose structures do not overlap, are refused.",
        "",
        *registration(two),
        *follow_up(one),
        "Failures: lesions that are darker than what is around them, or that lie where the lesion pack sees none, are "
        "missed; one patient is no statistic. T1w pairs, in which new lesions are dark, are refused. The intervals "
        "know noise, position and resampling, not scanners, water or the time of day.",
    ]
    mine = digests("brain")["brain"]
    for name, result in (("Registration", two), ("Follow-up", one)):
        if not result:
            lines += ["", f"{name} is not scored with this pack yet."]
        elif result["packs"]["brain"] != mine:
            lines += ["", f"{name} was scored with an earlier brain pack."]
    return "\n".join(lines)


def write(card: Path = PACKS / "brain.md") -> None:
    before, rest = card.read_text().split(START, 1)
    _, after = rest.split(STOP, 1)
    card.write_text(f"{before}{START}\n{section()}\n{STOP}{after}")


if __name__ == "__main__":
    write()
