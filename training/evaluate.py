"""Scores a shipped pack on real scans with hand-drawn labels, through the `prism` command.

    python -m training.evaluate public/packs/brain.safetensors

Writes training/results/NAME.json and the table between the markers of the pack's card. With
`--runner torch` the same is done in PyTorch (float32 arithmetic on the pack's int8 weights); the
result says which runner made it. With `--checkpoint` (.pt, or .safetensors of training.export --half) the
float weights are scored beside the int8 ones; those figures stay while the pack is the same.

Other packs are handed to what scores them: those from labelled scans to training.labelled, the lesions' to
training.lesions.evaluate.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import nibabel
import numpy as np
import torch

from training import checkpoint, pack, predict, preprocess, scores
from training.labels import scoring_map
from training.model import Network
from training.paths import REPOSITORY, data_folder
from training.prepare import DEVELOPMENT_SUBJECTS

# Mean Dice of the best in-browser peer (a T1-only MeshNet) on nine further scans of the same set.
PEER = {
    "cerebral white matter": 0.896, "cerebral cortex": 0.832, "lateral ventricle": 0.858,
    "cerebellar white matter": 0.800, "cerebellar cortex": 0.750, "thalamus": 0.888,
    "caudate": 0.850, "putamen": 0.848, "pallidum": 0.850, "3rd ventricle": 0.743,
    "4th ventricle": 0.802, "brainstem": 0.892, "hippocampus": 0.782, "amygdala": 0.680,
    "accumbens": 0.585, "ventral DC": 0.816,
}  # fmt: skip
SCORERS = {"labelled": ["training.labelled", "evaluate"], "lesions": ["training.lesions.evaluate"]}
BESIDE = ("pytorch_int8_mean_dice", "pytorch_float32_mean_dice", "int8_minus_float32")
START, STOP = "<!-- scores:start -->", "<!-- scores:stop -->"


def scorer(document: dict) -> list[str] | None:
    """Module (and its first words) that scores a pack of this name; None: this one. An error where there is none."""
    name = document["name"]
    if name == "brain" or name.startswith("brain-"):
        return None
    config = REPOSITORY / "training" / "configs" / f"{name}.toml"
    task = tomllib.loads(config.read_text()).get("task") if config.exists() else None
    if task not in SCORERS:
        raise SystemExit(f"{name}: training.evaluate scores brain packs, and {', '.join(SCORERS)} ones with a config")
    return SCORERS[task]


def beside(before: Path, sha256: str) -> dict:
    """The float weights' figures of an earlier result, where it is of the same pack."""
    known = json.loads(before.read_text()) if before.exists() else {}
    if known.get("sha256") != sha256:
        return {}
    return {key: known["summary"][key] for key in BESIDE if key in known["summary"]}


def labelled(data: Path) -> list[str]:
    folder = data / "eval_t1_labelled"
    return sorted(path.name.split("_")[0] for path in folder.glob("*_glm.nii.gz"))


def score_subjects(run, data: Path) -> dict:
    result = {}
    for subject in labelled(data):
        folder = data / "eval_t1_labelled"
        started = time.time()
        ids = run(folder / f"{subject}_T1w_brain.nii.gz")
        truth = np.asarray(nibabel.load(folder / f"{subject}_glm.nii.gz").dataobj)
        rows = scores.structure_scores(ids, truth)
        result[subject] = {
            "mean": float(np.mean([row["dice"] for row in rows.values()])),
            "seconds": round(time.time() - started, 1),
            "structures": rows,
        }
        print(subject, round(result[subject]["mean"], 4), flush=True)
    return result


def summarise(cases: dict) -> dict:
    structures = {}
    for name in scoring_map():
        rows = [case["structures"][name] for case in cases.values()]
        values = [row["dice"] for row in rows]
        entry = {
            "dice": round(float(np.mean(values)), 4),
            "worst": round(float(min(values)), 4),
            "worst_subject": list(cases)[int(np.argmin(values))],
            "volume_icc": round(
                scores.intraclass_correlation(
                    np.array([row["predicted"] for row in rows]),
                    np.array([row["drawn"] for row in rows]),
                ),
                3,
            ),
            "volume_ratio": round(
                float(np.mean([row["predicted"] / max(row["drawn"], 1) for row in rows])), 3
            ),
            "peer": PEER[name],
        }
        for side in ("left", "right"):
            if side in rows[0]:
                entry[side] = round(float(np.mean([row[side] for row in rows])), 4)
        structures[name] = entry
    means = {subject: case["mean"] for subject, case in cases.items()}
    worst = min(means, key=means.get)
    rest = [value for subject, value in means.items() if subject not in DEVELOPMENT_SUBJECTS]
    return {
        "mean_dice": round(float(np.mean(list(means.values()))), 4),
        "mean_dice_without_development_scans": round(float(np.mean(rest)), 4),
        "worst_subject": worst,
        "worst_subject_dice": round(means[worst], 4),
        "peer_mean_dice": 0.804,
        "subjects": len(cases),
        "structures": structures,
    }


def cross_sequence(run, data: Path) -> dict:
    """Dice between the labels of one head's T1w, T2w and FLAIR (registered scans)."""
    files = {"T1w": "kirby113_MPRAGE", "T2w": "kirby113_T2w", "FLAIR": "kirby113_FLAIR"}
    ids = {n: run(data / "multi_sequence" / f"{f}.nii.gz") for n, f in files.items()}
    result = {}
    for first, second in (("T1w", "T2w"), ("T1w", "FLAIR"), ("T2w", "FLAIR")):
        mean, each = scores.consistency(ids[first], ids[second])
        result[f"{first}-{second}"] = {"mean": round(mean, 4), "structures": each}
        print("kirby113", first, second, round(mean, 4), flush=True)
    return result


def compare_with_torch(command: Path, path: Path, scan: Path) -> dict:
    """Label agreement of command and PyTorch on one scan, and of the logits if the command gives them."""
    network, document = pack.read(path)
    mine = predict.with_torch(network, document, scan)
    theirs = predict.with_command(command, path, scan)
    result = {"scan": scan.name, "label_agreement": float((mine == theirs).mean())}
    inside = (mine > 0) | (theirs > 0)
    result["label_agreement_foreground"] = float((mine == theirs)[inside].mean())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "logits.safetensors"
        line = [str(command), "segment", str(scan), "-o", f"{folder}/s.nii.gz", "--pack", str(path)]
        done = subprocess.run(
            [*line, "--device", "cpu", "--logits", str(out)], capture_output=True, check=False
        )
        if done.returncode == 0 and out.exists():
            from safetensors.numpy import load_file

            logits = load_file(out)["logits"]
            logits = logits.reshape(logits.shape[-4:])
            volume, affine = predict.load(scan)
            prepared = preprocess.prepare(volume, affine, document["preprocessing"])
            reference = predict.logits_of(network, prepared.input, document["preprocessing"])
            result["logits_shape"] = list(logits.shape)
            result["logits_maximum_difference"] = float(np.abs(logits - reference).max())
            agree = logits.argmax(0) == reference.argmax(0)
            result["logits_argmax_agreement"] = float(agree.mean())
        else:
            result["logits"] = "the command gives no logits"
    return result


def table(summary: dict, runner: str, sequences: dict) -> str:
    how = {"cli": "the `prism` command (int8 pack)", "torch": "PyTorch on the int8 pack"}[runner]
    lines = [
        f"Measured with {how} on {summary['subjects']} hand-labelled T1w scans: mean Dice "
        f"**{summary['mean_dice']:.3f}** over 16 structures "
        f"({summary['mean_dice_without_development_scans']:.3f} on the five scans that were not watched "
        f"during training, though scored with every version of the pack); worst scan {summary['worst_subject']} with "
        f"{summary['worst_subject_dice']:.3f}.",
        "",
        "| structure | Dice | left | right | worst scan | volume ICC | volume ratio | peer |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in summary["structures"].items():
        sides = [f"{row[side]:.3f}" if side in row else "" for side in ("left", "right")]
        lines.append(
            f"| {name} | {row['dice']:.3f} | {sides[0]} | {sides[1]} | {row['worst']:.3f} | "
            f"{row['volume_icc']:.2f} | {row['volume_ratio']:.2f} | {row['peer']:.3f} |"
        )
    if sequences:
        pairs = ", ".join(f"{pair} {entry['mean']:.3f}" for pair, entry in sequences.items())
        lines += ["", f"Same head, different sequence (kirby113), mean Dice of the predictions: {pairs}."]
    return "\n".join(lines)


def write_card(card: Path, text: str) -> None:
    content = card.read_text()
    if START not in content:
        content += f"\n{START}\n{STOP}\n"
    before, rest = content.split(START, 1)
    _, after = rest.split(STOP, 1)
    card.write_text(f"{before}{START}\n{text}\n{STOP}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--runner", choices=["cli", "torch"], default="cli")
    parser.add_argument("--prism", type=Path, default=REPOSITORY / "target" / "debug" / "prism")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--checkpoint", type=Path, help="also score its float weights")
    parser.add_argument("--weights", choices=["average", "network"], default="average")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "training" / "results")
    parser.add_argument("--card", action="store_true", help="write the table into the card")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network, document = pack.read(arguments.pack)
    if other := scorer(document):
        line = [sys.executable, "-m", *other, arguments.pack, "--prism", arguments.prism, "--data", arguments.data]
        raise SystemExit(subprocess.run([*line, "--results", arguments.results], check=False).returncode)
    out = arguments.results / f"{document['name']}.json"
    if arguments.runner == "cli":
        run = lambda scan: predict.with_command(arguments.prism, arguments.pack, scan)  # noqa: E731
    else:
        run = lambda scan: predict.with_torch(network, document, scan)  # noqa: E731
    cases = score_subjects(run, arguments.data)
    summary = {"runner": arguments.runner, **summarise(cases)}
    sequences = cross_sequence(run, arguments.data)
    summary["cross_sequence"] = {pair: entry["mean"] for pair, entry in sequences.items()}
    result = {
        "pack": arguments.pack.name,
        "sha256": document["sha256"],
        "steps": document["provenance"]["steps"],
        "summary": summary,
        "cases": cases,
        "cross_sequence": sequences,
    }
    if arguments.runner == "cli":
        scan = arguments.data / "eval_t1_labelled" / f"{labelled(arguments.data)[0]}_T1w_brain.nii.gz"
        result["command_against_torch"] = compare_with_torch(arguments.prism, arguments.pack, scan)
        print(result["command_against_torch"])
    summary |= beside(out, document["sha256"])
    if arguments.checkpoint:
        state = checkpoint.load(arguments.checkpoint)
        if arguments.weights not in state:
            raise SystemExit(f"{arguments.checkpoint}: holds no {arguments.weights!r} weights; an export has 'average'")
        full = Network(network.config).eval()
        names = full.state_dict()
        full.load_state_dict({k: v for k, v in state[arguments.weights].items() if k in names})
        # Both through PyTorch, so that nothing but the rounding of the weights differs.
        means = {}
        for name, weights in (("int8", network), ("float32", full)):
            scored = score_subjects(lambda scan: predict.with_torch(weights, document, scan), arguments.data)  # noqa: B023
            means[name] = summarise(scored)["mean_dice"]
            summary[f"pytorch_{name}_mean_dice"] = means[name]
        summary["int8_minus_float32"] = round(means["int8"] - means["float32"], 4)
    arguments.results.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(summary, indent=1))
    if arguments.card:
        card = arguments.pack.with_suffix(".md")
        write_card(card, table(summary, arguments.runner, sequences))


if __name__ == "__main__":
    main()
