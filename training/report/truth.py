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

Heart: `prism cine --report` on the ten ACDC patients kept for scoring, at the two phases that were drawn. Each number that
the heart's section states is held against the same number of the drawn masks (`numbers`): it is right within 10 % of a
volume or mass and within 5 points of an ejection fraction, the limits of the report itself (core/src/report, mod.rs and
cine.rs); else it is a size error. A number that the report calls not usable counts as not told. `ventricles`: a side
error is a ventricle whose outline lies more on the other drawn one. `reduced`: the report grades no ejection fraction
(`grading_words` counts words that would) and applies no norm; so this asks in which class a reader would put the
left one, told and drawn: 50 % and more, 41 to 49 mildly reduced, up to 40 reduced (McDonagh et al., Eur Heart J 2021,
42:3599). The files at hand state no group of patients, and their spacing is nominal, the same for told and drawn.

Hippocampus: `prism report` on the 20 crops kept for scoring: volumes of both parts and the whole (right within 10 %) and
the parts' shares (within 5 points); `larger_part` compares the parts as the sides of the brain are, by 10 %, so that a
side error is the wrong part; `cut` are parts said to reach the edge of the field of view.

Glioma: no outline was drawn, and the data's description names no side, lobe or size; only what is marked is told, and
whether a mass is among it.

`kinds` is the table of all.

Others: what a report says of the hippocampus, the heart and lesions of change, from training/results/hippocampus.json,
cardiac.json and follow_up.json, which ran the packs with these SHA-256 on scans that they never saw.

Eleven runs of `prism report` on heads, 20 on crops and ten of `prism cine`, kept in the cache; the eight brains and the
crops are those that training.report.score runs.
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
from training.report.score import (
    CARDIAC, HIPPOCAMPUS, LESIONS, kept, last_line, made_by, plain_claims, plain_lines, reported, size_word, stamp, triple,
    without_unit, worded,
)  # fmt: skip

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
# A told number is right within these of the drawn one.
WITHIN_PERCENT, WITHIN_POINTS = 10.0, 5.0
# Labels of ACDC and of the heart's pack.
RIGHT, MYOCARDIUM, LEFT = 1, 2, 3
# core/src/measure/cardiac/function.rs
MYOCARDIUM_G_PER_ML = 1.05
PARTS = {1: "anterior", 2: "posterior"}
GRADED = r"\b(?:reduced|impaired|preserved|enlarged|dilated|hypertroph\w+|thickened|abnormal|normal)\b"
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


def rows_of_marks(page: str) -> list[list[str]]:
    """The report's table of marks: number, kind, mL, mm, place, structure, probability, centre."""
    rows = re.findall(r'<tr id="lesion-\d+">(.*?)</tr>', page)
    return [[html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


def marks(page: str) -> list[tuple[float, str, np.ndarray]]:
    """Volume, side and centre (RAS, mm) of every mark in the report's table."""
    found = []
    for cells in rows_of_marks(page):
        side = re.match(r"left|right", cells[5])
        centre = np.array([float(v) for v in cells[7].split(",")])
        found.append((float(cells[2]), side[0] if side else "", centre))
    return found


def side_of(x: float) -> str:
    """Side of a place in MNI space; none in the middle."""
    return "" if abs(x) <= NEAR_MM else "left" if x < 0 else "right"


def lesion_page(command: Path, name: str, first: Path, sequences: list[Path], folder: Path) -> str:
    """The report on a study's lesions as a page, by one run that is kept below `folder`."""
    folder = folder / stamp(command)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{name}.lesions.html"
    if not page.exists():
        line = [command, "report", first, "--lesions", LESIONS, "--sequences", *sequences, "--device", "cpu", "-o", page]
        subprocess.run(line, check=True, capture_output=True)
    return without_unit(page.read_text())


def lesions(command: Path, data: Path, folder: Path) -> dict:
    result = {}
    for patient in ("patient07", "patient19"):
        first, flair = (data / "ms_lesions" / f"{patient}_{name}.nii.gz" for name in ("T1", "FLAIR"))
        page = lesion_page(command, patient, first, [flair], folder)
        image = nibabel.load(data / "ms_lesions" / f"{patient}_GOLD_STANDARD.nii.gz")
        mask = np.asarray(image.dataobj) > 0
        spacing = nibabel.affines.voxel_sizes(image.affine)
        voxel_ml = float(np.prod(spacing)) / 1000
        numbered, count = pieces(mask, voxel_ml)
        far, nearest = ndimage.distance_transform_edt(numbered == 0, sampling=spacing, return_indices=True)
        sizes = np.bincount(numbered.ravel()) * voxel_ml
        told = marks(page)
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


def marked(page: str) -> dict:
    """What a report marks: volumes in mL by kind, and the largest mass."""
    by_kind: dict[str, float] = {}
    rows = rows_of_marks(page)
    for cells in rows:
        by_kind[cells[1]] = by_kind.get(cells[1], 0.0) + float(cells[2])
    masses = sorted((cells for cells in rows if cells[1] == "mass"), key=lambda cells: -float(cells[2]))
    largest = {"ml": float(masses[0][2]), "mm": float(masses[0][3]), "in": masses[0][5]} if masses else None
    return {
        "marks_told": len(rows),
        "told_ml": {kind: round(ml, 2) for kind, ml in by_kind.items()},
        "mass_named": bool(masses),
        "largest_mass": largest,
    }


def glioma(command: Path, data: Path, folder: Path) -> dict:
    first, *rest = (data / "multi_sequence" / f"glioma00001_{name}.nii.gz" for name in ("t1n", "t1c", "t2w", "t2f"))
    return {"truth": "none: no outline, side, lobe or size is known"} | marked(
        lesion_page(command, "glioma00001", first, rest, folder)
    )


def in_points(name: str) -> bool:
    """Whether a number is a percentage itself."""
    return name.endswith(("fraction", "share"))


def counts(rows: list[tuple[str, bool, float | None]]) -> dict:
    """Of (name, whether it was told, its error)."""
    told = sum(said for _, said, _ in rows)
    limit = lambda name: WITHIN_POINTS if in_points(name) else WITHIN_PERCENT  # noqa: E731
    right = sum(error is not None and abs(error) <= limit(name) for name, _, error in rows)
    return {
        "drawn": len(rows),
        "told": told,
        "right": right,
        "precision": round(right / told, 4) if told else None,
        "recall": round(right / max(1, len(rows)), 4),
        "size_errors": told - right,
    }


def numbers(cases: list[tuple[dict[str, float], dict[str, float]]]) -> dict:
    """Counts and errors over (drawn, told) numbers of each case: points of percentages, else percent of the drawn one."""
    by_name: dict[str, list[tuple[str, bool, float | None]]] = {}
    for drawn_numbers, told in cases:
        for name, value in drawn_numbers.items():
            error = None
            if name in told and (in_points(name) or value > 0):
                error = told[name] - value if in_points(name) else 100 * (told[name] / value - 1)
            by_name.setdefault(name, []).append((name, name in told, error))
    result: dict = {"all": counts([row for rows in by_name.values() for row in rows])}
    for name, rows in by_name.items():
        errors = [error for *_, error in rows if error is not None]
        result[name] = counts(rows)
        if errors:
            result[name] |= {
                "unit": "points" if in_points(name) else "percent",
                "mean": round(float(np.mean(errors)), 1),
                "mean_absolute": round(float(np.mean(np.abs(errors))), 1),
                "worst": round(max(map(abs, errors)), 1),
            }
    return result


def drawn_heart(masks: list[Path]) -> tuple[dict[str, float], int]:
    """Function of the drawn phases (mL, %, g), and which is end-diastole, from 1; see core/src/measure/cardiac."""
    volumes = []
    for path in masks:
        image = nibabel.load(path)
        voxels = np.bincount(np.asarray(image.dataobj).astype(int).ravel(), minlength=LEFT + 1)
        volumes.append(voxels * abs(float(np.linalg.det(image.affine[:3, :3]))) / 1000)
    cavities = [volume[LEFT] for volume in volumes]
    at = int(np.argmax(cavities))
    diastole, systole = volumes[at], volumes[int(np.argmin(cavities))]
    found = {"left myocardial mass": MYOCARDIUM_G_PER_ML * float(diastole[MYOCARDIUM])}
    for side, label in (("left", LEFT), ("right", RIGHT)):
        before, after = float(diastole[label]), float(systole[label])
        found[f"{side} end-diastolic volume"] = before
        found[f"{side} end-systolic volume"] = after
        found[f"{side} stroke volume"] = before - after
        found[f"{side} ejection fraction"] = 100 * (before - after) / before
    return found, at + 1


def told_heart(text: str) -> tuple[dict[str, float], int | None]:
    """The same of a report as text, without what it calls not usable; None where it has no function."""
    told: dict[str, float] = {}
    phase = None
    for line in plain_lines(text, "\nFindings: heart\n", "\nImage quality\n-"):
        if mass := re.match(r"The mass of the left ventricle's myocardium is ([\d.]+) g", line):
            told["left myocardial mass"] = float(mass[1])
        found = re.match(
            r"The (left|right) ventricle measures ([\d.]+) mL at end-diastole \(phase (\d+)\) and ([\d.]+) mL at"
            r" end-systole \(phase \d+\): stroke volume (minus )?([\d.]+) mL"
            r"(?:, ejection fraction (minus )?([\d.]+)%)?",
            line,
        )
        if not found:
            continue
        side = found[1]
        phase = int(found[3])
        told[f"{side} end-diastolic volume"] = float(found[2])
        if "not usable" in line:
            continue
        told[f"{side} end-systolic volume"] = float(found[4])
        told[f"{side} stroke volume"] = -float(found[6]) if found[5] else float(found[6])
        if found[8]:
            told[f"{side} ejection fraction"] = -float(found[8]) if found[7] else float(found[8])
    return told, phase


def ejection(percent: float) -> Statement:
    """The class of a left ejection fraction, as a statement."""
    if percent >= 50:
        return "", "even"
    return "reduced", "mild" if percent > 40 else "marked"


def swapped(pairs: list[tuple[np.ndarray, np.ndarray]]) -> int:
    """Ventricles whose outline, over (outlined, drawn) phases, lies more on the other drawn one."""
    count = 0
    for own, other in ((LEFT, RIGHT), (RIGHT, LEFT)):
        on = [sum(int(((mine == own) & (truth == there)).sum()) for mine, truth in pairs) for there in (own, other)]
        count += on[1] > on[0]
    return count


def reported_heart(command: Path, patient: str, phases: list[Path], folder: Path) -> tuple[str, list[Path]]:
    """Report and labels of a patient, by one run that is kept below `folder`."""
    folder = folder / stamp(command, CARDIAC) / patient
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "report.txt"
    if not text.exists():
        line = [command, "cine", *phases, "--pack", CARDIAC, "--device", "cpu", "-o", folder, "--report", text]
        subprocess.run(line, check=True, capture_output=True)
    # A phase that was refused has no labels.
    return without_unit(text.read_text()), [folder / f"phase-{at}.nii.gz" for at in range(1, len(phases) + 1)]


def heart(command: Path, data: Path, folder: Path) -> dict:
    patients: dict[str, list[Path]] = {}
    for path in kept(CARDIAC, data):
        patients.setdefault(path.name.split("_")[0], []).append(path)
    scored, classes, cases, refused = [], [], {}, {}
    phases_right = graded = ventricles = side_errors = 0
    for patient, phases in sorted(patients.items()):
        masks = [path.with_name(path.name.replace(".nii.gz", "_gt.nii.gz")) for path in phases]
        truth, diastole = drawn_heart(masks)
        told: dict[str, float] = {}
        try:
            text, labels = reported_heart(command, patient, phases, folder)
        except subprocess.CalledProcessError as error:
            refused[patient] = last_line(error)
        else:
            told, phase = told_heart(text)
            phases_right += phase == diastole
            graded += len(re.findall(GRADED, text[text.index("\nFindings: heart\n") : text.index("\nMethod\n-")]))
            read = lambda path: np.asarray(nibabel.load(path).dataobj)  # noqa: E731
            pairs = [(read(mine), read(mask)) for mine, mask in zip(labels, masks) if mine.exists()]
            ventricles += 2
            side_errors += swapped(pairs)
        scored.append((truth, told))
        left = "left ejection fraction"
        classes.append(({left: ejection(truth[left])}, {left: ejection(told[left])} if left in told else {}))
        cases[patient] = {name: [round(value, 1), told.get(name)] for name, value in truth.items()}
        print(patient, cases[patient][left], flush=True)
    return {
        "patients": len(patients),
        "refused": refused,
        "numbers": numbers(scored),
        "ventricles": {"outlined": ventricles, "side_errors": side_errors},
        "end_diastole_right": phases_right,
        "reduced": statements(classes),
        "grading_words": graded,
        "drawn_and_told": cases,
    }


def drawn_parts(labels: np.ndarray, voxel_ml: float) -> tuple[dict[str, float], set[str]]:
    """Volumes (mL) and shares (%) of the hippocampus, and the parts that reach the edge of the grid."""
    inner = np.bincount(labels[1:-1, 1:-1, 1:-1].ravel(), minlength=3)
    voxels = np.bincount(labels.ravel(), minlength=3)
    found = {"whole volume": float(voxels[1:3].sum() * voxel_ml)}
    for label, part in PARTS.items():
        found[f"{part} volume"] = float(voxels[label] * voxel_ml)
        found[f"{part} share"] = 100 * float(voxels[label] / voxels[1:3].sum())
    return found, {part for label, part in PARTS.items() if voxels[label] > inner[label]}


def told_parts(text: str) -> tuple[dict[str, float], set[str]]:
    """The same of a report as text."""
    flat = re.sub(r"\n {2,}", " ", text)
    told = {}
    if whole := re.search(r"All labelled structures together measure ([\d.]+) mL", flat):
        told["whole volume"] = float(whole[1])
    said = r"The hippocampus (anterior|posterior) measures ([\d.]+) mL, ([\d.]+)% of all labelled structures"
    for part, volume, share in re.findall(said, flat):
        told[f"{part} volume"], told[f"{part} share"] = float(volume), float(share)
    claims = [claim for sentence in plain_claims(text) for claim in sentence]
    return told, {claim[1].split()[-1] for claim in claims if claim[0] == "cut"}


def agreement(cases: list[tuple[set[str], set[str]]]) -> dict:
    """Counts over (drawn, told) findings of each case; None where there is nothing to be right about."""
    true, named = (sum(len(case[at]) for case in cases) for at in (0, 1))
    right = sum(len(truth & told) for truth, told in cases)
    return {
        "true": true,
        "named": named,
        "right": right,
        "precision": round(right / named, 4) if named else None,
        "recall": round(right / true, 4) if true else None,
    }


def larger_part(found: dict[str, float]) -> dict[str, Statement]:
    """Which part is larger, where both are known."""
    volumes = [found.get(f"{part} volume") for part in PARTS.values()]
    return {} if None in volumes else {"parts": compared(*volumes)}


def hippocampus(command: Path, data: Path, folder: Path) -> dict:
    scored, parts, cuts, refused = [], [], [], {}
    for scan in kept(HIPPOCAMPUS, data):
        image = nibabel.load(scan.with_name(scan.name.replace(".nii.gz", "_gt.nii.gz")))
        voxel_ml = abs(float(np.linalg.det(image.affine[:3, :3]))) / 1000
        truth, cut = drawn_parts(np.asarray(image.dataobj).astype(int), voxel_ml)
        told, told_cut = {}, set()
        try:
            told, told_cut = told_parts(reported(command, scan, folder, HIPPOCAMPUS)[0])
        except subprocess.CalledProcessError as error:
            refused[scan.name] = last_line(error)
        scored.append((truth, told))
        parts.append((larger_part(truth), larger_part(told)))
        cuts.append((cut, told_cut))
    return {
        "crops": len(scored),
        "refused": refused,
        "numbers": numbers(scored),
        "larger_part": statements(parts),
        "cut": agreement(cuts),
    }


def kinds(result: dict) -> dict:
    """Findings of each kind: how many there are, are told and are right, with the errors."""
    keys = ("true", "told", "right", "precision", "recall", "side_errors", "size_errors")

    def row(of: dict, **more) -> dict:
        of = of | {"true": of.get("true", of.get("drawn")), "told": of.get("told", of.get("named"))}
        of = of | {"right": of.get("right", of.get("right_side"))} | more
        return {key: of[key] for key in keys if of.get(key) is not None}

    patients = result["lesions"].values()
    add = lambda key: sum(patient[key] for patient in patients)  # noqa: E731
    marks_told, drawn_lesions = add("marks_told"), add("lesions_drawn")
    both = {"true": drawn_lesions, "told": marks_told, "right": add("marks_right")}
    both |= {"precision": round(add("marks_right") / max(1, marks_told), 4)}
    both |= {"recall": round(add("lesions_told") / max(1, drawn_lesions), 4)}
    both |= {"side_errors": add("side_errors"), "size_errors": add("size_errors")}
    return {
        "unequal sides of the brain": row(result["brain"]["left_out"]),
        "lesions": row(both),
        "numbers of the heart": row(
            result["heart"]["numbers"]["all"], side_errors=result["heart"]["ventricles"]["side_errors"]
        ),
        "reduced left ejection fraction": row(result["heart"]["reduced"]),
        "numbers of the hippocampus": row(result["hippocampus"]["numbers"]["all"]),
        "larger part of the hippocampus": row(result["hippocampus"]["larger_part"]),
        "cut parts of the hippocampus": row(result["hippocampus"]["cut"]),
    }


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
        "sha256": made_by(command, CARDIAC, HIPPOCAMPUS),
        "brain": brain(command, arguments.data, arguments.reports),
        "lesions": lesions(command, arguments.data, arguments.reports),
        "heart": heart(command, arguments.data, arguments.reports),
        "hippocampus": hippocampus(command, arguments.data, arguments.reports),
        "glioma": glioma(command, arguments.data, arguments.reports),
        "others": others(),
    }
    result["kinds"] = kinds(result)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.describe:
        describe(result["brain"])
    for name in ("left_out", "ten_percent", "plain", "decoder"):
        print(name, result["brain"][name])
    print(result["brain"]["volumes"]["mean_absolute_error_percent"], "% of volume on average")
    print(result["lesions"])
    print(result["others"])
    print("glioma", result["glioma"])
    for name, row in result["kinds"].items():
        print(name, row)


if __name__ == "__main__":
    main()
