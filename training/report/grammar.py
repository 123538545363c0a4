"""The grammar of core/src/report/wording/grammar.json: facts into words, and the vocabulary.

A fact is (kind, name, side, size, signal), each a word or "". What it says of a scan is the claim;
numbers stay placeholders like <left>, which prism-core fills in from the measurement. A sentence is
a list of tokens; names of structures and measures are one token each ("n:putamen").
"""

from __future__ import annotations

import itertools
import json
import random
import re
from dataclasses import dataclass

from training.paths import REPOSITORY

FILE = REPOSITORY / "core/src/report/wording/grammar.json"
SECTIONS = (
    "cerebral_hemispheres",
    "ventricles_and_fluid",
    "deep_grey_matter",
    "medial_temporal_lobe",
    "posterior_fossa",
    "image_quality",
    "impression",
)
PAIRED = {
    "cerebral_hemispheres": ("cerebral white matter", "cerebral cortex"),
    "ventricles_and_fluid": ("lateral ventricle", "inferior lateral ventricle"),
    "deep_grey_matter": (
        "thalamus",
        "caudate",
        "putamen",
        "pallidum",
        "accumbens",
        "ventral diencephalon",
    ),
    "medial_temporal_lobe": ("hippocampus", "amygdala"),
    "posterior_fossa": ("cerebellar white matter", "cerebellar cortex"),
}
SINGLE = {
    "ventricles_and_fluid": ("third ventricle", "fourth ventricle", "CSF"),
    "posterior_fossa": ("brainstem",),
}
MEASURES = (
    "largest_spacing",
    "anisotropy",
    "structures_cut",
    "structures_missing",
    "snr_dietrich",
    "snr_wavelet",
    "noise_shape",
    "efc",
    "fber",
    "ghosting",
    "background_outliers",
    "snr_white_matter",
    "snr_grey_matter",
    "white_grey_ratio",
    "cnr",
    "cjv",
)
NAMES = (
    *itertools.chain.from_iterable(PAIRED.values()),
    *itertools.chain.from_iterable(SINGLE.values()),
    *MEASURES,
)
SIDES = ("", "left", "right")
SIZES = (
    *("", "even", "mild", "moderate", "marked", "tiny", "cut"),
    *("punctate", "small", "medium", "large"),
    *("good", "look", "poor", "all", "some"),
)
SIGNALS = ("", "bright", "dark")
SPECIAL = ("<pad>", "<begin>", "<end>")


@dataclass(frozen=True)
class Fact:
    kind: str
    name: str = ""
    side: str = ""
    size: str = ""
    signal: str = ""


def expand(template: str) -> list[str]:
    """Every choice of a template."""
    parts = re.split(r"(\[[^]]*\])", template)
    choices = [p[1:-1].split("|") if p.startswith("[") else [p] for p in parts]
    return [" ".join("".join(pick).split()) for pick in itertools.product(*choices)]


class Grammar:
    def __init__(self) -> None:
        data = json.loads(FILE.read_text(encoding="utf-8"))
        self.words: dict[str, dict[str, list[str]]] = data["words"]
        self.templates: dict[str, list[list[str]]] = {}
        for keys, templates in data["templates"].items():
            for key in keys.split():
                # One entry a template: its choices are drawn within it.
                self.templates[key] = [expand(template) for template in templates]
        self.kinds = tuple(sorted({key.split("/")[0] for key in self.templates}))
        words = {
            token
            for templates in self.templates.values()
            for choice in itertools.chain.from_iterable(templates)
            for token in choice.split()
            if not token.startswith("{")
        }
        for values in self.words.values():
            words |= set(itertools.chain.from_iterable(values.values()))
        words |= {"left", "right", ",", "and"} | {f"n:{name}" for name in NAMES}
        self.vocabulary = [*SPECIAL, *sorted(words)]

    def key(self, fact: Fact) -> str:
        sided = "sided" if fact.side else "single"
        if fact.kind in ("cut", "missing", "focus"):
            return f"{fact.kind}/{sided}"
        return f"{fact.kind}/{fact.size}" if fact.size else fact.kind

    def sentence(self, rng: random.Random, fact: Fact) -> list[str]:
        text = rng.choice(rng.choice(self.templates[self.key(fact)]))
        other = {"left": "right", "right": "left"}.get(fact.side, "")
        slots = {"name": f"n:{fact.name}", "side": fact.side, "other": other}
        for slot, values in self.words.items():
            key = fact.signal if slot == "signal" else fact.size
            if key in values:
                slots[slot] = rng.choice(values[key])
        return [slots[t[1:-1]] if t.startswith("{") else t for t in text.split()]

    def listed(self, rng: random.Random, facts: list[Fact]) -> list[str]:
        """One sentence for several facts of one kind and size."""
        text = rng.choice(rng.choice(self.templates[self.key(facts[0]) + "/list"]))
        names: list[str] = []
        for at, fact in enumerate(facts):
            if at:
                names.append("and" if at == len(facts) - 1 else ",")
            names.append(f"n:{fact.name}")
        tokens = [names if t == "{list}" else [t] for t in text.split()]
        return list(itertools.chain.from_iterable(tokens))

    def text(self, rng: random.Random, facts: list[Fact]) -> list[str]:
        """A section: what stands out first, then what does not, alike things together."""
        plain = {"even": 1, "good": 1}
        rank = {"brain": -1, "found": -1, "single": 2, "overall": 3}
        order = sorted(facts, key=lambda f: rank.get(f.kind, plain.get(f.size, 0)))
        tokens: list[str] = []
        for key, group in itertools.groupby(order, key=self.key):
            members = list(group)
            if len(members) > 1 and f"{key}/list" in self.templates and rng.random() < 0.7:
                tokens += self.listed(rng, members)
                continue
            for fact in members:
                tokens += self.sentence(rng, fact)
        return tokens
