"""Sequence, body part and skull from the encoder's pooled vectors: fit, calibrate, score, write the pack.

    python -m training.identification.features [--registry FOLDER]   # the vectors
    python -m training.identification.tissues                         # contrasts between tissues
    python -m training.identify                                       # the pack, and results/identify.json
    python -m training.routing                                        # the pack scored by the command
    python -m training.identify --people                              # age and sex alone, after training.estimate
    python -m training.identify --requantised OLD                     # the brain pack was only rounded again

Learnt from training scans, synthetic ones, and the `develop` sets, three people whose scans are the only
real T2w and FLAIR to learn from; the hand-labelled set, ms_lesions, dicom_study1 and what the registries
bring are scored on and never seen. The strength of the penalty and the temperature are chosen by leaving
one develop data set out at a time (leaving subjects of a training set out says 1.00 to everything); the
same predictions are the score on those sets. The largest distance that is still answered comes from
subjects left out of the fit. The variants of the `develop` scans and the synthetic brains without skull, with
lesions or in grey air concern the sequence head alone: they halved its loss on left-out sets, and of skulls
and body parts they say nothing new. The sequence of a whole head is decided by a second head, which reads the
contrast between labelled tissues; it is scored by the command (`training.routing`). `outside` scans score how often "unknown" is said. Proton density was tried
as a class, from synthetic scans alone: it took T1w scans of low contrast away and is left out; so are
T1w after contrast agent (four scans of three people, none to learn from) and diffusion (no scan at all).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save as serialise

from training import estimate, pack, resumed
from training.identification import rebind, rows, scans, tissues
from training.identification.rows import Linear, Table
from training.paths import REPOSITORY, cache_folder, data_folder

SCHEMA = 1
GOLDEN = REPOSITORY / "tests/golden/identify"
WHOLE_HEAD_MM = 100.0
STRENGTHS = [1e-4, 1e-3, 1e-2, 1e-1]
LEAST_PROBABILITY = 0.7
SEQUENCES = ["T1w", "T2w", "FLAIR", scans.CINE]
PARTS = [scans.HEAD, scans.HEART, scans.OTHER]
BY_TISSUES = "sequence_by_tissues"
DATA = [
    {"name": "OpenNeuro ds002748, 48 T1w heads", "licence": "CC0"},
    {"name": "ACDC, 50 patients' cine", "licence": "ACDC, non-commercial"},
    {"name": "Medical Segmentation Decathlon, 140 hippocampus crops", "licence": "CC BY-SA 4.0"},
    {"name": "multi_sequence: kirby113 and glioma00001, seven scans of two people", "licence": "public research data"},
    {"name": "ms_longitudinal: one patient with multiple sclerosis, six scans", "licence": "CC BY"},
    {"name": "SynthSeg label maps, synthetic scans", "licence": "Apache-2.0"},
    {"name": "SPL atlases of abdomen, knee, head and neck, synthetic scans", "licence": "3D Slicer licence"},
]
HEADS = {
    "sequence": {"column": "sequence", "outputs": SEQUENCES, "inputs": ["centre"], "body_parts": [scans.HEAD, scans.HEART]},
    BY_TISSUES: {"column": "sequence", "outputs": ["T1w", "T2w", "FLAIR"], "inputs": ["tissues"], "body_parts": [scans.HEAD]},
    "body_part": {"column": "part", "outputs": PARTS, "inputs": ["sequence", "structure", "centre"], "body_parts": []},
    "skull": {"column": "stripped", "outputs": ["whole", "stripped"], "inputs": ["sequence", "structure", "centre"],
              "body_parts": [scans.HEAD]},
}  # fmt: skip


def rows_of(head: str, table: Table, contrasts: Table) -> Table:
    """What a head is fitted and scored on."""
    if head == BY_TISSUES:
        return contrasts
    variant = table.known["variant"]
    of_contrast = np.isin(variant, ["bare", "subject", "grey air"]) | ((table.known["use"] == "develop") & (variant != ""))
    return table if head == "sequence" else table.where(~of_contrast)


def labelled(table: Table, head: str) -> tuple[Table, np.ndarray]:
    """The rows that a head knows, and their classes."""
    values = table.known[HEADS[head]["column"]]
    if head == "skull":
        values = np.select([values == "True", values == "False"], ["stripped", "whole"], "")
    known = np.isin(values, HEADS[head]["outputs"])
    return table.where(known), values[known]


def folds_of_develop(table: Table) -> list[np.ndarray]:
    """The develop data sets, one at a time; the subjects of one training set, where a head has no others."""
    sets = table.known["data_set"]
    names = np.unique(sets[table.known["use"] == "develop"])
    return [sets == name for name in names]


def held_out(table: Table, labels: np.ndarray, head: str, folds: list[np.ndarray], strength: float):
    """Logits of the rows of each fold by a fit without them; classes and weights beside."""
    spec, x = HEADS[head], table.x(HEADS[head]["inputs"])
    logits, wanted, weights = [], [], []
    for out in folds:
        weight = rows.balance(labels[~out], table.known["data_set"][~out])
        model = rows.logistic(x[~out], labels[~out], weight, spec["outputs"], strength)
        logits.append(model(x[out]))
        wanted.append(labels[out])
        weights.append(rows.balance(labels[out], table.known["data_set"][out]))
    return np.vstack(logits), np.concatenate(wanted), np.concatenate(weights)


def loss(logits: np.ndarray, wanted: np.ndarray, weights: np.ndarray, outputs: list[str], temperature: float) -> float:
    odds = rows.softmax(logits / temperature)[np.arange(len(wanted)), [outputs.index(w) for w in wanted]]
    return float(-(weights * np.log(np.maximum(odds, 1e-12))).sum() / weights.sum())


def calibrated(logits, wanted, weights, outputs) -> float:
    """Never below 1: thirteen scans are too few to make anybody surer."""
    temperatures = np.exp(np.linspace(0, np.log(12), 60))
    return float(temperatures[np.argmin([loss(logits, wanted, weights, outputs, t) for t in temperatures])])


def fit(table: Table, head: str) -> dict:
    """Model, temperature and limits of one head, and how they were found."""
    spec = HEADS[head]
    some, labels = labelled(table.where(np.isin(table.known["use"], ["train", "develop"])), head)
    x, weights = some.x(spec["inputs"]), rows.balance(labels, some.known["data_set"])
    tried = {}
    for strength in STRENGTHS:
        found = held_out(some, labels, head, folds_of_develop(some), strength)
        temperature = calibrated(*found, spec["outputs"])
        right = np.array(spec["outputs"])[found[0].argmax(1)] == found[1]
        tried[strength] = (loss(*found, spec["outputs"], temperature), temperature, float(np.average(right, weights=found[2])))
    strength = min(tried, key=lambda s: tried[s][0])
    model = rows.logistic(x, labels, weights, spec["outputs"], strength)
    distance, most_distance = rows.known_by_distance(model.z(x), labels, weights, spec["outputs"], some.known["subject"])
    return {
        "model": model, "temperature": tried[strength][1], "strength": strength,
        "distance": distance, "most_distance": most_distance,
        "develop sets left out": {str(s): {"log loss": round(v[0], 3), "accuracy": round(v[2], 3)} for s, v in tried.items()},
    }  # fmt: skip


def answers(table: Table, head: str, fitted: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class ("" for unknown), probability of the likeliest, distance."""
    x, outputs = table.x(HEADS[head]["inputs"]), np.array(HEADS[head]["outputs"])
    odds = rows.softmax(fitted["model"](x) / fitted["temperature"])
    distance = fitted["distance"](fitted["model"].z(x))
    likely = odds.max(1)
    given = np.where((likely >= LEAST_PROBABILITY) & (distance <= fitted["most_distance"]), outputs[odds.argmax(1)], "")
    return given, likely, distance


def calibration_error(right: np.ndarray, probability: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over equal-width bins of the largest probability."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = [abs(right[place == b].mean() - probability[place == b].mean()) * (place == b).mean() for b in np.unique(place)]
    return round(float(sum(gaps)), 3)


def scored(table: Table, head: str, fitted: dict) -> dict:
    """On scans that were not learnt from: accuracy where it answers, coverage, confusion, the wrong ones."""
    some, labels = labelled(table.where((table.known["use"] == "test") & (table.known["variant"] == "")), head)
    given, likely, distance = answers(some, head, fitted)
    result = {}
    sets = some.known["data_set"]
    for name in [*np.unique(sets), "all", "data sets not learnt from"]:
        unseen = ~np.isin(sets, ["hippocampus", "cardiac_acdc"])
        mask = unseen if name.startswith("data sets") else np.ones(len(sets), bool) if name == "all" else sets == name
        answered = mask & (given != "")
        odds_right = given == labels
        result[str(name)] = {
            "scans": int(mask.sum()), "answered": int(answered.sum()),
            "right where answered": int((odds_right & answered).sum()),
            "accuracy": round(float(odds_right[answered].mean()), 4) if answered.any() else None,
        }  # fmt: skip
    raw = np.array(HEADS[head]["outputs"])[fitted["model"](some.x(HEADS[head]["inputs"])).argmax(1)] == labels
    confusion = {c: {g or "unknown": int(((labels == c) & (given == g)).sum()) for g in np.unique(given)} for c in np.unique(labels)}
    worst = np.argsort(np.where(given == labels, 1 + likely, np.where(given == "", likely, -likely)))[:12]
    return {
        "by data set": result, "expected calibration error": calibration_error(raw, likely),
        "confusion": {k: {g: n for g, n in v.items() if n} for k, v in confusion.items()},
        "worst": [{"scan": str(some.known["name"][i]), "true": str(labels[i]), "given": str(given[i]) or "unknown",
                   "probability": round(float(likely[i]), 3), "distance": round(float(distance[i]), 2)}
                  for i in worst if given[i] != labels[i]],
    }  # fmt: skip


def outside(table: Table, fitted: dict) -> dict:
    """What is said of images of no kind that a head knows."""
    some = table.where(table.known["use"] == "outside")
    part, part_odds, part_far = answers(some, "body_part", fitted["body_part"])
    kind, kind_odds, kind_far = answers(some, "sequence", fitted["sequence"])
    kind = np.where(np.isin(part, HEADS["sequence"]["body_parts"]), kind, "")
    said = {str(name): {"body part": str(p) or "unknown", "sequence": str(k) or "unknown",
                        "probabilities": [round(float(a), 2), round(float(b), 2)],
                        "distance / limit": [round(float(c / fitted["body_part"]["most_distance"]), 2),
                                             round(float(d / fitted["sequence"]["most_distance"]), 2)]}
            for name, p, k, a, b, c, d in zip(some.known["name"], part, kind, part_odds, kind_odds, part_far, kind_far)}  # fmt: skip
    return {"images": len(said), "sequence unknown": int((kind == "").sum()),
            "neither head nor heart": int((~np.isin(part, [scans.HEAD, scans.HEART])).sum()), "said": said}  # fmt: skip


def tensors_of(name: str, model: Linear, distance: rows.Distance | None = None) -> dict[str, np.ndarray]:
    parts = {"weight": model.weight, "bias": model.bias, "mean": model.mean, "deviation": model.deviation}
    if distance is not None:
        parts |= {"whitening": distance.whitening, "centres": distance.centres}
    return {f"heads.{name}.{part}": np.ascontiguousarray(value, np.float32) for part, value in parts.items()}


def write(path: Path, tensors: dict[str, np.ndarray], document: dict) -> str:
    """Writes the heads; their SHA-256."""
    digest = hashlib.sha256(pack.data_section(serialise(tensors))).hexdigest()
    content = serialise(tensors, {"prism_heads": json.dumps({**document, "schema": SCHEMA, "sha256": digest})})
    assert hashlib.sha256(pack.data_section(content)).hexdigest() == digest
    path.write_bytes(content)
    return digest


def described(head: str, fitted: dict) -> dict:
    spec = HEADS[head]
    return {
        "name": head, "kind": "classification", "inputs": spec["inputs"], "outputs": spec["outputs"],
        "body_parts": spec["body_parts"], "temperature": fitted["temperature"],
        "least_probability": LEAST_PROBABILITY, "most_distance": fitted["most_distance"],
    }  # fmt: skip


def golden(path: Path, table: Table, contrasts: Table, fitted: dict) -> None:
    """Vectors of a few scans and what NumPy answers, for the Rust tests."""
    rounded = lambda values: [round(float(v), 5) for v in values]  # noqa: E731
    wanted = ["eval_t1_labelled/1000_T1w_brain", "cardiac_acdc/patient051_frame01", "registry/lung1_image.nrrd"]
    of_pooled = [table.where((table.known["name"] == name) & (table.known["variant"] == "")) for name in wanted]
    flair = contrasts.where(contrasts.known["name"] == "multi_sequence-kirby113_FLAIR~")
    cases = []
    for one in [*of_pooled, flair]:
        one.vectors = {key: np.array([rounded(value[0])]) for key, value in one.vectors.items()}
        said = {}
        for head, found in fitted.items():
            if not set(HEADS[head]["inputs"]) <= set(one.vectors):
                continue
            given, _, distance = answers(one, head, found)
            odds = rows.softmax(found["model"](one.x(HEADS[head]["inputs"])) / found["temperature"])[0]
            said[head] = {"given": str(given[0]), "distance": float(distance[0]),
                          "probabilities": dict(zip(HEADS[head]["outputs"], map(float, odds)))}  # fmt: skip
        vectors = {key: value[0].tolist() for key, value in one.vectors.items()}
        cases.append({"name": str(one.known["name"][0]), "vectors": vectors, "heads": said})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(cases) + "\n")


def golden_of_volumes(path: Path, info: dict, model: Linear, distance: rows.Distance, found: list[dict[int, float]]) -> None:
    """Volumes (FreeSurfer id, mL) of a few people and what NumPy answers, for the Rust tests; nothing of another head."""
    if info["inputs"] != estimate.VOLUME_INPUTS:
        path.unlink(missing_ok=True)
        return
    cases = []
    for volumes, x in zip(found, estimate.logarithms(found)):
        odds = rows.softmax(model(x[None]) / info["temperature"])[0]
        far = float(distance(model.z(x[None]))[0])
        sure = odds.max() >= info["least_probability"] and far <= info["most_distance"]
        cases.append({"volumes": list(volumes.items()), "sex": {
            "given": info["outputs"][odds.argmax()] if sure else "", "distance": far,
            "probabilities": dict(zip(info["outputs"], map(float, odds))),
        }})  # fmt: skip
    path.write_text(json.dumps(cases) + "\n")


def people_again(arguments) -> None:
    """Age and sex fitted anew on the pack's vectors and volumes; the other heads stay as they are."""
    document, heads = rebind.read(arguments.out)
    if document["encoder"]["sha256"] != pack.document(arguments.pack)["sha256"]:
        raise rebind.Refused("identify: the heads belong to another encoder; see --requantised")
    wanted = estimate.scans_of(arguments.data)
    measured = estimate.volumes(arguments.command, arguments.pack, wanted, arguments.cache)
    table = estimate.vectors(arguments.pack, wanted, arguments.cache)
    tensors, infos = {}, []
    for name, head in heads.items():
        if name not in estimate.HEADS:
            distance = None if head.whitening is None else rows.Distance(head.whitening, head.centres)
            tensors |= tensors_of(name, head.model, distance)
            infos.append(head.info)
    for name, model, distance, info in estimate.shipped(table, measured, arguments.data):
        tensors |= tensors_of(name, model, distance)
        infos.append(info)
        if name == "sex":
            golden_of_volumes(GOLDEN / "volumes.json", info, model, distance, [*measured.values()][:3])
    provenance = document["provenance"] | {"data": DATA}
    write(arguments.out, tensors, {**document, "heads": infos, "provenance": provenance, "version": arguments.version})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, default=estimate.BRAIN)
    parser.add_argument("--command", type=Path, default=estimate.COMMAND, help="the command that segments")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--features", type=Path, help="folder of the vectors [the pack's in the cache]")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "public/packs/identify.safetensors")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "training/results/identify.json")
    parser.add_argument("--version", default="0.4.0")
    parser.add_argument("--people", action="store_true", help="fit age and sex anew, and no other head")
    parser.add_argument("--requantised", type=Path, metavar="OLD", help="bind the heads to the pack, which is OLD rounded again")
    parser.add_argument("--registry", type=Path, default=cache_folder() / "registry", help="scans for --requantised")
    parser.add_argument("--every", type=int, default=40, help="for --requantised: one of so many scans of the large sets")
    parser.add_argument("--sets", nargs="+", help="for --requantised: these data sets alone [all]")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.requantised:
        wanted = scans.some(arguments.data, arguments.registry, arguments.every)
        wanted = [scan for scan in wanted if not arguments.sets or scan.data_set in arguments.sets]
        words = rebind.Words(DATA, estimate.cautions(json.loads(estimate.RESULTS.read_text())))
        found = rebind.rebind(arguments.out, arguments.results, arguments.requantised, arguments.pack, wanted, words)
        print(json.dumps(found, indent=1))
        return
    if arguments.people:
        people_again(arguments)
        return
    _, document = pack.read(arguments.pack)
    table = rows.load(arguments.features or arguments.cache / "identify" / document["sha256"][:12])
    contrasts = rows.load(tissues.folder(arguments.cache, document))
    fitted = {head: fit(rows_of(head, table, contrasts), head) for head in HEADS}
    train = table.known["use"] == "train"
    cells = sorted({(d, s, p) for d, s, p in zip(table.known["data_set"][train], table.known["sequence"][train], table.known["part"][train])})
    results = {
        "learnt from": {f"{d}, {s or 'no sequence'}, {p}": int((train & (table.known["data_set"] == d) & (table.known["sequence"] == s) & (table.known["part"] == p)).sum()) for d, s, p in cells},
        **{head: {"strength": found["strength"], "temperature": round(found["temperature"], 3),
                  "develop data sets left out one at a time": found["develop sets left out"],
                  **({} if head == BY_TISSUES else scored(table, head, found))} for head, found in fitted.items()},
        "outside": outside(table, fitted),
    }  # fmt: skip
    golden(GOLDEN / "answers.json", table, contrasts, fitted)
    tensors, heads = {}, []
    for head, found in fitted.items():
        tensors |= tensors_of(head, found["model"], found["distance"])
        heads.append(described(head, found))
    measured = estimate.volumes(arguments.command, arguments.pack, estimate.scans_of(arguments.data), arguments.cache)
    for name, model, distance, description in estimate.shipped(table, measured, arguments.data):
        tensors |= tensors_of(name, model, distance)
        heads.append(description)
        if name == "sex":
            golden_of_volumes(GOLDEN / "volumes.json", description, model, distance, [*measured.values()][:3])
    digest = write(arguments.out, tensors, {
        "name": "identify", "title": "Sequence, body part, age", "version": arguments.version,
        "encoder": {"name": document["name"], "sha256": document["sha256"]}, "whole_head_mm": WHOLE_HEAD_MM,
        "heads": heads,
        "provenance": {
            "data": DATA,
            "commit": resumed.commit(), "trained": time.strftime("%Y-%m-%d"),
            "note": "linear heads on the frozen encoder of the brain pack",
        },
        "scores": {head: results[head]["by data set"]["data sets not learnt from"] for head in HEADS if head != BY_TISSUES},
    })  # fmt: skip
    packs = {document["name"]: document["sha256"], "identify": digest}
    results = {"command": "python -m training.identify", "commit": resumed.commit(), "packs": packs} | results
    arguments.results.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
