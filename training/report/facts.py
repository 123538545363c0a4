"""Draws the facts of a section: what a scan might show, normal and not, told by no real person."""

from __future__ import annotations

import random

from training.report.grammar import MEASURES, PAIRED, SECTIONS, SINGLE, Fact

# How often something that stands out is drawn for a structure.
RARE = 0.12


def draw(rng: random.Random, section: str | None = None) -> tuple[str, list[Fact]]:
    section = section or rng.choice(SECTIONS)
    if section == "image_quality":
        return section, quality(rng)
    if section == "impression":
        return section, impression(rng)
    return section, region(rng, section)


def quality(rng: random.Random) -> list[Fact]:
    count = rng.randint(1, len(MEASURES))
    names = [name for name in MEASURES if name in set(rng.sample(MEASURES, count))]
    rare = rng.choice((0.05, 0.3, 0.6))
    return [
        Fact("quality", name, size=rng.choice(("look", "poor")) if rng.random() < rare else "good")
        for name in names
    ]


def standing_out(rng: random.Random, name: str, side: str) -> Fact | None:
    pick = rng.random()
    if pick < RARE:
        size = rng.choice(("punctate", "small", "medium", "large"))
        return Fact("focus", name, side, size, rng.choice(("bright", "dark")))
    if pick < 1.6 * RARE:
        return Fact("cut", name, side)
    return None


def region(rng: random.Random, section: str) -> list[Fact]:
    facts = []
    if section == "cerebral_hemispheres" and rng.random() < 0.9:
        facts.append(Fact("brain"))
    keep = rng.choice((1.0, 1.0, 0.7))
    for name in PAIRED[section]:
        if rng.random() > keep:
            continue
        side = rng.choice(("left", "right"))
        pick = rng.random()
        if pick < 0.06:
            facts.append(Fact("missing", name, side))
        elif pick < 0.40:
            facts.append(Fact("pair", name, side, rng.choice(("mild", "moderate", "marked"))))
        elif pick < 0.50:
            facts.append(Fact("pair", name, size=rng.choice(("tiny", "cut"))))
        else:
            facts.append(Fact("pair", name, size="even"))
        facts += filter(None, [standing_out(rng, name, rng.choice(("left", "right")))])
    for name in SINGLE.get(section, ()):
        if rng.random() > keep:
            continue
        facts.append(Fact("missing", name) if rng.random() < 0.06 else Fact("single", name))
        if facts[-1].kind == "single":
            facts += filter(None, [standing_out(rng, name, "")])
    return facts or [Fact("pair", PAIRED[section][0], size="even")]


def impression(rng: random.Random) -> list[Fact]:
    facts = [Fact("found", size=rng.choice(("all", "all", "some")))]
    pairs = [name for names in PAIRED.values() for name in names]
    unequal = rng.sample(pairs, rng.choice((0, 0, 1, 2, 3, 5)))
    for name in (name for name in pairs if name in unequal):
        side = rng.choice(("left", "right"))
        facts.append(Fact("pair", name, side, rng.choice(("mild", "moderate", "marked"))))
    if not unequal:
        facts.append(Fact("no_asymmetry"))
    if rng.random() < 0.3:
        facts.append(Fact("cuts"))
    # Of different structures, as core/src/report/wording/facts.rs names them.
    places = [(name, side) for name in pairs for side in ("left", "right")]
    for place, side in rng.sample(places, rng.choice((0, 0, 0, 1, 2))):
        size = rng.choice(("punctate", "small", "medium", "large"))
        facts.append(Fact("focus", place, side, size, rng.choice(("bright", "dark"))))
    if rng.random() < 0.95:
        facts.append(Fact("overall", size=rng.choice(("good", "good", "look", "poor"))))
    return facts
