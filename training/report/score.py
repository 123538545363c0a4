"""Scores the report decoder against the measured facts, beside the plain sentences.

    python -m training.report.score target/debug/prism

Writes training/results/report.json. Drawn facts that training never saw, and the facts of every real
head at hand (79; one run of `prism report` each, kept in the cache for this command and these packs, so that what was
interrupted goes on): `prism wording` writes and parses back. A claim is right when a fact equals it; a side or size
error is a claim whose fact differs in that field alone. `checked` is what is shown after sentences
that no fact supports are dropped: each claim of it is a fact by construction, so only its recall is scored.
Plain: the sentences of `prism report`, parsed back here; those of the impression
name further unequal pairs without side and size, which counts as not said. Words: of the whole reports before Method,
numbers included. Features:
the weighting that the decoder says from a scan's pooled features alone, and the loss per word with a scan's own
features, another's and none; only where a decoder was trained with features. Facts are what the program measured:
training.report.truth holds them against hand-drawn labels.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import random
import re
import subprocess
import tempfile
from pathlib import Path

import torch

from training.paths import REPOSITORY, cache_folder, data_folder
from training.report.export import rounded
from training.report.facts import draw
from training.report.grammar import PAIRED, SECTIONS, Fact, Grammar
from training.report.network import FACTS, PACK, Coder, load, newest
from training.report.train import Features, collate, loss_of, sample, weighting

UNSEEN, COUNT = 20_001, 2000
REGIONS = tuple(PAIRED)
LESIONS = REPOSITORY / "public/packs/lesions.safetensors"
# Measures with a threshold as the report names them, and their keys (core/src/measure).
MEASURES = {
    "largest voxel edge": "largest_spacing",
    "anisotropy": "anisotropy",
    "structures at the edge": "structures_cut",
    "structures not found": "structures_missing",
    "signal-to-noise ratio (air)": "snr_dietrich",
    "signal-to-noise ratio (inside)": "snr_wavelet",
    "shape of the noise": "noise_shape",
    "entropy focus criterion": "efc",
    "foreground to background energy": "fber",
    "ghosting": "ghosting",
    "bright air": "background_outliers",
    "evenness of white matter": "snr_white_matter",
    "evenness of the cortex": "snr_grey_matter",
    "white to grey ratio": "white_grey_ratio",
    "contrast-to-noise ratio": "cnr",
    "coefficient of joint variation": "cjv",
}


def triple(claim: dict) -> tuple:
    return tuple(claim[key] for key in ("kind", "name", "side", "size", "signal"))


class Tally:
    def __init__(self) -> None:
        self.facts = self.claims = self.right = self.found = self.shown = 0
        self.side = self.size = self.sentences = self.unread = self.unsupported = 0

    def add(self, facts: list[tuple], sentences: list[list[tuple] | None]) -> None:
        truth, said, shown = set(facts), set(), set()
        self.facts += len(truth)
        for claims in sentences:
            self.sentences += 1
            if claims is None:
                self.unread += 1
                continue
            for claim in claims:
                self.claims += 1
                self.right += claim in truth
                if claim not in truth:
                    others = [f for f in truth if f[:2] == claim[:2]]
                    self.side += any(f[3:] == claim[3:] for f in others)
                    self.size += any(f[2] == claim[2] and f[4] == claim[4] for f in others)
            said |= set(claims) & truth
            if len(set(claims)) == len(claims) and all(c in truth and c not in shown for c in claims):
                shown |= set(claims)
            else:
                self.unsupported += 1
        self.found += len(said)
        self.shown += len(shown)

    def result(self) -> dict:
        return {
            "facts": self.facts,
            "precision": round(self.right / max(1, self.claims), 4),
            "recall": round(self.found / max(1, self.facts), 4),
            "side_errors": self.side,
            "size_errors": self.size,
            "sentences": self.sentences,
            "sentences_that_fit_no_wording": self.unread,
            "sentences_not_supported": self.unsupported,
            "checked_recall": round(self.shown / max(1, self.facts), 4),
        }


def worded(command: Path, told: list[dict]) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        facts, out = Path(folder, "facts.json"), Path(folder, "out.json")
        facts.write_text(json.dumps(told))
        line = [command, "wording", facts, "--pack", PACK, "-o", out]
        subprocess.run(line, check=True, capture_output=True)
        return json.loads(out.read_text())


def tally(sections: list[dict]) -> dict:
    count = Tally()
    for section in sections:
        sentences = [s["claims"] and [triple(c) for c in s["claims"]] for s in section["sentences"]]
        count.add([triple(fact) for fact in section["facts"]], sentences)
    return count.result()


def size_word(percent: float) -> str:
    return "even" if percent < 10 else "mild" if percent < 20 else "moderate" if percent < 40 else "marked"


def plain_lines(text: str, begin: str, end: str) -> list[str]:
    """The sentences between two headings of a report as text."""
    part = text[text.index(begin) : text.index(end)]
    lines = re.sub(r"\n {2,}", " ", part).splitlines()
    return [line[2:] for line in lines if line[:2] in ("- ", "! ")]


def plain_quality(text: str) -> list[list[tuple]]:
    """Claims of the plain sentences about image quality."""
    sentences = []
    for line in plain_lines(text, "\nImage quality\n-", "\nImpression\n-"):
        line = line.lower()
        claims = []
        for name, key in MEASURES.items():
            told = re.escape(name) + r" [\d.]+"
            if " on the good side of it: " in line:
                size = "good" if re.search(f"(?:: |, | and ){told}", line) else ""
            else:
                judged = re.match(told + r"[^:]*: (look at the images|beyond the limit)", line)
                size = {"l": "look", "b": "poor"}[judged[1][0]] if judged else ""
            if size:
                claims.append(("quality", key, "", size, ""))
        if claims:
            sentences.append(claims)
    return sentences


def plain_impression(text: str) -> list[list[tuple]]:
    """Claims of the plain sentences of the impression."""
    quality = {
        "Image quality limits": "poor",
        "Look at the images for": "look",
        "No measure of image quality is beyond": "good",
    }
    sentences = []
    for line in plain_lines(text, "\nImpression\n-", "\nMethod\n-"):
        if match := re.match(r"(\d+) of (\d+) structures? (?:was|were) found", line):
            claim = ("found", "", "", "all" if match[1] == match[2] else "some", "")
        elif match := re.match(
            r"The largest difference between the sides.*? is in the (.+?): the (left|right) is larger by ([\d.]+)%", line
        ):
            claim = ("pair", match[1], match[2], size_word(float(match[3])), "")
        elif line.startswith("None of ") and "differs between the sides" in line and "beyond the error" not in line:
            claim = ("no_asymmetry", "", "", "", "")
        elif re.match(r"\d+ structures? reach(?:es)? the edge", line):
            claim = ("cuts", "", "", "", "")
        elif size := next((size for words, size in quality.items() if line.startswith(words)), None):
            claim = ("overall", "", "", size, "")
        else:
            continue
        sentences.append([claim])
    return sentences


def plain_claims(text: str) -> list[list[tuple]]:
    """Claims of the plain sentences of the regions, from the report as text."""
    sentences = []
    for line in plain_lines(text, "\nFindings", "\nImage quality\n-"):
        claims: list[tuple] = []
        if match := re.match(r"The left (.+?) measures \S+ mL and the right \S+ mL(.*)", line):
            name, rest = match.groups()
            larger = re.match(r"; the (left|right) is larger by ([\d.]+)%", rest)
            if "not compared" in rest:
                claims = [("pair", name, "", "cut", "")]
            elif "says little" in rest:
                claims = [("pair", name, "", "tiny", "")]
            elif larger and "beyond the" in rest:
                claims = [("pair", name, larger[1], size_word(float(larger[2])), "")]
            else:
                claims = [("pair", name, "", "even", "")]
        elif line.startswith("The labelled brain tissue"):
            claims = [("brain", "", "", "", "")]
        elif line.startswith("The labelled cerebrospinal fluid outside"):
            claims = [("single", "CSF", "", "", "")]
        elif match := re.match(r"The (.+?) measures \S+ mL; the (left|right) (.+) was not found", line):
            claims = [("missing", match[3], match[2], "", "")]
        elif match := re.match(r"Not found: (.+)\.$", line):
            for name in re.split(r", | and ", match[1]):
                side = re.match(r"(left|right) ", name)
                claims.append(("missing", name.removeprefix(side[0]) if side else name, side[1] if side else "", "", ""))
        elif line.startswith("At the edge of the field"):
            # Sides are listed in brackets: "(12 voxels at the left and superior sides)".
            for name in re.findall(r"(?:: |, |and )([^,():]+?) \(\d+ voxels? at", line):
                side = re.match(r"(left|right) ", name)
                claims.append(("cut", name.removeprefix(side[0]) if side else name, side[1] if side else "", "", ""))
        elif match := re.match(r"The (third ventricle|fourth ventricle|brainstem) measures", line):
            claims = [("single", match[1], "", "", "")]
        if claims:
            sentences.append(claims)
    return sentences


def scans(data: Path, heads: int | None = None) -> list[Path]:
    """Every real head at hand; of the many whole heads in T1w only the first `heads`, where that is given."""
    found = sorted((data / "eval_t1_labelled").glob("*_T1w_brain.nii.gz"))
    found += sorted((data / "multi_sequence").glob("*.nii.gz"))
    found += [p for p in sorted((data / "ms_lesions").glob("*.nii.gz")) if "GOLD_STANDARD" not in p.name]
    found += [p for p in sorted((data / "ms_longitudinal").glob("*.nii.gz")) if "_gt" not in p.name]
    found += sorted(p for p in (data / "dicom_study1").glob("*") if p.is_dir())
    return found + sorted((data / "t1_wholehead").glob("*.nii.gz"))[:heads]


@functools.cache
def made_by(command: Path) -> dict[str, str]:
    """SHA-256 of what reports are made by: the command, which holds the brain pack, the decoder, the lesion pack."""
    files = {"prism": command, "report": PACK, "lesions": LESIONS}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def stamp(command: Path) -> str:
    """All of them in a few letters."""
    return hashlib.sha256("".join(made_by(command).values()).encode()).hexdigest()[:12]


def reported(command: Path, scan: Path, folder: Path) -> tuple[str, str, list[dict]]:
    """Plain report, worded report and facts of a scan, by one run that is kept below `folder`."""
    folder = folder / stamp(command)
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / scan.name.removesuffix(".nii.gz")
    plain, worded, facts = (stem.with_suffix(end) for end in (".txt", ".worded.txt", ".json"))
    if not worded.exists():
        line = [command, "report", scan, "--device", "cpu", "--wording", PACK, "-o", worded]
        subprocess.run([*line, "--plain", plain, "--facts", facts], check=True, capture_output=True)
    return plain.read_text(), worded.read_text(), json.loads(facts.read_text())


def words_of(text: str) -> int:
    """Words and numbers from the findings to the end of the impression."""
    return len(re.findall(r"[\w.]+", text[text.index("\nFindings") : text.index("\nMethod\n-")]))


def real(command: Path, paths: list[Path], folder: Path) -> dict:
    told, names, refused, words = [], [], {}, {"plain": 0, "worded": 0}
    plain, in_regions = Tally(), Tally()
    for scan in paths:
        try:
            text, generated, sections = reported(command, scan, folder)
        except subprocess.CalledProcessError as error:
            refused[scan.name] = (error.stderr.decode().strip().splitlines() or ["no word"])[-1]
            continue
        told += sections
        names.append(scan.name)
        parts = (
            (REGIONS, plain_claims(text)),
            (("image_quality",), plain_quality(text)),
            (("impression",), plain_impression(text)),
        )
        for kinds, claims in parts:
            truth = [triple(f) for s in sections if s["section"] in kinds for f in s["facts"]]
            plain.add(truth, claims)
            if kinds == REGIONS:
                in_regions.add(truth, claims)
        words["plain"] += words_of(text)
        words["worded"] += words_of(generated)
        print(len(names), "of", len(paths), scan.name, flush=True)
    written = worded(command, told)
    regions = [section for section in written if section["section"] in REGIONS]
    return {
        "scans": names,
        "refused": refused,
        "decoder": tally(written),
        "plain": plain.result(),
        "decoder_in_regions": tally(regions),
        "plain_in_regions": in_regions.result(),
        "words_before_method": words,
    }


def drawn(command: Path) -> dict:
    rng = random.Random(UNSEEN)
    told = []
    while len(told) < COUNT:
        section, facts = draw(rng)
        if len(facts) <= FACTS:
            told.append({"section": section, "facts": [vars(fact) for fact in facts]})
    written = worded(command, told)
    result = {"sections": COUNT, "seed": UNSEEN, "all": tally(written)}
    result |= {name: tally([w for w in written if w["section"] == name]) for name in SECTIONS}
    return result


def features(folder: Path, decoder: Path) -> dict | None:
    """What the pooled features of unseen scans add; None for a decoder without, or where there are none."""
    torch.set_num_threads(1)
    grammar = Grammar()
    trained, _, scale = load(decoder, grammar)
    unseen = Features(folder, held_out=True, scale=scale) if scale else None
    if not unseen or not unseen.scans:
        return None
    network, _ = rounded(trained.state_dict())
    coder = Coder(grammar)
    right: list[str] = []
    wrong: list[str] = []
    for path in sorted(folder.glob("*.safetensors")):
        name = weighting(path.stem)
        single = Features(folder, held_out=True, scale=scale, only=path.stem)
        if not single.scans:
            continue
        vectors = single.draw(random.Random(0), name, noise=0.0)
        batch = collate([("technique", [Fact("grid", size="isotropic")], vectors, [])], coder)
        line, said = [coder.token["<begin>"]], None
        with torch.no_grad():
            for _ in range(40):
                logits = network(torch.tensor([line]), *batch[1:])
                line.append(int(logits[0, -1].argmax()))
                word = grammar.vocabulary[line[-1]]
                if word.startswith("n:") or word == "<end>":
                    said = word.removeprefix("n:")
                    break
        (right if said == name else wrong).append(f"{path.stem}: {said}")
    rng = random.Random(UNSEEN)
    losses: dict[str, float] = {}
    samples = [sample(rng, grammar, unseen, rng.choice(REGIONS)) for _ in range(300)]
    samples = [s for s in samples if s[2] is not None]
    vectors = [s[2] for s in samples]
    with torch.no_grad():
        for kind in ("own", "another", "none"):
            given = {"own": vectors, "another": vectors[1:] + vectors[:1], "none": [None] * len(vectors)}
            batch = [(s[0], s[1], v, s[3]) for s, v in zip(samples, given[kind])]
            losses[kind] = round(loss_of(network, collate(batch, coder)).item(), 4)
    return {"weighting_right": right, "weighting_wrong": wrong, "loss_per_word_in_regions": losses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prism", type=Path, help="the command")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--heads", type=int, help="only so many of the 48 whole heads in T1w")
    parser.add_argument("--reports", type=Path, default=cache_folder() / "report/real")
    parser.add_argument("--features", type=Path, default=cache_folder() / "report/features")
    parser.add_argument("--decoder", type=Path, default=newest())
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/report.json")
    arguments = parser.parse_args()
    command = arguments.prism.resolve()
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    result = {
        "command": "python -m training.report.score target/debug/prism",
        "sha256": made_by(command),
        "drawn": drawn(command),
        "real": real(command, scans(arguments.data, arguments.heads), arguments.reports),
        # What an earlier decoder, trained with features, gave stays until another one is.
        "features": features(arguments.features, arguments.decoder) or known.get("features"),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    for name, part in (("drawn", result["drawn"]["all"]), *list(result["real"].items())[1:]):
        print(name, part)
    print(result["features"])


if __name__ == "__main__":
    main()
