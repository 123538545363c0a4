"""Makes scans whose findings are known: what the encoder and the labels of the brain pack give for them, and the truth.

    python -m training.report.scans --count 500 --seed 9 --workers 2
    python -m training.report.scans --count 80 --seed 90 --held-out

Writes one npz a scan into CACHE/report/scans/train and .../held; what is there is not made again, so that a run may stop
at any time and be started again. A scan takes 2.5 s of one core; workers share the scans that are missing. Each is a label
map of labelmaps_brain (--held-out: the maps that the lesion pack kept for development, too), rendered at 2 mm by
training.synth in any contrast, resolution and noise, with

- in half of the scans one structure of a pair shrunk or grown (ventricles most often: their width and their difference
  are the normal variants that the report's measures can tell; others have no measure and are not claimed),
- none to three foci in different structures: ellipsoids of 3 to 28 mm, brighter or darker than what is around,
- in a quarter of the scans a field of view that cuts the brain.

The brain pack segments it as the program does (training.preprocess, float32). `measured` are the facts of the
predicted labels, `true` those of the rendered ones, by the report's rules (core/src/report/wording/facts.rs; small
islands are not removed, borders stay at 2 mm); `foci` are the painted ones. `maps` are the encoder's two deepest maps
averaged inside each predicted structure, float16 [structures, channels], NaN where it was not found. A scan depends on
(seed, index) only.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training import pack, preprocess
from training.labels import BRAIN, BRAIN_IDS, CONTRASTS, LEFT_RIGHT
from training.lesions.paint import FLUID, blob, edge, pick
from training.lesions.samples import DRAWN, HELD_DRAWN
from training.paths import REPOSITORY, cache_folder, data_folder
from training.prepare import prepare_brain
from training.report.grammar import PAIRED, SINGLE, Fact
from training.report.network import STRUCTURES
from training.synth import (
    DISTANCES, LABELS, SPACING, Acquired, Brain, Maps, Plan, acquire, code, contrast, mean_image, sample_labels,
    skull_strip, uniform,
)  # fmt: skip

PACK = REPOSITORY / "public/packs/brain.safetensors"
SIZE = (96, 112, 96)
SHARES = (0.35, 0.2, 0.3, 0.05, 0.1)
VOXEL_ML = SPACING**3 / 1000
# Limits of core/src/report (mod.rs, sides.rs, wording/facts.rs).
NAMED, MODERATE, MARKED, SMALLEST_ML, ERRORS = 10.0, 20.0, 40.0, 0.5, 2.0
EXTENTS = ((5.0, "punctate"), (10.0, "small"), (20.0, "medium"))
PROSE = {
    "Inf-Lat-Vent": "inferior lateral ventricle",
    "Cerebellum-White-Matter": "cerebellar white matter",
    "Cerebellum-Cortex": "cerebellar cortex",
    "3rd-Ventricle": "third ventricle",
    "4th-Ventricle": "fourth ventricle",
    "Brain-Stem": "brainstem",
    "CSF": "CSF",
    "Accumbens-area": "accumbens",
    "VentralDC": "ventral diencephalon",
}
REGION = {name: region for region, names in PAIRED.items() for name in names}
REGION |= {name: region for region, names in SINGLE.items() for name in names}
PAIRS = {BRAIN_IDS.index(left): BRAIN_IDS.index(right) for left, right in LEFT_RIGHT.items()}
Facts = dict[str, list[Fact]]
# glibc hands large buffers back after each layer and gets them again page by page: a fifth of a scan's time.
HEAP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "268435456"}


def prose(name: str) -> tuple[str, str]:
    """Name in the report and side of a FreeSurfer label (core/src/measure/anatomy.rs)."""
    side = next((side for side in ("Left", "Right") if name.startswith(f"{side}-")), "")
    stem = name.removeprefix(f"{side}-") if side else name
    return PROSE.get(stem, stem.lower().replace("-", " ")), side.lower()


NAMED_AS = [("", ""), *(prose(name) for _, name, _ in BRAIN)]
"""Name and side by label."""


def extent(diameter_mm: float) -> str:
    """How large a focus is, in a word of the grammar."""
    return next((word for limit, word in EXTENTS if diameter_mm < limit), "large")


def compared(left_ml: float, right_ml: float, cut: bool, error: float | None) -> tuple[str, str] | None:
    """Larger side and size of a pair; None where the difference is within the pack's error (points), or that is not
    known (None)."""
    percent = 100 * (left_ml - right_ml) / (0.5 * (left_ml + right_ml))
    size = abs(percent)
    if cut:
        return "", "cut"
    if size < NAMED:
        return "", "even"
    if min(left_ml, right_ml) < SMALLEST_ML:
        return "", "tiny"
    if error is None or size < math.floor(10 * (NAMED + ERRORS * error) + 0.5) / 10:
        return None
    word = "marked" if size >= MARKED else "moderate" if size >= MODERATE else "mild"
    return ("left" if percent > 0 else "right"), word


def facts_of(labels: np.ndarray, errors: dict[str, float]) -> Facts:
    """The facts of labels (indices of the pack, [x, y, z] of the whole field of view at 2 mm) by section.

    `errors`: mean error of the pack's asymmetry index by structure, in points; empty for the truth.
    """
    count = np.bincount(labels.ravel(), minlength=len(NAMED_AS))
    inner = np.bincount(labels[1:-1, 1:-1, 1:-1].ravel(), minlength=len(NAMED_AS))
    at_edge = count - inner
    volume = count * VOXEL_ML
    facts: Facts = {section: [] for section in PAIRED}
    impression = [Fact("found", size="all" if (count[1:] > 0).all() else "some")]
    if (count[1:] > 0).any():
        facts["cerebral_hemispheres"].append(Fact("brain"))
    comparable = unequal = 0
    for label, (name, side) in list(enumerate(NAMED_AS))[1:]:
        here = facts[REGION[name]]
        if not count[label]:
            here.append(Fact("missing", name, side))
            continue
        other = PAIRS.get(label)
        if not side:
            here.append(Fact("single", name))
        elif other and count[other]:
            cut = bool(at_edge[label] + at_edge[other])
            said = compared(volume[label], volume[other], cut, errors.get(name) if errors else 0.0)
            if said:
                here.append(Fact("pair", name, *said))
            if not cut and min(volume[label], volume[other]) >= SMALLEST_ML:
                comparable += 1
                unequal += said is None or said[1] != "even"
                if said and said[1] != "even":
                    impression.append(Fact("pair", name, *said))
        if at_edge[label]:
            here.append(Fact("cut", name, side))
    if comparable and not unequal:
        impression.append(Fact("no_asymmetry"))
    if at_edge[1:].any():
        impression.append(Fact("cuts"))
    return facts | {"impression": impression}


def structure_tokens(maps: list[torch.Tensor], labels: np.ndarray) -> np.ndarray:
    """Means of the maps ([1, channels, x, y, z], finer first) inside each label, float32 [structures, channels].

    Each voxel of the labels (the network's input) reads the map's cell that it lies in, as in
    core/src/pipeline/structure_maps.rs. NaN where a structure was not found.
    """
    count = len(STRUCTURES) + 1
    rows = []
    for values in maps:
        sides = values.shape[2:]
        at = [np.arange(n) * m // n for n, m in zip(labels.shape, sides)]
        cell = (at[0][:, None, None] * sides[1] + at[1][None, :, None]) * sides[2] + at[2][None, None]
        cells = math.prod(sides)
        shares = np.bincount((labels.astype(np.int64) * cells + cell).ravel(), minlength=count * cells)
        shares = shares.reshape(count, cells)[1:].astype(np.float64)
        voxels = shares.sum(1, keepdims=True)
        shares /= np.where(voxels > 0, voxels, np.nan)
        rows.append(shares @ values[0].reshape(values.shape[1], cells).double().numpy().T)
    return np.concatenate(rows, 1).astype(np.float32)


@dataclass
class Focus:
    """A painted focus; `label` is the structure that most of it lies in."""

    label: int
    diameter_mm: float
    signal: str
    centre: np.ndarray
    """Voxel."""

    def fact(self) -> Fact:
        return Fact("focus", *NAMED_AS[self.label], extent(self.diameter_mm), self.signal)


def squash(scene, target: np.ndarray, label: int, factor: float) -> torch.Tensor:
    """[3, *SIZE] displacement of reading positions (mm) that shrinks (`factor` > 1) or grows a structure."""
    where = np.argwhere(target == label)
    centre = where.mean(0)
    reach = 1.5 * SPACING * float(np.sqrt(((where - centre) ** 2).sum(1).mean())) + SPACING
    axes = [(np.arange(n) - c) * SPACING for n, c in zip(target.shape, centre)]
    offset = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    pull = (factor - 1) * np.exp(-(offset**2).sum(0) / reach**2)
    # A mirrored head is read from right to left.
    offset[0] *= -1 if scene.flip else 1
    return torch.from_numpy((offset * pull).astype(np.float32))


def paint(image: torch.Tensor, target: np.ndarray, rng: np.random.Generator) -> list[Focus]:
    """Paints none to three foci into the tissue means, in different structures."""
    grey = image.numpy()
    brain = grey[target > 0]
    if brain.size == 0:
        return []
    bright_end = float(np.percentile(brain, 95))
    foci: list[Focus] = []
    for _ in range(int(rng.choice(4, p=[0.35, 0.3, 0.2, 0.15]))):
        # Most lie in the white matter, as in people.
        white = rng.random() < 0.5
        label = int(rng.choice([1, PAIRS[1]])) if white else int(rng.integers(1, len(NAMED_AS)))
        centre = pick(target == label, rng)
        if centre is None:
            continue
        radius = 0.5 * float(np.clip(rng.lognormal(math.log(9), 0.55), 3, 28))
        axes = radius * np.array([1, uniform(rng, 0.6, 1), uniform(rng, 0.6, 1)])
        cut, depth = blob(target.shape, centre, axes, rng, SPACING)
        share = edge(depth, SPACING) * (target[cut] > 0)
        core = np.bincount(target[cut][share > 0.5], minlength=len(NAMED_AS))
        core[0] = 0
        most = int(core.argmax())
        if not core.any() or BRAIN_IDS[most] in FLUID or most in [focus.label for focus in foci]:
            continue
        around = float(np.median(grey[cut][share > 0.5]))
        change = uniform(rng, 0.2, 0.5) * bright_end
        signal = "dark" if around > change and rng.random() < 0.4 else "bright"
        value = around + (change if signal == "bright" else -change)
        grey[cut] += share * (value - grey[cut])
        foci.append(Focus(most, 2 * radius, signal, centre))
    return foci


def cut_field(target: np.ndarray, rng: np.random.Generator) -> tuple[slice, ...]:
    """A field of view that ends inside the brain on one side."""
    axis = int(rng.choice(3, p=[0.15, 0.15, 0.7]))
    inside = np.flatnonzero((target > 0).any(axis=tuple(other for other in range(3) if other != axis)))
    lost = int(len(inside) * uniform(rng, 0.03, 0.25)) + 1
    field = [slice(0, n) for n in target.shape]
    low = rng.random() < 0.6
    field[axis] = slice(int(inside[lost]), None) if low else slice(0, int(inside[-lost]))
    return tuple(field)


def rendered(brain: Brain, maps: Maps, seed: int, index: int) -> tuple[np.ndarray, np.ndarray, list[Focus]]:
    """Image and true labels (indices of the pack) of the field of view at 2 mm, and the foci."""
    rng = np.random.default_rng([seed, index])
    plan = Plan(SIZE, SHARES, uniform(rng, 0.2, 1.0))
    place = int(rng.integers(2**62))

    def scene_with(push):
        generator = torch.Generator().manual_seed(place)
        scene = sample_labels(maps, np.random.default_rng(place), generator, plan, push=push)
        table = brain.target[brain.mirror] if scene.flip else brain.target
        return scene, table[(scene.centre & 63).numpy()]

    scene, target = scene_with(None)
    if rng.random() < 0.5:
        left, right = BRAIN_IDS.index(4), BRAIN_IDS.index(43)
        one = [left, right] if rng.random() < 0.25 else [*PAIRS, *PAIRS.values()]
        label = int(rng.choice(one))
        factor = uniform(rng, 0.78, 0.92) if rng.random() < 0.5 else uniform(rng, 1.08, 1.28)
        if (target == label).any():
            scene, target = scene_with(squash(scene, target, label, factor))
    torch_rng = torch.Generator().manual_seed(int(rng.integers(2**62)))
    kind = int(rng.choice(len(CONTRASTS), p=SHARES))
    means, spread = contrast(brain, rng, CONTRASTS[kind])
    keep = skull_strip(brain, rng)
    stripped = keep is not None
    keep = np.ones((DISTANCES, LABELS)) if keep is None else keep
    centre_code = code(scene.centre)
    table, widths = (torch.from_numpy((keep * v[None]).reshape(-1)).float() for v in (means, spread))
    image = mean_image(scene, table, False)
    target = np.where(torch.from_numpy(keep.reshape(-1) > 0)[centre_code].numpy(), target, 0).astype(np.uint8)
    inside = image > 0 if stripped else None
    foci = paint(image, target, rng)
    scale = max(float(means.max()), 1.0)
    how = Acquired(widths[centre_code], inside, scale, plan.strength, gamma=0.2 if kind < 4 else 0.35)
    image = acquire(image, how, rng, torch_rng).numpy()
    if rng.random() < 0.25 and (target > 0).any():
        field = cut_field(target, rng)
        inner = [cut.indices(n) for cut, n in zip(field, target.shape)]
        foci = [f for f in foci if all(a <= c < b for c, (a, b, _) in zip(f.centre, inner))]
        image, target = np.ascontiguousarray(image[field]), np.ascontiguousarray(target[field])
    return image, target, foci


@torch.no_grad()
def seen(network, document: dict, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predicted labels of the field of view, and the structures' maps."""
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    prepared = preprocess.prepare(image, affine, document["preprocessing"])
    result = network(torch.from_numpy(prepared.input)[None, None])
    predicted = result["heads"]["segmentation"][0].argmax(0).numpy().astype(np.uint8)
    labels = np.zeros(image.shape, np.uint8)
    start, stop, before = prepared.box_start, prepared.box_stop, prepared.pad_before
    box = tuple(slice(b, b + n) for b, n in zip(before, stop - start))
    labels[tuple(slice(a, b) for a, b in zip(start, stop))] = predicted[box]
    return labels, structure_tokens(result["maps"][-2:], predicted)


def focus_facts(foci: list[Focus]) -> list[dict]:
    """Facts of the painted foci with their sections, the largest first."""
    largest = sorted(foci, key=lambda focus: -focus.diameter_mm)
    return [{"section": REGION[NAMED_AS[f.label][0]], **vars(f.fact())} for f in largest]


def make(brain: Brain, maps: Maps, network, document: dict, seed: int, index: int) -> tuple[np.ndarray, dict]:
    """The structures' maps of a scan, and all that is known of it."""
    image, target, foci = rendered(brain, maps, seed, index)
    labels, tokens = seen(network, document, image)
    errors = document["scores"].get("side_errors", {}).get("points", {})
    as_dicts = lambda facts: {key: [vars(fact) for fact in some] for key, some in facts.items()}  # noqa: E731
    known = {
        "pack": document["sha256"],
        "measured": as_dicts(facts_of(labels, errors)),
        "true": as_dicts(facts_of(target, {})),
        "foci": focus_facts(foci),
    }
    return tokens, known


@dataclass
class Scan:
    """A scan of the cache."""

    name: str
    maps: np.ndarray
    """float32 [structures, channels]."""
    pack: str
    measured: Facts
    true: Facts
    foci: list[tuple[str, Fact]]
    """Sections and facts, the largest first."""

    @staticmethod
    def read(path: Path) -> "Scan":
        with np.load(path) as stored:
            known = json.loads(str(stored["known"]))
            facts = lambda kind: {key: [Fact(**f) for f in some] for key, some in known[kind].items()}  # noqa: E731
            foci = [(focus.pop("section"), Fact(**focus)) for focus in known["foci"]]
            maps = stored["maps"].astype(np.float32)
        return Scan(path.stem, maps, known["pack"], facts("measured"), facts("true"), foci)


def folder(held_out: bool) -> Path:
    return cache_folder() / "report/scans" / ("held" if held_out else "train")


def read_all(where: Path) -> list[Scan]:
    """The scans of a folder, all of one pack; none where there is no folder."""
    scans = [Scan.read(path) for path in sorted(where.glob("*.npz"))]
    if len({scan.pack for scan in scans}) > 1:
        raise ValueError(f"the scans in {where} were made with different brain packs; delete them and make them again")
    return scans


def missing(where: Path, seed: int, count: int) -> list[tuple[int, Path]]:
    """Indices and places of the scans that are not there yet."""
    places = [(index, where / f"{seed}-{index:05}.npz") for index in range(count)]
    return [(index, path) for index, path in places if not path.exists()]


def keep(path: Path, tokens: np.ndarray, known: dict) -> None:
    """Writes a scan, whole or not at all, also where two processes write the same one."""
    half = path.with_suffix(f".{os.getpid()}.part")
    with half.open("wb") as file:
        np.savez_compressed(file, maps=tokens.astype(np.float16), known=np.array(json.dumps(known)))
    half.replace(path)


def end_with_parent() -> None:
    """A worker whose command was killed would wait for work for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def begin(data: Path, cache: Path, held_out: bool, seed: int) -> None:
    """What a worker holds."""
    global maker
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    brain = Brain(cache, data / "labelmaps_brain/priors")
    maps = brain.drawn.part(HELD_DRAWN if held_out else DRAWN)
    maker = functools.partial(make, brain, maps, *pack.read(PACK), seed)


def one(index: int, path: Path) -> str:
    """Makes a scan in a worker, where no other run did so in the meantime."""
    if path.exists():
        return f"{path.name} was there"
    tokens, known = maker(index)
    keep(path, tokens, known)
    return f"{path.name} {len(known['foci'])} foci"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error("--workers needs at least 1")
    if not (arguments.cache / "brain/index.json").exists():
        prepare_brain(arguments.data, arguments.cache)
    where = folder(arguments.held_out)
    where.mkdir(parents=True, exist_ok=True)
    if {scan.pack for scan in read_all(where)} - {pack.document(PACK)["sha256"]}:
        parser.error(f"the scans in {where} were made with another brain pack; delete them first")
    todo = missing(where, arguments.seed, arguments.count)
    print(arguments.count - len(todo), "scans are there,", len(todo), "are missing", flush=True)
    # Workers read these at their start; see HEAP.
    os.environ.update(HEAP)
    given = (arguments.data, arguments.cache, arguments.held_out, arguments.seed)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, mp_context=spawn, initializer=begin, initargs=given) as workers:
        for line in workers.map(one, *zip(*todo)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
