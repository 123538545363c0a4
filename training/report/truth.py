"""Holds the report's statements against hand-drawn labels: side, size, volume, lesions.

    python -m training.report.truth target/debug/prism

Writes training/results/report_truth.json. Brain: the eight T1w scans of eval_t1_labelled, whose regions were drawn by
hand (Neuromorphometrics, left and right). Of the drawn volumes a difference from 10 % on is the truth (mild, moderate
from 20, marked from 40; too small below 0.5 mL a side); what the report says of the pack's volumes is the statement. It
names a difference from 10 % and twice the pack's mean error in that structure on (core/src/report/sides.rs), and those
errors are of these eight scans: so `left_out` says what it would name of each scan by the errors on the other seven, which
is the score; `ten_percent` is the rule without errors, `plain` the sentences of `prism report` as they are, parsed back,
`decoder` those sentences of the decoder that are shown (what it leaves out is said plainly). A difference that is named is
right when the drawn one is there on the same side; side errors are those named on the other side, size errors those on
the right side in another word.

Lesions: `prism report --lesions` on the two patients of ms_lesions, T1w with FLAIR. A mark of the table is right when
its centre's neighbourhood of 3 mm holds a drawn lesion; a drawn one is told when a mark lies that near to it. Of the right
marks, a side error names another side than that of the nearest drawn voxel (these scans lie in MNI space, so x tells; what
is within 3 mm of the middle has no side), a size error is a volume not within a factor of two of the drawn lesion's.

Others: what a report says of the hippocampus, the heart and lesions of change, from training/results/hippocampus.json,
cardiac.json and follow_up.json, which ran the packs with these SHA-256 on scans that they never saw.

Ten runs of `prism report`, kept in the cache; the eight brains are those that training.report.score runs.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import subprocess
from pathlib import Path

import nibabel
import nibabel.affines
import numpy as np
from scipy import ndimage

from training import pack
from training.labels import scoring_map
from training.lesions.evaluate import pieces
from training.paths import REPOSITORY, cache_folder, data_folder
from training.report.score import LESIONS, plain_claims, reported, size_word, stamp, triple, worded

# Names in the mapping that the report has otherwise.
NAMES = {
    "ventral DC": "ventral diencephalon",
    "3rd ventricle": "third ventricle",
    "4th ventricle": "fourth ventricle",
}
# The mapping joins the lateral ventricle and its inferior horn, which the report tells apart.
VENTRICLES = {"lateral ventricle": (52, 51), "inferior lateral ventricle": (50, 49)}
NEAR_MM = 3.0
# A told volume is right from half the drawn one to twice as much.
SIZE_FACTOR = 2.0
# Mean errors that a difference must exceed 10 % by, as in core/src/report/sides.rs.
ERRORS = 2.0
RESULTS = REPOSITORY / "training/results"
Statement = tuple[str, str]


def compared(left: float, right: float, error: float = 0.0) -> Statement:
    """Larger side and how much larger, of volumes in millilitres; `error` in points, of the pack in the structure."""
    percent = 100 * (left - right) / (0.5 * (left + right))
    size = size_word(abs(percent)) if abs(percent) >= 10 + ERRORS * error else "even"
    if size == "even":
        return "", "even"
    if min(left, right) < 0.5:
        return "", "tiny"
    return ("left" if percent > 0 else "right"), size


def drawn(path: Path) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """Volumes of a drawn scan in millilitres: pairs (left, right), and all structures."""
    image = nibabel.load(path)
    counts = np.bincount(np.asarray(image.dataobj).astype(int).ravel(), minlength=300)
    voxel_ml = float(abs(np.linalg.det(image.affine[:3, :3]))) / 1000

    def volume(numbers: list[int]) -> float:
        return float(counts[numbers].sum() * voxel_ml)

    pairs, singles = {}, {}
    for name, entry in scoring_map().items():
        name = NAMES.get(name, name)
        if name in VENTRICLES:
            continue
        if "left" in entry:
            pairs[name] = tuple(volume(entry[side]["neuromorphometrics"]) for side in ("left", "right"))
        else:
            singles[name] = volume(entry["neuromorphometrics"])
    for name, numbers in VENTRICLES.items():
        pairs[name] = tuple(volume([number]) for number in numbers)
    return pairs, singles


def told_pairs(text: str) -> dict[str, tuple[float, float]]:
    flat = re.sub(r"\n {2,}", " ", text)
    found = re.findall(r"The left (.+?) measures ([\d.]+) mL and the right ([\d.]+) mL", flat)
    return {name: (float(left), float(right)) for name, left, right in found}


def told_singles(text: str) -> dict[str, float]:
    flat = re.sub(r"\n {2,}", " ", text)
    found = re.findall(r"The (third ventricle|fourth ventricle|brainstem) measures ([\d.]+) mL", flat)
    return {name: float(value) for name, value in found}


def pair_statements(claims: list[list[tuple]]) -> dict[str, Statement]:
    return {c[1]: (c[2], c[3]) for sentence in claims for c in sentence if c[0] == "pair"}


def shown_claims(sections: list[dict]) -> list[list[tuple]]:
    """What the decoder's sentences say that are shown, in the regions."""
    shown: list[list[tuple]] = []
    for section in sections:
        if section["section"] in ("impression", "image_quality", "technique"):
            continue
        truth, said = {triple(fact) for fact in section["facts"]}, set()
        for sentence in section["sentences"]:
            claims = [triple(c) for c in sentence["claims"] or []]
            if claims and len(set(claims)) == len(claims) and set(claims) <= truth - said:
                said |= set(claims)
                shown.append(claims)
    return shown


def statements(scans: list[tuple[dict[str, Statement], dict[str, Statement]]]) -> dict:
    """Counts over (truth, said) of each scan, by structure; what is not said counts as not named."""
    named = true = right = side_errors = size_errors = agree = structures = unsaid = 0
    for truth, said in scans:
        for name, (side, size) in truth.items():
            structures += 1
            if name not in said:
                unsaid += 1
            my_side, my_size = said.get(name, ("", ""))
            true += bool(side)
            named += bool(my_side)
            agree += (my_side, my_size) == (side, size)
            if my_side and side:
                right += my_side == side
                side_errors += my_side != side
                size_errors += my_side == side and my_size != size
    return {
        "pairs": structures,
        "not_said": unsaid,
        "same_words": round(agree / max(1, structures), 4),
        "true": true,
        "named": named,
        "right_side": right,
        "precision": round(right / max(1, named), 4),
        "recall": round(right / max(1, true), 4),
        "side_errors": side_errors,
        "size_errors": size_errors,
    }


def asymmetry(pair: tuple[float, float]) -> float:
    return 100 * (pair[0] - pair[1]) / (0.5 * (pair[0] + pair[1]))


def brain(command: Path, data: Path, folder: Path) -> dict:
    plain, decoder, volumes, points, cases = [], [], {}, {}, {}
    measured = []
    for scan in sorted((data / "eval_t1_labelled").glob("*_T1w_brain.nii.gz")):
        text, _, sections = reported(command, scan, folder)
        pairs, singles = drawn(scan.with_name(scan.name.replace("_T1w_brain", "_glm")))
        # A structure that was not drawn has no sides to compare.
        pairs = {name: pair for name, pair in pairs.items() if sum(pair) > 0}
        truth = {name: compared(*pair) for name, pair in pairs.items()}
        said = pair_statements(plain_claims(text))
        plain.append((truth, said))
        decoder.append((truth, pair_statements(shown_claims(worded(command, sections)))))
        mine = {name: pair for name, pair in told_pairs(text).items() if sum(pair) > 0}
        for name in pairs.keys() & mine.keys():
            volumes.setdefault(name, []).append(sum(mine[name]) / sum(pairs[name]) - 1)
            points.setdefault(name, []).append(asymmetry(mine[name]) - asymmetry(pairs[name]))
        off_here = {name: abs(asymmetry(mine[name]) - asymmetry(pairs[name])) for name in pairs.keys() & mine.keys()}
        measured.append((truth, mine, off_here))
        # Sides of the cerebellum's cortex were not drawn apart.
        for name in singles.keys() & mine.keys():
            volumes.setdefault(name, []).append(sum(mine[name]) / singles[name] - 1)
        for name, value in told_singles(text).items():
            volumes.setdefault(name, []).append(value / singles[name] - 1)
        cases[scan.name.split("_")[0]] = {
            name: {"drawn": " ".join(truth[name]).strip(), "said": " ".join(said.get(name, ("", ""))).strip()}
            for name in truth
            if truth[name] != said.get(name)
        }
    every = [abs(error) for errors in volumes.values() for error in errors]
    off = [abs(error) for errors in points.values() for error in errors]
    left_out, ten_percent = [], []
    for truth, mine, _ in measured:
        others = [errors for other, _, errors in measured if other is not truth]
        error = {name: float(np.mean([e[name] for e in others if name in e] or [0.0])) for name in mine}
        left_out.append((truth, {name: compared(*pair, error[name]) for name, pair in mine.items()}))
        ten_percent.append((truth, {name: compared(*pair) for name, pair in mine.items()}))
    return {
        "scans": len(plain),
        "left_out": statements(left_out),
        "ten_percent": statements(ten_percent),
        "plain": statements(plain),
        "decoder": statements(decoder),
        "volumes": {
            "mean_absolute_error_percent": round(100 * float(np.mean(every)), 1),
            "by_structure_percent": {
                name: {"mean": round(100 * float(np.mean(e)), 1), "worst": round(100 * max(map(abs, e)), 1)}
                for name, e in sorted(volumes.items())
            },
        },
        "asymmetry_index": {
            "mean_absolute_error_points": round(float(np.mean(off)), 1),
            "by_structure_points": {
                name: round(float(np.mean(np.abs(e))), 1) for name, e in sorted(points.items())
            },
        },
        "differences": cases,
    }


def marks(page: str) -> list[tuple[float, str, np.ndarray]]:
    """Volume, side and centre (RAS, mm) of every mark in the report's table."""
    found = []
    for row in re.findall(r'<tr id="lesion-\d+">(.*?)</tr>', page):
        cells = [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]
        side = re.match(r"left|right", cells[5])
        centre = np.array([float(v) for v in cells[7].split(",")])
        found.append((float(cells[2]), side[0] if side else "", centre))
    return found


def side_of(x: float) -> str:
    """Side of a place in MNI space; none in the middle."""
    return "" if abs(x) <= NEAR_MM else "left" if x < 0 else "right"


def lesions(command: Path, data: Path, folder: Path) -> dict:
    result = {}
    folder = folder / stamp(command)
    folder.mkdir(parents=True, exist_ok=True)
    for patient in ("patient07", "patient19"):
        first, flair = (data / "ms_lesions" / f"{patient}_{name}.nii.gz" for name in ("T1", "FLAIR"))
        page = folder / f"{patient}.lesions.html"
        if not page.exists():
            line = [command, "report", first, "--lesions", LESIONS, "--sequences", flair, "--device", "cpu", "-o", page]
            subprocess.run(line, check=True, capture_output=True)
        image = nibabel.load(data / "ms_lesions" / f"{patient}_GOLD_STANDARD.nii.gz")
        mask = np.asarray(image.dataobj) > 0
        spacing = nibabel.affines.voxel_sizes(image.affine)
        voxel_ml = float(np.prod(spacing)) / 1000
        numbered, count = pieces(mask, voxel_ml)
        far, nearest = ndimage.distance_transform_edt(numbered == 0, sampling=spacing, return_indices=True)
        sizes = np.bincount(numbered.ravel()) * voxel_ml
        told = marks(page.read_text())
        to_voxel = np.linalg.inv(image.affine)
        places = [np.rint(nibabel.affines.apply_affine(to_voxel, centre)).astype(int) for _, _, centre in told]
        places = [np.clip(place, 0, np.array(mask.shape) - 1) for place in places]
        right = side_errors = size_errors = 0
        for (volume, side, _), place in zip(told, places):
            if far[tuple(place)] > NEAR_MM:
                continue
            right += 1
            drawn_at = nearest[(slice(None), *place)]
            drawn_side = side_of(nibabel.affines.apply_affine(image.affine, drawn_at)[0])
            side_errors += bool(side and drawn_side and side != drawn_side)
            ratio = volume / sizes[numbered[tuple(drawn_at)]]
            size_errors += not 1 / SIZE_FACTOR <= ratio <= SIZE_FACTOR
        marked = np.ones(mask.shape, bool)
        for place in places:
            marked[tuple(place)] = False
        near = ndimage.distance_transform_edt(marked, sampling=spacing) if places else np.full(mask.shape, np.inf)
        heard = len(np.unique(numbered[(near <= NEAR_MM) & (numbered > 0)]))
        result[f"{patient} T1 FLAIR"] = {
            "marks_told": len(told),
            "marks_right": right,
            "side_errors": side_errors,
            "size_errors": size_errors,
            "precision": round(right / max(1, len(told)), 4),
            "lesions_drawn": count,
            "lesions_told": heard,
            "recall": round(heard / max(1, count), 4),
            "told_ml": round(sum(volume for volume, _, _ in told), 2),
            "drawn_ml": round(float(mask.sum() * voxel_ml), 2),
        }
    return result


def others() -> dict:
    """What reports say with the other packs, of scans that these never saw."""
    hippocampus, heart, change = (
        json.loads((RESULTS / f"{name}.json").read_text()) for name in ("hippocampus", "cardiac", "follow_up")
    )
    volumes: dict[str, list[float]] = {}
    for case in hippocampus["cases"].values():
        for name, row in case.items():
            volumes.setdefault(name, []).append(row["predicted"] / row["drawn"] - 1)
    fractions: dict[str, list[float]] = {}
    function = heart["summary"]["function"]
    for case in function["cases"].values():
        for name, value in case.items():
            if name.endswith(" at diastole, predicted / drawn"):
                volumes.setdefault(name.removesuffix(", predicted / drawn"), []).append(value - 1)
            elif name.endswith(" EF % predicted"):
                drawn_value = case[name.removesuffix("predicted") + "drawn"]
                fractions.setdefault(name.removesuffix(" % predicted"), []).append(value - drawn_value)
    spots = change["lesions"]
    return {
        "packs": {"hippocampus": hippocampus["sha256"], "cardiac": heart["sha256"], **change["packs"]},
        "hippocampi": len(hippocampus["cases"]),
        "hearts": function["patients"],
        "volume_errors_percent": {
            name: {"mean": round(100 * float(np.mean(e)), 1), "mean_absolute": round(100 * float(np.mean(np.abs(e))), 1)}
            for name, e in sorted(volumes.items())
        },
        "fraction_errors_points": {
            name: {"mean": round(float(np.mean(e)), 1), "mean_absolute": round(float(np.mean(np.abs(e))), 1)}
            for name, e in sorted(fractions.items())
        },
        "lesions_of_change": {
            "spots_told": spots["spots"],
            "precision": round(1 - spots["spots_that_touch_none"] / max(1, spots["spots"]), 4),
            "lesions_drawn": spots["drawn_lesions"],
            "recall": round(spots["drawn_lesions_touched"] / max(1, spots["drawn_lesions"]), 4),
        },
    }


def describe(result: dict) -> None:
    """What every report says of its differences between the sides (core/src/report/input.rs, SideAgreement)."""
    path, scored = REPOSITORY / "public/packs/brain.safetensors", result["left_out"]
    sides = {"scans": result["scans"], "named": scored["named"], "right": scored["right_side"], "drawn": scored["true"]}
    errors = {"scans": result["scans"], "points": result["asymmetry_index"]["by_structure_points"]}
    pack.describe(path, scores=pack.document(path)["scores"] | {"sides": sides, "side_errors": errors})
    pack.index(path.parent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prism", type=Path, help="the command")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--reports", type=Path, default=cache_folder() / "report/real")
    parser.add_argument("--out", type=Path, default=RESULTS / "report_truth.json")
    parser.add_argument("--describe", action="store_true", help="write how far sides agree, and the errors, into the brain pack, too")
    arguments = parser.parse_args()
    command = arguments.prism.resolve()
    result = {
        "command": "python -m training.report.truth target/debug/prism",
        "brain": brain(command, arguments.data, arguments.reports),
        "lesions": lesions(command, arguments.data, arguments.reports),
        "others": others(),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.describe:
        describe(result["brain"])
    for name in ("left_out", "ten_percent", "plain", "decoder"):
        print(name, result["brain"][name])
    print(result["brain"]["volumes"]["mean_absolute_error_percent"], "% of volume on average")
    print(result["lesions"])
    print(result["others"])


if __name__ == "__main__":
    main()
