"""Draws a run's curves (loss, development Dice), the pretraining's losses, and example segmentations.

    python -m training.plot curves training/results/brain2mm.jsonl [NEXT PHASE] -o training/results/brain2mm.png
    python -m training.plot losses training/results/pretraining.jsonl -o training/results/pretraining.png
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


def read_log(path: Path) -> tuple[list[dict], list[dict]]:
    """Training and development lines; after a resume the later line of a step wins."""
    train, development = {}, {}
    for text in path.read_text().splitlines():
        line = json.loads(text)
        if line["kind"] == "train":
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


def curves(logs: list[Path], out: Path) -> None:
    train, development, begins = chained(logs)
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.2))
    for begin in begins:
        for axis in axes:
            axis.axvline(begin, color="grey", ls=":", lw=0.8)
    steps = [line["step"] for line in train]
    for name in [name for name in ("dice", "entropy", "contrast") if name in train[0]]:
        label = {"dice": "1 - Dice", "entropy": "cross-entropy", "contrast": "contrast head"}[name]
        axes[0].plot(steps, [line[name] for line in train], lw=0.8, label=label)
    axes[0].set(xlabel="step", title="training losses" + (" (a dotted line: real scans join)" if begins else ""), yscale="log")
    axes[0].legend()
    marks = [line["step"] for line in development]
    axes[1].plot(marks, [line["mean"] for line in development], "k", lw=2, label="mean")
    axes[1].plot(marks, [line["worst"] for line in development], "k:", label="worst scan")
    axes[1].set(xlabel="step", title="Dice, development scans", ylim=(0, 1))
    axes[1].legend(loc="lower right")
    colours = plt.get_cmap("tab20")(np.linspace(0, 1, 16))
    for colour, name in zip(colours, development[-1]["structures"] if development else []):
        values = [line["structures"][name] for line in development]
        axes[2].plot(marks, values, color=colour, lw=1, label=name)
    axes[2].set(xlabel="step", title="the same, by structure", ylim=(0, 1))
    axes[2].legend(fontsize=6, ncol=2, loc="lower right")
    figure.tight_layout()
    figure.savefig(out, dpi=90)


def losses(log: Path, out: Path) -> None:
    """Every loss of a log of the pretraining, a panel each."""
    lines, _ = read_log(log)
    names = [name for name in lines[0] if name not in ("kind", "step", "seconds", "factor", "skipped")]
    figure, axes = plt.subplots(2, -(-len(names) // 2), figsize=(3.2 * -(-len(names) // 2), 5.4), squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names):
        axis.plot([line["step"] for line in lines], [line[name] for line in lines], lw=0.9)
        axis.set(title=name, xlabel="step")
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(out, dpi=90)


def dice_over(axis: str, results: dict, out: Path, words: dict) -> None:
    """Mean Dice of runs over `axis` ("patients", "steps"), a line a start; `words` names axis, starts and title."""
    figure, axes = plt.subplots(figsize=(5, 3.5))
    for start in dict.fromkeys(row["start"] for row in results["runs"]):
        rows = sorted((row[axis], row["mean"]) for row in results["runs"] if row["start"] == start)
        axes.plot(*zip(*rows), marker="o", label=words[start])
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
    parser.add_argument("what", choices=["curves", "losses", "example"])
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
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
