"""Scores `prism register` on real scans: labels carried between heads, known motions, folds, seconds.

    python -m training.registration target/debug/prism --pairs 56

Writes training/results/registration.json after every step, and goes on where it stopped, or anew with
another brain pack: how many of the pairs are in it, the summary says. Seconds are those of a shared
machine; processor seconds are the command's own. `--arms` adds further features to the network's and MIND's:
`structures` (the network's structures without MIND-SSC inside them), `encoder` (the structure branch of the
encoder in place of the decoder's probabilities), and `greys` (their squared difference; scans of one sequence,
so between heads and to MNI alone). What an arm lacks is added to a result that is there.

- Between heads (eval_t1_labelled, ordered pairs): hand-drawn regions carried along; mean Dice over the
  16 structures of training.evaluate, for the affine part alone, and in the same optimiser from the same
  affine part for each of the features. Share of voxels where space folds.
- To MNI (the same heads): the regions of each carried onto the template, where those of every two heads should
  meet: mean Dice over the 28 pairs, in the same ways. The carried maps are kept in the runs' folder.
- One head (kirby113, T1w, T2w, FLAIR): each sequence onto each other one, the moving scan resampled
  under a known rigid motion; distance between where points of the brain go and where they should.
- The same bent by known waves instead, aligned by an affine map alone and deformably.
- The displacement field read by SimpleITK against the command's own scan.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK
from scipy.ndimage import affine_transform, map_coordinates
from scipy.spatial.transform import Rotation

from training import resumed, two_scans_card
from training.evaluate import labelled
from training.labels import scoring_map
from training.paths import REPOSITORY, data_folder, runs_folder
from training.scores import dice

KIRBY = {"T1w": "MPRAGE", "T2w": "T2w", "FLAIR": "FLAIR"}
WAYS = {"network": "prism", "mind": "mind"}
# When asked for.
FURTHER = {"structures": "structures", "encoder": "encoder", "encoder_mind": "encoder-mind", "greys": "greys"}
# Scans of one sequence alone.
ONE_SEQUENCE = {"greys"}
PACK = ["--pack", str(resumed.PACKS / "brain.safetensors")]


def register(command: Path, moving: Path, fixed: Path | None, out: Path, *more) -> dict:
    """Runs the command, without a fixed scan onto MNI; what it says of itself, and seconds from start to end."""
    onto = ["--to", "mni"] if fixed is None else [str(fixed)]
    line = ["nice", "-n", "5", str(command), "register", str(moving), *onto, "-o", str(out)]
    started = time.time()
    line += ["--device", "cpu", *PACK, "--json", str(out.with_suffix(".json")), *map(str, more)]
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(line, stdout=said, stderr=said)
        # Of this child alone: others may run beside it.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            said.seek(0)
            raise RuntimeError(said.read())
    processor = usage.ru_utime + usage.ru_stime
    found = json.loads(out.with_suffix(".json").read_text())
    return {**found, "seconds": time.time() - started, "processor_seconds": processor}


def timing(done: dict) -> dict:
    return {name: round(done[name], 1) for name in ("seconds", "processor_seconds")}


def carried(truth: np.ndarray, labels: Path) -> dict:
    found = np.asarray(nibabel.load(labels).dataobj)
    ids = {name: entry["neuromorphometrics"] for name, entry in scoring_map().items()}
    return {name: round(dice(np.isin(found, ids[name]), np.isin(truth, ids[name])), 4) for name in ids}


def between_heads(
    command: Path, data: Path, first: str, second: str, ways: dict, known: dict | None = None
) -> dict:
    """Carries the labels of `first` to `second`, in the ways that are not known."""
    folder = data / "eval_t1_labelled"
    scan, labels = "{}_T1w_brain.nii.gz", "{}_glm.nii.gz"
    truth = np.asarray(nibabel.load(folder / labels.format(second)).dataobj)
    scans = [folder / scan.format(subject) for subject in (first, second)]
    result = dict(known or {})
    with tempfile.TemporaryDirectory() as place:
        out, carry, text = Path(place) / "w.nii.gz", Path(place) / "l.nii.gz", Path(place) / "a.txt"
        more = ["--labels", folder / labels.format(first), "--labels-out", carry]
        done = register(command, *scans, out, *more, "--kind", "affine", "--affine", text)
        result.setdefault("affine", {**timing(done), "dice": carried(truth, carry)})
        for name, features in missing(result, ways).items():
            done = register(command, *scans, out, *more, "--features", features, "--initial", text)
            result[name] = {
                **timing(done),
                "folded": done["folded"],
                "dice": carried(truth, carry),
            }
    return result


def missing(row: dict, ways: dict) -> dict:
    """The ways that a row of results lacks, with their features."""
    return {way: features for way, features in ways.items() if way not in row}


def any_sequence(ways: dict) -> dict:
    """The ways that align one sequence with another."""
    return {way: features for way, features in ways.items() if way not in ONE_SEQUENCE}


def to_mni(command: Path, scan: Path, labels: Path, ways: dict, known: dict, keep: Path) -> dict:
    """Carries the labels of a head to MNI in the ways that are not known or whose map is not kept, to
    `<keep>_<way>.nii.gz`."""
    result = {way: row for way, row in known.items() if kept(keep, way).exists()}
    text = keep.with_name(f"{keep.name}_affine.txt")
    with tempfile.TemporaryDirectory() as place:
        out, carry = Path(place) / "w.nii.gz", Path(place) / "l.nii.gz"
        more = ["--labels", labels, "--labels-out", carry]
        if "affine" not in result or not text.exists():
            # All ways again: they begin with this affine part.
            done = register(command, scan, None, out, *more, "--kind", "affine", "--affine", text)
            shutil.move(carry, kept(keep, "affine"))
            result = {"affine": timing(done)}
        for name, features in missing(result, ways).items():
            done = register(command, scan, None, out, *more, "--features", features, "--initial", text)
            shutil.move(carry, kept(keep, name))
            result[name] = {**timing(done), "folded": done["folded"]}
    return result


def kept(keep: Path, way: str) -> Path:
    return keep.with_name(f"{keep.name}_{way}.nii.gz")


def pairwise(maps: list[Path]) -> dict:
    """Mean Dice of each structure over all pairs of label maps on one grid."""
    loaded = [np.asarray(nibabel.load(path).dataobj).astype(np.uint16) for path in maps]
    ids = {name: entry["neuromorphometrics"] for name, entry in scoring_map().items()}
    rows = {}
    for name, wanted in ids.items():
        masks = [np.isin(each, wanted) for each in loaded]
        scores = [dice(a, b) for a, b in itertools.combinations(masks, 2)]
        rows[name] = round(float(np.mean(scores)), 4)
    return rows


def displaced(path: Path, motion: np.ndarray, out: Path) -> None:
    """A scan whose point p shows what was at the motion's inverse of p, on the same grid."""
    image = nibabel.load(path)
    affine = image.affine
    back = np.linalg.inv(affine) @ np.linalg.inv(motion) @ affine
    data = affine_transform(np.asarray(image.dataobj, np.float32), back[:3, :3], back[:3, 3], order=1)
    nibabel.save(nibabel.Nifti1Image(data.astype(np.float32), affine), out)


def random_motion(random: np.random.Generator, centre: np.ndarray) -> np.ndarray:
    """Up to 15 degrees about each axis through a point, up to 15 mm along each."""
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", random.uniform(-15, 15, 3), degrees=True).as_matrix()
    motion[:3, 3] = centre - motion[:3, :3] @ centre + random.uniform(-15, 15, 3)
    return motion


def one_head(
    command: Path, data: Path, fixed: str, moving: str, random, points: np.ndarray, ways: dict, known: dict
) -> dict:
    """Error in millimetres at points of the moved scan, in the ways that are not known."""
    paths = {name: data / "multi_sequence" / f"kirby113_{file}.nii.gz" for name, file in KIRBY.items()}
    motion = random_motion(random, points.mean(0))
    result = dict(known)
    with tempfile.TemporaryDirectory() as place:
        scan, out, text = (Path(place) / name for name in ("m.nii.gz", "w.nii.gz", "a.txt"))
        displaced(paths[moving], motion, scan)
        for name, features in missing(result, ways).items():
            more = ["--features", features, "--kind", "rigid", "--affine", text]
            done = register(command, scan, paths[fixed], out, *more)
            found = points @ read_affine(text)[:3, :3].T + read_affine(text)[:3, 3]
            wanted = points @ motion[:3, :3].T + motion[:3, 3]
            error = np.linalg.norm(found - wanted, axis=1)
            result[name] = {
                "mean_mm": round(float(error.mean()), 3),
                "most_mm": round(float(error.max()), 3),
                **timing(done),
            }
    return result


class Waves:
    """A smooth displacement: at q the bent scan shows what the straight one shows at q + waves(q). Up to
    3 mm along each axis, over 70 to 110 mm, so that space never folds."""

    def __init__(self, random: np.random.Generator):
        directions = random.normal(size=(3, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        self.turns = 2 * np.pi * directions / random.uniform(70, 110, (3, 1))
        self.phases = random.uniform(0, 2 * np.pi, 3)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Millimetres at RAS points [..., 3]."""
        return 3 * np.sin(points @ self.turns.T + self.phases)


def bent(path: Path, waves: Waves, out: Path) -> None:
    """A scan seen through waves, on the same grid."""
    image = nibabel.load(path)
    scan, back = np.asarray(image.dataobj, np.float32), np.linalg.inv(image.affine)
    plane = np.moveaxis(np.indices((1, *image.shape[1:])), 0, -1)[0]
    planes = []
    # Plane by plane: coordinates take twelve times the memory of a scan.
    for x in range(image.shape[0]):
        points = nibabel.affines.apply_affine(image.affine, plane + [x, 0, 0])
        there = nibabel.affines.apply_affine(back, points + waves(points))
        planes.append(map_coordinates(scan, np.moveaxis(there, -1, 0), order=1))
    nibabel.save(nibabel.Nifti1Image(np.stack(planes).astype(np.float32), image.affine), out)


def through_field(path: Path, points: np.ndarray) -> np.ndarray:
    """Where a displacement field as ITK writes it takes RAS points."""
    image = nibabel.load(path)
    moved = np.asarray(image.dataobj, np.float64)[:, :, :, 0]
    voxels = nibabel.affines.apply_affine(np.linalg.inv(image.affine), points).T
    parts = [map_coordinates(moved[..., axis], voxels, order=1, mode="nearest") for axis in range(3)]
    return points + np.stack(parts, -1) * [-1, -1, 1]


def one_bend(
    command: Path, data: Path, fixed: str, moving: str, random, points: np.ndarray, ways: dict, known: dict
) -> dict:
    """Error in millimetres at points of the straight scan: the way to the bent one and back by the waves, in
    the ways that are not known."""
    paths = {name: data / "multi_sequence" / f"kirby113_{file}.nii.gz" for name, file in KIRBY.items()}
    waves = Waves(random)
    result = known | {"bent_mm": round(float(np.linalg.norm(waves(points), axis=1).mean()), 3)}
    with tempfile.TemporaryDirectory() as place:
        scan, out, field = (Path(place) / name for name in ("m.nii.gz", "w.nii.gz", "f.nii.gz"))
        bent(paths[moving], waves, scan)
        for way, more in missing(result, {
            "affine": ["--kind", "affine"],
            **{name: ["--features", features] for name, features in ways.items()},
        }).items():  # fmt: skip
            done = register(command, scan, paths[fixed], out, *more, "--field", field)
            there = through_field(field, points)
            error = np.linalg.norm(there + waves(there) - points, axis=1)
            result[way] = {
                "mean_mm": round(float(error.mean()), 3),
                "percentile_99_mm": round(float(np.percentile(error, 99)), 3),
                "folded": done["folded"],
                **timing(done),
            }
    return result


def read_affine(path: Path) -> np.ndarray:
    """RAS matrix of an ITK transform file centred at the origin."""
    line = next(line for line in path.read_text().splitlines() if line.startswith("Parameters:"))
    numbers = np.array(line.split()[1:], float)
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = numbers[:9].reshape(3, 3), numbers[9:]
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    return flip @ result @ flip


def brain_points(command: Path, scan: Path, count: int = 2000) -> np.ndarray:
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "s.nii.gz"
        line = ["nice", "-n", "5", str(command), "segment", str(scan), "-o", str(out), "--device", "cpu"]
        subprocess.run(line + PACK, capture_output=True, check=True)
        image = nibabel.load(out)
        inside = np.argwhere(np.asarray(image.dataobj) > 0)
    chosen = inside[np.random.default_rng(0).choice(len(inside), count, replace=False)]
    return nibabel.affines.apply_affine(image.affine, chosen)


def read_by_simpleitk(command: Path, data: Path) -> dict:
    """The moving scan resampled by SimpleITK through the written field, against the command's."""
    folder = data / "eval_t1_labelled"
    moving, fixed = (folder / f"{subject}_T1w_brain.nii.gz" for subject in labelled(data)[:2])
    with tempfile.TemporaryDirectory() as place:
        out, field = Path(place) / "w.nii.gz", Path(place) / "f.nii.gz"
        register(command, moving, fixed, out, "--field", field)
        images = [SimpleITK.ReadImage(path, SimpleITK.sitkFloat32) for path in (moving, fixed)]
        read = SimpleITK.ReadImage(field, SimpleITK.sitkVectorFloat64)
        transform = SimpleITK.DisplacementFieldTransform(read)
        theirs = SimpleITK.Resample(*images, transform, SimpleITK.sitkLinear, 0.0)
        mine = np.asarray(nibabel.load(out).dataobj)
        difference = np.abs(SimpleITK.GetArrayFromImage(theirs).T - mine)
        return {
            "version": SimpleITK.Version.VersionString(),
            "mean_difference": float(f"{difference.mean():.2e}"),
            "most_difference": float(f"{difference.max():.2e}"),
            "range_of_scan": float(mine.max()),
        }


def summary(result: dict) -> dict:
    pairs = result.get("pairs", {})
    rows = {"pairs": len(pairs)}
    if pairs:
        ways = ["affine", *shared(pairs)]
        for way in ways:
            each = [[*pair[way]["dice"].values()] for pair in pairs.values()]
            rows[f"dice_{way}"] = round(float(np.mean(each)), 4)
            seconds = [pair[way]["processor_seconds"] for pair in pairs.values()]
            rows[f"processor_seconds_{way}"] = round(float(np.median(seconds)), 1)
        better = [np.mean([*p["network"]["dice"].values()]) > np.mean([*p["mind"]["dice"].values()])
                  for p in pairs.values()]  # fmt: skip
        rows["pairs_in_which_network_is_better_than_mind"] = int(sum(better))
        rows["structures"] = {
            name: {
                way: round(float(np.mean([p[way]["dice"][name] for p in pairs.values()])), 4)
                for way in ways
            }
            for name in scoring_map()
        }
        for way in ways[1:]:
            rows[f"folded_{way}"] = max(pair[way]["folded"] for pair in pairs.values())
    motions = result.get("motions", {})
    for way in shared(motions):
        if motions:
            each = [row[way] for row in motions.values()]
            rows[f"motion_mean_mm_{way}"] = round(float(np.mean([row["mean_mm"] for row in each])), 3)
            seconds = [row["processor_seconds"] for row in each]
            rows[f"motion_processor_seconds_{way}"] = round(float(np.median(seconds)), 1)
    if bends := [*result.get("bends", {}).values()]:
        mean = lambda values: round(float(np.mean([*values])), 3)  # noqa: E731
        rows["bends"] = len(bends)
        rows["bend_mm"] = mean(row["bent_mm"] for row in bends)
        for way in ("affine", *shared(result["bends"])):
            rows[f"bend_mean_mm_{way}"] = mean(row[way]["mean_mm"] for row in bends)
    found = result.get("to_mni", {})
    if found.get("dice"):
        heads = found["heads"]
        rows["to_mni"] = {"heads": len(heads), "pairs": len(heads) * (len(heads) - 1) // 2}
        for way, scores in found["dice"].items():
            each = [row[way] for row in heads.values()]
            rows["to_mni"][way] = {
                "dice": round(float(np.mean([*scores.values()])), 4),
                "folded": max(row["folded"] for row in each) if way != "affine" else None,
                "seconds": round(float(np.median([row["seconds"] for row in each])), 1),
                "processor_seconds": round(float(np.median([row["processor_seconds"] for row in each])), 1),
            }
    return rows


def shared(rows: dict) -> list[str]:
    """The network's way and MIND's, and further ones once every row has them."""
    return [*WAYS, *(way for way in FURTHER if rows and all(way in row for row in rows.values()))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prism", type=Path, help="the command")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--pairs", type=int, default=56, help="ordered pairs, spread over the subjects")
    parser.add_argument("--jobs", type=int, default=2, help="pairs at a time")
    parser.add_argument("--arms", nargs="+", choices=FURTHER, default=[], help="further features to score")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/registration.json")
    arguments = parser.parse_args()
    command = arguments.prism.resolve()
    ways = WAYS | {way: FURTHER[way] for way in arguments.arms}
    line = f"python -m training.registration target/debug/prism --pairs {arguments.pairs}"
    if arguments.arms:
        line += " --arms " + " ".join(arguments.arms)
    result = resumed.resume(arguments.out, line, resumed.digests("brain"))

    def save() -> None:
        result["summary"] = summary(result)
        resumed.save(arguments.out, result)
        two_scans_card.write()

    motions = result.setdefault("motions", {})
    scans = {name: arguments.data / "multi_sequence" / f"kirby113_{f}.nii.gz" for name, f in KIRBY.items()}
    points = brain_points(command, scans["T1w"])
    for turn, (fixed, moving) in enumerate(itertools.permutations(KIRBY, 2)):
        known = motions.get(f"{moving}-{fixed}", {})
        if missing(known, any_sequence(ways)):
            random = np.random.default_rng(turn)
            row = one_head(command, arguments.data, fixed, moving, random, points, any_sequence(ways), known)
            motions[f"{moving}-{fixed}"] = row
            print(moving, fixed, row, flush=True)
            save()
    bends = result.setdefault("bends", {})
    for turn, (fixed, moving) in enumerate(itertools.permutations(KIRBY, 2)):
        known = bends.get(f"{moving}-{fixed}", {})
        if missing(known, any_sequence(ways)):
            random = np.random.default_rng([1, turn])
            row = one_bend(command, arguments.data, fixed, moving, random, points, any_sequence(ways), known)
            bends[f"{moving}-{fixed}"] = row
            print("bent", moving, fixed, row, flush=True)
            save()
    if not result.get("read_by_simpleitk"):
        result["read_by_simpleitk"] = read_by_simpleitk(command, arguments.data)
        save()
    onto = result.setdefault("to_mni", {})
    heads = onto.setdefault("heads", {})
    folder = arguments.data / "eval_t1_labelled"
    keep = runs_folder() / "to_mni" / result["packs"]["brain"][:12]
    keep.mkdir(parents=True, exist_ok=True)
    for subject in labelled(arguments.data):
        scan, labels = folder / f"{subject}_T1w_brain.nii.gz", folder / f"{subject}_glm.nii.gz"
        row = to_mni(command, scan, labels, ways, heads.get(subject, {}), keep / subject)
        if row != heads.get(subject):
            heads[subject] = row
            # Of maps that are not there any more.
            onto.pop("dice", None)
            print("to MNI", subject, row, flush=True)
            save()
    scores = onto.setdefault("dice", {})
    for way in ["affine", *shared(heads)]:
        if way not in scores:
            scores[way] = pairwise([kept(keep / subject, way) for subject in heads])
            print("to MNI", way, scores[way], flush=True)
            save()
    pairs = result.setdefault("pairs", {})
    # Distance by distance around the circle of subjects, so that few pairs meet all of them.
    subjects = labelled(arguments.data)
    count = len(subjects)
    order = [(i, (i + step) % count) for step in range(1, count) for i in range(count)]
    wanted = [(subjects[i], subjects[j]) for i, j in order[: arguments.pairs]]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        running = {
            pool.submit(
                between_heads, command, arguments.data, *pair, ways, pairs.get("-".join(pair))
            ): "-".join(pair)
            for pair in wanted
            if missing(pairs.get("-".join(pair), {}), ways)
        }
        for done in as_completed(running):
            name = running[done]
            pairs[name] = done.result()
            print(name, {w: round(float(np.mean([*r["dice"].values()])), 4) for w, r in pairs[name].items()},
                  flush=True)  # fmt: skip
            save()
    save()
    print(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main()
