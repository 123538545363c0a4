"""Heads bound to the same encoder with its weights rounded again.

    python -m training.identify --requantised OLD_BRAIN.safetensors [--every 40]

Nothing is fitted. First every weight of the two packs must agree within half a step of both roundings (and half
precision, in which checkpoints are kept). Then both packs see the same scans, and every head on vectors that
would be asked must answer as before: else nothing is written. A head that reads volumes is not asked: afterwards
`training.estimate` and `training.identify --people` score and fit it on those of the new pack.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

from training import pack, quantise
from training.identification import features, rows, scans, tissues
from training.model import Network

HALF = 2.0**-11  # relative rounding of half precision


class Refused(SystemExit):
    """The heads cannot be bound to the pack; one sentence says why."""


@dataclass
class Stored:
    """A head as its file has it."""

    info: dict
    model: rows.Linear
    whitening: np.ndarray | None
    centres: np.ndarray | None

    def answer(self, found: dict[str, np.ndarray]) -> str:
        """The class ("" for unknown), or the number rounded to a tenth, of one scan's vectors."""
        x = np.concatenate([found[name] for name in self.info["inputs"]]).astype(np.float64)
        z, output = self.model.z(x), self.model(x)
        if self.info["kind"] == "regression":
            return f"{output[0]:.1f}"
        odds = rows.softmax(output[None] / self.info["temperature"])[0]
        far = False
        if (most := self.info.get("most_distance")) is not None:
            far = np.sqrt(((self.whitening @ z - self.centres) ** 2).mean(1)).min() > most
        return "" if far or odds.max() < self.info["least_probability"] else self.info["outputs"][odds.argmax()]


def read(path: Path) -> tuple[dict, dict[str, Stored]]:
    """A pack of heads: its description, and the heads by name."""
    with safe_open(path, framework="np") as file:
        document = json.loads(file.metadata()["prism_heads"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    heads = {}
    for info in document["heads"]:
        part = lambda key, name=info["name"]: tensors.get(f"heads.{name}.{key}")  # noqa: E731
        model = rows.Linear(part("mean"), part("deviation"), part("weight"), part("bias"))
        heads[info["name"]] = Stored(info, model, part("whitening"), part("centres"))
    return document, heads


def steps(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every weight of a pack, and half a step of its rounding (0 where it is not rounded)."""
    with safe_open(path, framework="np") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}
    found = {}
    for name, values in quantise.dequantise_all(stored).items():
        scale = stored.get(name + quantise.SCALE_SUFFIX)
        half = np.zeros(1) if scale is None else scale.reshape(-1, *[1] * (values.ndim - 1)) / 2
        found[name] = values, half
    return found


def same_network(old: Path, new: Path) -> str | None:
    """None where two packs are one network rounded twice; else what differs."""
    before, after = steps(old), steps(new)
    if before.keys() != after.keys():
        return f"the tensors differ: {sorted(before.keys() ^ after.keys())[0]}"
    for name, (a, half_a) in before.items():
        b, half_b = after[name]
        if a.shape != b.shape:
            return f"{name} has another shape"
        # A thousandth for the float32 arithmetic of the rounding itself.
        allowed = 1.001 * (half_a + half_b) + HALF * np.abs(a) + 1e-7
        if (np.abs(a - b) > allowed).any():
            return f"{name} differs by more than its rounding"
    return None


def vectors(network: Network, document: dict, image: np.ndarray) -> dict[str, np.ndarray]:
    """Everything the heads read of one network input, by name."""
    found = features.vectors(network, image, document["preprocessing"])
    found = {name.removeprefix("vector_"): value for name, value in found.items()}
    if max(image.shape) * min(document["preprocessing"]["spacing_mm"]) >= 100.0:
        contrast = tissues.of_input(network, image, document)
        if contrast is not None:
            found["tissues"] = contrast
    return found


def said(heads: dict[str, Stored], found: dict[str, np.ndarray], scan: scans.Scan) -> dict[str, str]:
    """What each head that would be asked answers."""
    answers = {"body_part": heads["body_part"].answer(found)}
    for name, head in heads.items():
        parts = head.info["body_parts"]
        if name == "body_part" or not set(head.info["inputs"]) <= set(found):
            continue
        # Age and sex are asked of T1w brains without skull only.
        of_person = name in ("age", "sex")
        if of_person and not (scan.sequence == "T1w" and scan.stripped):
            continue
        if not parts or answers["body_part"] in parts:
            answers[name] = head.answer(found)
    return answers


def compare(old: Path, new: Path, heads: dict[str, Stored], wanted: list[scans.Scan]) -> dict:
    """Both packs on the same scans: largest relative difference of a vector, answers that are equal."""
    loaded = [pack.read(path) for path in (old, new)]
    settings = [document["preprocessing"] for _, document in loaded]
    if settings[0] != settings[1]:
        raise Refused("identify: the packs prepare scans differently, so the heads stay bound to the old one")
    largest, answers, equal, other = {}, 0, 0, []
    for scan in wanted:
        image = features.as_it_is(scan, settings[0])
        before, after = (vectors(network, document, image) for network, document in loaded)
        for name in before.keys() & after.keys():
            difference = float(np.linalg.norm(after[name] - before[name]) / max(np.linalg.norm(before[name]), 1e-12))
            largest[name] = max(largest.get(name, 0.0), difference)
        first, second = said(heads, before, scan), said(heads, after, scan)
        for name in first.keys() | second.keys():
            answers += 1
            equal += first.get(name) == second.get(name)
            if first.get(name) != second.get(name):
                other.append({"scan": scan.name, "head": name, "before": first.get(name), "after": second.get(name)})
        print(scan.name, {name: round(value, 4) for name, value in largest.items()}, other[-1:], flush=True)
    return {
        "from": loaded[0][1]["sha256"], "to": loaded[1][1]["sha256"], "scans": len(wanted),
        "largest relative difference": {name: round(value, 5) for name, value in sorted(largest.items())},
        "answers": answers, "equal answers": equal, "share of equal answers": round(equal / max(answers, 1), 4),
        "other": other,
    }  # fmt: skip


@dataclass
class Words:
    """What a pack of heads says of itself beside its weights."""

    data: list[dict]
    """Data learnt from, with licences."""
    cautions: dict[str, str]
    """What is to be known before an answer is believed, by head."""


def rebind(heads_path: Path, results_path: Path, old: Path, new: Path, wanted: list[scans.Scan], words: Words) -> dict:
    """Checks, then writes the new encoder's SHA-256 into the heads, and what was found into the results.

    The words are written anew, too; the heads' tensors stay. Raises `Refused` and writes nothing when the packs are not one network or a head answers otherwise.
    """
    document, heads = read(heads_path)
    before, after = (pack.document(path) for path in (old, new))
    if document["encoder"]["sha256"] != before["sha256"]:
        raise Refused(f"identify: the heads belong to {document['encoder']['sha256'][:12]}, not to {old}")
    if (why := same_network(old, new)) is not None:
        raise Refused(f"identify: this is another network, not the same one rounded again: {why}")
    found = compare(old, new, heads, wanted)
    if found["other"]:
        raise Refused(f"identify: {len(found['other'])} answer(s) differ, so nothing is written: {found['other'][0]}")
    del found["other"]
    encoder = {"name": after["name"], "sha256": after["sha256"]}
    provenance = document["provenance"] | {"data": words.data}
    infos = [info | ({"caution": words.cautions[info["name"]]} if info["name"] in words.cautions else {})
             for info in document["heads"]]  # fmt: skip
    pack.describe(heads_path, "prism_heads", encoder=encoder, provenance=provenance, heads=infos)
    results = json.loads(results_path.read_text())
    results["requantised"] = found
    results_path.write_text(json.dumps(results, indent=1) + "\n")
    return found
