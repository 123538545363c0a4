"""Scores the report decoder against the measured facts, beside the plain sentences.

    python -m training.report.score target/debug/prism [--every 4]

Writes training/results/report.json.

Drawn: facts that training never saw; `prism wording` writes and parses back. A claim is right when a fact equals it; a
side or size error is a claim whose fact differs in that field alone. `checked` is what is shown after sentences that
no fact supports are dropped: each claim of it is a fact by construction, so only its recall is scored. (Plain sentences
are made of the same facts, one by one; there is nothing to score.)

Real: the facts of the real heads at hand (79, or every N-th; one run of `prism report` each, kept in the cache for this
command and these packs, so that what was interrupted goes on; with --every 0 the earlier result stays). Plain: the
sentences of `prism report`, parsed back here; those of the impression name further unequal pairs without side and size,
which counts as not said. Words: of the whole reports before Method, numbers included. Facts are what the program
measured: training.report.truth holds them against hand-drawn labels.

Other packs: the 20 hippocampus crops kept for scoring, of which the decoder words image quality alone (`plain_only` are
the sections that it leaves as they are), and hearts, which are worded where `prism cine` takes --wording. With --every 0
the earlier result stays here, too.

Scans: synthetic ones of held-out label maps (training.report.scans --held-out), whose truth is what was rendered and
painted. `plain` says each measured fact, `decoder` is all that the decoder says with the scan's maps, `shown` what of it
is shown. Painted foci are told as if a lesion pack had marked them, or withheld. `findings` are differences between the
sides, foci, and what is missing or cut; `all` also what does not stand out.

Attending: the same sections with the scan's own maps, another scan's and none, half of the foci withheld: loss a word,
precision and recall of what the text of training would say (measured facts and painted foci). Probe: whether a linear
function of the maps tells the structures with a painted focus from those without, area under the ROC curve.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import random
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from training.labelled import files
from training.paths import REPOSITORY, cache_folder, data_folder
from training.report.export import named, rounded
from training.report.facts import draw
from training.report.grammar import PAIRED, SECTIONS, Fact, Grammar
from training.report.network import FACTS, MOST, PACK, Coder, load, newest
from training.report.scans import NAMED_AS, Scan, folder, read_all
from training.report.scans import PACK as BRAIN_PACK
from training.report.train import collate, loss_of, of_scan, scale
from training.resumed import commit

UNSEEN, COUNT = 20_001, 2000
REGIONS = tuple(PAIRED)
LESIONS = REPOSITORY / "public/packs/lesions.safetensors"
CARDIAC = REPOSITORY / "public/packs/cardiac.safetensors"
HIPPOCAMPUS = REPOSITORY / "public/packs/hippocampus.safetensors"
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
            elif "error of this model" in rest:
                # Neither alike nor named.
                claims = []
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


def kept(path: Path, data: Path) -> list[Path]:
    """The scans that were kept to score a pack of training.labelled."""
    config = tomllib.loads((REPOSITORY / f"training/configs/{path.stem}.toml").read_text())
    return files(config, data, "score")


@functools.cache
def made_by(command: Path, *others: Path) -> dict[str, str]:
    """SHA-256 of what reports are made by: the command, the packs of the brain, the decoder and the lesions, and others."""
    paths = {"prism": command, "brain": BRAIN_PACK, "report": PACK, "lesions": LESIONS}
    paths |= {path.stem: path for path in others}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}


def without_unit(text: str) -> str:
    """A report without the remark behind millilitres of files that state no unit."""
    return re.sub(r"\s\(unit\s+assumed\)", "", text)


def stamp(command: Path, *others: Path) -> str:
    """All of them in a few letters."""
    return hashlib.sha256("".join(made_by(command, *others).values()).encode()).hexdigest()[:12]


def reported(command: Path, scan: Path, folder: Path, *other: Path) -> tuple[str, str, list[dict]]:
    """Plain report, worded report and facts of a scan, by one run that is kept below `folder`; of the brain pack or the
    `other` one."""
    folder = folder / stamp(command, *other)
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / scan.name.removesuffix(".nii.gz")
    plain, worded, facts = (stem.with_suffix(end) for end in (".txt", ".worded.txt", ".json"))
    if not worded.exists():
        line = [command, "report", scan, "--device", "cpu", "--wording", PACK, "-o", worded]
        line += [word for path in other for word in ("--pack", path)]
        subprocess.run([*line, "--plain", plain, "--facts", facts], check=True, capture_output=True)
    return without_unit(plain.read_text()), without_unit(worded.read_text()), json.loads(facts.read_text())


def last_line(error: subprocess.CalledProcessError) -> str:
    """Why the command gave nothing."""
    return (error.stderr.decode().strip().splitlines() or ["no word"])[-1]


def words_of(text: str) -> int:
    """Words and numbers from the findings to the end of the impression."""
    return len(re.findall(r"[\w.]+", text[text.index("\nFindings") : text.index("\nMethod\n-")]))


def real(command: Path, paths: list[Path], folder: Path) -> dict:
    told, names, refused, words = [], [], {}, {"plain": 0, "worded": 0}
    plain, parts_of = Tally(), {name: Tally() for name in ("regions", "quality", "impression")}
    for scan in paths:
        try:
            text, generated, sections = reported(command, scan, folder)
        except subprocess.CalledProcessError as error:
            refused[scan.name] = last_line(error)
            continue
        told += sections
        names.append(scan.name)
        parts = (
            ("regions", REGIONS, plain_claims(text)),
            ("quality", ("image_quality",), plain_quality(text)),
            ("impression", ("impression",), plain_impression(text)),
        )
        for part, kinds, claims in parts:
            truth = [triple(f) for s in sections if s["section"] in kinds for f in s["facts"]]
            plain.add(truth, claims)
            parts_of[part].add(truth, claims)
        words["plain"] += words_of(text)
        words["worded"] += words_of(generated)
        print(len(names), "of", len(paths), scan.name, flush=True)
    written = worded(command, told)
    of = lambda kinds: tally([section for section in written if section["section"] in kinds])  # noqa: E731
    return {
        "sha256": made_by(command),
        "scans": names,
        "refused": refused,
        "decoder": tally(written),
        "plain": plain.result(),
        "decoder_in_regions": of(REGIONS),
        "decoder_in_quality": of(("image_quality",)),
        "decoder_in_impression": of(("impression",)),
        **{f"plain_in_{part}": count.result() for part, count in parts_of.items()},
        "words_before_method": words,
    }


def left_plain(text: str, sections: list[dict]) -> list[str]:
    """Headings before Method of sections that the decoder is told nothing of."""
    told = {section["section"] for section in sections}
    headings = re.findall(r"^(.+)\n-+$", text[: text.index("\nMethod\n-")], re.MULTILINE)
    return [title for title in headings if title.lower().replace(" ", "_") not in told]


def hippocampi(command: Path, crops: list[Path], folder: Path) -> dict:
    """Decoder against plain sentences where the decoder words a crop."""
    told, plain, plain_only, refused = [], Tally(), set(), {}
    for scan in crops:
        try:
            text, _, sections = reported(command, scan, folder, HIPPOCAMPUS)
        except subprocess.CalledProcessError as error:
            refused[scan.name] = last_line(error)
            continue
        told += sections
        plain_only |= set(left_plain(text, sections))
        truth = [triple(fact) for s in sections if s["section"] == "image_quality" for fact in s["facts"]]
        plain.add(truth, plain_quality(text))
    return {
        "crops": len(crops) - len(refused),
        "refused": refused,
        "worded": sorted({section["section"] for section in told}),
        "plain_only": sorted(plain_only),
        "decoder": tally(worded(command, told)),
        "plain": plain.result(),
    }


def hearts(command: Path) -> str:
    """Whether reports of hearts are worded."""
    usage = subprocess.run([command, "cine", "--help"], check=True, capture_output=True, text=True).stdout
    return "worded, not scored" if "--wording" in usage else "plain only"


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


def is_finding(claim: tuple) -> bool:
    return claim[0] in ("focus", "missing", "cut") or (claim[0] == "pair" and bool(claim[2]))


def shown_of(section: dict) -> list[list[tuple]]:
    """Claims of the decoder's sentences that are shown: all of them told, none of them twice."""
    told, said, shown = {triple(fact) for fact in section["facts"]}, set(), []
    for sentence in section["sentences"]:
        claims = [triple(claim) for claim in sentence["claims"] or []]
        if claims and len(set(claims)) == len(claims) and set(claims) <= told - said:
            said |= set(claims)
            shown.append(claims)
    return shown


def told_of(scan: Scan, section: str, facts: list[Fact], maps: np.ndarray | None) -> dict:
    return {"section": section, "facts": [vars(fact) for fact in facts], "maps": named(maps, scan.pack)}


def against(truth: list[tuple], said: list[list[tuple] | None], count: Tally, only) -> None:
    sentences = [claims and [claim for claim in claims if only(claim)] for claims in said]
    count.add([claim for claim in truth if only(claim)], [claims for claims in sentences if claims != []])


def synthetic(command: Path, held: list[Scan]) -> dict:
    """What is said of held-out scans against what was rendered and painted, in the regions."""
    result: dict = {"scans": len(held), "foci": sum(len(scan.foci) for scan in held)}
    wanted = {"all": lambda claim: True, "findings": is_finding}
    for setting, share in (("foci_told", 1.0), ("foci_withheld", 0.0)):
        places = [(scan, section) for scan in held for section in REGIONS]
        facts = [of_scan(random.Random(0), scan, section, True, share)[0] for scan, section in places]
        told = [told_of(scan, section, some, scan.maps) for (scan, section), some in zip(places, facts)]
        counts = {(who, name): Tally() for who in ("plain", "decoder", "shown") for name in wanted}
        for (scan, section), written in zip(places, worded(command, told)):
            truth = scan.true[section] + [focus for where, focus in scan.foci if where == section]
            truth = [triple(vars(fact)) for fact in truth]
            said = {
                "plain": [[triple(fact)] for fact in written["facts"]],
                "decoder": [s["claims"] and [triple(c) for c in s["claims"]] for s in written["sentences"]],
                "shown": shown_of(written),
            }
            for (who, name), count in counts.items():
                against(truth, said[who], count, wanted[name])
        keys = ("facts", "precision", "recall", "side_errors", "size_errors")
        result[setting] = {
            name: {who: {key: counts[who, name].result()[key] for key in keys} for who in ("plain", "decoder", "shown")}
            for name in wanted
        }
    return result


def attending(command: Path, held: list[Scan], decoder: Path) -> dict | None:
    """What a scan's own maps add; None for a decoder without."""
    torch.set_num_threads(1)
    grammar, rng = Grammar(), random.Random(UNSEEN)
    trained, saved = load(decoder, grammar)
    if not saved["scans"] or len(held) < 2:
        return None
    network, _ = rounded(trained.state_dict())
    coder = Coder(grammar)
    cases = []
    for scan, other in zip(held, held[1:] + held[:1]):
        for section in scan.measured:
            told, said = of_scan(rng, scan, section, True, 0.5)
            if len(told) <= FACTS:
                cases.append((scan, other, section, told, said, grammar.text(rng, said)))
    result = {}
    for kind, pick in (("own", lambda s, o: s.maps), ("another", lambda s, o: o.maps), ("none", lambda s, o: None)):
        words = loss = 0.0
        for first in range(0, len(cases), 24):
            some = cases[first : first + 24]
            batch = collate([(sec, told, pick(s, o), text) for s, o, sec, told, _, text in some], coder)
            count = int((batch[0][:, 1:] > 0).sum())
            with torch.no_grad():
                loss += loss_of(network, batch).item() * count
            words += count
        written = worded(command, [told_of(s, sec, told, pick(s, o)) for s, o, sec, told, _, _ in cases])
        every, foci = Tally(), Tally()
        for (*_, said, _), section in zip(cases, written):
            claims = [s["claims"] and [triple(c) for c in s["claims"]] for s in section["sentences"]]
            truth = [triple(vars(fact)) for fact in said]
            against(truth, claims, every, lambda claim: True)
            # Those that no fact tells: only the maps may.
            given = {triple(fact) for fact in section["facts"]}
            against(truth, claims, foci, lambda claim: claim[0] == "focus" and claim not in given)
        result[kind] = {
            "loss_per_word": round(loss / max(1, words), 4),
            **{key: every.result()[key] for key in ("facts", "precision", "recall")},
            "withheld_foci": {key: foci.result()[key] for key in ("facts", "precision", "recall")},
        }
    return result


def roc_area(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the ROC curve (Mann-Whitney); None where only one kind is there."""
    count = int(positive.sum())
    if not 0 < count < len(positive):
        return None
    ranks = stats.rankdata(scores)
    return round(float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count))), 4)


def probe(train: list[Scan], held: list[Scan]) -> dict | None:
    """Ridge regression of "a focus was painted here" on a structure's standardised maps."""
    if not train or not held:
        return None
    mean, deviation = (values.numpy() for values in scale(train))

    def table(scans: list[Scan]):
        rows, painted, of = [], [], []
        for number, scan in enumerate(scans):
            foci = {(focus.name, focus.side) for _, focus in scan.foci}
            standard = np.clip((scan.maps - mean) / deviation, -MOST, MOST)
            found = np.flatnonzero(~np.isnan(standard).any(1))
            rows.append(standard[found])
            painted += [NAMED_AS[row + 1] in foci for row in found]
            of += [number] * len(found)
        return np.concatenate(rows).astype(np.float64), np.array(painted), np.array(of)

    x, y, _ = table(train)
    # As strong as the data twice over: 320 values, few foci.
    ridge = x.T @ x + 2 * len(x) / x.shape[1] * np.eye(x.shape[1])
    weights = np.linalg.solve(ridge, x.T @ (y - y.mean()))
    x, y, of = table(held)
    scores = x @ weights
    numbers = range(len(held))
    best = np.array([scores[of == number].max(initial=-np.inf) for number in numbers])
    return {
        "training_scans": len(train),
        "held_out_scans": len(held),
        "structures": len(y),
        "structures_with_a_focus": int(y.sum()),
        "auc_of_structures": roc_area(scores, y),
        "auc_of_scans": roc_area(best, np.array([bool(y[of == number].any()) for number in numbers])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prism", type=Path, help="the command")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--heads", type=int, help="only so many of the 48 whole heads in T1w")
    parser.add_argument("--every", type=int, default=1, help="every N-th real head; 0: none, the earlier result stays")
    parser.add_argument("--reports", type=Path, default=cache_folder() / "report/real")
    parser.add_argument("--scans", type=Path, default=folder(held_out=False), help="for the probe")
    parser.add_argument("--held", type=Path, default=folder(held_out=True))
    parser.add_argument("--decoder", type=Path, default=newest())
    parser.add_argument("--out", type=Path, default=REPOSITORY / "training/results/report.json")
    arguments = parser.parse_args()
    command = arguments.prism.resolve()
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    heads = scans(arguments.data, arguments.heads)[:: arguments.every] if arguments.every else []
    held = read_all(arguments.held)
    others = known.get("other_packs")
    if arguments.every:
        crops = hippocampi(command, kept(HIPPOCAMPUS, arguments.data), arguments.reports)
        others = {"sha256": made_by(command, HIPPOCAMPUS), "hippocampus": crops, "heart": hearts(command)}
    result = {
        "command": " ".join(["python -m training.report.score target/debug/prism", *sys.argv[2:]]),
        "commit": commit(),
        "sha256": made_by(command),
        "drawn": drawn(command),
        "real": real(command, heads, arguments.reports) if heads else known.get("real"),
        "other_packs": others,
        "scans": synthetic(command, held) if held else None,
        "attending": attending(command, held, arguments.decoder),
        "probe": probe(read_all(arguments.scans), held),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    for name, part in (("drawn", result["drawn"]["all"]), *list((result["real"] or {}).items())[2:]):
        print(name, part)
    for name in ("other_packs", "scans", "attending", "probe"):
        print(name, json.dumps(result[name]))


if __name__ == "__main__":
    main()
