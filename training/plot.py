"""Draws a run's curves (loss, development Dice), the pretraining's and report decoder's losses, and example segmentations.

    python -m training.plot curves training/results/brain2mm.jsonl [NEXT PHASE] -o training/results/brain2mm.png
    python -m training.plot losses training/results/pretraining.jsonl -o training/results/pretraining.png
    python -m training.plot all    # every log in training/results, into the figures of FIGURES
    python -m training.plot example PACK SCAN [TRUTH] -o picture.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import nibabel  # noqa: E402
import numpy as np  # noqa: E402

from training import pack, predict, preprocess  # noqa: E402
from training.labels import scoring_map  # noqa: E402
from training.paths import REPOSITORY  # noqa: E402

# Figure in training/results -> what is drawn, its logs in their order and what a dotted line means. cardiac_slices was
# a trial that nothing went on from.
FIGURES = {
    "brain2mm": ("curves", ["brain2mm", "brain2mm_self"], "real scans join"),
    "hippocampus": ("curves", ["hippocampus"], ""),
    "cardiac": ("curves", ["cardiac_first", "cardiac_second", "cardiac_third", "cardiac_fourth", "cardiac"], "a next run"),
    "cardiac_slices": ("curves", ["cardiac_slices"], ""),
    "lesions": ("curves", ["lesions_first", "lesions_second", "lesions"], "a next run"),
    "pretraining": ("losses", ["pretraining"], ""),
    "report": ("losses", ["report"], ""),
}


def read_log(path: Path) -> tuple[list[dict], list[dict]]:
    """Training and development lines; after a resume the later line of a step wins. Logs without kinds only train."""
    train, development = {}, {}
    for text in path.read_text().splitlines():
        line = json.loads(text)
        if line.get("kind", "train") == "train":
            train[line["step"]] = line
        elif line["kind"] == "development":
            development[line["step"]] = line
    order = lambda table: [table[step] for step in sorted(table)]  # noqa: E731
    return order(train), order(development)


def chained(logs: list[Path]) -> tuple[list[dict], list[dict], list[int]]:
    """The lines of successive phases with steps counted through, and where each later phase begins."""
    train, development, begins = [], [], []
    for log in logs:
        shift = train[-1]["step"] if train else 0
        begins += [shift] if train else []
        for lines, part in zip((train, development), read_log(log)):
            lines += [{**line, "step": line["step"] + shift} for line in part]
    return train, development, begins


def curves(logs: list[Path], out: Path, joins: str = "real scans join") -> None:
    """Losses, development Dice and Dice of each structure (of each kind of lesion); `joins`: at a dotted line."""
    train, development, begins = chained(logs)
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.2))
    for begin in begins:
        for axis in axes:
            axis.axvline(begin, color="grey", ls=":", lw=0.8)
    steps = [line["step"] for line in train]
    words = {"dice": "1 - Dice", "entropy": "cross-entropy", "contrast": "contrast head", "slice_dice": "1 - Dice by slice"}
    for name, label in ((name, label) for name, label in words.items() if name in train[0]):
        axes[0].plot(steps, [line[name] for line in train], lw=0.8, label=label)
    axes[0].set(xlabel="step", title="training losses" + (f" (a dotted line: {joins})" if begins else ""), yscale="log")
    axes[0].legend()
    marks = [line["step"] for line in development]
    axes[1].plot(marks, [line["mean"] for line in development], "k", lw=2, label="mean")
    if development and "worst" in development[0]:
        axes[1].plot(marks, [line["worst"] for line in development], "k:", label="worst scan")
    axes[1].set(xlabel="step", title="Dice, development scans", ylim=(0, 1))
    axes[1].legend(loc="lower right")
    colours = plt.get_cmap("tab20")(np.linspace(0, 1, 16))
    for colour, name in zip(colours, parts(development[-1]) if development else []):
        values = [parts(line)[name] for line in development]
        axes[2].plot(marks, values, color=colour, lw=1, label=name)
    axes[2].set(xlabel="step", title="the same, by structure", ylim=(0, 1))
    axes[2].legend(fontsize=6, ncol=2, loc="lower right")
    figure.tight_layout()
    figure.savefig(out, dpi=90)
    plt.close(figure)


def parts(line: dict) -> dict:
    """Dice by structure of a development line; of the lesions by kind."""
    return line.get("structures") or line["dice"]


def losses(log: Path, out: Path) -> None:
    """Every loss of a log of the pretraining or of the report decoder, a panel each."""
    lines, _ = read_log(log)
    names = [name for name in lines[0] if name not in ("kind", "step", "seconds", "minutes", "factor", "skipped")]
    rows = min(2, len(names))
    columns = -(-len(names) // rows)
    figure, axes = plt.subplots(rows, columns, figsize=(3.2 * columns, 2.7 * rows), squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names):
        axis.plot([line["step"] for line in lines], [line[name] for line in lines], lw=0.9)
        axis.set(title=name, xlabel="step")
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(out, dpi=90)
    plt.close(figure)


def every(results: Path) -> list[Path]:
    """Draws all of FIGURES beside their logs; returns the pictures."""
    drawn = []
    for name, (what, logs, joins) in FIGURES.items():
        paths, out = [results / f"{log}.jsonl" for log in logs], results / f"{name}.png"
        if what == "curves":
            curves(paths, out, joins)
        else:
            losses(paths[0], out)
        drawn.append(out)
    return drawn


def dice_over(axis: str, results: dict, out: Path, words: dict) -> None:
    """Mean Dice of runs over `axis` ("patients", "steps"), a line a start; `words` names axis, starts and title.

    Several runs of one start and place (seeds) are a mean, with a bar from the lowest to the highest.
    """
    figure, axes = plt.subplots(figsize=(5, 3.5))
    for start in dict.fromkeys(row["start"] for row in results["runs"]):
        values: dict[int, list[float]] = {}
        for row in results["runs"]:
            if row["start"] == start:
                values.setdefault(row[axis], []).append(row["mean"])
        places = sorted(values)
        means = [float(np.mean(values[place])) for place in places]
        below = [mean - min(values[place]) for place, mean in zip(places, means)]
        above = [max(values[place]) - mean for place, mean in zip(places, means)]
        axes.errorbar(places, means, yerr=[below, above], marker="o", capsize=2, label=words[start])
    axes.set_xscale("log")
    axes.set_xticks(ticks := sorted({row[axis] for row in results["runs"]}), [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set(xlabel=words["axis"], ylabel="mean Dice", title=words["title"])
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def palette(document: dict) -> np.ndarray:
    colours = np.zeros((256, 3), dtype=np.uint8)
    for row in document["labels"]:
        colours[row["id"]] = row["color"]
    return colours


def example(pack_path: Path, scan: Path, truth: Path | None, out: Path) -> None:
    """Three planes: the scan, the prediction over it, and where it differs from the drawn labels."""
    network, document = pack.read(pack_path)
    volume, affine = predict.load(scan)
    ids, _ = preprocess.reorient(predict.with_torch(network, document, scan), affine)
    grey, _ = preprocess.reorient(volume, affine)
    columns = 2
    wrong = None
    if truth is not None:
        drawn, _ = preprocess.reorient(np.asarray(nibabel.load(truth).dataobj), affine)
        mine, theirs = np.zeros(ids.shape, np.uint8), np.zeros(ids.shape, np.uint8)
        for number, entry in enumerate(scoring_map().values()):
            mine[np.isin(ids, entry["freesurfer"])] = number + 1
            theirs[np.isin(drawn, entry["neuromorphometrics"])] = number + 1
        wrong, columns = mine != theirs, 3
    where = np.argwhere(ids > 0)
    middle = where.mean(0).astype(int) if len(where) else np.array(ids.shape) // 2
    middle[0] += 12
    colours = palette(document)
    figure, axes = plt.subplots(3, columns, figsize=(4 * columns, 12))
    high = np.percentile(grey[grey > 0], 99.5)
    for axis in range(3):
        cut = [slice(None)] * 3
        cut[axis] = middle[axis]
        plane = np.clip(grey[tuple(cut)].T / high, 0, 1)
        shown = np.repeat(plane[..., None], 3, axis=2)
        label = ids[tuple(cut)].T
        painted = np.where((label > 0)[..., None], 0.45 * shown + 0.55 * colours[label] / 255, shown)
        pictures = [shown, painted]
        if wrong is not None:
            mask = wrong[tuple(cut)].T[..., None]
            pictures.append(np.where(mask, 0.3 * shown + 0.7 * np.array([1.0, 0.2, 0.1]), shown))
        for column, picture in enumerate(pictures):
            axes[axis, column].imshow(picture, origin="lower")
            axes[axis, column].axis("off")
    for column, title in enumerate(["scan", "prediction", "differs from the drawn labels"][:columns]):
        axes[0, column].set_title(title)
    figure.tight_layout()
    figure.savefig(out, dpi=60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["curves", "losses", "example", "all"])
    parser.add_argument("inputs", nargs="*", type=Path)
    parser.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "all":
        for path in every(REPOSITORY / "training" / "results"):
            print(path)
        return
    if not arguments.inputs or not arguments.out:
        parser.error("name what is to be drawn, and with -o the picture")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    if arguments.what == "curves":
        curves(arguments.inputs, arguments.out)
    elif arguments.what == "losses":
        losses(arguments.inputs[0], arguments.out)
    else:
        truth = arguments.inputs[2] if len(arguments.inputs) > 2 else None
        example(arguments.inputs[0], arguments.inputs[1], truth, arguments.out)


if __name__ == "__main__":
    main()
