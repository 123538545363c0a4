"""Contrast from sequence parameters: signal equations over tissue T1, T2 and proton density.

With these the synthesis knows the repetition time, echo time, flip angle and inversion time of every
sample, which is what the sequence feature has to tell. Tissue constants are rounded literature values
at 3 T (milliseconds), jittered per sample.
"""

from __future__ import annotations

import math

import numpy as np

from training.synth import LABELS, NOT_BRAIN, TISSUE, Brain

# T1, T2, proton density (water = 1).
TISSUES = {
    "csf": (4000, 1500, 1.00), "grey": (1450, 95, 0.82), "white": (850, 72, 0.70),
    "thalamus": (1150, 82, 0.77), "striatum": (1320, 88, 0.80), "pallidum": (950, 62, 0.74),
    "cerebellum": (1380, 92, 0.81), "cerebellum_white": (880, 74, 0.71), "stem": (960, 78, 0.72),
    "muscle": (1400, 35, 0.78), "fat": (380, 70, 0.90), "bone": (600, 3, 0.12), "fluid": (3500, 900, 0.98),
    "organ": (900, 50, 0.78), "blood": (1900, 180, 0.88), "cartilage": (1200, 40, 0.75),
}  # fmt: skip
SOFT = ["muscle", "fat", "bone", "organ", "blood", "cartilage", "fluid"]
SEQUENCES = ["T1w", "T2w", "FLAIR", "PD"]
# Targets of the parameter head: log-milliseconds and degrees, shifted and scaled to about -1..1.
SCALES = {"TR": (7.0, 1.5), "TE": (3.2, 1.4), "flip": (60.0, 45.0)}


def draw(rng: np.random.Generator, sequence: str) -> dict:
    """Repetition, echo and inversion time (ms) and flip angle (degrees) usual for the sequence."""
    span = lambda low, high: float(np.exp(rng.uniform(math.log(low), math.log(high))))  # noqa: E731
    if sequence == "T1w":
        if rng.random() < 0.6:
            return {"TR": span(6, 25), "TE": span(1.8, 6), "flip": rng.uniform(15, 35), "TI": 0.0}
        return {"TR": span(350, 750), "TE": span(7, 20), "flip": 90.0, "TI": 0.0}
    if sequence == "T2w":
        return {"TR": span(2500, 7000), "TE": span(75, 130), "flip": 90.0, "TI": 0.0}
    if sequence == "FLAIR":
        repetition = span(7000, 11000)
        null = 4000 * (math.log(2) - math.log1p(math.exp(-repetition / 4000)))
        return {"TR": repetition, "TE": span(85, 140), "flip": 90.0, "TI": null * rng.uniform(0.93, 1.05)}
    return {"TR": span(2200, 5000), "TE": span(10, 30), "flip": 90.0, "TI": 0.0}


def signal(t1: np.ndarray, t2: np.ndarray, density: np.ndarray, p: dict) -> np.ndarray:
    """Spoiled gradient echo below 60 degrees, else (inversion recovery) spin echo; relative units."""
    e1 = np.exp(-p["TR"] / t1)
    if p["flip"] < 60:
        angle = math.radians(p["flip"])
        star = 1 / (1 / t2 + 1 / 60)
        return density * math.sin(angle) * (1 - e1) / (1 - math.cos(angle) * e1) * np.exp(-p["TE"] / star)
    recovery = 1 - e1 if p["TI"] == 0 else np.abs(1 - 2 * np.exp(-p["TI"] / t1) + e1)
    return density * recovery * np.exp(-p["TE"] / t2)


def targets(p: dict) -> np.ndarray:
    """[TR, TE, flip], normalised for the regression head."""
    raw = {"TR": math.log(p["TR"]), "TE": math.log(p["TE"]), "flip": p["flip"]}
    return np.array([(raw[k] - m) / s for k, (m, s) in SCALES.items()], dtype=np.float32)


def jittered(rng: np.random.Generator, kind: str) -> tuple[float, float, float]:
    t1, t2, density = TISSUES[kind]
    return t1 * rng.normal(1, 0.08), t2 * rng.normal(1, 0.1), density * rng.normal(1, 0.04)


def brain_tissues(brain: Brain, rng: np.random.Generator) -> np.ndarray:
    """[3, 54] T1, T2, proton density of every generation label."""
    table = np.tile(np.array([[1000.0], [60.0], [0.0]]), (1, LABELS))
    for kind, identifiers in TISSUE.items():
        values = jittered(rng, kind)
        for identifier in identifiers:
            table[:, brain.position[identifier]] = values
    for identifier in brain.ids:
        if identifier in NOT_BRAIN and identifier != 0:
            kind = SOFT[int(rng.integers(len(SOFT)))]
            table[:, brain.position[int(identifier)]] = jittered(rng, kind)
        elif identifier in (30, 62, 136, 137, 163, 164):
            table[:, brain.position[int(identifier)]] = jittered(rng, "blood")
    return np.maximum(table, 1e-3)


def body_tissues(rng: np.random.Generator, count: int) -> np.ndarray:
    """[3, count + 1] for a body label map whose labels carry no tissue class; column 0 is air."""
    columns = [jittered(rng, SOFT[int(rng.integers(len(SOFT)))]) for _ in range(count)]
    return np.maximum(np.array([(1000.0, 60.0, 0.0), *columns]).T, 1e-3)
